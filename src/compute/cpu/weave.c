/* cpu weave: rows of a weight kept sixteen together, so that a row of x reads memory in one stream
 * and takes weights apart without turning them first.
 *
 *   sixteen rows of a block    [words of 32 bits][16 rows], then [16 rows] of the one 16-bit number
 *                              that blocks of 4 n + 2 bytes have: first in blocks of 32 values
 *                              (Q4_0, Q5_0, Q8_0, IQ4_NL), last in those of 256 (Q3_K, Q6_K)
 *   rows at the end            as they were, when they are fewer than sixteen
 *
 * Blocks of a row stay in their order; no byte more than before. */
#include "compute/cpu/cpu_in.h"

#include <assert.h>
#include <string.h>

typedef struct weave_work {
    tensor w;
    unsigned char *to;
    int64_t bytes_row;
} weave_work;

static void weave_block(unsigned char *to, const unsigned char *from, int64_t bytes_row,
                        const dtype_info *type)
{
    const int words = type->block_bytes / 4, half = cpu_half_at(type);
    for (int row = 0; row < PACK_ROWS; row++, from += bytes_row) {
        const unsigned char *p = from + (half == 0 ? 2 : 0);
        for (int i = 0; i < words; i++) memcpy(to + 4 * (PACK_ROWS * i + row), p + 4 * i, 4);
        if (half >= 0) memcpy(to + 4 * PACK_ROWS * words + 2 * row, from + half, 2);
    }
}

static void weave_task(void *context, int64_t sixteen, int thread)
{
    (void)thread;
    const weave_work *w = context;
    const dtype_info *type = dtype_get(w->w.type);
    const int64_t first = sixteen * PACK_ROWS, rows = w->w.dim[0] - first;
    const unsigned char *from = (const unsigned char *)w->w.data + first * w->bytes_row;
    unsigned char *to = w->to + first * w->bytes_row;
    if (rows < PACK_ROWS) {
        memcpy(to, from, (size_t)(rows * w->bytes_row));
        return;
    }
    for (int64_t at = 0; at < w->bytes_row; at += type->block_bytes) {
        weave_block(to + PACK_ROWS * at, from + at, w->bytes_row, type);
    }
}

void cpu_weave(backend *b, tensor w, void *to)
{
    weave_work work = {.w = w, .to = to};
    bool whole = dtype_row_bytes(w.type, w.dim[1], &work.bytes_row);
    assert(whole);
    pool_run(b->threads, (w.dim[0] + PACK_ROWS - 1) / PACK_ROWS, weave_task, &work);
}

void cpu_unweave(unsigned char *to, const tensor *w, int64_t row, int64_t first, int64_t n)
{
    const dtype_info *type = dtype_get(w->type);
    const int64_t bytes = type->block_bytes, bytes_row = w->dim[1] / type->block_size * bytes;
    const int64_t top = row / PACK_ROWS * PACK_ROWS, at = first / type->block_size * bytes;
    const unsigned char *from = (const unsigned char *)w->data + top * bytes_row + PACK_ROWS * at;
    const int words = type->block_bytes / 4, half = cpu_half_at(type);
    if (w->dim[0] - top < PACK_ROWS) {
        from = (const unsigned char *)w->data + row * bytes_row + at;
        memcpy(to, from, (size_t)(n / type->block_size * bytes));
        return;
    }
    for (int64_t i = 0; i < n; i += type->block_size, to += bytes, from += PACK_ROWS * bytes) {
        unsigned char *p = to + (half == 0 ? 2 : 0);
        for (int k = 0; k < words; k++) {
            memcpy(p + 4 * k, from + 4 * (PACK_ROWS * k + row - top), 4);
        }
        if (half >= 0) memcpy(to + half, from + 4 * PACK_ROWS * words + 2 * (row - top), 2);
    }
}
