/* pack_in: sixteen rows of a weight at once, as columns of a panel, or straight into the sums of
 * few rows of x; included after rows_in.h and tile_in.h. Every sum is the chain `sums` makes. */

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

typedef struct code_base { /* what words_byte0 and words_byte1 take off */
    vec zero, one;
} code_base;

static inline code_base base_of(dtype type)
{
    const float minus = (float)wide[type].minus;
    return (code_base){vec_all(0x1p23f + minus), vec_all(0x1p15f + minus)};
}

/* The numbers behind the codes of a vector of words: four values of k. */
static inline __attribute__((always_inline)) void code_numbers(vec to[4], words x, code_base base,
                                                               const code_kind kind)
{
    const words y = words_right(x, 16);
    if (kind == CODE_NF4) {
        to[0] = words_nf4(x), to[1] = words_nf4(words_right(x, 8));
        to[2] = words_nf4(y), to[3] = words_nf4(words_right(x, 24));
    } else {
        to[0] = words_byte0(x, base.zero), to[1] = words_byte1(x, base.one);
        to[2] = words_byte0(y, base.zero), to[3] = words_byte1(y, base.one);
    }
}

/* The value: a product and a sum that are each rounded have the bits of one fused step here, as the
 * product of a code of at most five bits and a scale of at most 17 is exact. */
static inline vec code_value(vec number, vec scale, vec least, const code_kind kind)
{
    return kind == CODE_SHIFTED ? vec_fma(number, scale, least) : vec_mul(number, scale);
}

/* One group of all sixteen rows: to [16 values][ld], one row a column. */
static inline __attribute__((always_inline)) void put_group(float *to, int64_t ld,
                                                            const code_rows *w, int64_t group,
                                                            code_base base, const code_kind kind)
{
#pragma GCC unroll 2
    for (int part = 0; part < SIXTEEN; part++) {
        const int64_t at = part * LANES;
        const uint32_t *code = w->code + group / 4 * GROUP + at;
        const vec s = vec_load(w->scale + group + at), l = vec_load(w->least + group + at);
#pragma GCC unroll 4
        for (int i = 0; i < GROUP; i += 4) {
            vec v[4];
            code_numbers(v, words_load(code + i / 4 * GROUP), base, kind);
#pragma GCC unroll 4
            for (int k = 0; k < 4; k++) {
                vec_store(to + (i + k) * ld + at, code_value(v[k], s, l, kind));
            }
        }
    }
}

static inline __attribute__((always_inline)) void pack_kind(const pack_job *t, const code_kind kind)
{
    code_rows rows;
    const lanes all = {rows.code, rows.scale, rows.least};
    const code_base base = base_of(t->type);
    for (int64_t p = 0; p < t->k; p += EXPAND_MAX) {
        int64_t m = t->k - p < EXPAND_MAX ? t->k - p : EXPAND_MAX;
        const int64_t done = bytes_of(t, p), lines = (bytes_of(t, m) / (m / GROUP) + 63) / 64;
        unpack_rows(all, t, p, m);
        for (int64_t g = 0; g < m; g += GROUP) {
            fetch_some(later(t, done + g / GROUP * lines * 64, bytes_of(t, m)), lines);
            put_group(t->to + (p + g) * t->ld, t->ld, &rows, g, base, kind);
        }
    }
}

static void pack_codes(const pack_job *t)
{
    const code_kind kind = formats[t->type].kind;
    if (kind == CODE_SHIFTED) pack_kind(t, CODE_SHIFTED);
    else if (kind == CODE_NF4) pack_kind(t, CODE_NF4);
    else pack_kind(t, CODE_SCALED);
}

enum {
    FEW_PANEL = 2 * LANES,               /* outputs whose sums go on side by side */
    FEW_SIXTEENS = FEW_PANEL / GROUP,    /* groups of outputs in it */
    FEW_VALUES = EXPAND_MAX / 2,         /* values of k at a time, of formats with short blocks */
    FEW_REGISTERS = LANES == 16 ? 16 : 8 /* sums in registers */
};

typedef struct few_part { /* groups of values of a panel, all in the first cache level */
    const code_rows *w;   /* [FEW_SIXTEENS] */
    const float *x;       /* [n][FEW_ROWS], or [n] of one row */
    float *sum;           /* [rows][FEW_PANEL] */
    int64_t n;
    code_base base;
    const unsigned char *soon[FEW_SIXTEENS]; /* fetched meanwhile, line by line */
    int64_t lines;
} few_part;

