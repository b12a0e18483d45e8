/* math_in: exponentials, norms, gates and rotations over `vec`; included by one kernel file per
 * instruction set, after its vec header.
 *
 * exp: x = n ln 2 + r, |r| <= ln 2 / 2, e^r by a polynomial of degree 6 (minimax in relative error,
 * 0.05 of half an ulp), times 2^n. exp2 likewise with f = x - n. Both give exactly 1 at 0 and
 * within 1 ulp elsewhere; NaN stays NaN. Tails use the same instructions as full vectors. */

static inline vec vec_exp2(vec x) /* finite x <= 200 */
{
    vec n = vec_round(x), f = vec_sub(x, n);
    vec y = vec_fma(f, vec_all(0x1.41fbbcp-13f), vec_all(0x1.5f3e52p-10f));
    y = vec_fma(f, y, vec_all(0x1.3b2d4cp-7f));
    y = vec_fma(f, y, vec_all(0x1.c6aee8p-5f));
    y = vec_fma(f, y, vec_all(0x1.ebfbdcp-3f));
    y = vec_fma(f, y, vec_all(0x1.62e43p-1f));
    y = vec_fma(f, y, vec_all(1));
    return vec_scale(y, n);
}

static inline vec vec_exp(vec x)
{
    x = vec_min(vec_all(89), vec_max(vec_all(-110), x)); /* e^89 overflows, e^-110 is 0 */
    vec n = vec_round(vec_mul(x, vec_all(0x1.715476p+0f)));
    vec r = vec_fnma(n, vec_all(0x1.62e400p-1f), x); /* ln 2, upper 17 bits: n times it is exact */
    r = vec_fnma(n, vec_all(0x1.7f7d1cp-20f), r);
    vec y = vec_fma(r, vec_all(0x1.6a2434p-10f), vec_all(0x1.1239e2p-7f));
    y = vec_fma(r, y, vec_all(0x1.5558f2p-5f));
    y = vec_fma(r, y, vec_all(0x1.555492p-3f));
    y = vec_fma(r, y, vec_all(0x1.fffffcp-2f));
    y = vec_fma(r, y, vec_all(1));
    y = vec_fma(r, y, vec_all(1));
    return vec_scale(y, n);
}

/* tanh, absolute error within 2 ulp of 1. */
static inline vec vec_tanh(vec x)
{
    vec e = vec_exp(vec_add(x, x));
    return vec_sub(vec_all(1), vec_div(vec_all(2), vec_add(e, vec_all(1))));
}

static void scale(float *y, const float *x, float s, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(y + i, vec_mul(vec_load(x + i), vec_all(s)));
    if (i < n) vec_store_part(y + i, vec_mul(vec_load_part(x + i, n - i), vec_all(s)), n - i);
}

static void add(float *y, const float *x, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) vec_store(y + i, vec_add(vec_load(y + i), vec_load(x + i)));
    for (; i < n; i++) y[i] += x[i];
}

/* The sum of squares in four vectors, index i in vector i / LANES % 4. */
static float sum_squares(const float *x, int64_t n)
{
    vec s[4] = {vec_zero(), vec_zero(), vec_zero(), vec_zero()};
    int64_t i = 0;
    for (; i + 4 * LANES <= n; i += 4 * LANES) {
#pragma GCC unroll 4
        for (int j = 0; j < 4; j++) {
            vec v = vec_load(x + i + j * LANES);
            s[j] = vec_fma(v, v, s[j]);
        }
    }
    for (int j = 0; i < n; i += LANES, j++) {
        vec v = vec_load_part(x + i, n - i < LANES ? n - i : LANES);
        s[j] = vec_fma(v, v, s[j]);
    }
    return vec_sum(vec_add(vec_add(s[0], s[1]), vec_add(s[2], s[3])));
}

