/* gguf_write: see gguf_write.h. */
#include "model/gguf_write.h"

#include <assert.h>

static const size_t head_max = (size_t)1 << 30;

void gguf_head_open(gguf_head *g)
{
    *g = (gguf_head){.pairs = buf_up_to(head_max), .tensors = buf_up_to(head_max)};
}

void gguf_head_close(gguf_head *g)
{
    buf_close(&g->pairs);
    buf_close(&g->tensors);
    *g = (gguf_head){0};
}

static void add_number(buf *b, uint64_t value, int bytes)
{
    unsigned char out[8];
    for (int i = 0; i < bytes; i++) out[i] = (unsigned char)(value >> (8 * i));
    buf_add(b, out, (size_t)bytes);
}

static void add_text(buf *b, str s)
{
    add_number(b, s.size, 8);
    buf_add_str(b, s);
}

static void add_key(gguf_head *g, str key, gguf_type type)
{
    assert(key.size > 0 && key.size <= GGUF_NAME_MAX);
    add_text(&g->pairs, key);
    add_number(&g->pairs, type, 4);
    g->n_pair++;
}

static void add_array(gguf_head *g, str key, gguf_type type, int64_t n)
{
    add_key(g, key, GGUF_ARRAY);
    add_number(&g->pairs, type, 4);
    add_number(&g->pairs, (uint64_t)n, 8);
}

void gguf_put_text(gguf_head *g, const char *key, str value)
{
    add_key(g, str_of(key), GGUF_STRING);
    add_text(&g->pairs, value);
}

void gguf_put_u32(gguf_head *g, const char *key, uint32_t value)
{
    add_key(g, str_of(key), GGUF_U32);
    add_number(&g->pairs, value, 4);
}

void gguf_put_f32(gguf_head *g, const char *key, float value)
{
    add_key(g, str_of(key), GGUF_F32);
    buf_add(&g->pairs, &value, 4);
}

void gguf_put_bool(gguf_head *g, const char *key, bool value)
{
    add_key(g, str_of(key), GGUF_BOOL);
    add_number(&g->pairs, value, 1);
}

void gguf_put_texts(gguf_head *g, const char *key, const str *value, int64_t n)
{
    add_array(g, str_of(key), GGUF_STRING, n);
    for (int64_t i = 0; i < n; i++) add_text(&g->pairs, value[i]);
}

void gguf_put_floats(gguf_head *g, const char *key, const float *value, int64_t n)
{
    add_array(g, str_of(key), GGUF_F32, n);
    buf_add(&g->pairs, value, (size_t)n * sizeof *value);
}

void gguf_put_ints(gguf_head *g, const char *key, const int32_t *value, int64_t n)
{
    add_array(g, str_of(key), GGUF_I32, n);
    buf_add(&g->pairs, value, (size_t)n * sizeof *value);
}

void gguf_put_pair(gguf_head *g, const gguf_pair *pair)
{
    const gguf_value *v = &pair->value;
    if (v->is_array) add_array(g, pair->key, v->type, v->count);
    else add_key(g, pair->key, v->type);
    if (!v->is_array && v->type == GGUF_STRING) add_number(&g->pairs, v->size, 8);
    buf_add(&g->pairs, v->data, v->size);
}

static int64_t padded(int64_t bytes)
{
    return (bytes + GGUF_ALIGNMENT - 1) / GGUF_ALIGNMENT * GGUF_ALIGNMENT;
}

int64_t gguf_announce(gguf_head *g, str name, const tensor *shape)
{
    const dtype_info *info = dtype_get(shape->type);
    int64_t row = 0;
    const int64_t columns = shape->dim[shape->rank - 1];
    bool whole = dtype_row_bytes(shape->type, columns, &row);
    assert(whole && info->ggml_type >= 0 && shape->rank >= 1 && shape->rank <= 4);
    const int64_t bytes = tensor_count(shape) / columns * row;
    add_text(&g->tensors, name);
    add_number(&g->tensors, (uint64_t)shape->rank, 4);
    for (int32_t i = shape->rank; i > 0; i--)
        add_number(&g->tensors, (uint64_t)shape->dim[i - 1], 8);
    add_number(&g->tensors, (uint64_t)info->ggml_type, 4);
    add_number(&g->tensors, (uint64_t)g->bytes_data, 8);
    g->bytes_data += padded(bytes);
    g->n_tensor++;
    return bytes;
}

bool gguf_write_head(const gguf_head *g, FILE *file, err *e)
{
    if (!buf_check(&g->pairs, "the file's keys", e) ||
        !buf_check(&g->tensors, "the list of tensors", e)) {
        return false;
    }
    buf start = buf_up_to(64);
    buf_add(&start, "GGUF", 4);
    add_number(&start, 3, 4);
    add_number(&start, g->n_tensor, 8);
    add_number(&start, g->n_pair, 8);
    bool ok = buf_check(&start, "the file's head", e);
    if (ok) {
        fwrite(start.data, 1, start.size, file);
        if (g->pairs.size) fwrite(g->pairs.data, 1, g->pairs.size, file);
        if (g->tensors.size) fwrite(g->tensors.data, 1, g->tensors.size, file);
        gguf_write_padding((int64_t)(start.size + g->pairs.size + g->tensors.size), file);
    }
    buf_close(&start);
    return ok;
}

void gguf_write_padding(int64_t bytes, FILE *file)
{
    static const char zeros[GGUF_ALIGNMENT] = {0};
    const size_t n = (size_t)(padded(bytes) - bytes);
    if (n) fwrite(zeros, 1, n, file);
}