/* Vectors first .. first + vectors of the panel, which is what has room in registers. */
static inline __attribute__((always_inline)) void
few_vectors(const int rows, const int vectors, const few_part *t, int first, const code_kind kind)
{
    vec acc[FEW_ROWS][2];
    float *sum = t->sum + first * LANES;
    const float *x = t->x;
    int64_t line = 0, due = 0;
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) acc[r][j] = vec_load(sum + r * FEW_PANEL + j * LANES);
    }
    for (int64_t g = 0; g < t->n; g += 4, x += rows == 1 ? 4 : 4 * FEW_ROWS) {
        for (due += 4 * t->lines; due >= t->n; due -= t->n, line++) {
            for (int h = 0; h < FEW_SIXTEENS; h++) fetch_some(t->soon[h] + 64 * line, 1);
        }
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) {
            const code_rows *w = &t->w[(first + j) / SIXTEEN];
            const int64_t lane = (first + j) % SIXTEEN * LANES, group = g / GROUP * GROUP + lane;
            const vec scale = vec_load(w->scale + group), least = vec_load(w->least + group);
            vec v[4];
            code_numbers(v, words_load(w->code + g / 4 * GROUP + lane), t->base, kind);
#pragma GCC unroll 4
            for (int i = 0; i < 4; i++) {
                v[i] = code_value(v[i], scale, least, kind);
#pragma GCC unroll 4
                for (int r = 0; r < rows; r++) {
                    const vec at = vec_all(x[rows == 1 ? i : i * FEW_ROWS + r]);
                    acc[r][j] = vec_fma(at, v[i], acc[r][j]);
                }
            }
        }
    }
#pragma GCC unroll 4
    for (int r = 0; r < rows; r++) {
#pragma GCC unroll 4
        for (int j = 0; j < vectors; j++) vec_store(sum + r * FEW_PANEL + j * LANES, acc[r][j]);
    }
}

/* What the adapter adds to the sums: b2 is packed in panels of the tile. */
static inline void few_more(float *sum, const tile_job *t)
{
    for (int r = 0; r < t->rows; r++) {
        for (int j = 0; j < FEW_PANEL; j += LANES) {
            const float *b = t->b2 + j / PANEL * PANEL * t->k2 + j % PANEL;
            vec acc = vec_load(sum + r * FEW_PANEL + j);
            for (int64_t p = 0; p < t->k2; p++) {
                acc = vec_fma(vec_all(t->a2[p * TILE_ROWS + r]), vec_load(b + p * PANEL), acc);
            }
            vec_store(sum + r * FEW_PANEL + j, acc);
        }
    }
}

/* One row, weights woven in blocks of 32 values: codes go from memory into the sums without leaving
 * the registers. Two vectors of outputs. */
static inline __attribute__((always_inline)) void one_pair(float *sum, const tile_job *t,
                                                           const pack_job *from, const dtype type,
                                                           const code_kind kind)
{
    const code_base base = base_of(type);
    const int bytes = dtype_get(type)->block_bytes;
    const float *x = t->a;
    vec acc[2] = {vec_zero(), vec_zero()};
    block_at b0 = {from[0].from, 0, 0};
    block_at b1 = FEW_SIXTEENS == 1 ? (block_at){b0.p, 0, LANES} : (block_at){from[1].from, 0, 0};
    for (int64_t k = 0; k < t->k; k += 32, x += 32) {
        block_rows b[2];
        block_read(&b[0], b0, type);
        block_read(&b[1], b1, type);
        next_block(&b0, bytes);
        next_block(&b1, bytes);
        const unsigned char *soon = later(from, k / 32 * GROUP * bytes, FETCHED_AHEAD);
        const int64_t apart = FEW_SIXTEENS == 1 ? 0 : from[1].from - from[0].from;
#pragma GCC unroll 8
        for (int i = 0; i < 8; i++) {
            vec v[2][4];
            const int lines = GROUP * bytes * (i + 1) / 512 - GROUP * bytes * i / 512;
            fetch_some(soon + GROUP * bytes * i / 512 * 64, lines);
            if (FEW_SIXTEENS == 2) fetch_some(soon + apart + GROUP * bytes * i / 512 * 64, lines);
            code_numbers(v[0], block_codes(&b[0], i, type), base, kind);
            code_numbers(v[1], block_codes(&b[1], i, type), base, kind);
#pragma GCC unroll 4
            for (int j = 0; j < 4; j++) {
                const vec at = vec_all(x[4 * i + j]);
                acc[0] = vec_fma(at, code_value(v[0][j], b[0].scale, b[0].least, kind), acc[0]);
                acc[1] = vec_fma(at, code_value(v[1][j], b[1].scale, b[1].least, kind), acc[1]);
            }
        }
    }
    vec_store(sum, acc[0]);
    vec_store(sum + LANES, acc[1]);
}

