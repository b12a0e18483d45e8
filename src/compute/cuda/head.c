/* cuda answer head: logits of HEAD_ROWS rows over HEAD_IDS ids at a time, each stretch reduced at
 * once to what is asked (head.cu): memory does not grow with the vocabulary. What was asked is on
 * the host when the op returns. */
#include "compute/cuda/cuda_in.h"

#include <assert.h>

/* Rows from `first` on whose picks fit at once; one at least. */
static int64_t round_of(const cuda_workspace *s, const head_request *want, int64_t first, int64_t m)
{
    int64_t n = m - first < s->head_rows ? m - first : s->head_rows;
    while (n > 1 && want->pick_start[first + n] - want->pick_start[first] > HEAD_PICKS) n--;
    return n;
}

static void copy_back(backend *b, void *to, const void *from, size_t bytes)
{
    if (bytes > 0 && b->failure.code == ERR_NONE) b->device->read(b, to, from, bytes);
}

static void read_round(backend *b, const k_head *h, const head_request *want, head_result *got,
                       int64_t first)
{
    const cuda_workspace *s = cuda_space(b);
    const size_t m = (size_t)h->m, n_top = (size_t)want->n_top;
    const int64_t picks = want->pick_start[first + h->m] - h->pick_base;
    copy_back(b, got->log_sum_exp + first, s->log_sum_exp, m * sizeof(double));
    if (picks > 0) {
        copy_back(b, got->pick_logit + h->pick_base, s->pick_logit, (size_t)picks * sizeof(float));
    }
    if (n_top == 0) return;
    copy_back(b, got->top_id + first * want->n_top, s->top_id, m * n_top * sizeof(int32_t));
    copy_back(b, got->top_logit + first * want->n_top, s->top_logit, m * n_top * sizeof(float));
}

static void run_round(backend *b, tensor x, tensor w, const head_request *want, head_result *got,
                      int64_t first)
{
    cuda_workspace *s = cuda_space(b);
    const cudaStream_t stream = cuda_of(b)->stream;
    const int64_t m = x.dim[0], n_vocab = w.dim[0], base = want->pick_start[first];
    const int64_t picks = want->pick_start[first + m] - base;
    k_head h = {.logits = s->logits,
                .m = m,
                .ld = s->head_ids,
                .softcap = want->softcap,
                .largest = s->largest,
                .sum = s->sum,
                .n_top = want->n_top,
                .top_stride = want->n_top,
                .top_id = s->top_id,
                .top_logit = s->top_logit,
                .pick_base = base,
                .pick_logit = s->pick_logit};
    assert(picks <= HEAD_PICKS);
    h.pick_start = cuda_stage(b, want->pick_start + first, (size_t)(m + 1) * sizeof(int64_t));
    if (picks > 0) h.pick_id = cuda_stage(b, want->pick_id + base, (size_t)picks * sizeof(int32_t));
    for (int64_t id = 0; id < n_vocab; id += s->head_ids) {
        const int64_t n = n_vocab - id < s->head_ids ? n_vocab - id : s->head_ids;
        cuda_prepare(b, m, w, id, n, (k_rows){.type = ROWS_F32}, s->head_ids);
    }
    const void *factor = cuda_left(b, x);
    k_head_begin(stream, &h);
    for (h.first = 0; h.first < n_vocab && b->failure.code == ERR_NONE; h.first += s->head_ids) {
        h.count = n_vocab - h.first < s->head_ids ? n_vocab - h.first : s->head_ids;
        k_rows y = {.data = s->logits, .type = ROWS_F32, .n = m, .width = h.count};
        cuda_product(b, factor, m, w, h.first, h.count, y, s->head_ids, false);
        k_head_read(stream, &h);
    }
    k_head_end(stream, &h, s->log_sum_exp);
    cuda_launched(b, "the answer head");
    read_round(b, &h, want, got, first);
}

void cuda_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got)
{
    const cuda_workspace *s = cuda_space(b);
    const int64_t m = x.dim[0], d = x.dim[1];
    for (int64_t j = 0; j < want->pick_start[m]; j++) {
        assert(want->pick_id[j] >= 0 && want->pick_id[j] < w.dim[0]);
    }
    for (int64_t first = 0; first < m;) {
        const int64_t n = round_of(s, want, first, m);
        tensor part = x;
        part.data = (char *)x.data + first * d * dtype_get(x.type)->block_bytes;
        part.dim[0] = n;
        run_round(b, part, w, want, got, first);
        first += n;
    }
}
