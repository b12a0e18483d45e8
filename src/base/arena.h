/* arena: memory by lifetime (run, model, step), not by object.
 *
 * An arena is one reserved block and a bump. `arena_open` reserves address space only; pages are
 * committed when touched, so a generous maximum costs nothing. There is no free: `arena_reset` goes
 * back to a mark at a known place, `arena_close` gives the block back.
 *
 * The planner runs the allocator: an x_lay_out(.., arena) function is called once with a measuring
 * arena (`ARENA_MEASURE`: counts, returns NULL) and once for real, and both must use the same
 * bytes.
 */
#ifndef CASELOAD_BASE_ARENA_H
#define CASELOAD_BASE_ARENA_H

#include "base/err.h"

#include <stddef.h>
#include <stdint.h>

typedef struct arena {
    unsigned char *block; /* NULL: a measuring arena */
    size_t size, used;
    size_t peak;      /* largest `used` since birth */
    const char *name; /* for messages: "run memory" */
} arena;

#define ARENA_MEASURE ((arena){.block = NULL, .size = SIZE_MAX / 2, .name = "plan"})
#define ARENA_ALIGN 64 /* the least alignment of every take: a cache line, an AVX-512 register */

/* Reserves `bytes_max` of address space. ERR_RESOURCE when the system refuses. */
bool arena_open(arena *a, size_t bytes_max, const char *name, err *e);

/* For generous maxima. Where the system refuses so much address space (`ulimit -v`, valgrind), it
 * takes a part of what is given, down to 16 MB. */
bool arena_open_up_to(arena *a, size_t bytes_max, const char *name, err *e);
void arena_close(arena *a);
/* For what is read again and again from end to end: pages of 2 MB, where the system has them. */
void arena_want_large_pages(arena *a);

/* `count` x `each` bytes, aligned to ARENA_ALIGN. NULL and a sticky ERR_RESOURCE when the arena is
 * full or the product overflows; NULL without an error while measuring. Contents: zero on a fresh
 * block, unspecified after a reset. count 0 gives a valid pointer of no bytes. */
void *arena_take(arena *a, size_t count, size_t each, err *e);
void *arena_take_zero(arena *a, size_t count, size_t each, err *e);

/* Copies `size` bytes of `data` and adds a 0 byte. */
char *arena_copy_text(arena *a, const char *data, size_t size, err *e);

size_t arena_mark(const arena *a);
void arena_reset(arena *a, size_t mark);

/* Is the arena only counting? */
static inline bool arena_measures(const arena *a) { return a->block == NULL; }

/* a * b into *out; false on overflow. For every product of counts that a file gave. */
static inline bool size_multiply(size_t a, size_t b, size_t *out)
{
    return !__builtin_mul_overflow(a, b, out);
}

#endif
