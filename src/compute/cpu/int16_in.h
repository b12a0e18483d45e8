/* int16_in: products of 16-bit integers, the precision "cpu:int16".
 *
 * Activations are rounded, weights are not. A stored weight of the formats here is scale * code (+
 * least) with a code of a signed byte, one scale and one least for 32 values (16 in some formats).
 * Of a row of x, 32 values in a row share one scale:
 *
 *     m = largest of |x| and INT16_LEAST,   x ~ q * (m / 32767),
 *     q = x * (32767 / m) to the nearest integer, ties to even
 *
 * (Infinity or NaN among the 32: all that is made of them is NaN.)
 *
 *     y = sum over k blocks of  (sum over groups of (x_scale * scale) * (sum of q * code))
 *                             + (sum over groups of least * (x_scale * (sum of q)))
 *
 * Sums of q and of q * code are integers, so they are the same in any order and on any machine.
 * They cannot overflow: |q| <= 32767, |code| <= 128, 32 values: 32767 * 128 * 32 = 134,213,632 <
 * 2^31. Each is then one float32; products and sums of floats are done in the order of the formula,
 * one fused multiply-add a group, k blocks (cpu_k_block) added in order. So a row has the same bits
 * in any batch, place and thread, and on every instruction set.
 *
 * Formats without such codes (F32, F16, BF16, NF4, blocks of 16), adapters, attention and norms
 * stay float32. Packed, in words of 32 bits (R = tile_rows):
 *
 *   x       pairs [n / R][in / 4][2][R]: of four values x0 .. x3 first (x0, x2), then (x1, x3);
 *           x_scale, x_sum [n / R][in / 32][R]; x_sum_16, sums of 16 values, [n / R][in / 16][R]
 *   weights for 16 outputs: codes [k / 4][16], scales [k / 16][16], leasts [k / 16][16] */
#ifndef CASELOAD_COMPUTE_CPU_INT16_IN_H
#define CASELOAD_COMPUTE_CPU_INT16_IN_H

#include "compute/cpu/cpu_in.h"

enum {
    INT16_BLOCK = 32,   /* values of x that share a scale */
    INT16_MOST = 32767, /* largest |q| */
    INT16_WORDS = 6,    /* words a value of k takes in the panel of 16 outputs */
    INT16_K = 1024      /* longest k block */
};
#define INT16_LEAST 1e-30f

/* One tile of R x C sums. */
typedef struct int16_job {
    tile_job to;       /* where they go, and what an adapter adds; its a and b are not used */
    const uint32_t *x; /* from the tile's first value of this k block on, like the next three */
    const float *x_scale, *x_sum, *x_sum_16;
    const uint32_t *panel; /* [C / 16][INT16_WORDS * k] */
    const int32_t *q_sum;  /* one row: sums of 16 values of q, from this k block on */
    int group;             /* values that share a weight's scale: 32 or 16 */
    bool has_least;
} int16_job;

/* A tile of rows of x rounded and packed. */
typedef struct int16_round {
    uint32_t *to;
    float *scale, *sum, *sum_16;
    int32_t *q_sum; /* one row alone */
    const float *x; /* [rows][in] */
    int64_t rows, in;
} int16_round;

struct int16_kernels {
    int (*group)(dtype type); /* 32 or 16; 0: not a format of these */
    bool (*has_least)(dtype type);
    void (*round)(const int16_round *t);
    void (*pack)(const pack_job *t, uint32_t *to); /* its `to` and `ld` are not used */
    void (*tile)(const int16_job *t);
    /* The same bits of one row alone, straight from the weights: `from` [C / 16]. What it reads of
     * x is packed as if R were 1, by `round_one`. */
    void (*one)(const int16_job *t, const pack_job *from);
    void (*round_one)(const int16_round *t);
};

extern const int16_kernels cpu_int16_avx2, cpu_int16_vnni;

#endif
