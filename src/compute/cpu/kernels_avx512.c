/* kernels_avx512: the kernel table of one instruction set; all of its code is in kernels_in.h. */
#include "compute/cpu/vec_avx512_in.h"

#define KERNELS cpu_kernels_avx512
#include "compute/cpu/kernels_in.h"
