/* packed: see packed.h. The reader checks every part against the shape that the others give. */
#include "model/packed.h"

#include "model/files_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#define STATE ".quant_state.bitsandbytes__"

typedef struct folder {
    tensor_entry *entry;
    int32_t n;
    uint8_t *gone; /* [n] folded into another */
    const char *path;
    arena *a;
    err *e;
} folder;

static int order_names(const void *a, const void *b)
{
    return str_order(((const tensor_entry *)a)->name, ((const tensor_entry *)b)->name);
}

/* The entry `name` + `tail`; NULL when absent. */
static tensor_entry *find(const folder *f, str name, const char *tail)
{
    char whole[1200];
    const int n = snprintf(whole, sizeof whole, "%.*s%s", (int)name.size, name.data, tail);
    if (n < 0 || (size_t)n >= sizeof whole) return NULL;
    const tensor_entry key = {.name = {whole, (size_t)n}};
    return bsearch(&key, f->entry, (size_t)f->n, sizeof *f->entry, order_names);
}

static bool refuse(const folder *f, str name, const char *why)
{
    char shown[NAME_SHOWN];
    return err_set(f->e, ERR_MODEL, "%s: the packed matrix `%s` %s", f->path,
                   name_shown(shown, name), why);
}

/* A part with this type and so many numbers; it is then no tensor of its own. NULL: refused. */
static const void *take_part(folder *f, str name, const char *tail, dtype type, int64_t count)
{
    char why[120];
    tensor_entry *t = find(f, name, tail);
    if (t && t->view.type == type && tensor_count(&t->view) == count) {
        f->gone[t - f->entry] = 1;
        return t->view.data;
    }
    snprintf(why, sizeof why, t ? "has %s of another type or length" : "has no %s", tail + 1);
    refuse(f, name, why);
    return NULL;
}

static bool all_finite(const float *x, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        if (!isfinite(x[i])) return false;
    return true;
}

typedef struct state { /* what the JSON says */
    int64_t block, nested_block, rows, columns;
    double offset;
} state;

static int64_t whole_of(const json_t *v) { return json_is_integer(v) ? json_integer_value(v) : 0; }

static bool parse_state(const folder *f, str name, const json_t *root, state *s)
{
    const json_t *shape = json_object_get(root, "shape");
    const json_t *type = json_object_get(root, "quant_type");
    if (!json_is_string(type) || strcmp(json_string_value(type), "nf4") != 0)
        return refuse(f, name, "is no NF4 (fp4 is not read); take the original model");
    s->block = whole_of(json_object_get(root, "blocksize"));
    s->rows = whole_of(json_array_get(shape, 0));
    s->columns = whole_of(json_array_get(shape, 1));
    s->nested_block = whole_of(json_object_get(root, "nested_blocksize"));
    s->offset = json_number_value(json_object_get(root, "nested_offset"));
    if (json_array_size(shape) != 2 || s->rows < 1 || s->columns < 1 || s->rows > MODEL_VOCAB_MAX ||
        s->columns > MODEL_WIDTH_MAX)
        return refuse(f, name, "has a quant_state whose shape makes no sense");
    if (s->columns % 16 != 0) return refuse(f, name, "has rows that are no multiple of 16");
    if (s->block < 16 || s->block > 65536 || s->block % 16 != 0)
        return refuse(f, name, "has a quant_state whose blocksize makes no sense");
    return true;
}

static bool read_state(const folder *f, str name, const tensor_entry *t, state *s)
{
    json_error_t why;
    if (t->view.type != DTYPE_U8 || t->bytes > 1 << 16)
        return refuse(f, name, "has a quant_state that is no short text");
    json_t *root = json_loadb(t->view.data, (size_t)t->bytes, JSON_REJECT_DUPLICATES, &why);
    const bool ok = json_is_object(root) ? parse_state(f, name, root, s)
                                         : refuse(f, name, "has a quant_state that is no JSON");
    json_decref(root);
    return ok;
}