static bool takes_one(const tile_job *t, const pack_job *from)
{
    const dtype type = from->type;
    return t->rows == 1 && from[FEW_SIXTEENS - 1].woven &&
           (type == DTYPE_Q4_0 || type == DTYPE_Q4_1 || type == DTYPE_Q5_0 || type == DTYPE_Q5_1 ||
            type == DTYPE_Q8_0);
}

static inline void few_end(float *sum, const tile_job *t)
{
    few_more(sum, t);
    tile_job end = *t;
    for (int j = 0; j < FEW_PANEL && j < t->columns; j += LANES) {
        end.columns = t->columns - j < LANES ? t->columns - j : LANES;
        end.y = t->y + j;
        end.from = t->from ? t->from + j : NULL;
        end.bias = t->bias ? t->bias + j : NULL;
        tile_end(t->rows, 1, sum + j, FEW_PANEL, &end);
    }
}

static inline __attribute__((always_inline)) void few_of(const int rows, const tile_job *t,
                                                         const pack_job *from, const code_kind kind)
{
    code_rows w[FEW_SIXTEENS];
    float sum[FEW_ROWS * FEW_PANEL] __attribute__((aligned(64)));
    const int64_t step = dtype_get(from->type)->block_size > FEW_VALUES ? EXPAND_MAX : FEW_VALUES;
    memset(sum, 0, sizeof sum);
    few_part part = {.w = w, .sum = sum, .base = base_of(from->type)};
    for (int64_t p = 0; p < t->k; p += step) {
        part.n = t->k - p < step ? t->k - p : step;
        part.x = t->a + p * (rows == 1 ? 1 : FEW_ROWS);
        part.lines = bytes_of(from, part.n) / 64;
        for (int h = 0; h < FEW_SIXTEENS; h++) {
            part.soon[h] = later(&from[h], bytes_of(from, p), bytes_of(from, part.n));
            unpack_rows((lanes){w[h].code, w[h].scale, w[h].least}, &from[h], p, part.n);
        }
        few_vectors(rows, 2, &part, 0, kind);
    }
    few_end(sum, t);
}

static inline __attribute__((always_inline)) void few_rows(const tile_job *t, const pack_job *from,
                                                           const code_kind kind)
{
    switch (t->rows) {
    case 1: few_of(1, t, from, kind); return;
    case 2: few_of(2, t, from, kind); return;
    case 3: few_of(3, t, from, kind); return;
    default: few_of(FEW_ROWS, t, from, kind); return;
    }
}

static bool takes_few(dtype type) { return formats[type].unpack != NULL; }

static void one_row(const tile_job *t, const pack_job *from)
{
    float sum[FEW_PANEL] __attribute__((aligned(64)));
    switch (from->type) {
    case DTYPE_Q4_0: one_pair(sum, t, from, DTYPE_Q4_0, CODE_SCALED); break;
    case DTYPE_Q4_1: one_pair(sum, t, from, DTYPE_Q4_1, CODE_SHIFTED); break;
    case DTYPE_Q5_0: one_pair(sum, t, from, DTYPE_Q5_0, CODE_SCALED); break;
    case DTYPE_Q5_1: one_pair(sum, t, from, DTYPE_Q5_1, CODE_SHIFTED); break;
    default: one_pair(sum, t, from, DTYPE_Q8_0, CODE_SCALED); break;
    }
    few_end(sum, t);
}

static void few(const tile_job *t, const pack_job *from)
{
    const code_kind kind = formats[from->type].kind;
    if (takes_one(t, from)) one_row(t, from);
    else if (kind == CODE_SHIFTED) few_rows(t, from, CODE_SHIFTED);
    else if (kind == CODE_NF4) few_rows(t, from, CODE_NF4);
    else few_rows(t, from, CODE_SCALED);
}

static void pack(const pack_job *t)
{
    if (formats[t->type].unpack) {
        pack_codes(t);
        return;
    }
    const dtype_info *info = dtype_get(t->type);
    if (t->type == DTYPE_F32) {
        transpose(t->to, t->ld, (const float *)t->from, t->bytes_row / 4, t->rows, t->k, GROUP);
        return;
    }
    enum { LD = EXPAND_MAX + 16 }; /* not a power of two: rows in different cache sets */
    float rows[GROUP * LD];
    for (int64_t p = 0; p < t->k; p += EXPAND_MAX) {
        int64_t m = t->k - p < EXPAND_MAX ? t->k - p : EXPAND_MAX;
        for (int i = 0; i < t->rows; i++) {
            expand(rows + i * LD, t->type, t->from + i * t->bytes_row + p * info->block_bytes, m);
        }
        transpose(t->to + p * t->ld, t->ld, rows, LD, t->rows, m, GROUP);
    }
}
