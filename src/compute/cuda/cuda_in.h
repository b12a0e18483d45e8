/* cuda_in: what the host's side of cuda shares. */
#ifndef CASELOAD_COMPUTE_CUDA_CUDA_IN_H
#define CASELOAD_COMPUTE_CUDA_CUDA_IN_H

#include "compute/cuda/cuda.h"
#include "compute/cuda/graphs_in.h"
#include "compute/cuda/kernels.h"
#include "compute/cuda/kernels_decode.h"
#include "compute/cuda/kernels_train.h"
#include "compute/cuda/space.h"
#include "compute/device.h"
#include "compute/train_table.h"

#include <cublasLt.h>
#include <cuda_runtime_api.h>
#include <stddef.h>

enum {
    STAGE_KEPT = 32,       /* of the latest, what is already there is not sent again */
    PASS_BYTES = 16 << 20, /* each of the pinned buffers for weights and logits */
    PASSES = 4,            /* of them */
    PRODUCTS_MAX = 256,    /* shapes of product that one backend may meet */
    FEW_SIZES = 7,         /* up to 16, 32, .. 1024 rows: matmul.c */
    CARDS_MAX = 64,        /* of one machine */
    BRANCHES = 2,          /* of a graph, beside the first */
};

typedef struct staged { /* a host array that is on the device */
    size_t at, bytes;
} staged;

typedef struct product_shape { /* column-major, as cuBLASLt sees it: d [m,n] = a [m,k] b [k,n] */
    const void *a, *b;
    void *d;
    int32_t a_turned, b_turned; /* stored transposed */
    int32_t type_out, add;
    int32_t term;       /* of two terms: factors are bf16 whatever the mode */
    int32_t rows_are_k; /* the dimension that is the step's rows: k, else n */
    int64_t m, n, k, lda, ldb, ldd;
} product_shape;

typedef struct pinned_product { /* an algorithm for every number of rows */
    product_shape shape;
    cublasLtMatmulAlgo_t algorithm;
    bool found;
    bool asked_few[FEW_SIZES], has_few[FEW_SIZES];
    cublasLtMatmulAlgo_t few[FEW_SIZES]; /* of the same bits, for few rows */
} pinned_product;

enum { TILE_PARTS = 3 }; /* heights of tiles that one attention may have */

typedef struct tile_part {
    const k_tile *tile;
    int32_t n, height;
} tile_part;

typedef struct known { /* tiles that stand on the device */
    k_attention a;     /* what was asked for */
    int32_t n_span, n_part;
    tile_part part[TILE_PARTS];
} known;

typedef struct cuda_state { /* what is open */
    arena own;              /* holds this struct */
    int card;
    cudaStream_t stream;
    cublasLtHandle_t lt;
    bool precise;   /* fp32 */
    bool hopper;    /* the card has the instructions of sm_90a */
    bool two_terms; /* .. but for products on the way forward: bf16x3 */
    char isa[256];
    unsigned char *pinned;      /* STAGE_BYTES, then PASSES times PASS_BYTES */
    cudaEvent_t passed[PASSES]; /* a buffer's copy is done */
    int next_pass;              /* the buffer that comes next */
    cudaEvent_t clock[2];
    size_t stage_used;
    int n_kept, next_kept;
    staged kept[STAGE_KEPT];
    known tiles;         /* of the latest attention; forgotten when the stage begins anew, */
    int64_t stage_began; /* so many times */
    int n_product;
    pinned_product product[PRODUCTS_MAX];
    cuda_graphs graphs;
    cudaStream_t side[BRANCHES]; /* while a graph is recorded: products beside each other */
    cudaEvent_t forked, joined[BRANCHES];
    int branch; /* under way; 0: the first */
    bool side_by_side;
    bool reaches[CARDS_MAX]; /* its copies may go there without the host, where they can */
} cuda_state;

typedef uint16_t bf16_bits;

static inline cuda_state *cuda_of(const backend *b) { return b->own; }
static inline cuda_workspace *cuda_space(const backend *b) { return b->workspace; }

/* A failure sticks to the backend; false then. */
bool cuda_checked(backend *b, cudaError_t r, const char *what);
bool cuda_checked_lt(backend *b, cublasStatus_t r, const char *what);
/* After a launch. */
void cuda_launched(backend *b, const char *what);

