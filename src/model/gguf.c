/* gguf: see gguf.h. One cursor walks the header once; a take is checked against the bytes left. */
#include "model/gguf.h"

#include "model/files_in.h"

#include <assert.h>
#include <stdlib.h>

static const int type_bytes[GGUF_TYPE_COUNT] = {
    [GGUF_U8] = 1,  [GGUF_I8] = 1,   [GGUF_U16] = 2, [GGUF_I16] = 2, [GGUF_U32] = 4, [GGUF_I32] = 4,
    [GGUF_F32] = 4, [GGUF_BOOL] = 1, [GGUF_U64] = 8, [GGUF_I64] = 8, [GGUF_F64] = 8,
};

/* Number formats that exist in the wild and are not read, for the message. */
static const struct {
    uint32_t number;
    const char *name;
} other_formats[] = {
    {9, "Q8_1"},      {15, "Q8_K"},  {16, "IQ2_XXS"}, {17, "IQ2_XS"},   {18, "IQ3_XXS"},
    {19, "IQ1_S"},    {21, "IQ3_S"}, {22, "IQ2_S"},   {24, "I8"},       {25, "I16"},
    {27, "I64"},      {28, "F64"},   {29, "IQ1_M"},   {31, "Q4_0_4_4"}, {32, "Q4_0_4_8"},
    {33, "Q4_0_8_8"}, {34, "TQ1_0"}, {35, "TQ2_0"},   {39, "MXFP4"},
};

typedef struct cursor {
    const uint8_t *data;
    size_t at, size;
    const char *path;
    err *e;
} cursor;

/* The next `n` bytes, or NULL and an error that names `what`. */
static const uint8_t *take(cursor *c, uint64_t n, const char *what)
{
    if (n > c->size - c->at) {
        err_set(
            c->e, ERR_MODEL,
            "%s: %s at byte %zu needs %llu bytes but the file has %zu left; it is damaged or its "
            "download is incomplete",
            c->path, what, c->at, (unsigned long long)n, c->size - c->at);
        return NULL;
    }
    const uint8_t *p = c->data + c->at;
    c->at += (size_t)n;
    return p;
}

