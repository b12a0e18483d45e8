/* kernels_fused: passes over wide rows that take adapters along: outputs of products that turn,
 * both ways; the residual stream and its norm; the gates of a feed-forward. Matrices and inner rows
 * are those of kernels_adapter.h. What a split of the rows adds up depends on shapes alone. */
#ifndef CASELOAD_COMPUTE_CUDA_KERNELS_FUSED_H
#define CASELOAD_COMPUTE_CUDA_KERNELS_FUSED_H

#include "compute/cuda/kernels_adapter.h"

enum {
    GATE_SLOTS = 32,    /* adapters of so many slots have their gradients from these passes */
    GATE_BLOCKS = 528,  /* blocks that the gates' way back aims at by splitting the rows, */
    GATE_FORWARD = 792, /* and the way forward, */
    GATE_ROWS = 64,     /* none of fewer rows */
    TURN_BLOCKS = 264,  /* blocks of k_adapter_turn_back */
    TURN_FORWARD = 528, /* and of k_adapter_turn */
};

/* y += low m^T, and then the rotation of heads that turn whole; y bf16, one job an adapter. */
typedef struct k_turn {
    void *rows;
    const void *m;   /* [width, slot]; NULL: no adapter */
    int64_t width;   /* below 2^31 */
    k_rope_how rope; /* turned 0: none, else the head's size, a multiple of 16 (of 8: pairs) */
} k_turn;
typedef struct k_turns {
    k_turn job[ADAPTER_PARTS];
    int32_t n_job;
    k_lows low; /* rank 0: no adapter */
} k_turns;
void k_adapter_turn(k_stream s, const k_turns *a);

/* And back, of slots up to GATE_SLOTS: y, a gradient, turns (sign -1), and from the same pass come
 * grad += y^T low and inner = y m, times `scale` of a.low. */
typedef struct k_turns_back {
    k_turns a;
    float *grad[ADAPTER_PARTS]; /* dB [width, rank] */
    k_lows inner;               /* where the gradients of the inner rows go */
    float *sums, *inner_sums;   /* as many numbers as turn_back_sums and turn_back_inner say */
    int32_t across_each;        /* the kernels' own: numbers of the width to a block */
} k_turns_back;
void k_adapter_turn_back(k_stream s, const k_turns_back *b);

/* Blocks side by side; splits of the rows, from shapes alone. */
static inline int64_t turn_back_across(int64_t width, int32_t slot)
{
    const int64_t each = slot <= ADAPTER_SLICE ? 512 : 256;
    return (width + each - 1) / each;
}

static inline int64_t turn_back_splits(int64_t n, int64_t width, int32_t slot, int32_t n_job)
{
    const int64_t want = TURN_BLOCKS / larger_of(turn_back_across(width, slot) * n_job, 1);
    return larger_of(want < (n + GATE_ROWS - 1) / GATE_ROWS ? want
                                                            : (n + GATE_ROWS - 1) / GATE_ROWS,
                     1);
}

static inline int64_t turn_back_sums(int64_t n, int64_t width, int32_t slot, int32_t n_job)
{
    return turn_back_splits(n, width, slot, n_job) * n_job * slot * width;
}

static inline int64_t turn_back_inner(int64_t n, int64_t width, int32_t slot, int32_t n_job)
{
    return turn_back_across(width, slot) * n_job * slot * n;
}

/* x += low m^T, and k_rmsnorm_keep of it, rows in bf16. */
typedef struct k_norm_add {
    k_norm_keep norm;
    float *x;
    const void *low, *m; /* [n, rank]; by k_adapter_pack_tiles */
    int32_t rank, slot;
} k_norm_add;
void k_adapter_norm(k_stream s, const k_norm_add *h);

/* A gated feed-forward's inner rows [n, width], adapters going by: gate and up stay as the products
 * left them, without what their adapters add, until the way back makes them their gradients. */
typedef struct k_gates {
    void *gate, *up, *act, *d_act; /* bf16; d_act: without the share of the last adapter */
    const void *m[ADAPTER_PARTS];  /* [width, slot] of gate, up and (back) the last product; NULL */
    int64_t width;
    int32_t gelu;
    k_lows low; /* their inner rows, the last's gradient of them; rank 0: no adapter */
    float *grad[ADAPTER_PARTS]; /* way back: dB of gate and up, dA of the last; NULL: none */
    float *scratch;             /* [splits, part, slot, width] */
} k_gates;
void k_adapter_gates(k_stream s, const k_gates *g); /* act = act(gate) up */
/* Gate and up become gradients; grad += where a slot is at most GATE_SLOTS, else act is filled. */
void k_adapter_gates_back(k_stream s, const k_gates *g);

/* Splits of the rows, from shapes alone; a block has 256 numbers of the width, or 128. */
static inline int32_t gate_splits_of(int64_t n, int64_t width, int32_t slot, int32_t blocks)
{
    const int64_t each = slot <= ADAPTER_SLICE ? 256 : 128, across = (width + each - 1) / each;
    const int64_t most = (n + GATE_ROWS - 1) / GATE_ROWS, want = across ? blocks / across : 1;
    const int64_t splits = want < most ? want : most;
    return splits > 1 ? (int32_t)splits : 1;
}

static inline int32_t gate_splits(int64_t n, int64_t width, int32_t slot)
{
    return gate_splits_of(n, width, slot, GATE_BLOCKS);
}

static inline int32_t gate_splits_forward(int64_t n, int64_t width, int32_t slot)
{
    return gate_splits_of(n, width, slot, GATE_FORWARD);
}

#endif
