/* dtype: the number formats a weight may be stored in, one table row each.
 *
 * A row of n values is n / block_size blocks of block_bytes. Block layouts are ggml's (drawn in
 * dtype.c). dtype_to_f32 is the definition of what a stored weight *is*; every faster path must
 * give the same bits. Its input needs no alignment.
 */
#ifndef CASELOAD_COMPUTE_DTYPE_H
#define CASELOAD_COMPUTE_DTYPE_H

#include "base/err.h"

#include <stdint.h>

typedef enum dtype {
    DTYPE_F32,
    DTYPE_F16,
    DTYPE_BF16,
    DTYPE_Q4_0,
    DTYPE_Q4_1,
    DTYPE_Q5_0,
    DTYPE_Q5_1,
    DTYPE_Q8_0,
    DTYPE_Q2_K,
    DTYPE_Q3_K,
    DTYPE_Q4_K,
    DTYPE_Q5_K,
    DTYPE_Q6_K,
    DTYPE_IQ4_NL,
    DTYPE_IQ4_XS,
    DTYPE_NF4, /* these four are made in memory, of packed forms (model/packed.h) */
    DTYPE_NF4_16,
    DTYPE_INT8,
    DTYPE_INT8_16,
    DTYPE_I32, /* indices only: no conversion */
    DTYPE_U8,  /* likewise bytes of a packed form */
    DTYPE_I8,
    DTYPE_COUNT
} dtype;

typedef struct dtype_info {
    const char *name;                                      /* "Q4_K", as GGUF tools print it */
    int32_t block_size;                                    /* values a block: 1, 32 or 256 */
    int32_t block_bytes;                                   /* bytes a block */
    int32_t ggml_type;                                     /* its number in a GGUF file; -1: none */
    void (*to_f32)(float *out, const void *in, int64_t n); /* n a multiple of block_size */
} dtype_info;

const dtype_info *dtype_get(dtype t);

/* The type with this GGUF number / safetensors name ("F32", "BF16"); DTYPE_COUNT when unknown. */
dtype dtype_from_ggml(uint32_t ggml_type);
dtype dtype_from_name(const char *name);

/* Bytes of a row of n values; false when n is not a multiple of the block size or the product
 * overflows. */
bool dtype_row_bytes(dtype t, int64_t n, int64_t *bytes);

static inline void dtype_to_f32(dtype t, float *out, const void *in, int64_t n)
{
    dtype_get(t)->to_f32(out, in, n);
}

float dtype_half_to_f32(uint16_t h);

/* The sixteen values of NF4 (Dettmers et al. 2023, arXiv 2305.14314, appendix E). */
/* clang-format off */
#define DTYPE_NF4_VALUES /* for tables of other devices */ \
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, \
    -0.28444138169288635f, -0.18477343022823334f, -0.09105003625154495f, 0.0f, \
    0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f, \
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f
/* clang-format on */
extern const float dtype_nf4_table[16];

/* Only stored, as part of a packed form: no row of it is a row of weights. */
static inline bool dtype_is_raw(dtype t) { return dtype_get(t)->to_f32 == 0; }

#endif
