/* int16_vnni: the kernels of int16_in.h for AVX-512 with its dot products of 16-bit pairs. */
#include "compute/cpu/vec_avx512_in.h"

/* acc + both products of each pair. Written out because gcc 12 copies sums from register to
 * register around the intrinsic. */
static inline __attribute__((always_inline)) words words_dot(words acc, words a, words b)
{
    __asm__("vpdpwssd %2, %1, %0" : "+v"(acc) : "v"(a), "v"(b));
    return acc;
}

#define INT16_KERNELS cpu_int16_vnni
#include "compute/cpu/int16_kernels_in.h"
