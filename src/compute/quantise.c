/* quantise: see quantise.h. Block layouts are drawn in dtype.c.
 *
 * Two kinds of blocks: x ~ d q with codes around 0 (Q4_0, Q5_0, Q8_0, Q6_K), and x ~ d q + m with
 * codes from 0 on (Q4_1, Q5_1, Q4_K, Q5_K). For given codes the best d (and m) solve the normal
 * equations; for given d and m the best codes are the nearest ones; so the two steps alternate,
 * from a few starting scales around the one that just reaches the extremes. */
#include "compute/quantise.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { K_BLOCK = 256, GROUP_MAX = 32, TRIES = 9 };

uint16_t quantise_bfloat(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    if ((bits & 0x7fffffff) > 0x7f800000) return (uint16_t)(bits >> 16 | 0x40); /* quiet NaN */
    return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

uint16_t quantise_half(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, 4);
    const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
    bits &= 0x7fffffff;
    if (bits > 0x7f800000) return sign | 0x7e00;
    if (bits >= 0x477ff000) return sign | 0x7c00; /* 65,520 and more round to infinity */
    if (bits < 0x38800000) {                      /* below 2^-14: a multiple of 2^-24 */
        float small;
        memcpy(&small, &bits, 4);
        small += 0.5f; /* whose last place is 2^-24: the sum is rounded as it should be */
        memcpy(&bits, &small, 4);
        return (uint16_t)(sign | (bits - 0x3f000000));
    }
    return (uint16_t)(sign | ((bits + 0xfff + (bits >> 13 & 1) - 0x38000000) >> 13));
}

static void put_half(uint8_t *p, float x)
{
    uint16_t h = quantise_half(x);
    memcpy(p, &h, 2);
}

/* As the number will be read again. */
static float stored(float x) { return dtype_half_to_f32(quantise_half(x)); }

/* The nearest whole number, ties to even, of |x| < 2^22; the compiler makes vectors of it. */
static float nearest(float x)
{
    const float shift = 12582912.0f; /* 1.5 * 2^23 */
    return (x + shift) - shift;
}

static float inverse_of(float d) { return d != 0 && isfinite(1 / d) ? 1 / d : 0; }

/* q[i] = the code of x[i], from `low` to `high`. */
static void take_codes(float *q, const float *x, int n, float inverse, float least, int low,
                       int high)
{
    const float from = (float)low, to = (float)high;
    for (int i = 0; i < n; i++) {
        float c = nearest((x[i] - least) * inverse);
        c = c > from ? c : from; /* what is no number becomes `low` */
        q[i] = c < to ? c : to;
    }
}

typedef struct sums { /* over a group of values and their codes */
    float x, q, qq, xq;
} sums;

static sums sums_of(const float *q, const float *x, int n)
{
    float s[4][4] = {{0}}; /* four chains; n is a multiple of 4 */
    for (int i = 0; i < n; i += 4) {
        for (int k = 0; k < 4; k++) {
            s[0][k] += x[i + k];
            s[1][k] += q[i + k];
            s[2][k] += q[i + k] * q[i + k];
            s[3][k] += x[i + k] * q[i + k];
        }
    }
    float t[4];
    for (int j = 0; j < 4; j++) t[j] = (s[j][0] + s[j][1]) + (s[j][2] + s[j][3]);
    return (sums){t[0], t[1], t[2], t[3]};
}

static float error_of(const float *q, const float *x, int n, float d, float least)
{
    float s[4] = {0};
    for (int i = 0; i < n; i += 4) {
        for (int k = 0; k < 4; k++) {
            float off = x[i + k] - (d * q[i + k] + least);
            s[k] += off * off;
        }
    }
    return (s[0] + s[1]) + (s[2] + s[3]);
}

/* The value furthest from 0. */
static float peak_of(const float *x, int n)
{
    float peak = 0;
    for (int i = 0; i < n; i++) {
        if (fabsf(x[i]) > fabsf(peak)) peak = x[i];
    }
    return peak;
}

