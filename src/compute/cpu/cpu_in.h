/* cpu_in: what the files of cpu share: the table of kernels that each instruction set fills, and
 * the workspace.
 *
 * A matrix product is cut like this (sizes in floats; R = tile_rows, C = panel):
 *
 *   x [n, in]    packed once into tiles of R rows: [ceil(n / R)][in][R]
 *   w [out, in]  expanded and packed by the task that uses it: panels of C outputs, [k block][C]
 *   y            one tile of R x C sums is held in registers over a whole k block
 *
 * Every sum runs over k upwards inside a block, one fused multiply-add a step; blocks are added in
 * order. A row's place in its tile, the tile's height and the thread change nothing in that. */
#ifndef CASELOAD_COMPUTE_CPU_CPU_IN_H
#define CASELOAD_COMPUTE_CPU_CPU_IN_H

#include "compute/cpu/cpu.h"

enum {
    K_BLOCK_MAX = 768,    /* longest k block */
    TASK_COLUMNS = 64,    /* widest stretch of outputs a task of matmul packs: a multiple of C */
    PANEL_WIDEST = 256,   /* widest stretch of any task's panels */
    HEAD_COLUMNS = 512,   /* vocabulary ids a task of head */
    EXPAND_MAX = 256,     /* values of a weight row expanded at a time: the largest block */
    PACK_ROWS = 16,       /* rows of a weight packed at a time */
    FEW_ROWS = 4,         /* rows of x that are met by weights as they are unpacked */
    FEW_PANEL_MAX = 64,   /* outputs they meet at a time */
    ATTEND_ROWS_MAX = 256 /* query rows (times heads of a group) of an attention task */
};

/* One tile: y [rows, columns] = from + sum + bias + y, as far as each is there. */
typedef struct tile_job {
    const float *a; /* [k][R] */
    const float *b; /* [k][C] */
    int64_t k;
    const float *a2, *b2; /* after k, the sums go on over these */
    int64_t k2;           /* 0: nothing more */
    float *y;             /* [rows][ld] */
    int64_t ld;
    const float *from; /* [rows][from_ld]: the sums of earlier k blocks; may be y */
    int64_t from_ld;
    const float *bias; /* [columns] */
    int32_t rows, columns;
    bool add;
} tile_job;

/* Sixteen rows of a weight into a panel: to [k][ld] = rows [rows, k] transposed, columns rows ..
 * 15 zero. */
typedef struct pack_job {
    float *to;
    int64_t ld;
    const unsigned char *from; /* value 0 of the first row */
    int64_t bytes_row;
    int64_t k;
    dtype type;
    int32_t rows;              /* 0 .. PACK_ROWS */
    bool woven;                /* all sixteen together: weave.c */
    const unsigned char *next; /* what will be read after this; woven: after bytes_left */
    int64_t bytes_left;        /* of the rows, from `from` to their end */
} pack_job;

/* One tile of query rows against one block of keys. */
typedef struct attend_job {
    const float *q;     /* [hd][R], scaled */
    const float *k;     /* [ATTEND_BLOCK / C][hd][C] */
    const float *v;     /* [ceil(hd / C)][ATTEND_BLOCK][C] */
    float *mixed;       /* [R][hd rounded up to C] */
    float *largest;     /* [R] */
    float *sum;         /* [R][LANES] */
    float *score;       /* [R][ATTEND_BLOCK] scratch */
    const int32_t *low; /* [R] keys low <= i < high are seen */
    const int32_t *high;
    int32_t rows, keys, head_dim;
    float softcap_log2; /* softcap * log2(e), or 0 */
} attend_job;

/* One row through a norm, backwards. */
typedef struct norm_back_job {
    float *to;
    const float *dy, *x, *w;
    float eps;
    bool add;
} norm_back_job;

/* Scores and slopes of query rows against a block of keys, on attention's way back. */
typedef struct soften_job {
    float *score, *slope;           /* [rows][ATTEND_BLOCK]: q.k and d_o.v become p and ds */
    const float *log_sum_exp, *own; /* [rows] */
    const int32_t *low, *high;      /* [rows] keys low <= i < high are seen */
    int32_t rows;
    float scale, softcap;
} soften_job;

