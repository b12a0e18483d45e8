/* cuda products: weights become rows of the products' type (bf16, or float32 in check mode) and
 * go through cuBLASLt, or through k_gemm where widths are not multiples of eight.
 *
 * One algorithm a shape of weight, the pinned one: of cuBLASLt's proposals for ROWS_TYPICAL rows
 * that do not split k and that can run any number of rows the first, or one of the tile that a
 * table prefers for this kind of product. It is asked for without looking at the number of rows at
 * hand and without timing, so the same card, library and weight always get the same one.
 *
 * Its tiles are too large for few rows: most of the card would stand idle. So for steps of up to
 * 16, 32, .. 1,024 rows the fastest proposal that gives the pinned one's very bits
 * on random rows takes its place: the two then add over k in the same order, and which of them ran
 * cannot be seen in a number, so here a clock may choose. One that differs in a bit is passed over.
 *
 * In the mode of two terms rows and weights are float32, and a product is three of bf16 added up:
 * 16 bits of each factor count instead of 8. */
#include "compute/cuda/cuda_in.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { ROWS_TYPICAL = 8192, PROPOSALS = 32, FEW_LEAST = 16, FEW_ASKED = 3, TIMES = 3 };
enum { BRANCH_BYTES = LT_BYTES / (BRANCHES + 2) / LT_ALIGN * LT_ALIGN };

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

/* ---- two terms ---- */

/* In the mode of two terms a number is hi + lo, both bf16: the rows' hi fill one half of their
 * scratch and lo the second; a weight's float32 values, hi and lo fill a half and two quarters. */
static bf16_bits *low_rows(const cuda_workspace *s)
{
    return (bf16_bits *)s->x + s->rows_max * s->width_max;
}

const void *cuda_left(backend *b, tensor x)
{
    const cuda_workspace *s = cuda_space(b);
    if (!cuda_of(b)->two_terms) return cuda_factor(b, x, s->x);
    assert(tensor_count(&x) <= s->rows_max * s->width_max);
    k_two_terms(cuda_of(b)->stream, s->x, low_rows(s), x.data, tensor_count(&x));
    return s->x;
}

/* ---- cuBLASLt ---- */

typedef struct lt_call {
    cublasLtMatmulDescOpaque_t how;
    cublasLtMatrixLayoutOpaque_t a, b, d;
} lt_call;

static cudaDataType_t lt_type(int32_t type) { return type == ROWS_BF16 ? CUDA_R_16BF : CUDA_R_32F; }

static int32_t type_in(const backend *b, const product_shape *p)
{
    return cuda_of(b)->precise && !p->term ? ROWS_F32 : ROWS_BF16;
}

