#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_long remaining; /* calls until the failing one; at 0 and below none will fail */
static atomic_long balance;
static _Atomic(const char *) failed;
static dnnl_status_t failure;

/* Files that are not on the disk. */
static struct {
    const char *path;
    const char *text;
} files[8];
static int n_files;

void
gt_faults_arm(long nth, dnnl_status_t code)
{
    failure = code;
    failed = NULL;
    remaining = nth;
}

const char *
gt_faults_disarm(void)
{
    remaining = 0;
    return failed;
}

long
gt_faults_balance(void)
{
    return balance;
}

bool
gt_faults_strike(const char *name)
{
    if (remaining <= 0 || atomic_fetch_sub(&remaining, 1) != 1) {
        return false;
    }
    failed = name;
    return true;
}

dnnl_status_t
gt_faults_code(void)
{
    return failure;
}

void
gt_faults_count(long change)
{
    balance += change;
}

void
gt_faults_file(const char *path, const char *text)
{
    if (path == NULL) {
        n_files = 0;
    }
    else if (n_files < (int)(sizeof(files) / sizeof(files[0]))) {
        files[n_files].path = path;
        files[n_files++].text = text;
    }
}

/* --- the C library ------------------------------------------------------------------------- */

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
int __real_posix_memalign(void **block, size_t alignment, size_t size);
void __real_free(void *block);
void *__real_mmap(void *place, size_t size, int protection, int kind, int file, off_t offset);
int __real_munmap(void *place, size_t size);
int __real_madvise(void *place, size_t size, int advice);
int __real_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
FILE *__real_fopen(const char *path, const char *mode);

void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *block, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);
int __wrap_posix_memalign(void **block, size_t alignment, size_t size);
void __wrap_free(void *block);
void *__wrap_mmap(void *place, size_t size, int protection, int kind, int file, off_t offset);
int __wrap_munmap(void *place, size_t size);
int __wrap_madvise(void *place, size_t size, int advice);
int __wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                          void *(*start)(void *), void *argument);
FILE *__wrap_fopen(const char *path, const char *mode);

static void *
counted(void *block)
{
    gt_faults_count(block != NULL);
    return block;
}

void *
__wrap_malloc(size_t size)
{
    return gt_faults_strike("malloc") ? NULL : counted(__real_malloc(size));
}

void *
__wrap_calloc(size_t count, size_t size)
{
    return gt_faults_strike("calloc") ? NULL : counted(__real_calloc(count, size));
}

void *
__wrap_realloc(void *block, size_t size)
{
    if (gt_faults_strike("realloc")) {
        return NULL;
    }
    void *moved = __real_realloc(block, size);
    gt_faults_count(block == NULL && moved != NULL);
    return moved;
}

void *
__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return gt_faults_strike("aligned_alloc") ? NULL
                                             : counted(__real_aligned_alloc(alignment, size));
}

int
__wrap_posix_memalign(void **block, size_t alignment, size_t size)
{
    if (gt_faults_strike("posix_memalign")) {
        return ENOMEM;
    }
    int code = __real_posix_memalign(block, alignment, size);
    gt_faults_count(code == 0);
    return code;
}

void
__wrap_free(void *block)
{
    gt_faults_count(block != NULL ? -1 : 0);
    __real_free(block);
}

void *
__wrap_mmap(void *place, size_t size, int protection, int kind, int file, off_t offset)
{
    if (gt_faults_strike("mmap")) {
        errno = ENOMEM;
        return MAP_FAILED;
    }
    void *mapped = __real_mmap(place, size, protection, kind, file, offset);
    gt_faults_count(mapped != MAP_FAILED);
    return mapped;
}

int
__wrap_munmap(void *place, size_t size)
{
    gt_faults_count(-1);
    return __real_munmap(place, size);
}

int
__wrap_madvise(void *place, size_t size, int advice)
{
    if (gt_faults_strike("madvise")) {
        errno = ENOMEM;
        return -1;
    }
    return __real_madvise(place, size, advice);
}

int
__wrap_pthread_create(pthread_t *thread, const pthread_attr_t *attributes, void *(*start)(void *),
                      void *argument)
{
    if (gt_faults_strike("pthread_create")) {
        return EAGAIN;
    }
    return __real_pthread_create(thread, attributes, start, argument);
}

FILE *
__wrap_fopen(const char *path, const char *mode)
{
    for (int i = 0; i < n_files; i++) {
        if (strcmp(files[i].path, path) == 0) {
            const char *text = files[i].text;
            return text != NULL ? fmemopen((void *)(size_t)text, strlen(text), mode) : NULL;
        }
    }
    return gt_faults_strike("fopen") ? NULL : __real_fopen(path, mode);
}
