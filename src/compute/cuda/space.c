/* space: see space.h. */
#include "compute/cuda/space.h"

#include "compute/cuda/kernels_fused.h"
#include "compute/device.h"

static int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
static int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }

static void *take(backend *b, arena *a, int64_t count, int64_t each, size_t size, err *e)
{
    size_t n = 0;
    if (!size_multiply((size_t)count, (size_t)each, &n)) {
        err_set(e, ERR_RESOURCE, "the model's sizes are too large for a GPU");
        return NULL;
    }
    return device_take(b, a, n, size, e);
}

bool cuda_space_lay_out(backend *b, const backend_shape *shape, arena *a, err *e)
{
    cuda_workspace *s = arena_take_zero(a, 1, sizeof *s, e), measured = {0};
    if (!s) s = &measured;
    const int64_t heads = (int64_t)shape->n_head * shape->head_dim;
    const size_t f = sizeof(float), number = (size_t)dtype_get(b->rows)->block_bytes;
    s->rows_max = larger(larger(shape->rows, shape->head_rows), 1);
    s->width_max = (larger(larger(shape->d_model, shape->d_ff), heads) + 7) / 8 * 8;
    s->head_ids = smaller((shape->n_vocab + 7) / 8 * 8, HEAD_IDS);
    s->head_rows = smaller(larger(shape->head_rows, 1), HEAD_ROWS);
    s->w_max = (larger(s->width_max, s->head_ids) * larger(shape->d_model, 1) + 127) / 128 * 128;
    s->vector_max = (larger(s->width_max, shape->n_vocab) + 63) / 64 * 64; /* each part aligned */
    const int64_t group = shape->n_head / larger(shape->n_head_kv, 1);
    s->tiles_max = s->rows_max * larger(group, 1); /* a tile holds a packed row at least */
    s->stage = take(b, a, STAGE_BYTES, 1, 1, e);
    s->lt = take(b, a, LT_BYTES + LT_ALIGN, 1, 1, e);
    if (s->lt) s->lt = (void *)(((uintptr_t)s->lt + LT_ALIGN - 1) / LT_ALIGN * LT_ALIGN);
    s->x = take(b, a, s->rows_max, s->width_max, number, e);
    s->w = take(b, a, s->w_max, 1, number, e);
    s->vector = take(b, a, VECTOR_MAX_PARTS, s->vector_max, f, e);
    s->logits = take(b, a, s->head_rows, s->head_ids, f, e);
    s->largest = take(b, a, s->head_rows, 1, f, e);
    s->sum = take(b, a, s->head_rows, 1, sizeof(double), e);
    s->log_sum_exp = take(b, a, s->head_rows, 1, sizeof(double), e);
    s->top_id = take(b, a, s->head_rows, HEAD_TOP_MAX, sizeof(int32_t), e);
    s->top_logit = take(b, a, s->head_rows, HEAD_TOP_MAX, f, e);
    s->pick_logit = take(b, a, HEAD_PICKS, 1, f, e);
    s->tile = arena_take(a, (size_t)s->tiles_max, sizeof *s->tile, e);
    b->workspace = s == &measured ? NULL : s;
    if (shape->graphs) b->beside = GRAPHS_BYTES;
    return e->code == ERR_NONE;
}

/* What the kernels of adapters need; nothing where they are not used. */
static void take_adapters(backend *b, cuda_workspace *s, const backend_shape *shape, arena *a,
                          err *e)
{
    const int64_t rank = shape->adapter_rank;
    const int64_t slot = (rank + ADAPTER_SLICE - 1) / ADAPTER_SLICE * ADAPTER_SLICE;
    const int64_t heads = (int64_t)shape->n_head * shape->head_dim;
    const int64_t rows = larger(shape->rows, shape->head_rows);
    const int64_t most = larger(larger(shape->d_model, shape->d_ff), heads);
    const int64_t width = (most + ADAPTER_TILE_W - 1) / ADAPTER_TILE_W * ADAPTER_TILE_W;
    const int64_t stretches = (width + ADAPTER_STRETCH - 1) / ADAPTER_STRETCH;
    const int64_t slots = smaller(ADAPTER_PARTS * slot, ADAPTER_SLOTS);
    s->adapter_slot = 0;
    if (b->rows != DTYPE_BF16 || rank < 1 || slot > ADAPTER_SLOTS) return;
    s->adapter_slot = (int32_t)slot;
    s->adapter_sums_max = larger(ADAPTER_BLOCKS, ADAPTER_PARTS * stretches) * ADAPTER_STRETCH;
    s->adapter_sums_max *= slots;
    const int64_t inner = gate_splits(rows, shape->d_ff, (int32_t)slot);
    const int64_t gates = inner * ADAPTER_PARTS * slot * shape->d_ff;
    s->turn_width = larger(shape->d_model, heads), s->adapter_inner_max = 0;
    if (slot <= GATE_SLOTS) {
        s->adapter_sums_max = larger(s->adapter_sums_max, gates);
        s->adapter_inner_max = turn_back_inner(rows, s->turn_width, (int32_t)slot, ADAPTER_PARTS);
    }
    for (int32_t i = 1; i <= ADAPTER_PARTS && slot <= GATE_SLOTS; i++) {
        const int64_t turned = turn_back_sums(rows, s->turn_width, (int32_t)slot, i);
        s->adapter_sums_max = larger(s->adapter_sums_max, turned);
    }
    s->adapter_m = take(b, a, 2 * ADAPTER_PARTS * slot, width, sizeof(uint16_t), e);
    s->adapter_inner = take(b, a, s->adapter_inner_max, 1, sizeof(float), e);
    s->adapter_scaled = take(b, a, ADAPTER_PARTS * rows, rank, sizeof(uint16_t), e);
    s->adapter_sums = take(b, a, s->adapter_sums_max, 1, sizeof(float), e);
}

bool cuda_space_lay_out_train(backend *b, const backend_shape *shape, arena *a, err *e)
{
    cuda_workspace *s = b->workspace, measured = {0};
    const size_t number = (size_t)dtype_get(b->rows)->block_bytes;
    const int64_t heads = (int64_t)shape->n_head * shape->head_dim;
    const int64_t rows = shape->rows > shape->head_rows ? shape->rows : shape->head_rows;
    int64_t width = shape->d_model > shape->d_ff ? shape->d_model : shape->d_ff;
    size_t wide = 0, terms = 0;
    if (!s) s = &measured;
    if (heads > width) width = heads;
    if (!size_multiply((size_t)rows, (size_t)width, &wide) ||
        !size_multiply((size_t)rows, (size_t)shape->n_head, &terms)) {
        return err_set(e, ERR_RESOURCE, "the model's sizes are too large for a GPU");
    }
    s->dy = device_take(b, a, wide, number, e);
    s->row_term = device_take(b, a, terms, sizeof(float), e);
    s->row_terms = (int64_t)terms;
    s->partial = device_take(b, a, SQUARES_PARTS, sizeof(double), e);
    take_adapters(b, s, shape, a, e);
    b->train_space = b->workspace;
    return e->code == ERR_NONE;
}