/* A host array on the device, until the stage comes round again; NULL after a failure, and where
 * the op is only written down (graph.c). */
const void *cuda_stage(backend *b, const void *data, size_t bytes);
const void *cuda_stage_at(backend *b, const void *data, size_t bytes); /* also then */
/* Anew, when nothing is under way; all that a body staged goes over at once. */
void cuda_stage_begin(backend *b);
bool cuda_stage_send(backend *b);
const float *cuda_vector(backend *b, const tensor *w); /* any stored type, as float32 */

static inline int32_t cuda_row_type(dtype t) { return t == DTYPE_BF16 ? ROWS_BF16 : ROWS_F32; }
k_rows cuda_rows(tensor t);                                              /* [dim 0, the rest] */
k_weight cuda_weight(backend *b, tensor w, int64_t first, int64_t rows); /* rows of a stored one */

/* Rows as products read them, in `to` when they are not yet. */
const void *cuda_factor(backend *b, tensor x, void *to);
/* Rows as cuda_product reads them; uses the scratch for rows. */
const void *cuda_left(backend *b, tensor x);
/* Rows first .. of a stored weight as products read them. */
const void *cuda_weight_factor(backend *b, tensor w, int64_t first, int64_t rows);
void cuda_multiply(backend *b, const product_shape *p);
/* Before the first cuda_product of these arguments in a step of few rows, while nothing is in the
 * scratch: finds what is fast there. */
void cuda_prepare(backend *b, int64_t n, tensor w, int64_t first, int64_t out, k_rows y,
                  int64_t ld);
/* y (row i at ld * i) (+)= x w^T for rows first .. first + out of w. */
void cuda_product(backend *b, const void *x, int64_t n, tensor w, int64_t first, int64_t out,
                  k_rows y, int64_t ld, bool add);

/* Adapters in training. Do the kernels made for them take this one? (bf16, rank 8, 16, .. 64) */
bool cuda_adapter_fits(const backend *b, const lora_pair *pair, const tensor *low);
void cuda_adapter_low(backend *b, tensor low, tensor x, const lora_pair *pair);
/* y += what the adapters of the parts add; x as products read it. */
void cuda_adapter_forward(backend *b, const void *x, const matmul_part *part, int n_part);
/* The stream x with what norm->adapter adds, and its norm; see adapter.c. */
bool cuda_adapter_norm(backend *b, const k_norm_keep *keep, float *x, const norm_shape *norm);
/* Does cuda_adapter_back turn dy of the parts that have adapters, and read it once for all? */
bool cuda_adapter_turns_back(const backend *b, const back_part *part, int n);
/* The adapters' gradients, and their share of dx; `dy` as products read it. False: no part has an
 * adapter, and nothing was done. */
bool cuda_adapter_back(backend *b, const back_part *part, int n, const void *const *dy);
/* The positions of rows that turn, on their way; NULL: they do not. */
const int32_t *cuda_stage_turn(backend *b, const rope_turn *turn, tensor y);
/* Products whose outputs turn, by the kernel that does both or by ops. */
void cuda_matmul_turned(backend *b, tensor x, const matmul_part *part, const rope_turn *turn,
                        int n);
/* Gates by the kernels that take adapters along, or by ops. */
void cuda_gates(backend *b, tensor x, const gate_block *g);
bool cuda_gates_add_b(const backend *b, const gate_block *g,
                      const back_part *down); /* its answer */
bool cuda_gates_back(backend *b, const gate_block *g, const back_part *down);
/* dx (+)= dy w, dy as products read it. */
void cuda_multiply_back(backend *b, tensor dx, const void *dy, tensor w, bool add);

void cuda_matmul(backend *b, tensor x, const matmul_part *part, int n_part);
void cuda_attend(backend *b, tensor o, tensor q, tensor k, tensor v, const attend_plan *plan);
/* `a` cut into tiles, staged: an attention a height that occurs (a->height, or what fits each span
 * where it is 0). Their number; with 0 part[0] is `a` without tiles. */
int cuda_tiles(backend *b, const k_attention *a, const attend_plan *plan,
               k_attention part[TILE_PARTS]);
/* Forward, all of it. */
void cuda_attend_tiles(backend *b, const k_attention *a, const attend_plan *plan);
void cuda_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got);
void cuda_draw(backend *b, tensor logits, const struct draw_request *want);
extern const train_table cuda_train_ops;

#endif
