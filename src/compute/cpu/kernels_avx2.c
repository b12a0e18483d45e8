/* kernels_avx2: the kernel table of one instruction set; all of its code is in kernels_in.h. */
#include "compute/cpu/vec_avx2_in.h"

#define KERNELS cpu_kernels_avx2
#include "compute/cpu/kernels_in.h"
