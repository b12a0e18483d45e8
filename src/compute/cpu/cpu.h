/* cpu: the ops with AVX2 + FMA or AVX-512 kernels; which of the two is chosen when the backend
 * opens. */
#ifndef CASELOAD_COMPUTE_CPU_CPU_H
#define CASELOAD_COMPUTE_CPU_CPU_H

#include "compute/backend.h"

extern const op_table cpu_ops_avx2, cpu_ops_avx512;
/* Products in 16-bit integers: int16_in.h. */
extern const op_table cpu_ops_avx2_int16, cpu_ops_avx512_int16;

/* Can this machine (and its operating system) run them? */
bool cpu_has_avx2(void);
bool cpu_has_avx512(void);
bool cpu_has_vnni(void); /* AVX-512 and its dot products of integers */

#endif
