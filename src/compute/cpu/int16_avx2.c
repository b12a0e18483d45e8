/* int16_avx2: the kernels of int16_in.h for AVX2. */
#include "compute/cpu/vec_avx2_in.h"

/* acc + both products of each pair. */
static inline __attribute__((always_inline)) words words_dot(words acc, words a, words b)
{
    return _mm256_add_epi32(acc, _mm256_madd_epi16(a, b));
}

#define INT16_KERNELS cpu_int16_avx2
#include "compute/cpu/int16_kernels_in.h"