/* Codes from -half to half - 1; the peak may fall on the side that has one more: d has a sign. */
static float fit_even(const float *x, int n, int half)
{
    const float peak = peak_of(x, n);
    float best = 0, best_gain = 0, q[GROUP_MAX];
    if (peak == 0 || !isfinite(1 / peak)) return 0;
    for (int k = 0; k < 2 * TRIES; k++) {
        const int step = k % TRIES - TRIES / 2;
        const float most = (float)half + 0.1f * (float)(2 * step);
        float inverse = (k < TRIES ? -most : most) / peak;
        for (int round = 0; round < 2; round++) {
            take_codes(q, x, n, inverse, 0, -half, half - 1);
            const sums s = sums_of(q, x, n);
            if (s.qq == 0 || s.xq * s.xq <= best_gain * s.qq) break;
            best_gain = s.xq * s.xq / s.qq; /* by how much the squared error falls */
            best = s.xq / s.qq;
            inverse = inverse_of(best);
        }
    }
    return best;
}

typedef struct line { /* x ~ d q + least */
    float d, least;
} line;

/* By least squares; where the format cannot add, the least value is at most 0. */
static line solve(const sums *s, int n, bool adds)
{
    const float count = (float)n, det = count * s->qq - s->q * s->q;
    line l = {0, s->x / count};
    if (det > 0) {
        l.d = (count * s->xq - s->x * s->q) / det;
        l.least = (s->qq * s->x - s->q * s->xq) / det;
    }
    if (adds || l.least <= 0) return l;
    return (line){s->qq > 0 ? s->xq / s->qq : 0, 0};
}

static line fit_line(const float *x, int n, int levels, bool adds)
{
    float low = x[0], high = x[0], q[GROUP_MAX];
    for (int i = 1; i < n; i++) {
        low = x[i] < low ? x[i] : low;
        high = x[i] > high ? x[i] : high;
    }
    if (!adds && low > 0) low = 0;
    line best = {0, low};
    if (!(high - low > 0) || !isfinite(1 / (high - low))) return best;
    float best_error = INFINITY;
    for (int k = 0; k < TRIES; k++) {
        line l = {0, low};
        float inverse = ((float)levels + 0.15f * (float)(k - 2)) / (high - low);
        for (int round = 0; round < 3; round++) {
            take_codes(q, x, n, inverse, l.least, 0, levels);
            const sums s = sums_of(q, x, n);
            l = solve(&s, n, adds);
            const float error = error_of(q, x, n, l.d, l.least);
            if (!(error < best_error)) break;
            best_error = error;
            best = l;
            inverse = inverse_of(l.d);
        }
    }
    return best;
}

/* ---- 32 values a block ---- */

static void put_nibbles(uint8_t *qs, const float *q, int offset)
{
    for (int i = 0; i < 16; i++) {
        int low = (int)q[i] + offset, high = (int)q[i + 16] + offset;
        qs[i] = (uint8_t)((low & 15) | (high & 15) << 4);
    }
}

static void put_fifth_bits(uint8_t *qh, const float *q, int offset)
{
    memset(qh, 0, 4);
    for (int i = 0; i < 32; i++) qh[i / 8] |= (uint8_t)(((int)q[i] + offset) >> 4 << i % 8);
}

static void f32_from_f32(void *out, const float *in, int64_t n)
{
    memcpy(out, in, (size_t)n * sizeof *in);
}

static void f16_from_f32(void *out, const float *in, int64_t n)
{
    uint16_t h;
    for (int64_t i = 0; i < n; i++) {
        h = quantise_half(in[i]);
        memcpy((uint8_t *)out + 2 * i, &h, 2);
    }
}

static void bf16_from_f32(void *out, const float *in, int64_t n)
{
    uint16_t h;
    for (int64_t i = 0; i < n; i++) {
        h = quantise_bfloat(in[i]);
        memcpy((uint8_t *)out + 2 * i, &h, 2);
    }
}

static void even_32(uint8_t *p, const float *x, int half, float q[32])
{
    const float d = stored(fit_even(x, 32, half));
    put_half(p, d);
    take_codes(q, x, 32, inverse_of(d), 0, -half, half - 1);
}

