/* cuda training: the way back through products, and the host's part of the rest; see
 * compute/train.h. Products read rows in their own type, as going forward. */
#include "compute/cuda/cuda_in.h"

#include <assert.h>
#include <math.h>

static k_attention attention_of(backend *b, const attend_tape *t)
{
    return (k_attention){.q = t->q.data,
                         .k = t->k.data,
                         .v = t->v.data,
                         .o = t->o.data,
                         .log_sum_exp = t->log_sum_exp,
                         .type = cuda_row_type(t->q.type),
                         .precise = cuda_of(b)->precise,
                         .hopper = cuda_of(b)->hopper,
                         .heads = (int32_t)t->q.dim[1],
                         .heads_kv = (int32_t)t->k.dim[1],
                         .head_dim = (int32_t)t->q.dim[2]};
}

static void cuda_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    k_attention a = attention_of(b, t);
    cuda_attend_tiles(b, &a, plan);
}

static void cuda_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                             const attend_plan *plan)
{
    cuda_workspace *s = cuda_space(b);
    k_attention_back back = {.a = attention_of(b, t),
                             .d_o = g->d_o.data,
                             .dq = g->dq.data,
                             .dk = g->dk.data,
                             .dv = g->dv.data,
                             .row_term = s->row_term,
                             .rows = t->q.dim[0],
                             .slots = t->k.dim[0],
                             .n_span = plan->n_span};
    assert(tensor_count(&t->q) / t->q.dim[2] <= s->row_terms);
    if (!back.a.precise) back.a.height = WIDE_HEIGHT;
    k_attention tiled[TILE_PARTS];
    if (cuda_tiles(b, &back.a, plan, tiled) == 0) back.n_span = 0;
    back.a = tiled[0];
    back.one_by_cap = plan->softcap > 0 ? 1 / plan->softcap : 0;
    if (b->failure.code != ERR_NONE || cuda_of(b)->graphs.describing) return;
    k_attend_back(cuda_of(b)->stream, &back);
    cuda_launched(b, "attention's way back");
}

/* dx (+)= dy w, in stretches of w's rows where they must be expanded; dy as products read it. */
void cuda_multiply_back(backend *b, tensor dx, const void *dy, tensor w, bool add)
{
    const cuda_workspace *s = cuda_space(b);
    const int64_t in = w.dim[1], out = w.dim[0];
    int64_t stretch = w.type == b->rows ? out : s->w_max / (in > 0 ? in : 1);
    if (stretch > 8 && stretch < out) stretch = stretch / 8 * 8;
    for (int64_t first = 0; first < out; first += stretch) {
        const int64_t n = out - first < stretch ? out - first : stretch;
        product_shape p = {.a = cuda_weight_factor(b, w, first, n),
                           .b = (const char *)dy + first * dtype_get(b->rows)->block_bytes,
                           .d = dx.data,
                           .type_out = cuda_row_type(dx.type),
                           .add = add || first > 0,
                           .m = in,
                           .n = dx.dim[0],
                           .k = n,
                           .lda = in,
                           .ldb = out,
                           .ldd = in};
        cuda_multiply(b, &p);
    }
}

static void cuda_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    cuda_multiply_back(b, dx, cuda_factor(b, dy, cuda_space(b)->dy), w, add);
}

/* Products of one x, and their adapters: what the adapters give to the first dx comes first, and
 * the products add to it, but for those that have a dx of their own. */
