/* tensor: a view of numbers somewhere (host map, arena, device). Row-major; the last dimension is
 * contiguous. A view owns nothing. */
#ifndef CASELOAD_COMPUTE_TENSOR_H
#define CASELOAD_COMPUTE_TENSOR_H

#include "compute/dtype.h"

#include <stdbool.h>
#include <stddef.h>

typedef struct tensor {
    void *data;
    dtype type;
    int32_t rank;   /* 1..4 */
    int64_t dim[4]; /* dim[0] is the slowest; unused ones are 1 */
    bool woven;     /* a weight whose rows are kept sixteen together: backend_weave */
} tensor;

static inline tensor tensor_f32(float *data, int64_t rows, int64_t columns)
{
    return (tensor){.data = data, .type = DTYPE_F32, .rank = 2, .dim = {rows, columns, 1, 1}};
}

static inline tensor tensor_f32_3(float *data, int64_t a, int64_t b, int64_t c)
{
    return (tensor){.data = data, .type = DTYPE_F32, .rank = 3, .dim = {a, b, c, 1}};
}

/* A weight [rows, columns] or [columns] read in place from a model file: never written through. */
static inline int64_t tensor_count(const tensor *t)
{
    return t->dim[0] * t->dim[1] * t->dim[2] * t->dim[3];
}

#endif
