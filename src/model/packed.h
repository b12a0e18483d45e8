/* packed: weights of a Hugging Face folder in bitsandbytes' layout, in and out.
 *
 *   NF4   X.weight [out * in / 2, 1] U8: two codes a byte, the first in the high half, over the
 *         matrix as one run of numbers; in blocks of `blocksize` (64) numbers each
 *         X.weight.quant_map [16] F32, the code book; X.weight.quant_state.bitsandbytes__nf4: JSON
 *         as bytes (quant_type, blocksize, shape, dtype, nested_blocksize, nested_offset)
 *         X.weight.absmax [blocks] F32; or, doubly quantised, U8 with
 *         X.weight.nested_absmax [blocks / 256] F32 and X.weight.nested_quant_map [256] F32:
 *         absmax = nested_quant_map[code] * nested_absmax + nested_offset
 *         value = quant_map[code] * absmax, both products rounded to float32
 *   int8  X.weight [out, in] I8, X.SCB [out] F32, X.weight_format (ignored)
 *         value = code * (SCB / 127)
 *
 * A loader that computes in bfloat16 or float16 rounds the values to that; here they stay float32.
 *
 * In memory a packed matrix becomes blocks of DTYPE_NF4 or DTYPE_INT8 with their own scale (4.5 and
 * 8.5 bits a weight; rows that are no multiple of 64: 6 and 10 bits), made once when weights are
 * bound. Refused with ERR_MODEL: parts that are missing or do not fit one another, another code
 * book (fp4), rows that are no multiple of 16, scales that are no numbers.
 */
#ifndef CASELOAD_MODEL_PACKED_H
#define CASELOAD_MODEL_PACKED_H

#include "model/files.h"

enum { PACKED_BLOCK = 64, PACKED_NESTED = 256, PACKED_STATE_BYTES = 320 };

typedef struct packed { /* where the parts are; views into the file's map */
    const uint8_t *code;
    int64_t block, nested_block; /* numbers a block, blocks an outer block */
    const uint8_t *absmax_code;  /* [blocks]; NULL: `absmax` */
    const float *absmax;         /* [blocks], or of int8 SCB [rows] */
    const float *nested_absmax, *nested_map;
    float offset;
} packed;

/* Folds the parts of packed matrices in `entry` [n, sorted or not] into one entry each, in place;
 * returns how many entries are left, -1 on failure. Refuses U8 and I8 tensors that belong to no
 * packed matrix. */
int32_t packed_fold(tensor_entry *entry, int32_t n, const char *path, arena *a, err *e);

/* The tensor of an entry; a packed one is laid out as blocks in `a` first. */
bool packed_tensor(tensor *out, const tensor_entry *t, arena *a, err *e);

/* bitsandbytes' 8-bit code book of absmax: [256] rising (Dettmers 2016, arXiv 1511.04561; its
 * create_dynamic_map). */
void packed_nested_map(float map[256]);

/* ---- out: a whole matrix ---- */

/* code [n / 2], absmax [n / 64 rounded up] of x [n]. Blocks [first, first + count). */
void packed_encode_nf4(uint8_t *code, float *absmax, const float *x, int64_t n, int64_t first,
                       int64_t count);

/* absmax [n] becomes codes, nested_absmax [n / 256 rounded up] and the offset; absmax is left as it
 * will be read again. */
void packed_encode_nested(uint8_t *code, float *nested_absmax, float *offset, float *absmax,
                          int64_t n);

/* A row of int8: its SCB. */
float packed_encode_int8(int8_t *code, const float *x, int64_t n);

#endif