static void rmsnorm(float *y, const float *x, const float *w, float eps, int64_t n)
{
    float mean = sum_squares(x, n) / (float)n;
    vec factor = vec_all(1 / __builtin_sqrtf(mean + eps));
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec_store(y + i, vec_mul(vec_mul(vec_load(x + i), factor), vec_load(w + i)));
    }
    if (i == n) return;
    vec v = vec_mul(vec_mul(vec_load_part(x + i, n - i), factor), vec_load_part(w + i, n - i));
    vec_store_part(y + i, v, n - i);
}

static inline vec silu(vec g)
{
    return vec_div(g, vec_add(vec_all(1), vec_exp(vec_sub(vec_zero(), g))));
}

/* g/2 (1 + tanh u) = g / (1 + e^-2u), u = sqrt(2 / pi) (g + 0.044715 g^3) */
static inline vec gelu_tanh(vec g)
{
    vec cube = vec_mul(vec_mul(g, g), g);
    vec u = vec_fma(cube, vec_all(0.044715f), g);
    vec e = vec_exp(vec_mul(u, vec_all(-1.5957691216057308f)));
    return vec_div(g, vec_add(vec_all(1), e));
}

static inline vec gated(vec g, vec u, glu_kind kind)
{
    return vec_mul(kind == GLU_SILU ? silu(g) : gelu_tanh(g), u);
}

static void glu(float *y, const float *gate, const float *up, glu_kind kind, int64_t n)
{
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        vec_store(y + i, gated(vec_load(gate + i), vec_load(up + i), kind));
    }
    if (i == n) return;
    vec v = gated(vec_load_part(gate + i, n - i), vec_load_part(up + i, n - i), kind);
    vec_store_part(y + i, v, n - i);
}

static void rope_halves(float *head, const float *table, int64_t half, vec way)
{
    for (int64_t i = 0; i < half; i += LANES) {
        int64_t n = half - i < LANES ? half - i : LANES;
        vec c = vec_load_part(table + i, n), s = vec_mul(vec_load_part(table + half + i, n), way);
        vec x = vec_load_part(head + i, n), y = vec_load_part(head + half + i, n);
        vec_store_part(head + i, vec_fnma(y, s, vec_mul(x, c)), n);
        vec_store_part(head + half + i, vec_fma(y, c, vec_mul(x, s)), n);
    }
}

static void rope_pairs(float *head, const float *table, int64_t half, vec way)
{
    for (int64_t i = 0; i < half; i += LANES / 2) {
        int64_t n = half - i < LANES / 2 ? half - i : LANES / 2;
        vec c = vec_doubled(table + i, n), s = vec_mul(vec_doubled(table + half + i, n), way);
        vec x = vec_load_part(head + 2 * i, 2 * n);
        /* even: x c - y s; odd: y c + x s */
        vec_store_part(head + 2 * i, vec_fma_alternate(x, c, vec_mul(vec_swap_pairs(x), s)), 2 * n);
    }
}

static void rope(float *head, const float *table, rope_style style, int64_t turned, float way)
{
    if (style == ROPE_HALVES) rope_halves(head, table, turned / 2, vec_all(way));
    else rope_pairs(head, table, turned / 2, vec_all(way));
}

static void softcap(float *x, float cap, int64_t n)
{
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t m = n - i < LANES ? n - i : LANES;
        vec t = vec_tanh(vec_div(vec_load_part(x + i, m), vec_all(cap)));
        vec_store_part(x + i, vec_mul(t, vec_all(cap)), m);
    }
}

static float largest(const float *x, int64_t n)
{
    vec top = vec_all(-__builtin_inff());
    int64_t i = 0;
    for (; i + LANES <= n; i += LANES) top = vec_max(vec_load(x + i), top);
    if (i < n) {
        vec rest =
            vec_inside(vec_load_part(x + i, n - i), vec_all(-__builtin_inff()), 0, 0, (int)(n - i));
        top = vec_max(rest, top);
    }
    return vec_largest(top);
}

static double sum_exp(const float *x, float top, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t m = n - i < LANES ? n - i : LANES;
        vec e = vec_exp(vec_sub(vec_load_part(x + i, m), vec_all(top)));
        sum += (double)vec_sum(vec_inside(e, vec_zero(), 0, 0, (int)m));
    }
    return sum;
}
