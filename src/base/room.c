/* room: see room.h. */
#include "base/room.h"

#include <assert.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/resource.h>
#include <unistd.h>

enum { TEXT_MAX = 64 << 10, DEPTH_MAX = 32 };

/* The first bytes of a small file of the kernel's; empty when it cannot be read. */
static str read_text(const char *path, char text[TEXT_MAX])
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return (str){text, 0};
    size_t n = 0;
    for (ssize_t got = 1; got > 0 && n<TEXT_MAX; n += got> 0 ? (size_t)got : 0)
        got = read(fd, text + n, TEXT_MAX - n);
    close(fd);
    return (str){text, n};
}

/* The number behind `key` at the start of a line; -1: none. */
static int64_t number_after(str text, const char *key)
{
    size_t n = strlen(key);
    for (size_t at = 0; at < text.size;) {
        const char *line = text.data + at;
        const char *end = memchr(line, '\n', text.size - at);
        size_t size = end ? (size_t)(end - line) : text.size - at;
        at += size + 1;
        if (size <= n || memcmp(line, key, n) != 0) continue;
        str rest = str_trim(str_part((str){line, size}, n, size - n));
        size_t digits = 0;
        while (digits < rest.size && rest.data[digits] >= '0' && rest.data[digits] <= '9') digits++;
        int64_t value = -1;
        if (digits > 0 && str_to_int(str_part(rest, 0, digits), &value)) return value;
    }
    return -1;
}

int64_t room_of_meminfo(str meminfo)
{
    int64_t kb = number_after(meminfo, "MemAvailable:");
    return kb < 0 || kb > INT64_MAX / 1024 ? -1 : kb * 1024;
}

int64_t room_of_group(str max, str current, str stat, const char *key)
{
    int64_t limit = 0, holds = 0;
    if (!str_to_int(str_trim(max), &limit) || !str_to_int(str_trim(current), &holds)) return -1;
    if (limit < 0 || holds < 0 || limit >= INT64_MAX / 2) return -1; /* v1's "no limit" is large */
    char wanted[32];
    snprintf(wanted, sizeof wanted, "%s ", key);
    int64_t cache = number_after(stat, wanted);
    if (cache > 0) holds -= cache < holds ? cache : holds; /* it is part of what the group holds */
    return limit > holds ? limit - holds : 0;
}

static void lower(room *r, int64_t bytes, const char *bound)
{
    if (bytes < 0 || bytes >= r->bytes) return;
    r->bytes = bytes;
    r->bound = bound;
}

typedef struct hierarchy { /* where one version of control groups keeps its files */
    const char *root, *max, *current, *cache_key;
} hierarchy;

/* `path` ("/a/b") and every group above it. */
static void look_at_groups(room *r, const hierarchy *h, str path)
{
    char file[4400], max[TEXT_MAX], current[TEXT_MAX], stat[TEXT_MAX];
    if (path.size > 4000) return;
    for (int depth = 0; depth < DEPTH_MAX; depth++) {
        int n = (int)path.size;
        snprintf(file, sizeof file, "%s%.*s/%s", h->root, n, path.data, h->max);
        str text_max = read_text(file, max);
        snprintf(file, sizeof file, "%s%.*s/%s", h->root, n, path.data, h->current);
        str text_current = read_text(file, current);
        snprintf(file, sizeof file, "%s%.*s/memory.stat", h->root, n, path.data);
        lower(r, room_of_group(text_max, text_current, read_text(file, stat), h->cache_key),
              "the control group (container, batch job) leaves only");
        if (path.size == 0) return;
        while (path.size > 0 && path.data[path.size - 1] != '/') path.size--;
        if (path.size > 0) path.size--;
    }
}

/* /proc/self/cgroup: "0::/path" (v2), "7:memory:/path" (v1). */
static void look_at_control_groups(room *r)
{
    static const hierarchy v2 = {"/sys/fs/cgroup", "memory.max", "memory.current", "file"};
    static const hierarchy v1 = {"/sys/fs/cgroup/memory", "memory.limit_in_bytes",
                                 "memory.usage_in_bytes", "total_cache"};
    char text[TEXT_MAX];
    str all = read_text("/proc/self/cgroup", text);
    for (size_t at = 0; at < all.size;) {
        const char *line = all.data + at;
        const char *end = memchr(line, '\n', all.size - at);
        str one = {line, end ? (size_t)(end - line) : all.size - at};
        at += one.size + 1;
        int64_t memory = str_find(one, STR(":memory:"));
        if (str_starts(one, "0::")) look_at_groups(r, &v2, str_part(one, 3, one.size - 3));
        if (memory >= 0) {
            size_t from = (size_t)memory + 8;
            look_at_groups(r, &v1, str_part(one, from, one.size - from));
        }
    }
}

/* Bytes of this process: mapped, and in memory. */
static void look_at_self(int64_t *mapped, int64_t *data, int64_t *resident)
{
    char text[TEXT_MAX];
    str status = read_text("/proc/self/status", text);
    int64_t vm = number_after(status, "VmSize:"), rss = number_after(status, "RssAnon:");
    int64_t kb = number_after(status, "VmData:");
    *mapped = vm > 0 ? vm * 1024 : 0;
    *data = kb > 0 ? kb * 1024 : 0;
    *resident = rss > 0 ? rss * 1024 : 0;
}

static void look_at_ulimit(room *r, int which, int64_t taken)
{
    struct rlimit limit;
    if (getrlimit(which, &limit) != 0 || limit.rlim_cur >= INT64_MAX) return;
    int64_t left = (int64_t)limit.rlim_cur - taken;
    if (left < 0) left = 0;
    if (left < r->bytes_mapping) r->bytes_mapping = left;
}

room room_now(int64_t limit)
{
    assert(limit >= 0);
    room r = {.bytes = INT64_MAX, .bound = "there are only", .bytes_mapping = INT64_MAX};
    char text[TEXT_MAX];
    int64_t mapped, data, resident;
    look_at_self(&mapped, &data, &resident);
    lower(&r, room_of_meminfo(read_text("/proc/meminfo", text)), "this computer has free only");
    look_at_control_groups(&r);
    if (limit > 0) {
        lower(&r, limit > resident ? limit - resident : 0, "--memory-limit leaves only");
    }
    look_at_ulimit(&r, RLIMIT_AS, mapped);
    look_at_ulimit(&r, RLIMIT_DATA, data);
    return r;
}

/* ---- what is taken ---- */

void room_start_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f) return;
    fputs("5", f);
    fclose(f);
}

/* A line of /proc/self/status, in bytes; 0: not there. */
static int64_t status_bytes(const char *key)
{
    char line[200];
    long long kb = 0;
    FILE *f = fopen("/proc/self/status", "r");
    while (f && fgets(line, sizeof line, f)) {
        size_t n = strlen(key);
        if (!strncmp(line, key, n) && sscanf(line + n, "%lld kB", &kb) == 1) break;
    }
    if (f) fclose(f);
    return (int64_t)kb * 1024;
}

int64_t room_bytes_resident(void) { return status_bytes("VmRSS:"); }

int64_t room_bytes_peak(void)
{
    struct rusage u;
    const int64_t bytes = status_bytes("VmHWM:");
    if (bytes > 0) return bytes;
    return getrusage(RUSAGE_SELF, &u) == 0 ? (int64_t)u.ru_maxrss * 1024 : 0;
}
