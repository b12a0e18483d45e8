/* pack_in: sixteen rows of a weight at once, as columns of a panel, or straight into the sums of
 * few rows of x; included after wide_in.h and tile_in.h. Every sum is the chain `sums` makes. */

/* One group of all sixteen rows: to [16 values][ld], one row a column. */
static inline __attribute__((always_inline)) void
put_group(float *to, int64_t ld, const code_rows *w, int64_t group, const code_kind kind)
{
    const int8_t *code = w->code + group * GROUP;
#pragma GCC unroll 2
    for (int part = 0; part < SIXTEEN; part++) {
        const int64_t at = part * LANES;
        const vec s = vec_load(w->scale + group + at), l = vec_load(w->least + group + at);
#pragma GCC unroll 16
        for (int i = 0; i < GROUP; i++) {
            vec_store(to + i * ld + at, code_values(code + i * GROUP + at, s, l, kind));
        }
    }
}

/* The bytes that come after these are fetched meanwhile, in their order, a few lines with each
 * group of values: bursts would wait for each other. */
static inline __attribute__((always_inline)) const unsigned char *
fetch_some(const unsigned char *next, int64_t lines)
{
    for (int64_t i = 0; i < lines; i++, next += 64) _mm_prefetch((const char *)next, _MM_HINT_T1);
    return next;
}

static inline int64_t lines_a_group(const pack_job *t)
{
    const int64_t groups = (t->k + GROUP - 1) / GROUP;
    return (t->next_bytes / 64 + groups - 1) / groups;
}

/* Values p .. p + m of the rows of t. */
static inline void unpack_rows(code_rows *to, const pack_job *t, int64_t p, int64_t m)
{
    const dtype_info *info = dtype_get(t->type);
    const unsigned char *from = t->from + p / info->block_size * info->block_bytes;
    if (t->rows == GROUP && wide[t->type].unpack) {
        wide[t->type].unpack(to, from, t->bytes_row, m);
        return;
    }
    int8_t code[GROUP * EXPAND_MAX] __attribute__((aligned(64)));
    if (t->rows < GROUP) {
        memset(code, 0, sizeof code);
        memset(to, 0, sizeof *to);
    }
    for (int i = 0; i < t->rows; i++) {
        formats[t->type].unpack(code + i * GROUP, to->scale + i, to->least + i,
                                from + i * t->bytes_row, m);
    }
    for (int64_t g = 0; g < m; g += GROUP) {
        bytes_turn(to->code + g * GROUP, code + g * GROUP, GROUP);
    }
}

static inline __attribute__((always_inline)) void pack_kind(const pack_job *t, const code_kind kind)
{
    code_rows rows;
    const unsigned char *next = t->next;
    const int64_t lines = lines_a_group(t);
    for (int64_t p = 0; p < t->k; p += EXPAND_MAX) {
        int64_t m = t->k - p < EXPAND_MAX ? t->k - p : EXPAND_MAX;
        unpack_rows(&rows, t, p, m);
        for (int64_t g = 0; g < m; g += GROUP) {
            next = fetch_some(next, lines);
            put_group(t->to + (p + g) * t->ld, t->ld, &rows, g, kind);
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

enum { HALVES = PANEL / GROUP }; /* groups of sixteen outputs in a panel */

/* One group of values of a panel of outputs, times x [GROUP][TILE_ROWS], into the sums. */
static inline __attribute__((always_inline)) void few_group(const int rows, vec acc[FEW_ROWS][2],
                                                            const code_rows *w, int64_t g,
                                                            const float *x, const code_kind kind)
{
    const int8_t *code[2];
    vec scale[2], least[2];
#pragma GCC unroll 2
    for (int j = 0; j < 2; j++) { /* a vector of outputs: half of one sixteen, or one of two */
        const code_rows *half = &w[HALVES == 1 ? 0 : j];
        const int64_t at = HALVES == 1 ? j * LANES : 0;
        code[j] = half->code + g * GROUP + at;
        scale[j] = vec_load(half->scale + g + at);
        least[j] = vec_load(half->least + g + at);
    }
#pragma GCC unroll 16
    for (int i = 0; i < GROUP; i++) {
        const vec v[2] = {code_values(code[0] + i * GROUP, scale[0], least[0], kind),
                          code_values(code[1] + i * GROUP, scale[1], least[1], kind)};
#pragma GCC unroll 4
        for (int r = 0; r < rows; r++) {
            const vec at = vec_all(x[i * TILE_ROWS + r]);
            acc[r][0] = vec_fma(at, v[0], acc[r][0]);
            acc[r][1] = vec_fma(at, v[1], acc[r][1]);
        }
    }
}

static inline __attribute__((always_inline)) void few_of(const int rows, const tile_job *t,
                                                         const pack_job *from, const code_kind kind)
{
    code_rows w[HALVES];
    vec acc[FEW_ROWS][2];
    float sum[FEW_ROWS * PANEL] __attribute__((aligned(64)));
    const unsigned char *next[HALVES];
    const int64_t lines = lines_a_group(from);
    for (int h = 0; h < HALVES; h++) next[h] = from[h].next;
    for (int i = 0; i < FEW_ROWS; i++) acc[i][0] = acc[i][1] = vec_zero();
    for (int64_t p = 0; p < t->k; p += EXPAND_MAX) {
        int64_t m = t->k - p < EXPAND_MAX ? t->k - p : EXPAND_MAX;
        for (int h = 0; h < HALVES; h++) unpack_rows(&w[h], &from[h], p, m);
        for (int64_t g = 0; g < m; g += GROUP) {
            for (int h = 0; h < HALVES; h++) next[h] = fetch_some(next[h], lines);
            few_group(rows, acc, w, g, t->a + (p + g) * TILE_ROWS, kind);
        }
    }
    for (int64_t p = 0; p < t->k2; p++) {
        for (int r = 0; r < rows; r++) {
            const vec at = vec_all(t->a2[p * TILE_ROWS + r]);
            acc[r][0] = vec_fma(at, vec_load(t->b2 + p * PANEL), acc[r][0]);
            acc[r][1] = vec_fma(at, vec_load(t->b2 + p * PANEL + LANES), acc[r][1]);
        }
    }
    for (int r = 0; r < rows; r++) {
        vec_store(sum + r * PANEL, acc[r][0]);
        vec_store(sum + r * PANEL + LANES, acc[r][1]);
    }
    tile_end(rows, 2, sum, t);
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

static void few(const tile_job *t, const pack_job *from)
{
    const code_kind kind = formats[from->type].kind;
    if (kind == CODE_SHIFTED) few_rows(t, from, CODE_SHIFTED);
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