static void q4_0_from_f32(void *out, const float *x, int64_t n)
{
    float q[32];
    for (uint8_t *p = out; n > 0; n -= 32, x += 32, p += 18) {
        even_32(p, x, 8, q);
        put_nibbles(p + 2, q, 8);
    }
}

static void q5_0_from_f32(void *out, const float *x, int64_t n)
{
    float q[32];
    for (uint8_t *p = out; n > 0; n -= 32, x += 32, p += 22) {
        even_32(p, x, 16, q);
        put_fifth_bits(p + 2, q, 16);
        put_nibbles(p + 6, q, 16);
    }
}

static void line_32(uint8_t *p, const float *x, int levels, float q[32])
{
    line l = fit_line(x, 32, levels, true);
    l = (line){stored(l.d), stored(l.least)};
    put_half(p, l.d);
    put_half(p + 2, l.least);
    take_codes(q, x, 32, inverse_of(l.d), l.least, 0, levels);
}

static void q4_1_from_f32(void *out, const float *x, int64_t n)
{
    float q[32];
    for (uint8_t *p = out; n > 0; n -= 32, x += 32, p += 20) {
        line_32(p, x, 15, q);
        put_nibbles(p + 4, q, 0);
    }
}

static void q5_1_from_f32(void *out, const float *x, int64_t n)
{
    float q[32];
    for (uint8_t *p = out; n > 0; n -= 32, x += 32, p += 24) {
        line_32(p, x, 31, q);
        put_fifth_bits(p + 4, q, 0);
        put_nibbles(p + 8, q, 0);
    }
}

/* Eight bits: the scale that reaches the peak, and a few a little smaller or larger. */
static void q8_0_from_f32(void *out, const float *x, int64_t n)
{
    float q[32];
    for (uint8_t *p = out; n > 0; n -= 32, x += 32, p += 34) {
        const float peak = fabsf(peak_of(x, 32));
        float d = 0, least_error = INFINITY;
        for (int k = -2; k <= 2; k++) {
            const float tried = stored(peak / (127 + 0.25f * (float)k));
            take_codes(q, x, 32, inverse_of(tried), 0, -127, 127);
            const float error = error_of(q, x, 32, tried, 0);
            if (!(error < least_error)) continue;
            least_error = error;
            d = tried;
        }
        put_half(p, d);
        take_codes(q, x, 32, inverse_of(d), 0, -127, 127);
        for (int i = 0; i < 32; i++) p[2 + i] = (uint8_t)(int8_t)q[i];
    }
}

/* ---- 256 values a block ---- */

typedef struct k_block { /* d, m: as stored; s, l: 6 bits a group of 32 */
    float d, m;
    int s[8], l[8];
    float q[K_BLOCK];
} k_block;

static int whole(float x, int low, int high)
{
    float c = nearest(x);
    c = c > (float)low ? c : (float)low;
    return c < (float)high ? (int)c : high;
}

/* Codes of group j for its scale and least; their error. */
static float code_group(k_block *b, const float *x, int j, int levels)
{
    const float d = b->d * (float)b->s[j], least = -(b->m * (float)b->l[j]);
    float *q = b->q + 32 * j;
    take_codes(q, x + 32 * j, 32, inverse_of(d), least, 0, levels);
    return error_of(q, x + 32 * j, 32, d, least);
}

/* Small scales are whole numbers: the neighbours of the nearest ones may fit better. */
static void settle_group(k_block *b, const float *x, int j, int levels)
{
    const int s = b->s[j], l = b->l[j];
    int best_s = s, best_l = l;
    float best = INFINITY;
    for (int k = 0; k < 9; k++) {
        b->s[j] = s + k / 3 - 1;
        b->l[j] = l + k % 3 - 1;
        if (b->s[j] < 0 || b->s[j] > 63 || b->l[j] < 0 || b->l[j] > 63) continue;
        const float error = code_group(b, x, j, levels);
        if (!(error < best)) continue;
        best = error;
        best_s = b->s[j];
        best_l = b->l[j];
    }
    b->s[j] = best_s;
    b->l[j] = best_l;
    code_group(b, x, j, levels);
}

