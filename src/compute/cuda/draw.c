/* cuda draws, the host's part; see draw.cu. */
#include "compute/cuda/cuda_in.h"

#include "compute/draw.h"

_Static_assert(sizeof(k_draw_row) == sizeof(draw_row), "rows go over as they are");
_Static_assert(offsetof(k_draw_row, top_k) == offsetof(draw_row, top_k), "field by field");
_Static_assert(offsetof(k_draw_row, n_seen) == offsetof(draw_row, n_seen), "field by field");
_Static_assert(offsetof(k_draw_row, unit) == offsetof(draw_row, unit), "field by field");

void cuda_draw(backend *b, tensor logits, const draw_request *want)
{
    k_draw d = {.logits = logits.data,
                .id = want->id,
                .n = want->n,
                .n_vocab = (int32_t)logits.dim[1],
                .softcap = want->softcap};
    d.row = cuda_stage(b, want->row, (size_t)want->n * sizeof *want->row);
    if (want->n_seen > 0) {
        d.seen = cuda_stage(b, want->seen, (size_t)want->n_seen * sizeof *want->seen);
    }
    if (b->failure.code != ERR_NONE || !d.row) return;
    k_draw_rows(cuda_of(b)->stream, &d);
    cuda_launched(b, "drawing tokens");
}