static bool read_absmax(folder *f, str name, const state *s, packed *p)
{
    const int64_t blocks = (s->rows * s->columns + s->block - 1) / s->block;
    if (!find(f, name, ".nested_absmax")) {
        p->absmax = take_part(f, name, ".absmax", DTYPE_F32, blocks);
        if (!p->absmax) return false;
        return all_finite(p->absmax, blocks) || refuse(f, name, "has scales that are no numbers");
    }
    if (s->nested_block < 1 || s->nested_block > 1 << 20 || !isfinite((float)s->offset))
        return refuse(f, name, "has a quant_state whose nested_blocksize or offset makes no sense");
    const int64_t outer = (blocks + s->nested_block - 1) / s->nested_block;
    p->nested_block = s->nested_block;
    p->offset = (float)s->offset;
    p->absmax_code = take_part(f, name, ".absmax", DTYPE_U8, blocks);
    p->nested_absmax = take_part(f, name, ".nested_absmax", DTYPE_F32, outer);
    p->nested_map = take_part(f, name, ".nested_quant_map", DTYPE_F32, 256);
    if (!p->absmax_code || !p->nested_absmax || !p->nested_map) return false;
    return (all_finite(p->nested_absmax, outer) && all_finite(p->nested_map, 256)) ||
           refuse(f, name, "has scales that are no numbers");
}

static void set_entry(tensor_entry *t, dtype wide, dtype narrow, int64_t rows, int64_t columns)
{
    t->view.type = columns % PACKED_BLOCK == 0 ? wide : narrow;
    t->view.rank = 2;
    t->view.dim[0] = rows;
    t->view.dim[1] = columns;
    t->view.dim[2] = t->view.dim[3] = 1;
}

static bool fold_nf4(folder *f, tensor_entry *t, tensor_entry *state_at)
{
    state s = {0};
    packed *p = arena_take_zero(f->a, 1, sizeof *p, f->e);
    if (!p || !read_state(f, t->name, state_at, &s)) return false;
    f->gone[state_at - f->entry] = 1;
    if (t->view.type != DTYPE_U8 || tensor_count(&t->view) * 2 != s.rows * s.columns)
        return refuse(f, t->name, "has other than two codes a byte for its shape");
    const float *map = take_part(f, t->name, ".quant_map", DTYPE_F32, 16);
    if (!map) return false;
    if (memcmp(map, dtype_nf4_table, sizeof dtype_nf4_table) != 0)
        return refuse(f, t->name, "has another code book than NF4's");
    if (!read_absmax(f, t->name, &s, p)) return false;
    p->code = t->view.data;
    p->block = s.block;
    t->packed = p;
    t->bytes += (s.rows * s.columns + s.block - 1) / s.block * (p->absmax_code ? 1 : 4);
    set_entry(t, s.block % PACKED_BLOCK == 0 ? DTYPE_NF4 : DTYPE_NF4_16, DTYPE_NF4_16, s.rows,
              s.columns);
    return true;
}

static bool fold_int8(folder *f, tensor_entry *t, str stem)
{
    const int64_t rows = t->view.dim[0], columns = t->view.dim[1];
    packed *p = arena_take_zero(f->a, 1, sizeof *p, f->e);
    if (!p) return false;
    if (t->view.rank != 2) return refuse(f, t->name, "is no matrix");
    if (columns % 16 != 0) return refuse(f, t->name, "has rows that are no multiple of 16");
    p->absmax = take_part(f, stem, ".SCB", DTYPE_F32, rows);
    if (!p->absmax) return false;
    if (!all_finite(p->absmax, rows)) return refuse(f, t->name, "has scales that are no numbers");
    tensor_entry *format = find(f, stem, ".weight_format");
    if (format) f->gone[format - f->entry] = 1;
    p->code = t->view.data;
    t->packed = p;
    t->bytes += 4 * rows;
    set_entry(t, DTYPE_INT8, DTYPE_INT8_16, rows, columns);
    return true;
}

