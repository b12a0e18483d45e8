/* cuda products: weights become rows of the products' type (bf16, or float32 in check mode) and
 * go through cuBLASLt, or through k_gemm where widths are not multiples of eight.
 *
 * One algorithm a shape of weight: the first of cuBLASLt's proposals for ROWS_TYPICAL rows that
 * does not split k and that can run any number of rows. It is asked for without looking at the
 * number of rows at hand and without timing, so the same card, library and weight always get the
 * same one. */
#include "compute/cuda/cuda_in.h"

#include <assert.h>
#include <string.h>

enum { ROWS_TYPICAL = 8192, PROPOSALS = 32 };

const void *cuda_factor(backend *b, tensor x, void *to)
{
    if (x.type == b->rows) return x.data;
    assert(tensor_count(&x) <= cuda_space(b)->rows_max * cuda_space(b)->width_max);
    k_convert(cuda_of(b)->stream, to, cuda_row_type(b->rows), cuda_rows(x));
    return to;
}

const void *cuda_weight_factor(backend *b, tensor w, int64_t first, int64_t rows)
{
    k_weight k = cuda_weight(b, w, first, rows);
    if (w.type == b->rows) return k.data;
    assert(rows * k.columns <= cuda_space(b)->w_max);
    k_expand(cuda_of(b)->stream, cuda_space(b)->w, cuda_row_type(b->rows), k);
    return cuda_space(b)->w;
}

/* ---- cuBLASLt ---- */

typedef struct lt_call {
    cublasLtMatmulDescOpaque_t how;
    cublasLtMatrixLayoutOpaque_t a, b, d;
} lt_call;

static cudaDataType_t lt_type(int32_t type) { return type == ROWS_BF16 ? CUDA_R_16BF : CUDA_R_32F; }

static bool set_call(backend *b, lt_call *c, const product_shape *p)
{
    const cudaDataType_t in = cuda_of(b)->precise ? CUDA_R_32F : CUDA_R_16BF;
    const int32_t turn_a = p->a_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    const int32_t turn_b = p->b_turned ? CUBLAS_OP_T : CUBLAS_OP_N;
    cublasStatus_t r = cublasLtMatmulDescInit(&c->how, CUBLAS_COMPUTE_32F, CUDA_R_32F);
    if (r == CUBLAS_STATUS_SUCCESS) {
        r = cublasLtMatmulDescSetAttribute(&c->how, CUBLASLT_MATMUL_DESC_TRANSA, &turn_a,
                                           sizeof turn_a);
    }
    if (r == CUBLAS_STATUS_SUCCESS) {
        r = cublasLtMatmulDescSetAttribute(&c->how, CUBLASLT_MATMUL_DESC_TRANSB, &turn_b,
                                           sizeof turn_b);
    }
    if (r == CUBLAS_STATUS_SUCCESS) {
        r = cublasLtMatrixLayoutInit(&c->a, in, (uint64_t)(p->a_turned ? p->k : p->m),
                                     (uint64_t)(p->a_turned ? p->m : p->k), p->lda);
    }
    if (r == CUBLAS_STATUS_SUCCESS) {
        r = cublasLtMatrixLayoutInit(&c->b, in, (uint64_t)(p->b_turned ? p->n : p->k),
                                     (uint64_t)(p->b_turned ? p->k : p->n), p->ldb);
    }
    if (r == CUBLAS_STATUS_SUCCESS) {
        r = cublasLtMatrixLayoutInit(&c->d, lt_type(p->type_out), (uint64_t)p->m, (uint64_t)p->n,
                                     p->ldd);
    }
    return cuda_checked_lt(b, r, "describing a product");
}

static product_shape with_rows(const product_shape *p, int64_t rows)
{
    product_shape q = *p;
    if (p->rows_are_k) q.k = rows;
    else q.n = rows;
    return q;
}

