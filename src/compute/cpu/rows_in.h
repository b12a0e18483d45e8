/* rows_in: sixteen rows of a weight taken apart, wherever they lie, and what will be read next
 * fetched meanwhile; included after wide_in.h. */

enum { FETCHED_AHEAD = 1536 }; /* bytes, of woven rows: the time that memory takes */

/* What will be read when `done` bytes of these rows have been: the bytes that come after all of
 * them, or, of woven rows, those `ahead` in the stream. */
static inline const unsigned char *later(const pack_job *t, int64_t done, int64_t ahead)
{
    if (!t->woven) return t->next + done;
    const int64_t left = t->bytes_left - done - ahead;
    return left > 0 ? t->from + done + ahead : t->next - left;
}

/* A few lines with each group of values: bursts would wait for each other. */
static inline __attribute__((always_inline)) void fetch_some(const unsigned char *p, int64_t lines)
{
    for (int64_t i = 0; i < lines; i++) _mm_prefetch((const char *)p + 64 * i, _MM_HINT_T0);
}

static inline int64_t bytes_of(const pack_job *t, int64_t n) /* n values of sixteen rows */
{
    const dtype_info *info = dtype_get(t->type);
    return GROUP * (n / info->block_size * info->block_bytes);
}

/* Where value p of LANES of the rows is, from row `row` on. */
static inline block_at block_of(const pack_job *t, int64_t p, int row)
{
    const dtype_info *info = dtype_get(t->type);
    const int64_t before = p / info->block_size * info->block_bytes;
    if (t->woven) return (block_at){t->from + GROUP * before, 0, row};
    return (block_at){t->from + before + row * t->bytes_row, t->bytes_row, 0};
}

/* Values p .. p + m of the rows of t; fewer than sixteen rows go one by one. */
static inline void unpack_rows(lanes to, const pack_job *t, int64_t p, int64_t m)
{
    const dtype_info *info = dtype_get(t->type);
    const unsigned char *from = t->from + p / info->block_size * info->block_bytes;
    for (int at = 0; t->rows == GROUP && at < GROUP; at += LANES) {
        const lanes first = {to.code + at, to.scale + at, to.least + at};
        wide[t->type].unpack(first, block_of(t, p, at), m);
    }
    if (t->rows == GROUP) return;
    int8_t code[GROUP * EXPAND_MAX] __attribute__((aligned(64)));
    memset(code, 0, sizeof code);
    memset(to.code, 0, (size_t)(GROUP * m));
    memset(to.scale, 0, (size_t)m * sizeof *to.scale);
    memset(to.least, 0, (size_t)m * sizeof *to.least);
    for (int i = 0; i < t->rows; i++) {
        formats[t->type].unpack(code + i * GROUP, to.scale + i, to.least + i,
                                from + i * t->bytes_row, m);
    }
    const words minus = words_all(0x01010101u * (uint32_t)wide[t->type].minus);
    for (int64_t at = 0; at < GROUP * m; at += GROUP * LANES) { /* LANES rows of a group */
        words x[4];
        words_turn(x, (const uint8_t *)code + at, GROUP);
        uint32_t *codes = to.code + at / GROUP_BYTES * 4 * GROUP + at % GROUP_BYTES / GROUP;
        for (int i = 0; i < 4; i++) words_store(codes + i * GROUP, words_add_bytes(x[i], minus));
    }
}
