/* rope: the table of rotary angles, cos and sin by position (Su et al. 2021, "RoFormer"; scaling of
 * Llama 3.1; Phi-3's long and short factors). Rounded step by step as the reference framework
 * rounds (float32 frequencies, float32 angles), so that long positions agree with it. */
#ifndef CASELOAD_MODEL_ROPE_H
#define CASELOAD_MODEL_ROPE_H

#include "model/arch.h"

/* table [positions, rotary_dim]: cos of rotary_dim / 2 angles, then their sines. `n_context` is the
 * number of positions in use: it decides between Phi-3's short and long factors. */
void rope_fill_table(float *table, const rope_config *r, int32_t rotary_dim, int32_t positions,
                     int32_t n_context);

/* LLAMA3 scaling as divisors: out [rotary_dim / 2], plain frequency over scaled one. */
void rope_llama3_factors(float *out, const rope_config *r, int32_t rotary_dim);

#endif
