/* tile_in: packing and the tile of the matrix product over `vec`; included after a vec header.
 *
 * `sums` is the one inner loop: R x (n_vec vectors) of running sums, one step of k at a time. All of its
 * uses give it constant sizes, so that the sums stay in registers. */

/* a: row i, step p at a[i * a_row + p * a_step]; b: vector j, step p at b[p * b_step + j * LANES]. */
static inline __attribute__((always_inline)) void sums(vec acc[TILE_ROWS][2], const int rows,
                                                       const int n_vec, const float *a,
                                                       const int a_row, const int a_step,
                                                       const float *b, const int b_step, int64_t k)
{
    for (int64_t p = 0; p < k; p++) {
        vec w0 = vec_load(b), w1 = n_vec > 1 ? vec_load(b + LANES) : w0;
#pragma GCC unroll 16
        for (int i = 0; i < rows; i++) {
            vec x = vec_all(a[i * a_row]);
            acc[i][0] = vec_fma(x, w0, acc[i][0]);
            if (n_vec > 1) acc[i][1] = vec_fma(x, w1, acc[i][1]);
        }
        a += a_step;
        b += b_step;
    }
}

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

static inline __attribute__((always_inline)) void tile_of(const int rows, const tile_job *t)
{
    vec acc[TILE_ROWS][2];
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) acc[i][0] = acc[i][1] = vec_zero();
    sums(acc, rows, 2, t->a, 1, TILE_ROWS, t->b, PANEL, t->k);
#pragma GCC unroll 16
    for (int i = 0; i < rows; i++) {
#pragma GCC unroll 2
        for (int j = 0; j < 2; j++) {
            int64_t n = t->columns - j * LANES;
            float *y = t->y + i * t->ld + j * LANES;
            vec v = acc[i][j];
            if (t->from) v = vec_add(vec_load(t->from + i * t->from_ld + j * LANES), v);
            if (t->bias) v = vec_add(v, load_columns(t->bias + j * LANES, n));
            if (t->add) v = vec_add(load_columns(y, n), v);
            store_columns(y, v, n);
        }
    }
}

static void transpose(float *to, int64_t ld_to, const float *from, int64_t ld, int64_t rows,
                      int64_t k, int64_t width)
{
    for (int64_t c = 0; c < width; c += LANES) {
        int64_t out = width - c < LANES ? width - c : LANES;
        for (int64_t p = 0; p < k; p += LANES) {
            int64_t steps = k - p < LANES ? k - p : LANES;
            vec x[LANES];
#pragma GCC unroll 16
            for (int i = 0; i < LANES; i++) {
                x[i] = c + i < rows ? load_columns(from + (c + i) * ld + p, k - p) : vec_zero();
            }
            vec_transpose(x);
            float *y = to + p * ld_to + c;
            if (steps == LANES && (out == LANES || p + LANES < k)) {
#pragma GCC unroll 16
                for (int i = 0; i < LANES; i++) vec_store(y + i * ld_to, x[i]);
            } else {
#pragma GCC unroll 16
                for (int i = 0; i < LANES; i++) {
                    if (i < steps) store_columns(y + i * ld_to, x[i], out);
                }
            }
        }
    }
}
