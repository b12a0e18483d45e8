/* take: see take.h. */
#include "model/take.h"

#include "compute/device.h"

#include <assert.h>

static void *take_numbers(backend *b, arena *a, dtype type, int64_t count, int64_t each, err *e)
{
    assert(count >= 0 && each >= 0);
    size_t items = 0;
    if (!size_multiply((size_t)count, (size_t)each, &items)) {
        err_set(e, ERR_RESOURCE, "a buffer of %lld x %lld numbers is too large for this machine",
                (long long)count, (long long)each);
        return NULL;
    }
    return device_take(b, a, items, (size_t)dtype_get(type)->block_bytes, e);
}

float *take_floats(backend *b, arena *a, int64_t count, int64_t each, err *e)
{
    return take_numbers(b, a, DTYPE_F32, count, each, e);
}

void *take_rows(backend *b, arena *a, int64_t count, int64_t each, err *e)
{
    return take_numbers(b, a, b->rows, count, each, e);
}

float *take_angles(backend *b, take_turn turn, arena *a, err *e)
{
    const size_t count = (size_t)turn.positions * (size_t)turn.width;
    float *table = arena_take(a, count, sizeof *table, e);
    float *there = device_mirror(b, table, count, sizeof *table, e);
    if (!table || !there) return NULL;
    rope_fill_table(table, turn.how, turn.width, turn.positions, turn.positions);
    device_write(b, there, table, count * sizeof *table);
    return there;
}
