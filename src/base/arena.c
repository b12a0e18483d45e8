/* arena: see arena.h. Under AddressSanitizer the bytes after each take are poisoned, so that
 * running over the end of one take is found although its neighbour lives in the same block. */
#include "base/arena.h"

#include <assert.h>
#include <string.h>
#include <sys/mman.h>

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif

#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
static const size_t bytes_gap = ARENA_ALIGN;
static void poison(const void *p, size_t n) { __asan_poison_memory_region(p, n); }
static void unpoison(const void *p, size_t n) { __asan_unpoison_memory_region(p, n); }
#else
static const size_t bytes_gap = 0;
static void poison(const void *p, size_t n) { (void)p, (void)n; }
static void unpoison(const void *p, size_t n) { (void)p, (void)n; }
#endif

static void *reserve(size_t bytes)
{
    int flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
    return mmap(NULL, bytes, PROT_READ | PROT_WRITE, flags, -1, 0);
}

bool arena_open_up_to(arena *a, size_t bytes_max, const char *name, err *e)
{
    enum { BYTES_LEAST = 16 << 20 };
    assert(a && bytes_max > 0);
    size_t bytes = bytes_max;
    void *block = reserve(bytes);
    while (block == MAP_FAILED && bytes / 2 >= BYTES_LEAST) block = reserve(bytes /= 2);
    if (block == MAP_FAILED) return arena_open(a, bytes, name, e);
    if (bytes < bytes_max && bytes / 2 >= BYTES_LEAST) { /* others need room too */
        bytes /= 2;
        munmap((char *)block + bytes, bytes);
    }
    *a = (arena){.name = name, .block = block, .size = bytes};
    return true;
}

bool arena_open(arena *a, size_t bytes_max, const char *name, err *e)
{
    assert(a && bytes_max > 0);
    *a = (arena){.name = name};
    void *block = reserve(bytes_max);
    if (block == MAP_FAILED) {
        return err_set(e, ERR_RESOURCE,
                       "cannot reserve %.0f MB for %s; lower the limits of the run or "
                       "raise `ulimit -v`",
                       (double)bytes_max / 1e6, name);
    }
    a->block = block;
    a->size = bytes_max;
    return true;
}

void arena_want_large_pages(arena *a)
{
    if (a->block) (void)madvise(a->block, a->size, MADV_HUGEPAGE);
}

void arena_close(arena *a)
{
    if (a->block) {
        unpoison(a->block, a->peak);
        munmap(a->block, a->size);
    }
    *a = (arena){0};
}

void *arena_take(arena *a, size_t count, size_t each, err *e)
{
    size_t bytes = 0;
    bool fits = size_multiply(count, each, &bytes) && bytes <= a->size;
    size_t start = (a->used + ARENA_ALIGN - 1) / ARENA_ALIGN * ARENA_ALIGN;
    fits = fits && start <= a->size && bytes + bytes_gap <= a->size - start;
    if (!fits) {
        err_set(e, ERR_RESOURCE,
                "%s is full: %zu items of %zu bytes do not fit in the %.1f MB that are "
                "left of %.1f MB",
                a->name ? a->name : "memory", count, each, (double)(a->size - a->used) / 1e6,
                (double)a->size / 1e6);
        return NULL;
    }
    a->used = start + bytes + bytes_gap;
    if (a->used > a->peak) a->peak = a->used;
    if (arena_measures(a)) return NULL;
    unpoison(a->block + start, bytes);
    poison(a->block + start + bytes, bytes_gap);
    return a->block + start;
}

void *arena_take_zero(arena *a, size_t count, size_t each, err *e)
{
    void *p = arena_take(a, count, each, e);
    if (p) memset(p, 0, count * each);
    return p;
}

char *arena_copy_text(arena *a, const char *data, size_t size, err *e)
{
    char *text = arena_take(a, size + 1, 1, e);
    if (!text) return NULL;
    if (size) memcpy(text, data, size);
    text[size] = 0;
    return text;
}

size_t arena_mark(const arena *a) { return a->used; }

void arena_reset(arena *a, size_t mark)
{
    assert(mark <= a->used);
    if (a->block) poison(a->block + mark, a->used - mark);
    a->used = mark;
}