static void cuda_group_back(backend *b, const back_part *given, int n)
{
    const void *dy[ADAPTER_PARTS_MAX] = {0};
    back_part part[ADAPTER_PARTS_MAX] = {{.adapter = NULL}};
    bool together = n <= ADAPTER_PARTS_MAX;
    for (int i = 0; i < n; i++) cuda_stage_turn(b, given[i].turn, given[i].dy);
    for (int i = 0; i < n; i++) {
        const lora_pair *pair = given[i].adapter;
        part[i] = given[i];
        if (pair && (!cuda_adapter_fits(b, pair, &part[i].low) ||
                     !cuda_adapter_fits(b, pair, &part[i].dlow)))
            together = false;
        if (n > 1 && part[i].dy.type != b->rows) together = false; /* one scratch for one of them */
    }
    const bool turns = together && cuda_adapter_turns_back(b, part, n);
    for (int i = 0; i < n; i++) {
        if (!turns || !part[i].adapter) part_turn_back(b, &part[i]);
    }
    if (!together) {
        products_norm_x(b, part, n);
        for (int i = 0; i < n; i++) product_back_by_ops(b, &part[i]);
        return;
    }
    for (int i = 0; i < n; i++) dy[i] = cuda_factor(b, part[i].dy, cuda_space(b)->dy);
    const bool written = cuda_adapter_back(b, part, n, dy);
    for (int i = 0; i < n && part[i].dx; i++) {
        cuda_multiply_back(b, *part[i].dx, dy[i], part[i].w, part[i].add || (i == 0 && written));
    }
}

static void cuda_lora_low(backend *b, tensor low, tensor x, const lora_pair *pair)
{
    if (cuda_adapter_fits(b, pair, &low)) cuda_adapter_low(b, low, x, pair);
    else lora_low_by_ops(b, low, x, pair);
}

static void cuda_weight_grad(backend *b, tensor dw, tensor dy, tensor x)
{
    cuda_workspace *s = cuda_space(b);
    const int64_t in = dw.dim[1], out = dw.dim[0];
    product_shape p = {.a = cuda_factor(b, x, s->x),
                       .b = cuda_factor(b, dy, s->dy),
                       .d = dw.data,
                       .b_turned = 1,
                       .type_out = ROWS_F32,
                       .add = 1,
                       .rows_are_k = 1,
                       .m = in,
                       .n = out,
                       .k = x.dim[0],
                       .lda = in,
                       .ldb = out,
                       .ldd = in};
    cuda_multiply(b, &p);
}

static void cuda_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, const norm_shape *norm,
                              bool add)
{
    const int64_t width = norm->w.dim[0];
    k_norm_back h = {.dx = dx.data,
                     .dy = dy.data,
                     .x = x.data,
                     .more = {norm->more[0].data, norm->more[1].data},
                     .w = cuda_vector(b, &norm->w),
                     .type = cuda_row_type(dx.type),
                     .type_dy = cuda_row_type(dy.type),
                     .type_x = cuda_row_type(x.type),
                     .eps = norm->eps,
                     .w_plus = norm->w_plus,
                     .add = add,
                     .n = tensor_count(&x) / width,
                     .width = width};
    k_rmsnorm_back(cuda_of(b)->stream, &h);
    cuda_launched(b, "a norm's way back");
}

static void cuda_rmsnorm_keep(backend *b, tensor y, tensor kept, tensor x, const norm_shape *norm)
{
    const int64_t width = norm->w.dim[0];
    k_norm_keep h = {.y = y.data,
                     .kept = kept.data,
                     .x = x.data,
                     .w = cuda_vector(b, &norm->w),
                     .scale = norm->scale,
                     .type = cuda_row_type(y.type),
                     .eps = norm->eps,
                     .w_plus = norm->w_plus,
                     .n = tensor_count(&x) / width,
                     .width = width};
    if (norm->adapter && cuda_adapter_norm(b, &h, x.data, norm)) return;
    if (norm->adapter) op_matmul(b, x, norm->low, norm->adapter->b, NULL, true);
    k_rmsnorm_keep(cuda_of(b)->stream, &h);
    cuda_launched(b, "a norm");
}

static void cuda_rope_back(backend *b, tensor dx, const int32_t *positions, tensor table,
                           rope_style style)
{
    const int32_t *there = cuda_stage(b, positions, (size_t)dx.dim[0] * sizeof *positions);
    if (!there) return;
    k_rope_how how = {.positions = there,
                      .table = table.data,
                      .heads = (int32_t)dx.dim[1],
                      .head_dim = (int32_t)dx.dim[2],
                      .turned = (int32_t)table.dim[1],
                      .pairs = style == ROPE_PAIRS,
                      .sign = -1};
    k_rope(cuda_of(b)->stream, cuda_rows(dx), how);
    cuda_launched(b, "a rotation back");
}

