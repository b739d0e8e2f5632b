#include "threads/control_groups.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { MAX_PATH = 4096, MAX_THREADS = 1 << 16 };

/* A hierarchy of control groups that can limit processor time, as one line of
 * /proc/self/mountinfo has it. */
typedef struct {
    char top[MAX_PATH];   /* the control group that is mounted */
    char place[MAX_PATH]; /* where */
    bool is_second;       /* version 2 */
} mount;

/* Whole processors that `quota` microseconds in every `period` amount to; 0 without a limit. */
static int
quota_to_count(long long quota, long long period)
{
    if (quota <= 0 || period <= 0) {
        return 0;
    }
    long long count = (quota - 1) / period + 1;
    return count > MAX_THREADS ? MAX_THREADS : (int)count;
}

static int
smaller_limit(int a, int b)
{
    return a == 0 || (b != 0 && b < a) ? b : a;
}

static FILE *
open_below(const char *folder, const char *name)
{
    char path[2 * MAX_PATH];
    int length = snprintf(path, sizeof(path), "%s/%s", folder, name);
    return length > 0 && length < (int)sizeof(path) ? fopen(path, "r") : NULL;
}

/* The next line, cut to fit; false at the end. */
static bool
read_line(FILE *file, char *line, int size)
{
    if (fgets(line, size, file) == NULL) {
        return false;
    }
    size_t length = strlen(line);
    if (length > 0 && line[length - 1] == '\n') {
        line[length - 1] = '\0';
        return true;
    }
    int next = fgetc(file);
    while (next != EOF && next != '\n') {
        next = fgetc(file);
    }
    return true;
}

/* Whether `word` is one of the words of a list that commas separate. */
static bool
has_word(const char *list, const char *word)
{
    size_t length = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, length) == 0 && (at[length] == ',' || at[length] == '\0')) {
            return true;
        }
    }
    return false;
}

/* The number in a one-number file, or -1. */
static long long
read_number(const char *folder, const char *name)
{
    long long value = -1;
    FILE *file = open_below(folder, name);
    if (file != NULL) {
        if (fscanf(file, "%lld", &value) != 1) {
            value = -1;
        }
        (void)fclose(file);
    }
    return value;
}

static int
folder_limit(const char *folder, bool is_second)
{
    long long quota = -1;
    long long period = -1;
    if (!is_second) {
        quota = read_number(folder, "cpu.cfs_quota_us");
        period = quota > 0 ? read_number(folder, "cpu.cfs_period_us") : -1;
        return quota_to_count(quota, period);
    }
    FILE *file = open_below(folder, "cpu.max");
    if (file != NULL) {
        /* The first word is "max" where there is no limit, and then does not scan. */
        if (fscanf(file, "%lld %lld", &quota, &period) != 2) {
            quota = -1;
        }
        (void)fclose(file);
    }
    return quota_to_count(quota, period);
}

/* mountinfo has blanks and the like as three octal digits. */
static void
unescape(char *text)
{
    char *to = text;
    for (const char *from = text; *from != '\0'; to++) {
        unsigned code = 0;
        if (sscanf(from, "\\%3o", &code) == 1) {
            *to = (char)code;
            from += 4;
        }
        else {
            *to = *from++;
        }
    }
    *to = '\0';
}

/* Read `number parent device top place options [fields] - kind source options`. */
static bool
read_mount(const char *line, mount *found)
{
    char kind[16] = "";
    char options[256] = "";
    const char *rest = strstr(line, " - ");
    if (rest == NULL || sscanf(line, "%*s %*s %*s %4095s %4095s", found->top, found->place) != 2 ||
        sscanf(rest, " - %15s %*s %255s", kind, options) < 1) {
        return false;
    }
    unescape(found->top);
    unescape(found->place);
    found->is_second = strcmp(kind, "cgroup2") == 0;
    return found->is_second || (strcmp(kind, "cgroup") == 0 && has_word(options, "cpu"));
}

/* The control group that this process is in, from a line `number:controllers:path`, the controllers
 * empty in version 2. */
static bool
find_group(const char *root, bool is_second, char *group, int size)
{
    char line[2 * MAX_PATH];
    bool found = false;
    FILE *file = open_below(root, "proc/self/cgroup");
    while (!found && file != NULL && read_line(file, line, sizeof(line))) {
        char *controllers = strchr(line, ':');
        char *path = controllers != NULL ? strchr(controllers + 1, ':') : NULL;
        if (path != NULL && strlen(path + 1) < (size_t)size) {
            *path = '\0';
            found = is_second ? controllers[1] == '\0' : has_word(controllers + 1, "cpu");
            memcpy(group, path + 1, strlen(path + 1) + 1);
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return found;
}

/* Cut the last name off a path; false when only `length` characters would be left or fewer. */
static bool
go_up(char *path, size_t length)
{
    char *last = strrchr(path, '/');
    if (last == NULL || (size_t)(last - path) < length) {
        return false;
    }
    *last = '\0';
    return true;
}

/* The smallest limit from the process's own group up to the one that is mounted.  A group outside of
 * that, as a container may see its own, is looked for at the place itself. */
static int
mount_limit(const char *root, const mount *found)
{
    char group[MAX_PATH];
    char folder[3 * MAX_PATH];
    if (!find_group(root, found->is_second, group, sizeof(group))) {
        return 0;
    }
    size_t top = strcmp(found->top, "/") == 0 ? 0 : strlen(found->top);
    bool inside =
        strncmp(group, found->top, top) == 0 && group[top] == '/' && strstr(group, "/../") == NULL;
    (void)snprintf(folder, sizeof(folder), "%s%s%s", root, found->place, inside ? group + top : "");
    size_t length = strlen(folder);
    if (length > 0 && folder[length - 1] == '/') {
        folder[length - 1] = '\0';
    }
    int limit = 0;
    do {
        limit = smaller_limit(limit, folder_limit(folder, found->is_second));
    } while (go_up(folder, strlen(root) + strlen(found->place)));
    return limit;
}

int
gt_control_group_threads(const char *root)
{
    char line[4 * MAX_PATH];
    int limit = 0;
    mount found;
    FILE *file = open_below(root, "proc/self/mountinfo");
    while (file != NULL && read_line(file, line, sizeof(line))) {
        if (read_mount(line, &found)) {
            limit = smaller_limit(limit, mount_limit(root, &found));
        }
    }
    if (file != NULL) {
        (void)fclose(file);
    }
    return limit;
}