static uint64_t load(const uint8_t *p, int bytes)
{
    uint64_t v = 0;
    for (int i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static bool take_u32(cursor *c, uint32_t *out, const char *what)
{
    const uint8_t *p = take(c, 4, what);
    if (p) *out = (uint32_t)load(p, 4);
    return p != NULL;
}

static bool take_u64(cursor *c, uint64_t *out, const char *what)
{
    const uint8_t *p = take(c, 8, what);
    if (p) *out = load(p, 8);
    return p != NULL;
}

static bool take_text(cursor *c, str *out, const char *what)
{
    uint64_t n;
    if (!take_u64(c, &n, what)) return false;
    const uint8_t *p = take(c, n, what);
    if (p) *out = (str){(const char *)p, (size_t)n};
    return p != NULL;
}

static bool take_name(cursor *c, str *out, const char *what)
{
    size_t at = c->at;
    if (!take_text(c, out, what)) return false;
    if (out->size == 0 || out->size > GGUF_NAME_MAX || memchr(out->data, 0, out->size)) {
        return err_set(c->e, ERR_MODEL,
                       "%s: %s at byte %zu is empty, over %d bytes or holds a 0 byte", c->path,
                       what, at, GGUF_NAME_MAX);
    }
    return true;
}

static bool take_array(cursor *c, gguf_value *v)
{
    uint32_t type;
    uint64_t count;
    if (!take_u32(c, &type, "an array's type") || !take_u64(c, &count, "an array's length")) {
        return false;
    }
    if (type == GGUF_ARRAY) {
        return err_set(c->e, ERR_MODEL, "%s: an array of arrays, which no known model needs",
                       c->path);
    }
    if (type >= GGUF_TYPE_COUNT) {
        return err_set(c->e, ERR_MODEL, "%s: unknown item type %u", c->path, type);
    }
    /* Each item takes at least one byte (a string at least eight): bounds the count before any
     * loop. */
    size_t least = type == GGUF_STRING ? 8 : (size_t)type_bytes[type];
    if (count > (c->size - c->at) / least) {
        return err_set(c->e, ERR_MODEL,
                       "%s: an array of %llu items at byte %zu is larger than the rest of the file",
                       c->path, (unsigned long long)count, c->at);
    }
    *v = (gguf_value){.type = (gguf_type)type, .is_array = true, .count = (int64_t)count};
    v->data = c->data + c->at;
    size_t from = c->at;
    if (type == GGUF_STRING) {
        str skipped;
        for (uint64_t i = 0; i < count; i++) {
            if (!take_text(c, &skipped, "a string of an array")) return false;
        }
    } else if (!take(c, count * least, "an array")) {
        return false;
    }
    v->size = c->at - from;
    return true;
}

static bool take_value(cursor *c, gguf_value *v)
{
    uint32_t type;
    if (!take_u32(c, &type, "a value's type")) return false;
    if (type == GGUF_ARRAY) return take_array(c, v);
    if (type >= GGUF_TYPE_COUNT) {
        return err_set(c->e, ERR_MODEL, "%s: unknown value type %u", c->path, type);
    }
    *v = (gguf_value){.type = (gguf_type)type, .count = 1};
    if (type == GGUF_STRING) {
        str text;
        if (!take_text(c, &text, "a string")) return false;
        v->data = (const uint8_t *)text.data;
        v->size = text.size;
        return true;
    }
    v->size = (size_t)type_bytes[type];
    v->data = take(c, v->size, "a value");
    if (v->data && type == GGUF_BOOL && v->data[0] > 1) {
        return err_set(c->e, ERR_MODEL, "%s: a yes-or-no value is %u", c->path, v->data[0]);
    }
    return v->data != NULL;
}

static int order_pairs(const void *a, const void *b)
{
    return str_order(((const gguf_pair *)a)->key, ((const gguf_pair *)b)->key);
}

static int order_tensors(const void *a, const void *b)
{
    return str_order(((const gguf_tensor *)a)->name, ((const gguf_tensor *)b)->name);
}

static int order_offsets(const void *a, const void *b)
{
    const gguf_tensor *x = *(const gguf_tensor *const *)a, *y = *(const gguf_tensor *const *)b;
    return (x->offset > y->offset) - (x->offset < y->offset);
}

static bool read_pairs(gguf *g, cursor *c, arena *a)
{
    char shown[NAME_SHOWN];
    gguf_pair *pair = arena_take(a, (size_t)g->n_pair, sizeof *pair, c->e);
    if (!pair) return false;
    for (int32_t i = 0; i < g->n_pair; i++) {
        if (!take_name(c, &pair[i].key, "a key")) return false;
        if (!take_value(c, &pair[i].value)) {
            return err_in(c->e, "key `%s`", name_shown(shown, pair[i].key));
        }
    }
    qsort(pair, (size_t)g->n_pair, sizeof *pair, order_pairs);
    for (int32_t i = 1; i < g->n_pair; i++) {
        if (str_equal(pair[i].key, pair[i - 1].key)) {
            return err_set(c->e, ERR_MODEL, "%s: the key `%s` is there twice", g->path,
                           name_shown(shown, pair[i].key));
        }
    }
    g->pair = pair;
    return true;
}

/* Dimensions (fastest first in the file) into view.dim (slowest first), and the bytes they take. */
static bool take_shape(cursor *c, gguf_tensor *t)
{
    uint32_t rank;
    if (!take_u32(c, &rank, "a tensor's rank")) return false;
    if (rank < 1 || rank > 4) {
        return err_set(c->e, ERR_MODEL, "its rank is %u; 1 to 4 are read", rank);
    }
    t->view.rank = (int32_t)rank;
    for (int i = 0; i < 4; i++) t->view.dim[i] = 1;
    int64_t count = 1;
    for (uint32_t i = 0; i < rank; i++) {
        uint64_t n;
        if (!take_u64(c, &n, "a tensor's dimension")) return false;
        if (n < 1 || n > INT32_MAX || __builtin_mul_overflow(count, (int64_t)n, &count)) {
            return err_set(c->e, ERR_MODEL, "its dimension %u is %llu", i, (unsigned long long)n);
        }
        t->view.dim[rank - 1 - i] = (int64_t)n;
    }
    uint32_t type;
    if (!take_u32(c, &type, "a tensor's number format")) return false;
    t->view.type = dtype_from_ggml(type);
    if (t->view.type == DTYPE_COUNT) {
        const char *name = "unknown";
        for (size_t i = 0; i < countof(other_formats); i++) {
            if (other_formats[i].number == type) name = other_formats[i].name;
        }
        return err_set(
            c->e, ERR_MODEL,
            "its number format %u (%s) is not read; take a file in F32, F16, BF16, Q4_0, "
            "Q4_1, Q5_0, Q5_1, Q8_0, Q2_K to Q6_K, IQ4_NL or IQ4_XS",
            type, name);
    }
    int64_t row = t->view.dim[rank - 1], row_bytes;
    if (!dtype_row_bytes(t->view.type, row, &row_bytes)) {
        return err_set(c->e, ERR_MODEL, "its rows of %lld values are no whole blocks of %s",
                       (long long)row, dtype_get(t->view.type)->name);
    }
    if (__builtin_mul_overflow(count / row, row_bytes, &t->bytes)) {
        return err_set(c->e, ERR_MODEL, "its size overflows");
    }
    return true;
}

static bool read_tensors(gguf *g, cursor *c, arena *a)
{
    char shown[NAME_SHOWN];
    gguf_tensor *list = arena_take_zero(a, (size_t)g->n_tensor, sizeof *list, c->e);
    if (!list) return false;
    for (int32_t i = 0; i < g->n_tensor; i++) {
        gguf_tensor *t = &list[i];
        uint64_t offset = 0;
        if (!take_name(c, &t->name, "a tensor's name")) return false;
        if (!take_shape(c, t) || !take_u64(c, &offset, "a tensor's offset")) {
            return err_in(c->e, "%s: tensor `%s`", g->path, name_shown(shown, t->name));
        }
        if (offset > INT64_MAX) {
            return err_set(c->e, ERR_MODEL, "%s: tensor `%s` starts at %llu, beyond the file",
                           g->path, name_shown(shown, t->name), (unsigned long long)offset);
        }
        t->offset = (int64_t)offset;
    }
    qsort(list, (size_t)g->n_tensor, sizeof *list, order_tensors);
    for (int32_t i = 1; i < g->n_tensor; i++) {
        if (str_equal(list[i].name, list[i - 1].name)) {
            return err_set(c->e, ERR_MODEL, "%s: the tensor `%s` is there twice", g->path,
                           name_shown(shown, list[i].name));
        }
    }
    g->tensor = list;
    return true;
}

/* Turns offsets into places in the file: aligned, inside it, disjoint. */
static bool place_tensors(gguf *g, cursor *c, int64_t alignment, bool may_end, arena *a)
{
    char shown[NAME_SHOWN], other[NAME_SHOWN];
    gguf_tensor *list = (gguf_tensor *)(uintptr_t)g->tensor; /* ours, not yet given out */
    gguf_tensor **by_offset = arena_take(a, (size_t)g->n_tensor, sizeof *by_offset, c->e);
    if (!by_offset) return false;
    int64_t start = ((int64_t)c->at + alignment - 1) / alignment * alignment;
    for (int32_t i = 0; i < g->n_tensor; i++) {
        gguf_tensor *t = &list[i];
        by_offset[i] = t;
        if (t->offset % alignment != 0) {
            return err_set(c->e, ERR_MODEL,
                           "%s: tensor `%s` starts at %lld, no multiple of the alignment %lld",
                           g->path, name_shown(shown, t->name), (long long)t->offset,
                           (long long)alignment);
        }
        int64_t end;
        if (__builtin_add_overflow(t->offset, start, &t->offset) ||
            __builtin_add_overflow(t->offset, t->bytes, &end) ||
            (end > (int64_t)c->size && !may_end)) {
            return err_set(c->e, ERR_MODEL,
                           "%s: tensor `%s` ends beyond the file's %zu bytes; its download may be "
                           "incomplete",
                           g->path, name_shown(shown, t->name), c->size);
        }
        if (end > (int64_t)c->size) continue;
        t->view.data = (void *)(uintptr_t)(c->data + t->offset); /* read-only by agreement */
    }
    qsort(by_offset, (size_t)g->n_tensor, sizeof(gguf_tensor *), order_offsets);
    for (int32_t i = 1; i < g->n_tensor; i++) {
        const gguf_tensor *t = by_offset[i], *before = by_offset[i - 1];
        if (before->offset + before->bytes > t->offset) {
            return err_set(c->e, ERR_MODEL, "%s: the tensors `%s` and `%s` overlap", g->path,
                           name_shown(shown, before->name), name_shown(other, t->name));
        }
    }
    return true;
}

static bool read_start(gguf *g, cursor *c)
{
    const uint8_t *magic = take(c, 4, "the magic");
    uint32_t version = 0;
    if (!magic) return false;
    if (memcmp(magic, "GGUF", 4) != 0) {
        return err_set(c->e, ERR_MODEL, "%s does not start with GGUF: it is no GGUF file", c->path);
    }
    if (!take_u32(c, &version, "the version")) return false;
    if (version == 1) {
        return err_set(c->e, ERR_MODEL,
                       "%s is GGUF version 1 of 2023, which is not read; convert the model again",
                       c->path);
    }
    if (version != 0 && (version & 0xffff) == 0) {
        return err_set(c->e, ERR_MODEL, "%s is a big-endian GGUF file; take the little-endian one",
                       c->path);
    }
    if (version != 2 && version != 3) {
        return err_set(c->e, ERR_MODEL, "%s is GGUF version %u; versions 2 and 3 are read", c->path,
                       version);
    }
    uint64_t n_tensor = 0, n_pair = 0;
    if (!take_u64(c, &n_tensor, "the number of tensors") ||
        !take_u64(c, &n_pair, "the number of keys")) {
        return false;
    }
    /* A pair takes at least 13 bytes, a tensor at least 33. */
    size_t left = c->size - c->at;
    if (n_pair > GGUF_PAIRS_MAX || n_tensor > GGUF_TENSORS_MAX || n_pair > left / 13 ||
        n_tensor > left / 33) {
        return err_set(
            c->e, ERR_MODEL,
            "%s: claims %llu keys and %llu tensors, more than its %zu bytes or the limits "
            "of %d and %d hold",
            c->path, (unsigned long long)n_pair, (unsigned long long)n_tensor, c->size,
            GGUF_PAIRS_MAX, GGUF_TENSORS_MAX);
    }
    g->version = (int32_t)version;
    g->n_tensor = (int32_t)n_tensor;
    g->n_pair = (int32_t)n_pair;
    return true;
}

static bool read_all(gguf *g, cursor c, bool may_end, arena *a, err *e)
{
    const char *path = c.path;
    if (!read_start(g, &c) || !read_pairs(g, &c, a)) return false;
    int64_t alignment = 32;
    const gguf_value *v = gguf_find(g, "general.alignment");
    if (v && (!gguf_item_int(v, 0, &alignment) || v->is_array || alignment < 8 ||
              alignment > 1 << 20 || (alignment & (alignment - 1)) != 0)) {
        return err_set(e, ERR_MODEL,
                       "%s: general.alignment must be a power of two from 8 to 1048576", path);
    }
    return read_tensors(g, &c, a) && place_tensors(g, &c, alignment, may_end, a);
}

bool gguf_read(gguf *g, const char *path, const uint8_t *data, size_t size, arena *a, err *e)
{
    assert(g && path && a && !arena_measures(a));
    *g = (gguf){.path = path};
    return read_all(g, (cursor){.data = data, .size = size, .path = path, .e = e}, false, a, e);
}

bool gguf_read_header(gguf *g, const char *path, const uint8_t *data, size_t size, arena *a, err *e)
{
    assert(g && path && a && !arena_measures(a));
    *g = (gguf){.path = path};
    return read_all(g, (cursor){.data = data, .size = size, .path = path, .e = e}, true, a, e);
}

const gguf_value *gguf_find(const gguf *g, const char *key)
{
    gguf_pair wanted = {.key = str_of(key)};
    const gguf_pair *p =
        g->n_pair ? bsearch(&wanted, g->pair, (size_t)g->n_pair, sizeof *g->pair, order_pairs)
                  : NULL;
    return p ? &p->value : NULL;
}

const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name)
{
    gguf_tensor wanted = {.name = str_of(name)};
    if (g->n_tensor == 0) return NULL;
    return bsearch(&wanted, g->tensor, (size_t)g->n_tensor, sizeof *g->tensor, order_tensors);
}

bool gguf_item_int(const gguf_value *v, int64_t i, int64_t *out)
{
    assert(v && out);
    if (i < 0 || i >= v->count || v->type == GGUF_STRING) return false;
    const uint8_t *p = v->data + (size_t)i * (size_t)type_bytes[v->type];
    uint64_t raw = load(p, type_bytes[v->type]);
    switch (v->type) {
    case GGUF_U8:
    case GGUF_U16:
    case GGUF_U32:
    case GGUF_BOOL: *out = (int64_t)raw; return true;
    case GGUF_I8: *out = (int8_t)raw; return true;
    case GGUF_I16: *out = (int16_t)raw; return true;
    case GGUF_I32: *out = (int32_t)raw; return true;
    case GGUF_I64: *out = (int64_t)raw; return true;
    case GGUF_U64: *out = (int64_t)raw; return raw <= INT64_MAX;
    default: return false;
    }
}

bool gguf_item_double(const gguf_value *v, int64_t i, double *out)
{
    assert(v && out);
    if (i < 0 || i >= v->count) return false;
    if (v->type == GGUF_F32) {
        float f;
        memcpy(&f, v->data + 4 * i, 4);
        *out = f;
        return true;
    }
    if (v->type == GGUF_F64) {
        memcpy(out, v->data + 8 * i, 8);
        return true;
    }
    int64_t n;
    if (!gguf_item_int(v, i, &n)) return false;
    *out = (double)n;
    return true;
}

bool gguf_text(const gguf_value *v, str *out)
{
    assert(v && out);
    if (v->is_array || v->type != GGUF_STRING) return false;
    *out = (str){(const char *)v->data, v->size};
    return true;
}

const str *gguf_texts(const gguf_value *v, arena *a, err *e)
{
    assert(v && a);
    if (!v->is_array || v->type != GGUF_STRING) return NULL;
    str *text = arena_take(a, (size_t)v->count, sizeof *text, e);
    if (!text) return NULL;
    const uint8_t *p = v->data;
    for (int64_t i = 0; i < v->count; i++) { /* lengths were checked when the file was read */
        size_t n = (size_t)load(p, 8);
        text[i] = (str){(const char *)p + 8, n};
        p += 8 + n;
    }
    return text;
}
