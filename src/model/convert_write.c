/* convert_write: rows made ready by all threads, a block at a time, and GGUF files of them. */
#include "model/convert_in.h"

#include "compute/quantise.h"

#include <assert.h>
#include <math.h>

enum { BLOCK_BYTES = 8 << 20 };

/* Where row `row` of a turned matrix stands in the old one. Halves: (s, j) at s half + j of a head;
 * pairs: at 2 j + s. */
static int64_t old_row(row_order order, int32_t head_dim, int64_t row)
{
    if (order == ORDER_SAME) return row;
    const int64_t half = head_dim / 2, within = row % head_dim;
    const int64_t at = order == ORDER_TO_PAIRS ? within % 2 * half + within / 2
                                               : 2 * (within % half) + within / half;
    return row - within + at;
}

/* Adds the adapter's row: scale * sum over r of B[row, r] A[r], summed in double. */
static void merge_row(const convert_item *item, int64_t row, float *out)
{
    const int64_t columns = convert_columns(&item->from);
    for (int k = 0; k < item->n_part; k++) {
        const lora_pair *pair = &item->part[k];
        const int64_t rows = pair->b.dim[0], rank = pair->b.dim[1];
        if (row >= rows) {
            row -= rows;
            continue;
        }
        const float *b = (const float *)pair->b.data + row * rank, *a = pair->a.data;
        for (int64_t j = 0; j < columns; j++) {
            double sum = 0;
            for (int64_t r = 0; r < rank; r++) sum += (double)b[r] * (double)a[r * columns + j];
            out[j] = (float)((double)out[j] + (double)pair->scale * sum);
        }
        return;
    }
}

void convert_take_row(const convert_item *item, int32_t head_dim, int64_t row, float *out)
{
    const int64_t columns = convert_columns(&item->from);
    const bool vector = item->from.rank == 1;
    const int64_t from = vector ? row : old_row(item->order, head_dim, row);
    int64_t bytes = 0;
    dtype_row_bytes(item->from.type, columns, &bytes);
    dtype_to_f32(item->from.type, out, (const char *)item->from.data + from * bytes, columns);
    if (vector && item->order != ORDER_SAME) { /* the values of a bias are its rows */
        const float *values = item->from.data;
        assert(item->from.type <= DTYPE_BF16);
        for (int64_t i = 0; i < columns; i++) {
            const int64_t at = old_row(item->order, head_dim, i);
            if (item->from.type == DTYPE_F32) out[i] = values[at];
            else dtype_to_f32(item->from.type, out + i, (const char *)item->from.data + 2 * at, 1);
        }
    }
    if (item->n_part > 0) merge_row(item, from, out);
    for (int64_t i = 0; item->plus != 0 && i < columns; i++) out[i] += item->plus;
}

static bool is_copy(const convert_item *item)
{
    return item->type == item->from.type && item->plus == 0 && item->n_part == 0 &&
           !(item->from.rank == 1 && item->order != ORDER_SAME);
}

static void make_row(void *context, int64_t i, int thread)
{
    const row_block *b = context;
    const convert_item *item = b->item;
    const int64_t columns = convert_columns(&item->from);
    uint8_t *out = b->out + i * b->bytes_row;
    b->squares[i] = b->errors[i] = b->broken[i] = 0;
    if (is_copy(item)) {
        const int64_t from = old_row(item->order, b->head_dim, b->first + i);
        memcpy(out, (const char *)item->from.data + from * b->bytes_row, (size_t)b->bytes_row);
        return;
    }
    float *x = b->scratch + 2 * columns * thread, *y = x + columns;
    convert_take_row(item, b->head_dim, b->first + i, x);
    quantise(item->type, out, x, columns);
    dtype_to_f32(item->type, y, out, columns);
    for (int64_t j = 0; j < columns; j++) {
        const double off = (double)x[j] - (double)y[j];
        b->squares[i] += (double)x[j] * (double)x[j];
        b->errors[i] += off * off;
    }
    b->broken[i] = !isfinite(b->squares[i]) ? 1 : !isfinite(b->errors[i]) ? 2 : 0;
}

