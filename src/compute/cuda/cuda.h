/* cuda: NVIDIA GPUs (compute capability 8.0 and later) behind the backend door.
 *
 * Built by `make CUDA=1`; otherwise none.c stands here and every GPU is refused in words.
 *
 * Names: "cuda" (the first card), "cuda:N", and with ":fp32" the check mode: everything in float32;
 * with ":bf16x3" the same, but products on the way forward take each factor as the sum of two bf16
 * numbers (16 bits) and add three products of them up on the tensor units.
 * In the usual mode products and attention read bf16 and add up in float32; rows between products
 * are bf16 (backend.rows), the residual stream, norms, softmax and logits are float32. Weights stay
 * as the file has them; formats other than bf16 are expanded into a scratch, one matrix (or a
 * stretch of it) ahead of its product, with the values of dtype_to_f32.
 *
 * Bits: a row's numbers depend on the card's model, the libraries' versions and the row's path, not
 * on the step around it: one algorithm a shape of weight, chosen without looking at the number of
 * rows, never split over k (steps of few rows may take another that was seen to give the same bits:
 * matmul.c); attention adds keys in the order that backend.h states.
 */
#ifndef CASELOAD_COMPUTE_CUDA_CUDA_H
#define CASELOAD_COMPUTE_CUDA_CUDA_H

#include "compute/backend.h"

typedef struct cuda_card {
    char name[128];
    int32_t major, minor; /* compute capability */
    int64_t bytes_total, bytes_free;
} cuda_card;

/* Cards that this program can use; 0 without a driver, or in a program built without CUDA. */
int32_t cuda_count(void);
/* ERR_RESOURCE says why a card cannot be used. */
bool cuda_describe(int32_t card, cuda_card *about, err *e);

/* For who carries numbers between cards (compute/comm_nccl.c): -1 and NULL on other devices. */
struct CUstream_st;
int32_t cuda_card_of(const backend *b);
struct CUstream_st *cuda_stream_of(const backend *b);
/* Is nothing under way there? Does not wait; true after a failure, which sticks to the backend. */
bool cuda_is_done(backend *b);

/* Can one card read and write the other's memory without the host? */
bool cuda_reaches(int32_t card, int32_t other);

/* `device` as above. ERR_USAGE: a name that is none; ERR_RESOURCE: a card that is not there. */
bool cuda_open(backend *b, const char *device, err *e);

#endif