/* The best d and m of the block for the codes and small scales it has: two normal equations. */
static void refit_block(k_block *b, const float *x)
{
    double aa = 0, ab = 0, bb = 0, ax = 0, bx = 0;
    for (int i = 0; i < K_BLOCK; i++) {
        const double u = (double)b->s[i / 32] * (double)b->q[i], v = -(double)b->l[i / 32];
        aa += u * u, ab += u * v, bb += v * v;
        ax += u * (double)x[i], bx += v * (double)x[i];
    }
    const double det = aa * bb - ab * ab;
    double d = aa > 0 ? ax / aa : 0, m = (double)b->m;
    if (det > 1e-9 * aa * bb) {
        d = (ax * bb - bx * ab) / det;
        m = (aa * bx - ab * ax) / det;
    }
    if (!(d > 0) || !(m >= 0)) return;
    b->d = stored((float)d);
    b->m = stored((float)m);
}

static float settle_block(k_block *b, const float *x, int levels)
{
    float error = 0;
    for (int j = 0; j < 8; j++) {
        settle_group(b, x, j, levels);
        error += error_of(b->q + 32 * j, x + 32 * j, 32, b->d * (float)b->s[j],
                          -(b->m * (float)b->l[j]));
    }
    return error;
}

static void fit_block(k_block *b, const float *x, int levels)
{
    line group[8];
    float most_d = 0, most_m = 0;
    for (int j = 0; j < 8; j++) {
        group[j] = fit_line(x + 32 * j, 32, levels, false);
        most_d = group[j].d > most_d ? group[j].d : most_d;
        most_m = -group[j].least > most_m ? -group[j].least : most_m;
    }
    *b = (k_block){.d = stored(most_d / 63), .m = stored(most_m / 63)};
    for (int j = 0; j < 8; j++) {
        b->s[j] = whole(group[j].d * inverse_of(b->d), 0, 63);
        b->l[j] = whole(-group[j].least * inverse_of(b->m), 0, 63);
    }
    const float error = settle_block(b, x, levels);
    k_block again = *b;
    refit_block(&again, x);
    if (settle_block(&again, x, levels) < error) *b = again;
}

static void put_small_scales(uint8_t *p, const k_block *b) /* k_scale in dtype.c reads them */
{
    for (int j = 0; j < 4; j++) {
        p[j] = (uint8_t)(b->s[j] | b->s[j + 4] >> 4 << 6);
        p[j + 4] = (uint8_t)(b->l[j] | b->l[j + 4] >> 4 << 6);
        p[j + 8] = (uint8_t)((b->s[j + 4] & 15) | (b->l[j + 4] & 15) << 4);
    }
}

static void put_k_codes(uint8_t *qs, const float *q)
{
    for (int i = 0; i < K_BLOCK / 2; i++) {
        const float *pair = q + i / 32 * 64 + i % 32;
        qs[i] = (uint8_t)(((int)pair[0] & 15) | ((int)pair[32] & 15) << 4);
    }
}

static void q4_k_from_f32(void *out, const float *x, int64_t n)
{
    k_block b;
    for (uint8_t *p = out; n > 0; n -= K_BLOCK, x += K_BLOCK, p += 144) {
        fit_block(&b, x, 15);
        put_half(p, b.d);
        put_half(p + 2, b.m);
        put_small_scales(p + 4, &b);
        put_k_codes(p + 16, b.q);
    }
}

static void q5_k_from_f32(void *out, const float *x, int64_t n)
{
    k_block b;
    for (uint8_t *p = out; n > 0; n -= K_BLOCK, x += K_BLOCK, p += 176) {
        fit_block(&b, x, 31);
        put_half(p, b.d);
        put_half(p + 2, b.m);
        put_small_scales(p + 4, &b);
        memset(p + 16, 0, 32);
        for (int i = 0; i < K_BLOCK; i++) p[16 + i % 32] |= (uint8_t)((int)b.q[i] >> 4 << i / 32);
        put_k_codes(p + 48, b.q);
    }
}

