/* safetensors: see safetensors.h. */
#include "model/safetensors.h"

#include "model/files_in.h"

#include <assert.h>
#include <stdlib.h>

typedef struct reader {
    const char *path;
    const uint8_t *data; /* after the header */
    size_t size;
    bool raw; /* U8 and I8 are read too */
    err *e;
} reader;

static bool read_shape(const reader *r, const json_t *shape, safetensors_entry *t)
{
    size_t rank = json_array_size(shape);
    if (!json_is_array(shape) || rank > 4) {
        return err_set(r->e, ERR_MODEL, "its shape is no list of at most 4 numbers");
    }
    t->view.rank = rank > 0 ? (int32_t)rank : 1; /* a lone number is a vector of one */
    for (size_t i = 0; i < 4; i++) t->view.dim[i] = 1;
    int64_t count = 1;
    for (size_t i = 0; i < rank; i++) {
        const json_t *n = json_array_get(shape, i);
        json_int_t value = json_is_integer(n) ? json_integer_value(n) : 0;
        if (value < 1 || value > INT32_MAX ||
            __builtin_mul_overflow(count, (int64_t)value, &count)) {
            return err_set(r->e, ERR_MODEL, "dimension %zu of its shape makes no sense", i);
        }
        t->view.dim[i] = value;
    }
    int64_t row = t->view.dim[t->view.rank - 1], row_bytes;
    if (!dtype_row_bytes(t->view.type, row, &row_bytes) ||
        __builtin_mul_overflow(count / row, row_bytes, &t->bytes)) {
        return err_set(r->e, ERR_MODEL, "its size overflows");
    }
    return true;
}

static bool read_place(const reader *r, const json_t *place, safetensors_entry *t)
{
    const json_t *from = json_array_get(place, 0), *to = json_array_get(place, 1);
    if (!json_is_array(place) || json_array_size(place) != 2 || !json_is_integer(from) ||
        !json_is_integer(to)) {
        return err_set(r->e, ERR_MODEL, "its data_offsets are no pair of whole numbers");
    }
    json_int_t a = json_integer_value(from), b = json_integer_value(to);
    if (a < 0 || b < a || (uint64_t)b > r->size) {
        return err_set(
            r->e, ERR_MODEL,
            "its data_offsets [%lld, %lld] lie outside the file's %zu bytes of data; the "
            "download may be incomplete",
            (long long)a, (long long)b, r->size);
    }
    if (b - a != t->bytes) {
        return err_set(r->e, ERR_MODEL, "its shape takes %lld bytes, its data_offsets span %lld",
                       (long long)t->bytes, (long long)(b - a));
    }
    const uint8_t *data = r->data + a;
    if ((uintptr_t)data % (size_t)dtype_get(t->view.type)->block_bytes != 0) {
        return err_set(
            r->e, ERR_MODEL,
            "it starts between two numbers; write the file again with a newer safetensors");
    }
    t->view.data = (void *)(uintptr_t)data; /* read-only by agreement */
    return true;
}

static bool read_entry(const reader *r, const json_t *object, safetensors_entry *t)
{
    const json_t *type = json_object_get(object, "dtype");
    if (!json_is_object(object) || !json_is_string(type)) {
        return err_set(r->e, ERR_MODEL, "it has no dtype");
    }
    const char *name = json_string_value(type);
    t->view.type = dtype_from_name(name);
    const bool raw = r->raw && (t->view.type == DTYPE_U8 || t->view.type == DTYPE_I8);
    if (t->view.type > DTYPE_BF16 && !raw) {
        char shown[NAME_SHOWN];
        return err_set(
            r->e, ERR_MODEL,
            "its dtype %s is not read; take a checkpoint in F32, F16 or BF16, or a GGUF file",
            name_shown(shown, str_of(name)));
    }
    return read_shape(r, json_object_get(object, "shape"), t) &&
           read_place(r, json_object_get(object, "data_offsets"), t);
}

static int order_places(const void *a, const void *b)
{
    const safetensors_entry *x = a, *y = b;
    uintptr_t p = (uintptr_t)x->view.data, q = (uintptr_t)y->view.data;
    return p == q ? (x->bytes > y->bytes) - (x->bytes < y->bytes) : (p > q) - (p < q);
}