/* Whole sums over k, and any number of rows. */
static bool serves_all(backend *b, const product_shape *p, const cublasLtMatmulAlgo_t *algorithm)
{
    static const int64_t rows[] = {1, 2, 7, 16, 64, 129, 1000, ROWS_TYPICAL};
    int32_t split = 1;
    uint32_t reduction = CUBLASLT_REDUCTION_SCHEME_NONE;
    size_t wrote = 0;
    cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_SPLITK_NUM, &split,
                                         sizeof split, &wrote);
    cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_REDUCTION_SCHEME,
                                         &reduction, sizeof reduction, &wrote);
    if (split > 1 || split < 0 || reduction != CUBLASLT_REDUCTION_SCHEME_NONE) return false;
    for (size_t i = 0; i < countof(rows); i++) {
        lt_call c;
        cublasLtMatmulHeuristicResult_t fits;
        const product_shape q = with_rows(p, rows[i]);
        if (!set_call(b, &c, &q)) return false;
        cublasStatus_t r = cublasLtMatmulAlgoCheck(cuda_of(b)->lt, &c.how, &c.a, &c.b, &c.d, &c.d,
                                                   algorithm, &fits);
        if (r != CUBLAS_STATUS_SUCCESS || fits.workspaceSize > LT_BYTES) return false;
    }
    return true;
}

/* Largest power of two that divides the bytes of a column, at most 16. */
static uint32_t alignment_of(int64_t ld, int32_t type)
{
    uint32_t bytes = 16;
    while (bytes > 1 && ld * (type == ROWS_BF16 ? 2 : 4) % bytes != 0) bytes /= 2;
    return bytes;
}

static bool ask(backend *b, const product_shape *p, cublasLtMatmulHeuristicResult_t *proposal,
                int *n)
{
    lt_call c;
    cublasLtMatmulPreferenceOpaque_t wish;
    const product_shape typical = with_rows(p, ROWS_TYPICAL);
    const size_t bytes = LT_BYTES;
    const uint32_t none = CUBLASLT_REDUCTION_SCHEME_NONE;
    const int32_t in = cuda_of(b)->precise ? ROWS_F32 : ROWS_BF16;
    const uint32_t at_a = alignment_of(p->lda, in), at_b = alignment_of(p->ldb, in);
    const uint32_t at_d = alignment_of(p->ldd, p->type_out);
    const struct {
        cublasLtMatmulPreferenceAttributes_t what;
        const void *value;
        size_t size;
    } wishes[] = {{CUBLASLT_MATMUL_PREF_MAX_WORKSPACE_BYTES, &bytes, sizeof bytes},
                  {CUBLASLT_MATMUL_PREF_REDUCTION_SCHEME_MASK, &none, sizeof none},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_A_BYTES, &at_a, sizeof at_a},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_B_BYTES, &at_b, sizeof at_b},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_C_BYTES, &at_d, sizeof at_d},
                  {CUBLASLT_MATMUL_PREF_MIN_ALIGNMENT_D_BYTES, &at_d, sizeof at_d}};
    if (!set_call(b, &c, &typical)) return false;
    cublasStatus_t r = cublasLtMatmulPreferenceInit(&wish);
    for (size_t i = 0; i < countof(wishes) && r == CUBLAS_STATUS_SUCCESS; i++) {
        r = cublasLtMatmulPreferenceSetAttribute(&wish, wishes[i].what, wishes[i].value,
                                                 wishes[i].size);
    }
    if (r == CUBLAS_STATUS_SUCCESS) {
        r = cublasLtMatmulAlgoGetHeuristic(cuda_of(b)->lt, &c.how, &c.a, &c.b, &c.d, &c.d, &wish,
                                           PROPOSALS, proposal, n);
    }
    if (r == CUBLAS_STATUS_NOT_SUPPORTED) *n = 0;
    return r == CUBLAS_STATUS_NOT_SUPPORTED || cuda_checked_lt(b, r, "choosing a product");
}

static bool same_weight(const product_shape *a, const product_shape *b)
{
    return a->a_turned == b->a_turned && a->b_turned == b->b_turned && a->m == b->m &&
           (a->rows_are_k ? a->n == b->n : a->k == b->k) && a->rows_are_k == b->rows_are_k &&
           a->lda == b->lda && a->ldb == b->ldb && a->ldd == b->ldd && a->type_out == b->type_out;
}

/* NULL: the shape goes through k_gemm. */
static const cublasLtMatmulAlgo_t *pin(backend *b, const product_shape *p)
{
    cuda_state *s = cuda_of(b);
    for (int i = 0; i < s->n_product; i++) {
        if (!same_weight(&s->product[i].shape, p)) continue;
        return s->product[i].found ? &s->product[i].algorithm : NULL;
    }
    if (s->n_product == PRODUCTS_MAX) {
        err_set(&b->failure, ERR_RESOURCE, "more than %d shapes of product on one GPU",
                PRODUCTS_MAX);
        return NULL;
    }
    pinned_product *kept = &s->product[s->n_product++];
    cublasLtMatmulHeuristicResult_t proposal[PROPOSALS];
    int n = 0;
    *kept = (pinned_product){.shape = *p};
    if (!ask(b, p, proposal, &n)) return NULL;
    for (int i = 0; i < n && !kept->found; i++) {
        if (proposal[i].state != CUBLAS_STATUS_SUCCESS) continue;
        kept->found = serves_all(b, p, &proposal[i].algo);
        kept->algorithm = proposal[i].algo;
    }
    return kept->found ? &kept->algorithm : NULL;
}

