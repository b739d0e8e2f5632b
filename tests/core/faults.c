#include "faults.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

static atomic_bool armed;
static atomic_long remaining; /* calls until the failing one, which counts down to 0 */
static bool lasting;
static atomic_long balance;
static _Atomic(const char *) failed;
static dnnl_status_t failure;

static long armed_with;
static const void *calls[GT_FAULTS_MOST_CALLS]; /* what they return to since the last arming */

static const void *places[4096]; /* that calls which failed return to */
static int n_places;
static pthread_mutex_t noting = PTHREAD_MUTEX_INITIALIZER;

/* Files that are not on the disk. */
static struct {
    const char *path;
    const char *text;
} files[8];
static int n_files;

void
gt_faults_arm(long nth, dnnl_status_t code, bool lasts)
{
    failure = code;
    failed = NULL;
    lasting = lasts;
    remaining = nth;
    armed_with = nth;
    memset(calls, 0, sizeof(calls));
    armed = true;
}

const char *
gt_faults_disarm(void)
{
    armed = false;
    return failed;
}

long
gt_faults_calls(void)
{
    return armed_with - remaining;
}

bool
gt_faults_is_first(long nth)
{
    if (nth < 1 || nth > GT_FAULTS_MOST_CALLS) {
        return false;
    }
    for (long i = 0; i < nth - 1; i++) {
        if (calls[i] == calls[nth - 1]) {
            return false;
        }
    }
    return calls[nth - 1] != NULL;
}

long
gt_faults_balance(void)
{
    return balance;
}

static void
note_place(const void *place)
{
    (void)pthread_mutex_lock(&noting);
    int i = 0;
    while (i < n_places && places[i] != place) {
        i++;
    }
    if (i == n_places && n_places < (int)(sizeof(places) / sizeof(places[0]))) {
        places[n_places++] = place;
    }
    (void)pthread_mutex_unlock(&noting);
}

bool
gt_faults_strike_from(const char *name, const void *place)
{
    if (!armed) {
        return false;
    }
    long before = atomic_fetch_sub(&remaining, 1);
    long nth = armed_with - before;
    if (nth < GT_FAULTS_MOST_CALLS) {
        calls[nth] = place;
    }
    if (before == 1) {
        failed = name;
    }
    bool fails = before == 1 || (before < 1 && lasting);
    if (fails) {
        note_place(place);
    }
    return fails;
}

bool
gt_faults_write_places(const char *path)
{
    FILE *file = fopen(path, "w");
    if (file == NULL) {
        return false;
    }
    for (int i = 0; i < n_places; i++) {
        (void)fprintf(file, "%p\n", places[i]);
    }
    return fclose(file) == 0;
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