/* Tables of positions that old checkpoints carry in integer formats and nobody reads. */
static bool is_leftover(const char *name)
{
    str s = str_of(name);
    return str_ends(s, "position_ids") || str_ends(s, "masked_bias") || str_ends(s, "attn.bias") ||
           str_ends(s, "rotary_emb.inv_freq");
}

static bool read_entries(safetensors *s, const reader *r, json_t *root, arena *a)
{
    char shown[NAME_SHOWN];
    size_t n = json_object_size(root);
    if (!json_is_object(root) || n > SAFETENSORS_TENSORS_MAX) {
        return err_set(r->e, ERR_MODEL, "%s: its header is no object of at most %d tensors",
                       r->path, SAFETENSORS_TENSORS_MAX);
    }
    safetensors_entry *entry = arena_take_zero(a, n, sizeof *entry, r->e);
    if (!entry) return false;
    const char *key;
    json_t *object;
    int32_t count = 0;
    json_object_foreach(root, key, object)
    {
        if (!strcmp(key, "__metadata__") || is_leftover(key)) continue;
        safetensors_entry *t = &entry[count];
        if (!*key) return err_set(r->e, ERR_MODEL, "%s: a tensor without a name", r->path);
        if (!read_entry(r, object, t)) {
            return err_in(r->e, "%s: tensor `%s`", r->path, name_shown(shown, str_of(key)));
        }
        t->name = str_keep(a, str_of(key), r->e);
        if (!t->name.data) return false;
        count++;
    }
    if (count > 1) qsort(entry, (size_t)count, sizeof *entry, order_places);
    for (int32_t i = 1; i < count; i++) {
        const safetensors_entry *t = &entry[i - 1];
        char other[NAME_SHOWN];
        if ((const uint8_t *)t->view.data + t->bytes > (const uint8_t *)entry[i].view.data) {
            return err_set(r->e, ERR_MODEL, "%s: the tensors `%s` and `%s` overlap", r->path,
                           name_shown(shown, t->name), name_shown(other, entry[i].name));
        }
    }
    s->tensor = entry;
    s->n_tensor = count;
    return true;
}

static bool read_file(safetensors *s, reader r, arena *a)
{
    const uint8_t *data = r.data;
    const size_t size = r.size;
    const char *path = r.path;
    err *e = r.e;
    assert(s && path && a && !arena_measures(a));
    *s = (safetensors){0};
    uint64_t length = 0;
    for (size_t i = 0; i < 8 && i < size; i++) length |= (uint64_t)data[i] << (8 * i);
    if (size < 8 || length > size - 8) {
        return err_set(
            e, ERR_MODEL,
            "%s: the header needs %llu bytes, the file has %zu; it is no safetensors file "
            "or its download is incomplete",
            path, (unsigned long long)length, size);
    }
    if (length > SAFETENSORS_HEADER_MAX) {
        return err_set(e, ERR_MODEL, "%s: a header of %llu bytes; at most %d are read", path,
                       (unsigned long long)length, SAFETENSORS_HEADER_MAX);
    }
    json_error_t why;
    json_t *root = json_loadb((const char *)data + 8, (size_t)length, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        char shown[NAME_SHOWN];
        return err_set(e, ERR_MODEL, "%s: its header is no valid JSON at byte %d (%s)", path,
                       8 + why.position, name_shown(shown, str_of(why.text)));
    }
    r.data = data + 8 + length;
    r.size = size - 8 - (size_t)length;
    bool ok = read_entries(s, &r, root, a);
    json_decref(root);
    return ok;
}

bool safetensors_read(safetensors *s, const char *path, const uint8_t *data, size_t size, arena *a,
                      err *e)
{
    return read_file(s, (reader){.path = path, .data = data, .size = size, .e = e}, a);
}

bool safetensors_read_raw(safetensors *s, const char *path, const uint8_t *data, size_t size,
                          arena *a, err *e)
{
    return read_file(s, (reader){.path = path, .data = data, .size = size, .raw = true, .e = e}, a);
}