static bool is_wide(const product_shape *p)
{
    const int64_t fixed = p->rows_are_k ? p->n : p->k;
    return p->m % 8 == 0 && fixed % 8 == 0 && p->lda % 8 == 0 && p->ldb % 8 == 0 && p->ldd % 8 == 0;
}

/* The same product without cuBLASLt: the rows of d are b's. */
static void multiply_plainly(backend *b, const product_shape *p)
{
    const int32_t in = cuda_of(b)->precise ? ROWS_F32 : ROWS_BF16;
    k_product k = {.x = p->b,
                   .w = p->a,
                   .y = p->d,
                   .type_x = in,
                   .type_w = in,
                   .type_y = p->type_out,
                   .add = p->add,
                   .n = p->n,
                   .out = p->m,
                   .in = p->k,
                   .x_row = p->b_turned ? 1 : p->ldb,
                   .x_k = p->b_turned ? p->ldb : 1,
                   .w_row = p->a_turned ? p->lda : 1,
                   .w_k = p->a_turned ? 1 : p->lda,
                   .ld = p->ldd};
    k_gemm(cuda_of(b)->stream, k);
    cuda_launched(b, "a product");
}

void cuda_multiply(backend *b, const product_shape *p)
{
    const cublasLtMatmulAlgo_t *algorithm = is_wide(p) ? pin(b, p) : NULL;
    if (b->failure.code != ERR_NONE || p->m == 0 || p->n == 0 || p->k == 0) return;
    if (!algorithm) {
        multiply_plainly(b, p);
        return;
    }
    lt_call c;
    const float one = 1, beta = p->add ? 1 : 0;
    if (!set_call(b, &c, p)) return;
    cublasStatus_t r =
        cublasLtMatmul(cuda_of(b)->lt, &c.how, &one, p->a, &c.a, p->b, &c.b, &beta, p->d, &c.d,
                       p->d, &c.d, algorithm, cuda_space(b)->lt, LT_BYTES, cuda_of(b)->stream);
    cuda_checked_lt(b, r, "a product");
}

/* ---- x w^T ---- */

void cuda_product(backend *b, const void *x, int64_t n, tensor w, int64_t first, int64_t out,
                  k_rows y, int64_t ld, bool add)
{
    const int64_t in = w.dim[1];
    product_shape p = {.a = cuda_weight_factor(b, w, first, out),
                       .b = x,
                       .d = y.data,
                       .a_turned = 1,
                       .type_out = y.type,
                       .add = add,
                       .m = out,
                       .n = n,
                       .k = in,
                       .lda = in,
                       .ldb = in,
                       .ldd = ld};
    cuda_multiply(b, &p);
}

/* Rows of w that fit in the scratch at once; all of them where none is needed. */
static int64_t stretch_of(backend *b, const tensor *w)
{
    if (w->type == b->rows) return w->dim[0];
    int64_t n = cuda_space(b)->w_max / (w->dim[1] > 0 ? w->dim[1] : 1);
    assert(n > 0);
    return n > 8 ? n / 8 * 8 : n;
}

void cuda_matmul(backend *b, tensor x, const matmul_part *part, int n_part)
{
    const void *factor = cuda_factor(b, x, cuda_space(b)->x);
    for (int i = 0; i < n_part; i++) {
        const tensor *w = &part[i].w;
        const int64_t out = w->dim[0], stretch = stretch_of(b, w);
        k_rows y = cuda_rows(part[i].y);
        for (int64_t first = 0; first < out; first += stretch) {
            const int64_t n = out - first < stretch ? out - first : stretch;
            k_rows to = y;
            to.data = (char *)y.data + first * (y.type == ROWS_BF16 ? 2 : 4);
            cuda_product(b, factor, x.dim[0], *w, first, n, to, out, part[i].add);
        }
        if (!part[i].bias) continue;
        k_add_bias(cuda_of(b)->stream, y, out, cuda_vector(b, part[i].bias));
        cuda_launched(b, "a bias");
    }
}
