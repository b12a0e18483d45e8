/* parts: what op_matmul_group is handed: products of one x, each with its adapter. */
#ifndef CASELOAD_COMPUTE_PARTS_H
#define CASELOAD_COMPUTE_PARTS_H

#include "compute/tensor.h"

enum { MATMUL_PARTS_MAX = 8, ADAPTER_PARTS_MAX = 3 }; /* of a group; of them with an adapter */

typedef struct lora_pair { /* beside a weight [out,in]: y += scale (x A^T) B^T */
    tensor a, b;           /* [r,in], [out,r], f32 */
    tensor da, db;         /* their gradients; data NULL outside training */
    float scale;           /* alpha / r */
} lora_pair;

/* One weight of a group that reads the same x: y [n,out] (+)= x w^T + bias + what the adapter
 * adds. */
typedef struct matmul_part {
    tensor y;                 /* [n,out] */
    tensor w;                 /* [out,in], any dtype */
    const tensor *bias;       /* [out], any dtype; NULL: none */
    bool add;                 /* y holds something already (the residual): add to it */
    const lora_pair *adapter; /* NULL: none */
    tensor low;               /* with an adapter: [n,r] rows, become scale x A^T */
} matmul_part;

#endif
