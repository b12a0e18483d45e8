/* ref: the specification of every op. Plain C, double accumulation, never optimised. */
#ifndef CASELOAD_COMPUTE_REF_REF_H
#define CASELOAD_COMPUTE_REF_REF_H

#include "compute/backend.h"

extern const op_table ref_ops;

#endif