static bool check_block(const row_block *b, const convert_plan *p, convert_item *item, err *e)
{
    for (int64_t i = 0; i < b->count; i++) {
        item->squares += b->squares[i];
        item->errors += b->errors[i];
        if (!b->broken[i]) continue;
        if (b->broken[i] == 1) {
            return err_set(e, ERR_MODEL, "%s: the tensor `%s` holds values that are no numbers",
                           p->source.path, item->name);
        }
        return err_set(
            e, ERR_MODEL,
            "%s: the tensor `%s` holds values beyond the range of %s; choose bf16 or f32",
            p->source.path, item->name, dtype_get(item->type)->name);
    }
    return true;
}

bool convert_tell(convert_plan *p, int64_t values, err *e)
{
    p->bytes_done += values;
    if (!p->o->progress || p->o->progress(p->o->context, p->bytes_done, p->bytes_all)) return true;
    return err_set(e, ERR_STOPPED, "stopped; %s was not written", p->o->out);
}

bool convert_write_rows(convert_plan *p, convert_item *item, FILE *file, err *e)
{
    const int64_t columns = convert_columns(&item->from),
                  rows = tensor_count(&item->from) / columns;
    row_block b = {.item = item, .head_dim = p->head_dim};
    bool whole = dtype_row_bytes(item->type, columns, &b.bytes_row);
    assert(whole);
    int64_t most = BLOCK_BYTES / b.bytes_row + 1;
    if (most > rows) most = rows;
    arena *a = &p->memory;
    const size_t mark = arena_mark(a);
    b.out = arena_take(a, (size_t)most, (size_t)b.bytes_row, e);
    b.scratch =
        arena_take(a, (size_t)pool_size(p->o->threads) * 2, (size_t)columns * sizeof(float), e);
    b.squares = arena_take(a, (size_t)most, sizeof(double), e);
    b.errors = arena_take(a, (size_t)most, sizeof(double), e);
    b.broken = arena_take(a, (size_t)most, 1, e);
    bool ok = e->code == ERR_NONE;
    for (b.first = 0; ok && b.first < rows; b.first += b.count) {
        b.count = rows - b.first < most ? rows - b.first : most;
        pool_run(p->o->threads, b.count, make_row, &b);
        ok = check_block(&b, p, item, e);
        if (ok) fwrite(b.out, (size_t)b.bytes_row, (size_t)b.count, file);
        ok = ok && !ferror(file) && convert_tell(p, b.count * columns, e);
    }
    arena_reset(a, mark);
    return ok || e->code == ERR_NONE; /* a full disk: file_out_commit says so */
}

static tensor shape_of(const convert_item *item)
{
    tensor t = item->from;
    t.type = item->type;
    return t;
}

/* ---- GGUF ---- */

bool convert_write_gguf(convert_plan *p, const char *path, err *e)
{
    gguf_head g;
    file_out f;
    gguf_head_open(&g);
    bool ok = convert_add_keys(p, &g, e);
    for (int32_t i = 0; ok && i < p->n_item; i++) {
        const tensor t = shape_of(&p->item[i]);
        gguf_announce(&g, str_of(p->item[i].name), &t);
    }
    ok = ok && file_out_open(&f, path, e);
    if (ok) {
        ok = gguf_write_head(&g, f.stream, e);
        for (int32_t i = 0; ok && i < p->n_item && !ferror(f.stream); i++) {
            const tensor t = shape_of(&p->item[i]);
            int64_t row = 0;
            dtype_row_bytes(t.type, convert_columns(&t), &row);
            ok = convert_write_rows(p, &p->item[i], f.stream, e);
            if (ok) gguf_write_padding(tensor_count(&t) / convert_columns(&t) * row, f.stream);
        }
        if (ok) ok = file_out_commit(&f, e);
        else file_out_abandon(&f);
    }
    gguf_head_close(&g);
    return ok;
}
