/* draw: the next token of many rows, drawn where their logits are. An optional op: a device without
 * it leaves op_table.draw NULL, and the host draws (model/decode.h, which states the rules). */
#ifndef CASELOAD_COMPUTE_DRAW_H
#define CASELOAD_COMPUTE_DRAW_H

#include "compute/backend.h"

typedef struct draw_row {
    float temperature;          /* 0: the likeliest, the lower id among equals */
    float top_p;                /* 0 or 1: all */
    float min_p;                /* 0: all */
    float penalty;              /* 0 or 1: none */
    int32_t top_k;              /* 0: all */
    int32_t first_seen, n_seen; /* into draw_request.seen, for the penalty */
    double unit;                /* [0, 1): where in the kept mass */
} draw_row;

typedef struct draw_request {
    const draw_row *row; /* [n], one a row of the logits */
    int32_t n, n_seen;
    const int32_t *seen; /* [n_seen] token ids, any number of times */
    float softcap;       /* 0: none */
    int32_t *id; /* [n] out, the device's; -1: the host must draw (too many equals to sort there) */
} draw_request;

/* Logits [n, n_vocab] in float32 are changed in place: soft-cap, then penalty. The tokens are those
 * that decode_draw takes with the same `unit`, but where sums differ in their last bits only. */
void op_draw(backend *b, tensor logits, const draw_request *want);
bool op_can_draw(const backend *b);

#endif