static bool fold_one(folder *f, tensor_entry *t)
{
    static const char *const kinds[] = {STATE "nf4", STATE "fp4"};
    const bool is_weight = str_ends(t->name, ".weight") && dtype_is_raw(t->view.type);
    for (size_t i = 0; is_weight && i < countof(kinds); i++) {
        tensor_entry *s = find(f, t->name, kinds[i]);
        if (s) return fold_nf4(f, t, s);
    }
    if (!is_weight || t->view.type != DTYPE_I8) return true;
    return fold_int8(f, t, str_part(t->name, 0, t->name.size - sizeof ".weight" + 1));
}

static bool check_rest(const folder *f)
{
    char shown[NAME_SHOWN];
    for (int32_t i = 0; i < f->n; i++) {
        const tensor_entry *t = &f->entry[i];
        if (f->gone[i] || !dtype_is_raw(t->view.type)) continue;
        return err_set(f->e, ERR_MODEL,
                       "%s: tensor `%s`: its dtype %s is not read; take a checkpoint in F32, F16 "
                       "or BF16, or a GGUF file",
                       f->path, name_shown(shown, t->name), dtype_get(t->view.type)->name);
    }
    return true;
}

int32_t packed_fold(tensor_entry *entry, int32_t n, const char *path, arena *a, err *e)
{
    bool any = false;
    for (int32_t i = 0; i < n; i++) any = any || dtype_is_raw(entry[i].view.type);
    if (!any) return n;
    folder f = {.entry = entry, .n = n, .path = path, .a = a, .e = e};
    f.gone = arena_take_zero(a, (size_t)n, 1, e);
    if (!f.gone) return -1;
    qsort(entry, (size_t)n, sizeof *entry, order_names);
    for (int32_t i = 0; i < n; i++)
        if (!fold_one(&f, &entry[i])) return -1;
    if (!check_rest(&f)) return -1;
    int32_t kept = 0;
    for (int32_t i = 0; i < n; i++)
        if (!f.gone[i]) entry[kept++] = entry[i];
    return kept;
}

/* ---- into memory ---- */

static float absmax_of(const packed *p, int64_t block)
{
    if (!p->absmax_code) return p->absmax[block];
    const float outer =
        p->nested_map[p->absmax_code[block]] * p->nested_absmax[block / p->nested_block];
    return outer + p->offset;
}

static void lay_nf4(uint8_t *out, const tensor_entry *t)
{
    const packed *p = t->packed;
    const int64_t size = dtype_get(t->view.type)->block_size, n = tensor_count(&t->view);
    for (int64_t at = 0; at < n; at += size, out += 4 + size / 2) {
        const float scale = absmax_of(p, at / p->block);
        memcpy(out, &scale, 4);
        memcpy(out + 4, p->code + at / 2, (size_t)size / 2);
    }
}

static void lay_int8(uint8_t *out, const tensor_entry *t)
{
    const packed *p = t->packed;
    const int64_t size = dtype_get(t->view.type)->block_size, n = tensor_count(&t->view);
    for (int64_t at = 0; at < n; at += size, out += 4 + size) {
        const float scale = p->absmax[at / t->view.dim[1]] / 127;
        memcpy(out, &scale, 4);
        memcpy(out + 4, p->code + at, (size_t)size);
    }
}

bool packed_tensor(tensor *out, const tensor_entry *t, arena *a, err *e)
{
    *out = t->view;
    if (!t->packed) return true;
    int64_t row = 0;
    const bool whole = dtype_row_bytes(t->view.type, t->view.dim[1], &row);
    assert(whole);
    uint8_t *data = arena_take(a, (size_t)t->view.dim[0], (size_t)row, e);
    if (!data) return false;
    const bool nf4 = t->view.type == DTYPE_NF4 || t->view.type == DTYPE_NF4_16;
    if (nf4) lay_nf4(data, t);
    else lay_int8(data, t);
    int64_t numbers = t->view.dim[0] * t->view.dim[1];
    file_rest(t->packed->code, (size_t)(nf4 ? numbers / 2 : numbers)); /* read once and for all */
    out->data = data;
    return true;
}