/* A tile of rows times panels [columns / C][right_k][C]. */
typedef struct mix_job {
    enum {
        MIX_PACKED, /* to = left [k][R] times panels */
        MIX_ROWS,   /* to += left [rows][ATTEND_BLOCK] times panels, k of its columns */
        MIX_COLUMNS /* to += left^T [k][ATTEND_BLOCK] times panels, `rows` of its columns */
    } way;
    const float *left, *right;
    float *to; /* [rows][ld] */
    int64_t ld, k, right_k, columns;
    int32_t rows; /* up to tile_rows; to and left hold a whole tile */
} mix_job;

/* to [rows][ld] += a^T b: a [k][a_step], `rows` of its columns; b [k][b_step], C of its columns. */
typedef struct outer_job {
    const float *a, *b;
    float *to;
    int64_t a_step, b_step, k, ld, rows;
} outer_job;

typedef struct cpu_kernels {
    int32_t lanes, tile_rows, panel, few_panel;
    /* to [n] = the stored values, the bits of dtype_to_f32; n a multiple of the block */
    void (*expand)(float *to, dtype type, const void *from, int64_t n);
    void (*pack)(const pack_job *t);
    /* to [k][ld_to] = from [rows, k] transposed; rows <= width, the rest of `width` columns zero.
     * May write garbage up to LANES - 1 floats past column `width` of a row that is followed by
     * another. */
    void (*transpose)(float *to, int64_t ld_to, const float *from, int64_t ld, int64_t rows,
                      int64_t k, int64_t width);
    void (*tile)(const tile_job *t);
    /* The same bits for up to FEW_ROWS rows, straight from the weights: `from`
     * [few_panel / PACK_ROWS] names them instead of b (its `to` is not used); a [k][FEW_ROWS], or
     * [k] of one row. */
    void (*few)(const tile_job *t, const pack_job *from);
    bool (*takes_few)(dtype type);
    void (*attend)(const attend_job *t);
    /* out [hd] = mixed / sum; returns the sum */
    float (*attend_end)(const attend_job *t, int32_t row, float *out);
    void (*scale)(float *y, const float *x, float s, int64_t n);
    void (*add)(float *y, const float *x, int64_t n);
    void (*rmsnorm)(float *y, const float *x, const float *w, float eps, int64_t n);
    void (*glu)(float *y, const float *gate, const float *up, glu_kind kind, int64_t n);
    /* way: 1, or -1 for the way back */
    void (*rope)(float *head, const float *table, rope_style style, int64_t turned, float way);
    void (*softcap)(float *x, float cap, int64_t n);
    float (*largest)(const float *x, int64_t n);
    double (*sum_exp)(const float *x, float largest, int64_t n); /* of exp(x - largest) */
    float (*dot)(const float *x, const float *y, int64_t n);
    void (*rmsnorm_back)(const norm_back_job *t, int64_t n);
    void (*glu_back)(float *gate, float *up, const float *dy, glu_kind kind, int64_t n);
    void (*softmax_back)(float *row, int64_t n, const float log_sum_exp[2], float weight,
                         float softcap);
    void (*soften)(const soften_job *t);
    void (*mix)(const mix_job *t);
    void (*outer)(const outer_job *t);
} cpu_kernels;

extern const cpu_kernels cpu_kernels_avx2, cpu_kernels_avx512;

/* A stretch of query rows of one span. */
typedef struct attend_item {
    int32_t span, first, count;
} attend_item;

typedef struct int16_kernels int16_kernels;
typedef struct int16_job int16_job;

/* Rows of x rounded: int16_in.h. */
typedef struct int16_space {
    const int16_kernels *kernels; /* NULL: float32 */
    uint32_t *x;
    float *scale, *sum, *sum_16;
    int32_t *q_sum;
    bool one; /* a row alone is packed */
} int16_space;