static void cuda_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind)
{
    k_glu_back(cuda_of(b)->stream, cuda_rows(gate), cuda_rows(up), cuda_rows(dy),
               kind == GLU_GELU_TANH);
    cuda_launched(b, "a gate's way back");
}

static void cuda_scale(backend *b, tensor y, float factor)
{
    k_scale(cuda_of(b)->stream, cuda_rows(y), factor);
    cuda_launched(b, "scaling");
}

static void cuda_zero(backend *b, tensor y)
{
    const size_t bytes = (size_t)tensor_count(&y) * (size_t)dtype_get(y.type)->block_bytes;
    cuda_checked(b, cudaMemsetAsync(y.data, 0, bytes, cuda_of(b)->stream), "zeroing");
}

static void cuda_scatter_add(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const int32_t *there = cuda_stage(b, rows, (size_t)x.dim[0] * sizeof *rows);
    for (int64_t i = 0; i < x.dim[0]; i++) assert(rows[i] >= 0 && rows[i] < y.dim[0]);
    if (!there) return;
    k_scatter_add(cuda_of(b)->stream, cuda_rows(y), cuda_rows(x), there);
    cuda_launched(b, "adding rows");
}

static void cuda_softmax_back(backend *b, tensor logits, const loss_rows *l, int64_t first_id)
{
    const size_t m = (size_t)logits.dim[0];
    k_loss loss = {.logits = logits.data,
                   .m = logits.dim[0],
                   .n = logits.dim[1],
                   .first = first_id,
                   .softcap = l->softcap,
                   .target = cuda_stage(b, l->target, m * sizeof *l->target),
                   .weight = cuda_stage(b, l->weight, m * sizeof *l->weight),
                   .log_sum_exp = cuda_stage(b, l->log_sum_exp, m * sizeof *l->log_sum_exp)};
    if (b->failure.code != ERR_NONE) return;
    k_softmax_back(cuda_of(b)->stream, &loss);
    cuda_launched(b, "the loss's way back");
}

static double cuda_sum_squares(backend *b, const float *x, int64_t n)
{
    double part[SQUARES_PARTS], sum = 0;
    k_sum_squares(cuda_of(b)->stream, cuda_space(b)->partial, SQUARES_PARTS, x, n);
    cuda_launched(b, "a sum of squares");
    if (b->failure.code != ERR_NONE) return NAN;
    b->device->read(b, part, cuda_space(b)->partial, sizeof part);
    for (int i = 0; i < SQUARES_PARTS; i++) sum += part[i];
    return b->failure.code == ERR_NONE ? sum : (double)NAN;
}

static void cuda_adamw(backend *b, const adamw_state *s, const adamw_step *step)
{
    k_adamw_step t = {.value = s->value,
                      .first = s->first,
                      .second = s->second,
                      .grad = s->grad,
                      .n = s->n,
                      .rate = step->rate,
                      .beta1 = step->beta1,
                      .beta2 = step->beta2,
                      .eps = step->eps,
                      .decay = step->decay,
                      .grad_scale = step->grad_scale,
                      .fix1 = 1 - pow(step->beta1, (double)step->number),
                      .fix2 = sqrt(1 - pow(step->beta2, (double)step->number))};
    k_adamw(cuda_of(b)->stream, &t);
    cuda_launched(b, "the optimiser");
}

const train_table cuda_train_ops = {
    .attend_keep = cuda_attend_keep,
    .attend_back = cuda_attend_back,
    .matmul_back = cuda_matmul_back,
    .weight_grad = cuda_weight_grad,
    .group_back = cuda_group_back,
    .lora_low = cuda_lora_low,
    .matmul_turned = cuda_matmul_turned,
    .gates = cuda_gates,
    .gates_back = cuda_gates_back,
    .rmsnorm_keep = cuda_rmsnorm_keep,
    .rmsnorm_back = cuda_rmsnorm_back,
    .rope_back = cuda_rope_back,
    .glu_back = cuda_glu_back,
    .scale = cuda_scale,
    .zero = cuda_zero,
    .scatter_add = cuda_scatter_add,
    .softmax_back = cuda_softmax_back,
    .sum_squares = cuda_sum_squares,
    .adamw = cuda_adamw,
    .lay_out = cuda_space_lay_out_train,
};
