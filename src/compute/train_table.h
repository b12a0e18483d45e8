/* train_table: what a device does for the ops of train.h, which check shapes first. */
#ifndef CASELOAD_COMPUTE_TRAIN_TABLE_H
#define CASELOAD_COMPUTE_TRAIN_TABLE_H

#include "compute/train.h"

typedef struct train_table { /* one device */
    void (*attend_keep)(backend *b, const attend_tape *t, const attend_plan *plan);
    void (*attend_back)(backend *b, const attend_tape *t, const attend_grad *g,
                        const attend_plan *plan);
    void (*matmul_back)(backend *b, tensor dx, tensor dy, tensor w, bool add);
    void (*weight_grad)(backend *b, tensor dw, tensor dy, tensor x);
    /* NULL: put together from the others, one product after another */
    void (*product_back)(backend *b, const back_part *p);
    void (*group_back)(backend *b, const back_part *p, int n);
    void (*lora_low)(backend *b, tensor low, tensor x, const lora_pair *pair);
    void (*matmul_turned)(backend *b, tensor x, const matmul_part *part, const rope_turn *turn,
                          int n);
    void (*gates)(backend *b, tensor x, const gate_block *g);
    bool (*gates_back)(backend *b, const gate_block *g, const back_part *down);
    void (*rmsnorm_keep)(backend *b, tensor y, tensor kept, tensor x, const norm_shape *norm);
    void (*rmsnorm_back)(backend *b, tensor dx, tensor dy, tensor x, const norm_shape *norm,
                         bool add);
    void (*rope_back)(backend *b, tensor dx, const int32_t *positions, tensor table,
                      rope_style style);
    void (*glu_back)(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind);
    void (*scale)(backend *b, tensor y, float factor);
    void (*zero)(backend *b, tensor y);
    void (*scatter_add)(backend *b, tensor y, tensor x, const int32_t *rows);
    void (*softmax_back)(backend *b, tensor logits, const loss_rows *l, int64_t first_id);
    double (*sum_squares)(backend *b, const float *x, int64_t n);
    void (*adamw)(backend *b, const adamw_state *s, const adamw_step *step);
    bool (*lay_out)(backend *b, const backend_shape *shape, arena *a, err *e);
} train_table;

/* For a device that passes a case on: by the smaller ops. */
void product_back_by_ops(backend *b, const back_part *p);
/* x of the parts becomes what their norm makes of it, in its scratch h. */
void products_norm_x(backend *b, back_part *p, int n);
void part_turn_back(backend *b, back_part *p); /* dy of the part turns back, if it has to */
void lora_low_by_ops(backend *b, tensor low, tensor x, const lora_pair *pair);
void matmul_turned_by_ops(backend *b, tensor x, const matmul_part *part, const rope_turn *turn,
                          int n);
void gates_by_ops(backend *b, tensor x, const gate_block *g);
void gates_back_by_ops(backend *b, const gate_block *g, const back_part *down);

#endif