typedef struct cpu_workspace {
    const cpu_kernels *kernels;
    int16_space int16;
    int64_t rows_padded; /* rows of the largest step, a whole number of tiles */
    int64_t in_max;      /* longest row of a weight */
    int64_t out_max;     /* longest bias */
    int64_t head_tasks;  /* vocabulary / HEAD_COLUMNS, rounded up */
    int64_t head_rows;
    float *packed; /* [rows_padded, in_max] */
    float *few;    /* [in_max, FEW_ROWS], and a vector */
    float *vector; /* [MATMUL_PARTS_MAX, out_max] biases and norm weights as f32 */
    float *panel;  /* a thread: [K_BLOCK_MAX, TASK_COLUMNS], then [adapter_rank, PANEL_WIDEST] */
    int64_t panel_size;
    float *low; /* [ADAPTER_PARTS_MAX, rows_padded, adapter_rank] packed */
    int64_t adapter_rank;
    float *partial; /* a thread: [max(rows_padded x TASK_COLUMNS, head_rows x HEAD_COLUMNS)] */
    size_t partial_size;
    float *attention; /* a thread: attend_floats */
    size_t attend_size;
    attend_item *item; /* [items_max]: one a row at most */
    int64_t items_max;
    float *head_largest; /* [head_tasks, head_rows] */
    double *head_sum;    /* [head_tasks, head_rows] */
    int32_t *top_id;     /* [threads, head_rows, HEAD_TOP_MAX] */
    float *top_logit;    /* [threads, head_rows, HEAD_TOP_MAX] */
} cpu_workspace;

/* Length of the k blocks of a weight: fixed by precision, its width and type alone. */
int64_t cpu_k_block(const cpu_workspace *s, const tensor *w);

/* Packs x [n, in] into space->packed. */
void cpu_pack_rows(backend *b, const float *x, int64_t n, int64_t in);

/* Packs low [n, r] into part `slot` of space->low, times `scale`, which it keeps. */
const float *cpu_pack_low(backend *b, tensor low, float scale, int slot);

/* Where a thread packs weights, and the adapter's after them. */
static inline float *cpu_panels(const cpu_workspace *s, int thread)
{
    return s->panel + thread * s->panel_size;
}
static inline float *cpu_low_panels(const cpu_workspace *s, int thread)
{
    return cpu_panels(s, thread) + (int64_t)K_BLOCK_MAX * TASK_COLUMNS;
}

typedef struct weight_part { /* values k0 .. k0 + k of rows first .. first + count */
    const tensor *w;
    int64_t first, count, k0, k;
} weight_part;

/* Packs them into `width` / C panels; count <= width. */
void cpu_pack_weights(const cpu_workspace *s, float *panels, weight_part part, int64_t width);

/* Rows first + c .. of sixteen; those `ahead` rows on come soon. */
pack_job cpu_sixteen_rows(const weight_part *part, int64_t c, int64_t ahead);

/* The same for the precision at hand: floats, the words of int16_in.h, or, where a row alone meets
 * the weights as they are, nothing. */
void cpu_pack_panels(const cpu_workspace *s, float *panels, weight_part part, int64_t width);
/* Rows `row` .. of x, packed, times `columns` of those panels from `column` on. */
void cpu_tile(const cpu_workspace *s, tile_job *t, const weight_part *part, const float *panels,
              int64_t row, int64_t column);

/* The precision int16. Does it take weights of this type? */
bool cpu_int16_takes(const cpu_workspace *s, dtype type);
/* Rounds and packs x [n, in] into space->int16. */
void cpu_int16_rows(backend *b, const float *x, int64_t n, int64_t in);
/* Into `width` / 16 panels of sixteen outputs; count <= width. */
void cpu_int16_weights(const cpu_workspace *s, uint32_t *panels, weight_part part, int64_t width);
/* cpu_tile of this precision. */
void cpu_int16_tile(const cpu_workspace *s, const tile_job *t, const weight_part *part, int64_t row,
                    const float *panels, int64_t column);

/* Where the one 16-bit number beside whole words of 32 bits is in a block; -1: there is none. */
static inline int cpu_half_at(const dtype_info *type)
{
    if (type->block_bytes % 4 == 0) return -1;
    return type->block_size > 32 ? type->block_bytes - 2 : 0;
}

void cpu_weave(backend *b, tensor w, void *to);
/* Values first .. first + n of a row of a woven weight, as they are stored. */
void cpu_unweave(unsigned char *to, const tensor *w, int64_t row, int64_t first, int64_t n);

void cpu_matmul(backend *b, tensor x, const matmul_part *part, int n_part);
void cpu_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan);
void cpu_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got);
size_t cpu_attend_floats(const cpu_kernels *kernels, const backend_shape *shape);

#endif