/* ---- out ---- */

static int rising(const void *a, const void *b)
{
    const float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Bound k of `parts` + 1 from 0.1 to 1: from the near end, rounded to float32 once. */
static float bound(int k, int parts)
{
    const double step = (double)(0.9f / (float)parts);
    return (float)(k < (parts + 1) / 2 ? (double)0.1f + step * k : 1.0 - step * (parts - k));
}

/* For each power 10^(i - 6) the means of 2^i parts between 0.1 and 1, both signs; and 0 and 1. */
void packed_nested_map(float map[256])
{
    static const float powers[7] = {1e-6f, 1e-5f, 1e-4f, 1e-3f, 1e-2f, 1e-1f, 1};
    int n = 0;
    for (int i = 0; i < 7; i++) {
        for (int k = 0; k < 1 << i; k++) {
            const float mean = (bound(k, 1 << i) + bound(k + 1, 1 << i)) / 2;
            map[n++] = powers[i] * mean;
            map[n++] = -(powers[i] * mean);
        }
    }
    map[n++] = 0;
    map[n++] = 1;
    assert(n == 256);
    qsort(map, 256, sizeof *map, rising);
}

/* The nearest of rising values; of two as near the lower. */
static int nearest_of(const float *value, int n, float x)
{
    int low = 0, high = n - 1;
    while (low < high) {
        const int middle = (low + high) / 2;
        if (x - value[middle] <= value[middle + 1] - x) high = middle;
        else low = middle + 1;
    }
    return low;
}

void packed_encode_nf4(uint8_t *code, float *absmax, const float *x, int64_t n, int64_t first,
                       int64_t count)
{
    for (int64_t b = first; b < first + count; b++) {
        const int64_t from = b * PACKED_BLOCK,
                      to = from + PACKED_BLOCK < n ? from + PACKED_BLOCK : n;
        float most = 0;
        for (int64_t i = from; i < to; i++) most = fmaxf(most, fabsf(x[i]));
        absmax[b] = most;
        for (int64_t i = from; i < to; i++) {
            const int q = most > 0 ? nearest_of(dtype_nf4_table, 16, x[i] / most) : 7;
            if (i % 2 == 0) code[i / 2] = (uint8_t)(q << 4);
            else code[i / 2] |= (uint8_t)q;
        }
    }
}

void packed_encode_nested(uint8_t *code, float *nested_absmax, float *offset, float *absmax,
                          int64_t n)
{
    float map[256];
    double sum = 0;
    packed_nested_map(map);
    for (int64_t i = 0; i < n; i++) sum += (double)absmax[i];
    *offset = (float)(sum / (double)n);
    for (int64_t from = 0; from < n; from += PACKED_NESTED) {
        const int64_t to = from + PACKED_NESTED < n ? from + PACKED_NESTED : n;
        float most = 0;
        for (int64_t i = from; i < to; i++) most = fmaxf(most, fabsf(absmax[i] - *offset));
        nested_absmax[from / PACKED_NESTED] = most;
        for (int64_t i = from; i < to; i++) {
            const float unit = most > 0 ? (absmax[i] - *offset) / most : 0;
            code[i] = (uint8_t)nearest_of(map, 256, unit);
            const float outer = map[code[i]] * most;
            absmax[i] = outer + *offset;
        }
    }
}

float packed_encode_int8(int8_t *code, const float *x, int64_t n)
{
    float most = 0;
    for (int64_t i = 0; i < n; i++) most = fmaxf(most, fabsf(x[i]));
    const float inverse = most > 0 ? 127 / most : 0;
    for (int64_t i = 0; i < n; i++) code[i] = (int8_t)rintf(x[i] * inverse);
    return most;
}