typedef struct q6_block {
    float d;
    int s[16];
    float q[K_BLOCK];
} q6_block;

static float q6_settle(q6_block *b, const float *x)
{
    float all = 0;
    for (int j = 0; j < 16; j++) {
        const int s = b->s[j];
        int best_s = s;
        float best = INFINITY, *q = b->q + 16 * j;
        for (int k = s - 1; k <= s + 1; k++) {
            if (k < -128 || k > 127) continue;
            const float d = b->d * (float)k;
            take_codes(q, x + 16 * j, 16, inverse_of(d), 0, -32, 31);
            const float error = error_of(q, x + 16 * j, 16, d, 0);
            if (!(error < best)) continue;
            best = error;
            best_s = k;
        }
        b->s[j] = best_s;
        take_codes(q, x + 16 * j, 16, inverse_of(b->d * (float)best_s), 0, -32, 31);
        all += error_of(q, x + 16 * j, 16, b->d * (float)best_s, 0);
    }
    return all;
}

static void q6_fit(q6_block *b, const float *x)
{
    float scale[16];
    for (int j = 0; j < 16; j++) scale[j] = fit_even(x + 16 * j, 16, 32);
    b->d = stored(peak_of(scale, 16) / -128);
    for (int j = 0; j < 16; j++) b->s[j] = whole(scale[j] * inverse_of(b->d), -128, 127);
    float error = q6_settle(b, x);
    for (int round = 0; round < 2; round++) {
        double over = 0, under = 0;
        for (int i = 0; i < K_BLOCK; i++) {
            const double u = (double)b->s[i / 16] * (double)b->q[i];
            over += u * (double)x[i];
            under += u * u;
        }
        if (!(under > 0)) return;
        q6_block again = *b;
        again.d = stored((float)(over / under));
        const float now = q6_settle(&again, x);
        if (!(now < error)) return;
        error = now;
        *b = again;
    }
}

static void put_q6(uint8_t *p, const q6_block *b)
{
    memset(p, 0, 192);
    for (int i = 0; i < K_BLOCK; i++) { /* places as q6_k_to_f32 in dtype.c has them */
        const int code = (int)b->q[i] + 32, half = i / 128, k = i % 128 / 32, l = i % 32;
        p[64 * half + 32 * (k % 2) + l] |= (uint8_t)((code & 15) << 4 * (k / 2));
        p[128 + 32 * half + l] |= (uint8_t)(code >> 4 << 2 * k);
    }
    for (int j = 0; j < 16; j++) p[192 + j] = (uint8_t)(int8_t)b->s[j];
    put_half(p + 208, b->d);
}

static void q6_k_from_f32(void *out, const float *x, int64_t n)
{
    q6_block b;
    for (uint8_t *p = out; n > 0; n -= K_BLOCK, x += K_BLOCK, p += 210) {
        q6_fit(&b, x);
        put_q6(p, &b);
    }
}

typedef void encoder(void *out, const float *in, int64_t n);

static encoder *const encoders[DTYPE_COUNT] = {
    [DTYPE_F32] = f32_from_f32,   [DTYPE_F16] = f16_from_f32,   [DTYPE_BF16] = bf16_from_f32,
    [DTYPE_Q4_0] = q4_0_from_f32, [DTYPE_Q4_1] = q4_1_from_f32, [DTYPE_Q5_0] = q5_0_from_f32,
    [DTYPE_Q5_1] = q5_1_from_f32, [DTYPE_Q8_0] = q8_0_from_f32, [DTYPE_Q4_K] = q4_k_from_f32,
    [DTYPE_Q5_K] = q5_k_from_f32, [DTYPE_Q6_K] = q6_k_from_f32,
};

bool quantise_knows(dtype t) { return (unsigned)t < DTYPE_COUNT && encoders[t]; }

void quantise(dtype t, void *out, const float *in, int64_t n)
{
    assert(quantise_knows(t) && n >= 0 && n % dtype_get(t)->block_size == 0);
    encoders[t](out, in, n);
}