static bool set_call(backend *b, lt_call *c, const product_shape *p)
{
    const cudaDataType_t in = lt_type(type_in(b, p));
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

/* Whole sums over k, and any number of rows up to `most`. */
static bool serves_all(backend *b, const product_shape *p, const cublasLtMatmulAlgo_t *algorithm,
                       int64_t most)
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
    for (size_t i = 0; i < countof(rows) && rows[i] <= most; i++) {
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

/* Proposals for a shape: at most *n, *n of them. */
static bool ask(backend *b, const product_shape *p, cublasLtMatmulHeuristicResult_t *proposal,
                int *n)
{
    lt_call c;
    cublasLtMatmulPreferenceOpaque_t wish;
    const size_t bytes = LT_BYTES;
    const uint32_t none = CUBLASLT_REDUCTION_SCHEME_NONE;
    const int32_t in = type_in(b, p);
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
    if (!set_call(b, &c, p)) return false;
    const int most = *n;
    cublasStatus_t r = cublasLtMatmulPreferenceInit(&wish);
    for (size_t i = 0; i < countof(wishes) && r == CUBLAS_STATUS_SUCCESS; i++) {
        r = cublasLtMatmulPreferenceSetAttribute(&wish, wishes[i].what, wishes[i].value,
                                                 wishes[i].size);
    }
    if (r == CUBLAS_STATUS_SUCCESS) {
        r = cublasLtMatmulAlgoGetHeuristic(cuda_of(b)->lt, &c.how, &c.a, &c.b, &c.d, &c.d, &wish,
                                           most, proposal, n);
    }
    if (r == CUBLAS_STATUS_NOT_SUPPORTED) *n = 0;
    return r == CUBLAS_STATUS_NOT_SUPPORTED || cuda_checked_lt(b, r, "choosing a product");
}

static bool same_weight(const product_shape *a, const product_shape *b)
{
    return a->a_turned == b->a_turned && a->b_turned == b->b_turned && a->m == b->m &&
           (a->rows_are_k ? a->n == b->n : a->k == b->k) && a->rows_are_k == b->rows_are_k &&
           a->lda == b->lda && a->ldb == b->ldb && a->ldd == b->ldd && a->type_out == b->type_out &&
           a->term == b->term;
}

/* Tiles that take less energy than cuBLASLt's first proposal: products on end run at the card's
 * limit of power, where that is what counts. Measured on an H200 at 700 W, whole seconds of each;
 * all gave the first proposal's bits. */
static const struct preference {
    int32_t a_turned, type_out; /* a_turned -1: either */
    int64_t m_least, k_most;
    uint32_t tile;
    uint16_t cluster;
} preferred[] = {
    {1, ROWS_BF16, 8192, 8192, CUBLASLT_MATMUL_TILE_168x128, CUBLASLT_CLUSTER_SHAPE_1x2x1},
    {0, ROWS_BF16, 8192, 8192, CUBLASLT_MATMUL_TILE_256x128, CUBLASLT_CLUSTER_SHAPE_1x2x1},
    {-1, ROWS_F32, 2048, 6144, CUBLASLT_MATMUL_TILE_128x160, CUBLASLT_CLUSTER_SHAPE_2x1x1},
};

static bool is_preferred(const backend *b, const product_shape *p,
                         const cublasLtMatmulAlgo_t *algorithm)
{
    uint32_t tile = 0;
    uint16_t cluster = 0;
    size_t wrote = 0;
    cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_TILE_ID, &tile,
                                         sizeof tile, &wrote);
    cublasLtMatmulAlgoConfigGetAttribute(algorithm, CUBLASLT_ALGO_CONFIG_CLUSTER_SHAPE_ID, &cluster,
                                         sizeof cluster, &wrote);
    if (!cuda_of(b)->hopper || type_in(b, p) != ROWS_BF16) return false;
    for (size_t i = 0; i < countof(preferred); i++) {
        const struct preference *want = &preferred[i];
        if ((want->a_turned < 0 || want->a_turned == p->a_turned) &&
            want->type_out == p->type_out && p->m >= want->m_least && p->k <= want->k_most &&
            tile == want->tile && cluster == want->cluster)
            return true;
    }
    return false;
}

/* What is kept about a shape; asked for when it is new. NULL: too many shapes. */
static pinned_product *pin(backend *b, const product_shape *p)
{
    cuda_state *s = cuda_of(b);
    for (int i = 0; i < s->n_product; i++) {
        if (same_weight(&s->product[i].shape, p)) return &s->product[i];
    }
    if (s->n_product == PRODUCTS_MAX) {
        err_set(&b->failure, ERR_RESOURCE, "more than %d shapes of product on one GPU",
                PRODUCTS_MAX);
        return NULL;
    }
    pinned_product *kept = &s->product[s->n_product++];
    cublasLtMatmulHeuristicResult_t proposal[PROPOSALS];
    const product_shape typical = with_rows(p, ROWS_TYPICAL);
    int n = PROPOSALS;
    *kept = (pinned_product){.shape = *p};
    if (!ask(b, &typical, proposal, &n)) return kept;
    for (int i = 0; i < n; i++) {
        const cublasLtMatmulAlgo_t *this = &proposal[i].algo;
        const bool better = is_preferred(b, &typical, this);
        if (proposal[i].state != CUBLAS_STATUS_SUCCESS || (kept->found && !better)) continue;
        if (!serves_all(b, p, this, ROWS_TYPICAL)) continue;
        kept->found = true;
        kept->algorithm = *this;
        if (better) break;
    }
    return kept;
}

/* x w^T of n rows and `out` rows of w, the results `ld` apart. */
static product_shape shape_of(int64_t n, tensor w, int64_t out, k_rows y, int64_t ld)
{
    const int64_t in = w.dim[1];
    return (product_shape){.a_turned = 1,
                           .type_out = y.type,
                           .m = out,
                           .n = n,
                           .k = in,
                           .lda = in,
                           .ldb = in,
                           .ldd = ld};
}

static bool is_wide(const product_shape *p)
{
    const int64_t fixed = p->rows_are_k ? p->n : p->k;
    return p->m % 8 == 0 && fixed % 8 == 0 && p->lda % 8 == 0 && p->ldb % 8 == 0 && p->ldd % 8 == 0;
}

/* The same product without cuBLASLt: the rows of d are b's. */
static void multiply_plainly(backend *b, const product_shape *p)
{
    const int32_t in = type_in(b, p);
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

static void run(backend *b, const product_shape *p, const cublasLtMatmulAlgo_t *algorithm)
{
    lt_call c;
    const float one = 1, beta = p->add ? 1 : 0;
    const cuda_state *s = cuda_of(b);
    if (!set_call(b, &c, p)) return;
    unsigned char *space = (unsigned char *)cuda_space(b)->lt + s->branch * (ptrdiff_t)BRANCH_BYTES;
    cublasStatus_t r =
        cublasLtMatmul(s->lt, &c.how, &one, p->a, &c.a, p->b, &c.b, &beta, p->d, &c.d, p->d, &c.d,
                       algorithm, space, s->side_by_side ? BRANCH_BYTES : LT_BYTES, s->stream);
    cuda_checked_lt(b, r, "a product");
}

/* ---- few rows ---- */

/* Which of the sizes holds n rows; -1: none. */
static int size_of(const product_shape *p)
{
    int i = 0;
    while (i < FEW_SIZES && p->n > FEW_LEAST << i) i++;
    return i < FEW_SIZES && !p->rows_are_k ? i : -1;
}

typedef struct few_check { /* in the scratch for rows: random rows, two results, a flag */
    unsigned char *noise, *result[2], *flag;
    int64_t rows;
    size_t bytes; /* a result's */
} few_check;

static bool open_check(backend *b, const product_shape *p, int64_t most, few_check *c)
{
    const cuda_workspace *s = cuda_space(b);
    const size_t number = p->type_out == ROWS_BF16 ? 2 : 4, align = 256;
    const size_t all = (size_t)(s->rows_max * s->width_max) * 2;
    const size_t each = 2 * (size_t)p->k + 2 * (size_t)p->ldd * number;
    c->rows = all > 4 * align ? (int64_t)((all - 4 * align) / each) : 0;
    if (c->rows > most) c->rows = most;
    c->bytes = (size_t)(c->rows * p->ldd) * number;
    c->noise = s->x;
    c->result[0] = c->noise + ((size_t)(c->rows * p->k) * 2 + align - 1) / align * align;
    c->result[1] = c->result[0] + (c->bytes + align - 1) / align * align;
    c->flag = c->result[1] + (c->bytes + align - 1) / align * align;
    return c->rows >= 2;
}

/* Milliseconds of a product, the least of several; the card's caches are emptied before where the
 * scratch for weights is free. */
static float time_of(backend *b, const product_shape *p, const cublasLtMatmulAlgo_t *algorithm)
{
    cuda_state *s = cuda_of(b);
    const cuda_workspace *w = cuda_space(b);
    float least = INFINITY;
    for (int i = 0; i < TIMES && b->failure.code == ERR_NONE; i++) {
        float took = 0;
        if (p->a != w->w) {
            cuda_checked(b, cudaMemsetAsync(w->w, 0, (size_t)w->w_max * 2, s->stream), "timing");
        }
        cuda_checked(b, cudaEventRecord(s->clock[0], s->stream), "timing");
        run(b, p, algorithm);
        cuda_checked(b, cudaEventRecord(s->clock[1], s->stream), "timing");
        cuda_checked(b, cudaEventSynchronize(s->clock[1]), "timing");
        cuda_checked(b, cudaEventElapsedTime(&took, s->clock[0], s->clock[1]), "timing");
        if (took < least) least = took;
    }
    return least;
}

/* Does an algorithm give the bits that the pinned one gave? Into the second result. */
static bool same_bits(backend *b, const product_shape *p, const cublasLtMatmulAlgo_t *algorithm,
                      const few_check *c)
{
    const cudaStream_t stream = cuda_of(b)->stream;
    uint32_t differ = 1;
    cuda_checked(b, cudaMemsetAsync(p->d, 0xff, c->bytes, stream), "checking a product");
    cuda_checked(b, cudaMemsetAsync(c->flag, 0, sizeof differ, stream), "checking a product");
    run(b, p, algorithm);
    k_differ(stream, c->result[0], c->result[1], c->bytes, (uint32_t *)(void *)c->flag);
    cuda_launched(b, "checking a product");
    if (b->failure.code == ERR_NONE) b->device->read(b, &differ, c->flag, sizeof differ);
    return b->failure.code == ERR_NONE && differ == 0;
}

/* The fastest for so many rows that gives the pinned one's bits: of what is proposed for them, and
 * for four and sixteen times as many. p->a is a weight. */
static void find_few(backend *b, pinned_product *kept, const product_shape *p, int size)
{
    const int64_t most = FEW_LEAST << size;
    few_check check;
    if (!open_check(b, p, most, &check)) return;
    product_shape q = with_rows(p, check.rows);
    q.b = check.noise, q.d = check.result[0], q.add = 0;
    cuda_checked(b, cudaMemsetAsync(q.d, 0xff, check.bytes, cuda_of(b)->stream),
                 "checking a product");
    k_noise(cuda_of(b)->stream, check.noise, check.rows * p->k);
    run(b, &q, &kept->algorithm);
    q.d = check.result[1];
    float least = time_of(b, &q, &kept->algorithm);
    for (int k = 0; k < FEW_ASKED; k++) {
        cublasLtMatmulHeuristicResult_t proposal[PROPOSALS];
        const product_shape asked = with_rows(p, most << 2 * k);
        int n = PROPOSALS / 4;
        if (!ask(b, &asked, proposal, &n)) return;
        for (int i = 0; i < n; i++) {
            const cublasLtMatmulAlgo_t *this = &proposal[i].algo;
            if (proposal[i].state != CUBLAS_STATUS_SUCCESS || !serves_all(b, p, this, most) ||
                !same_bits(b, &q, this, &check))
                continue;
            const float took = time_of(b, &q, this);
            if (!(took < least)) continue;
            least = took;
            kept->few[size] = *this;
            kept->has_few[size] = true;
        }
    }
}

void cuda_prepare(backend *b, int64_t n, tensor w, int64_t first, int64_t out, k_rows y, int64_t ld)
{
    product_shape p = shape_of(n, w, out, y, ld);
    const int size = size_of(&p);
    if (size < 0 || n == 0 || !is_wide(&p) || cuda_of(b)->precise) return;
    pinned_product *kept = pin(b, &p);
    if (!kept || !kept->found || kept->asked_few[size]) return;
    kept->asked_few[size] = true;
    p.a = cuda_weight_factor(b, w, first, out);
    find_few(b, kept, &p, size);
}

static const cublasLtMatmulAlgo_t *algorithm_of(const pinned_product *kept, const product_shape *p)
{
    const int size = size_of(p);
    return size >= 0 && kept->has_few[size] ? &kept->few[size] : &kept->algorithm;
}

void cuda_multiply(backend *b, const product_shape *p)
{
    const pinned_product *kept = is_wide(p) ? pin(b, p) : NULL;
    if (b->failure.code != ERR_NONE || p->m == 0 || p->n == 0 || p->k == 0) return;
    if (!kept || !kept->found) {
        multiply_plainly(b, p);
        return;
    }
    run(b, p, algorithm_of(kept, p));
}

/* ---- x w^T ---- */

/* One of the three products of two terms. */
static void add_term(backend *b, const product_shape *p, const void *w, const void *x, bool add)
{
    product_shape q = *p;
    q.a = w, q.b = x, q.add = add, q.term = 1;
    cuda_multiply(b, &q);
}

/* (x hi + x lo)(w hi + w lo) without lo times lo, the small ones first; as many rows of w at once
 * as the scratch holds. */
static void product_of_terms(backend *b, const void *x, tensor w, int64_t first,
                             const product_shape *whole)
{
    const cuda_workspace *s = cuda_space(b);
    const bool exact = w.type == DTYPE_BF16; /* its lo is nothing */
    const int64_t room = s->w_max / 2 / whole->k, most = exact      ? whole->m
                                                         : room > 8 ? room / 8 * 8
                                                                    : room;
    bf16_bits *const hi = (bf16_bits *)s->w + s->w_max, *const lo = hi + s->w_max / 2;
    assert(most > 0);
    for (int64_t at = 0; at < whole->m; at += most) {
        product_shape p = *whole;
        p.m = whole->m - at < most ? whole->m - at : most;
        p.d = (char *)whole->d + at * (p.type_out == ROWS_BF16 ? 2 : 4);
        const k_weight stored = cuda_weight(b, w, first + at, p.m);
        const void *high = exact ? stored.data : hi;
        if (!exact) {
            k_expand(cuda_of(b)->stream, s->w, ROWS_F32, stored);
            k_two_terms(cuda_of(b)->stream, hi, lo, s->w, p.m * p.k);
            add_term(b, &p, lo, x, p.add);
        }
        add_term(b, &p, high, low_rows(s), p.add || !exact);
        add_term(b, &p, high, x, true);
    }
}

void cuda_product(backend *b, const void *x, int64_t n, tensor w, int64_t first, int64_t out,
                  k_rows y, int64_t ld, bool add)
{
    product_shape p = shape_of(n, w, out, y, ld);
    p.d = y.data;
    p.add = add;
    if (cuda_of(b)->two_terms) {
        product_of_terms(b, x, w, first, &p);
        return;
    }
    p.a = cuda_weight_factor(b, w, first, out);
    p.b = x;
    cuda_multiply(b, &p);
}

/* Rows of w that fit in the scratch at once; all of them where none is needed. */
static int64_t stretch_of(backend *b, const tensor *w)
{
    if (w->type == b->rows || cuda_of(b)->two_terms) return w->dim[0];
    int64_t n = cuda_space(b)->w_max / (w->dim[1] > 0 ? w->dim[1] : 1);
    assert(n > 0);
    return n > 8 ? n / 8 * 8 : n;
}

/* Adapters in training by the kernels made for them, all others by two more products each. */
static void adapt(backend *b, tensor x, const void *factor, const matmul_part *part, int n_part)
{
    bool fit = true;
    for (int i = 0; i < n_part; i++) {
        const lora_pair *pair = part[i].adapter;
        if (pair) fit = fit && pair->da.data && cuda_adapter_fits(b, pair, &part[i].low);
    }
    if (fit) {
        cuda_adapter_forward(b, factor, part, n_part);
        return;
    }
    for (int i = 0; i < n_part; i++) {
        if (part[i].adapter) op_lora(b, part[i].y, x, part[i].adapter, part[i].low);
    }
}

/* ---- side by side ---- */

/* Has a branch's workspace room for this product? */
static bool takes_little(backend *b, const product_shape *p)
{
    lt_call c;
    cublasLtMatmulHeuristicResult_t fits;
    const pinned_product *kept = is_wide(p) ? pin(b, p) : NULL;
    if (!kept || !kept->found) return true;
    if (!set_call(b, &c, p)) return false;
    cublasStatus_t r = cublasLtMatmulAlgoCheck(cuda_of(b)->lt, &c.how, &c.a, &c.b, &c.d, &c.d,
                                               algorithm_of(kept, p), &fits);
    return r == CUBLAS_STATUS_SUCCESS && fits.workspaceSize <= BRANCH_BYTES;
}

/* While a graph is recorded, products of few rows of one x become branches: each alone leaves most
 * of the card idle. Not where weights go through the one scratch. */
static bool may_fork(backend *b, tensor x, const matmul_part *part, int n_part)
{
    const cuda_state *s = cuda_of(b);
    if (!s->graphs.recording || s->precise || n_part < 2 || n_part > BRANCHES + 1) return false;
    for (int i = 0; i < n_part; i++) {
        const product_shape p =
            shape_of(x.dim[0], part[i].w, part[i].w.dim[0], cuda_rows(part[i].y), part[i].w.dim[0]);
        if (part[i].w.type != b->rows || size_of(&p) < 0 || !takes_little(b, &p)) return false;
    }
    return true;
}

/* The stream of branch i, from here on; that of the first is the graph's own. */
static void take_branch(backend *b, int i, cudaStream_t own)
{
    cuda_state *s = cuda_of(b);
    const char *what = "recording branches of a graph";
    if (i == 0) cuda_checked(b, cudaEventRecord(s->forked, own), what);
    else cuda_checked(b, cudaStreamWaitEvent(s->side[i - 1], s->forked, 0), what);
    s->branch = i;
    s->side_by_side = true;
    s->stream = i == 0 ? own : s->side[i - 1];
}

static void join_branches(backend *b, int n, cudaStream_t own)
{
    cuda_state *s = cuda_of(b);
    const char *what = "recording branches of a graph";
    s->stream = own, s->branch = 0, s->side_by_side = false;
    for (int i = 0; i + 1 < n; i++) {
        cuda_checked(b, cudaEventRecord(s->joined[i], s->side[i]), what);
        cuda_checked(b, cudaStreamWaitEvent(own, s->joined[i], 0), what);
    }
}

/* One product of a group, in stretches of its weight; without a factor it is prepared only. */
static void run_part(backend *b, int64_t n, const void *factor, const matmul_part *p)
{
    const tensor *w = &p->w;
    const int64_t out = w->dim[0], stretch = stretch_of(b, w);
    k_rows y = cuda_rows(p->y);
    for (int64_t first = 0; first < out; first += stretch) {
        const int64_t rows = out - first < stretch ? out - first : stretch;
        k_rows to = y;
        to.data = (char *)y.data + first * (y.type == ROWS_BF16 ? 2 : 4);
        if (!factor) cuda_prepare(b, n, *w, first, rows, to, out);
        else cuda_product(b, factor, n, *w, first, rows, to, out, p->add);
    }
    if (!factor || !p->bias) return;
    k_add_bias(cuda_of(b)->stream, y, out, cuda_vector(b, p->bias));
    cuda_launched(b, "a bias");
}

void cuda_matmul(backend *b, tensor x, const matmul_part *part, int n_part)
{
    const cudaStream_t own = cuda_of(b)->stream;
    for (int i = 0; i < n_part; i++) run_part(b, x.dim[0], NULL, &part[i]);
    const void *factor = cuda_left(b, x); /* the scratch was free until all was prepared */
    const bool fork = may_fork(b, x, part, n_part);
    for (int i = 0; i < n_part; i++) {
        if (fork) take_branch(b, i, own);
        run_part(b, x.dim[0], factor, &part[i]);
    }
    if (fork) join_branches(b, n_part, own);
    adapt(b, x, factor, part, n_part);
}
