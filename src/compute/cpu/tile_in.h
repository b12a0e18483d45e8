/* tile_in: packing and the tile of the matrix product over `vec`; included after a vec header.
 *
 * `sums` is the one inner loop: up to TILE_ROWS rows of one or two vectors of running sums, one
 * step of k at a time. All of its uses give it constant sizes, so that the sums stay in registers;
 * rows are written out in fours because compilers disagree on how a loop is asked to be
 * unrolled. */

enum {
    ROWS_WRITTEN = 16, /* TILE_ROWS rounded up to fours */
    FETCH_AHEAD = 512, /* floats: packed rows come from afar, and hardware stops at each page */
};

typedef struct operands { /* row i, step p: a[i * a_row + p * a_step]; b[p * b_step + lane] */
    const float *a, *b;
    int64_t k, b_step;
} operands;

static inline __attribute__((always_inline)) void four_begin(vec acc[ROWS_WRITTEN][2],
                                                             const int first, const int rows,
                                                             const int n_vec, const float *from,
                                                             int64_t ld, const float *factor)
{
#pragma GCC unroll 4
    for (int i = first; i < first + 4; i++) {
        acc[i][0] = acc[i][1] = vec_zero();
        if (i >= rows || !factor) continue;
        acc[i][0] = vec_mul(vec_load(from + i * ld), vec_all(factor[i]));
        if (n_vec > 1) acc[i][1] = vec_mul(vec_load(from + i * ld + LANES), vec_all(factor[i]));
    }
}

static inline __attribute__((always_inline)) void four_step(vec acc[ROWS_WRITTEN][2],
                                                            const int first, const int rows,
                                                            const int n_vec, const float *a,
                                                            const int a_row, const vec w[2])
{
#pragma GCC unroll 4
    for (int i = first; i < first + 4; i++) {
        if (i >= rows) continue;
        vec x = vec_all(a[i * a_row]);
        acc[i][0] = vec_fma(x, w[0], acc[i][0]);
        if (n_vec > 1) acc[i][1] = vec_fma(x, w[1], acc[i][1]);
    }
}

static inline __attribute__((always_inline)) void four_end(vec acc[ROWS_WRITTEN][2],
                                                           const int first, const int rows,
                                                           const int n_vec, float *to, int64_t ld)
{
#pragma GCC unroll 4
    for (int i = first; i < first + 4; i++) {
        if (i >= rows) continue;
        vec_store(to + i * ld, acc[i][0]);
        if (n_vec > 1) vec_store(to + i * ld + LANES, acc[i][1]);
    }
}

/* to [rows][ld] = to * factor (0 without one) + the sums over `o`, then over `more` (k 0: none),
 * in one chain. `y` [rows][ld_y]: where they will go in the end, fetched for writing row by row
 * meanwhile, because another core may hold it; NULL: nowhere. */
static inline __attribute__((always_inline)) void
sums(const int rows, const int n_vec, operands o, operands more, const int a_row,
     const int64_t a_step, float *to, int64_t ld, const float *factor, const float *y, int64_t ld_y)
{
    vec acc[ROWS_WRITTEN][2];
    four_begin(acc, 0, rows, n_vec, to, ld, factor);
    four_begin(acc, 4, rows, n_vec, to, ld, factor);
    four_begin(acc, 8, rows, n_vec, to, ld, factor);
    four_begin(acc, 12, rows, n_vec, to, ld, factor);
    int64_t row = 0;
    for (;; o = more, more.k = 0) {
        for (int64_t p = 0; p < o.k;) {
            int64_t end = o.k;
            if (y && row < rows) {
                vec_fetch_own(y + row * ld_y);
                vec_fetch_own(y + row * ld_y + LANES);
                end = p + 16 < o.k ? p + 16 : o.k;
                row++;
            }
            for (; p < end; p++) {
                if (a_row == 1) vec_fetch(o.a + FETCH_AHEAD);
                const vec w[2] = {vec_load(o.b), n_vec > 1 ? vec_load(o.b + LANES) : vec_zero()};
                four_step(acc, 0, rows, n_vec, o.a, a_row, w);
                four_step(acc, 4, rows, n_vec, o.a, a_row, w);
                four_step(acc, 8, rows, n_vec, o.a, a_row, w);
                four_step(acc, 12, rows, n_vec, o.a, a_row, w);
                o.a += a_step;
                o.b += o.b_step;
            }
        }
        if (more.k == 0) break;
    }
    four_end(acc, 0, rows, n_vec, to, ld);
    four_end(acc, 4, rows, n_vec, to, ld);
    four_end(acc, 8, rows, n_vec, to, ld);
    four_end(acc, 12, rows, n_vec, to, ld);
}

static inline operands no_more(void) { return (operands){NULL, NULL, 0, 0}; }

static inline vec load_columns(const float *p, int64_t n) /* n may be <= 0 or > LANES */
{
    if (n >= LANES) return vec_load(p);
    return n > 0 ? vec_load_part(p, n) : vec_zero();
}

static inline void store_columns(float *p, vec x, int64_t n)
{
    if (n >= LANES) vec_store(p, x);
    else if (n > 0) vec_store_part(p, x, n);
}

/* y = from + sum [rows][ld] + bias + y, as far as each is there. */
static inline __attribute__((always_inline)) void
tile_end(const int rows, const int n_vec, const float *sum, int64_t ld, const tile_job *t)
{
    for (int i = 0; i < rows; i++) {
        for (int j = 0; j < n_vec; j++) {
            int64_t n = t->columns - j * LANES;
            float *y = t->y + i * t->ld + j * LANES;
            vec v = vec_load(sum + i * ld + j * LANES);
            if (t->from) v = vec_add(load_columns(t->from + i * t->from_ld + j * LANES, n), v);
            if (t->bias) v = vec_add(v, load_columns(t->bias + j * LANES, n));
            if (t->add) v = vec_add(load_columns(y, n), v);
            store_columns(y, v, n);
        }
    }
}

static inline __attribute__((always_inline)) void tile_part(const int rows, const int n_vec,
                                                            const tile_job *t)
{
    float sum[TILE_ROWS * PANEL] __attribute__((aligned(64)));
    const operands o = {t->a, t->b, t->k, PANEL}, more = {t->a2, t->b2, t->k2, PANEL};
    sums(rows, n_vec, o, more, 1, TILE_ROWS, sum, PANEL, NULL, t->y, t->ld);
    tile_end(rows, n_vec, sum, PANEL, t);
}

static inline __attribute__((always_inline)) void tile_of(const int rows, const tile_job *t)
{
    if (t->columns > LANES) tile_part(rows, 2, t);
    else tile_part(rows, 1, t);
}
