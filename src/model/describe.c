/* describe: see describe.h. */
#include "model/describe.h"

#include <assert.h>
#include <utf8proc.h>

enum { SPECIAL_SHOWN = 24, TEMPLATE_LINES = 6, LINE_SHOWN = 100 };

/* ---- shared -------------------------------------------------------------------------------- */

/* Bytes of a file as text that cannot move a terminal: control bytes become '?'. */
static void add_shown(buf *out, str s)
{
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        buf_add_char(out, c < 32 || c == 127 ? '?' : (char)c);
    }
}

/* 1234567 as "1,234,567". */
static void add_count(buf *out, int64_t n)
{
    char digits[24];
    int size = 0;
    do {
        if (size % 4 == 3) digits[size++] = ',';
        digits[size++] = (char)('0' + n % 10);
        n /= 10;
    } while (n > 0);
    while (size > 0) buf_add_char(out, digits[--size]);
}

static void add_megabytes(buf *out, int64_t bytes)
{
    if (bytes < 1000000) {
        buf_printf(out, "%.1f kB", (double)bytes * 1e-3);
    } else {
        buf_printf(out, "%.1f MB", (double)bytes * 1e-6);
    }
}

typedef struct format_sum {
    int64_t n_tensor, n_value, bytes;
} format_sum;

static void sum_formats(const model_header *h, format_sum sum[DTYPE_COUNT])
{
    memset(sum, 0, DTYPE_COUNT * sizeof *sum);
    for (int32_t i = 0; i < h->n_tensor; i++) {
        format_sum *s = &sum[h->tensor[i].view.type];
        s->n_tensor++;
        s->n_value += tensor_count(&h->tensor[i].view);
        s->bytes += h->tensor[i].bytes;
    }
}

/* Outside layers, or of layer 0. */
static bool is_first_layer(str name)
{
    bool gguf = str_starts(name, "blk."), hf = str_find(name, STR("layers.")) >= 0;
    if (gguf) return str_starts(name, "blk.0.");
    return !hf || str_find(name, STR("layers.0.")) >= 0;
}

static int64_t local_layers(const model_config *c)
{
    int64_t n = 0;
    for (int32_t i = 0; i < c->n_layer; i++) n += c->layer_is_local[i];
    return n;
}

static const char *scaling_name(rope_scaling s)
{
    switch (s) {
    case ROPE_SCALE_LINEAR: return "linear";
    case ROPE_SCALE_LLAMA3: return "llama3";
    case ROPE_SCALE_FACTORS: return "per frequency";
    default: return "none";
    }
}

static int32_t count_special(const tokenizer *t)
{
    int32_t n = 0;
    for (int32_t i = 0; i < token_count(t); i++) n += token_is_special(t, i);
    return n;
}

/* ---- for people ---------------------------------------------------------------------------- */

static void describe_files(const model_header *h, buf *out)
{
    buf_printf(out, "format      %s", h->format);
    if (*h->licence) {
        buf_add_text(out, ", licence ");
        add_shown(out, str_of(h->licence));
    }
    buf_add_char(out, '\n');
    for (int32_t i = 0; i < h->n_file; i++) {
        buf_printf(out, "file        ");
        add_shown(out, str_of(h->file[i].path));
        buf_add_text(out, "  ");
        add_count(out, (int64_t)h->file[i].size);
        buf_printf(out, " bytes\n            sha256 %s\n", model_hash_file(h, i).hex);
    }
}

static void describe_rope(const model_config *c, buf *out)
{
    buf_printf(out, "positions   context %d tokens, RoPE base %g", c->n_context, c->rope.base);
    if (c->rope.scaling != ROPE_SCALE_NONE) {
        buf_printf(out, ", scaling %s", scaling_name(c->rope.scaling));
        if (c->rope.scaling != ROPE_SCALE_FACTORS) buf_printf(out, " by %g", c->rope.factor);
        if (c->rope.original_context) buf_printf(out, " from %d", c->rope.original_context);
    }
    buf_add_char(out, '\n');
    if (c->window > 0) {
        buf_printf(out, "window      %d tokens in %lld of %d layers", c->window,
                   (long long)local_layers(c), c->n_layer);
        if (c->rope_local.base != c->rope.base) {
            buf_printf(out, ", RoPE base %g there", c->rope_local.base);
        }
        buf_add_char(out, '\n');
    }
}

static void describe_config(const model_header *h, buf *out)
{
    const model_config *c = &h->config;
    const model_family *f = c->family;
    buf_printf(out,
               "family      %s: %d layers, width %d, %d heads of %d (%d for keys and values), "
               "feed-forward %d, vocabulary %d\n",
               f->name, c->n_layer, c->d_model, c->n_head, c->head_dim, c->n_head_kv, c->d_ff,
               c->n_vocab);
    describe_rope(c, out);
    buf_printf(out, "details     %s, norm epsilon %g%s%s%s%s",
               f->glu == GLU_SILU ? "SiLU" : "GELU (tanh)", (double)c->norm_eps,
               c->tied && h->n_tensor > 0 ? ", output tied to the embedding" : "",
               c->qkv_bias ? ", q k v biases" : "", f->qk_norm ? ", q and k norms" : "",
               f->post_norms ? ", norms after blocks" : "");
    if (c->softcap_attention > 0) {
        buf_printf(out, ", attention capped at %g", (double)c->softcap_attention);
    }
    if (c->softcap_final > 0) buf_printf(out, ", logits capped at %g", (double)c->softcap_final);
    buf_add_char(out, '\n');
}

static void describe_formats(const model_header *h, buf *out)
{
    format_sum sum[DTYPE_COUNT];
    sum_formats(h, sum);
    buf_add_text(out, "weights     ");
    add_count(out, h->n_parameter);
    buf_printf(out, " parameters in %d tensors, ", h->n_tensor);
    add_megabytes(out, h->bytes_weights);
    buf_add_char(out, '\n');
    for (int t = 0; t < DTYPE_COUNT; t++) {
        if (sum[t].n_tensor == 0) continue;
        buf_printf(out, "            %-7s %5lld tensors  ", dtype_get((dtype)t)->name,
                   (long long)sum[t].n_tensor);
        add_count(out, sum[t].n_value);
        buf_add_text(out, " values, ");
        add_megabytes(out, sum[t].bytes);
        buf_add_char(out, '\n');
    }
}

static void describe_token(const tokenizer *t, const char *what, int32_t id, buf *out)
{
    if (id < 0) {
        buf_printf(out, "no %s", what);
        return;
    }
    buf_printf(out, "%s %d ", what, id);
    add_shown(out, token_text(t, id));
}

static void describe_tokenizer(const tokenizer *t, buf *out)
{
    char hex[65];
    token_hash(t, hex);
    buf_printf(out, "tokenizer   %s, %d tokens; ", token_kind(t), token_count(t));
    describe_token(t, "BOS", token_bos(t), out);
    buf_printf(out, " (%s), ", token_adds_bos(t) ? "added to each prompt" : "not added");
    describe_token(t, "EOS", token_eos(t), out);
    buf_printf(out, "\n            sha256 %s\n            %d special:", hex, count_special(t));
    int shown = 0;
    for (int32_t i = 0; i < token_count(t) && shown < SPECIAL_SHOWN; i++) {
        if (!token_is_special(t, i)) continue;
        buf_add_char(out, ' ');
        add_shown(out, token_text(t, i));
        shown++;
    }
    buf_add_text(out, count_special(t) > shown ? " ..\n" : "\n");
}

static void describe_template(str s, buf *out)
{
    if (s.size == 0) {
        buf_add_text(out, "template    none: prompts are written plain\n");
        return;
    }
    buf_printf(out, "template    %zu bytes, sha256 %s\n", s.size, hash_of(s.data, s.size).hex);
    size_t at = 0;
    for (int line = 0; line < TEMPLATE_LINES && at < s.size; line++) {
        size_t end = at;
        while (end < s.size && s.data[end] != '\n') end++;
        size_t cut = end - at > LINE_SHOWN ? at + LINE_SHOWN : end;
        while (cut > at && cut < end && (s.data[cut] & 0xC0) == 0x80) cut--; /* whole characters */
        buf_add_text(out, "            | ");
        add_shown(out, str_part(s, at, cut - at));
        buf_add_text(out, cut < end ? " ..\n" : "\n");
        at = end + 1;
    }
    if (at < s.size) buf_add_text(out, "            | ..\n");
}

static void describe_tensors(const model_header *h, bool all_tensors, buf *out)
{
    int32_t left_out = 0;
    buf_add_text(out, "tensors\n");
    for (int32_t i = 0; i < h->n_tensor; i++) {
        const tensor_entry *t = &h->tensor[i];
        if (!all_tensors && !is_first_layer(t->name)) {
            left_out++;
            continue;
        }
        buf_add_text(out, "  ");
        add_shown(out, t->name);
        for (size_t n = t->name.size; n < 48; n++) buf_add_char(out, ' ');
        buf_printf(out, " %-6s ", dtype_get(t->view.type)->name);
        for (int32_t k = 0; k < t->view.rank; k++) {
            buf_printf(out, "%s%lld", k ? " x " : "", (long long)t->view.dim[k]);
        }
        buf_add_char(out, '\n');
    }
    if (left_out) buf_printf(out, "  .. and %d of the other layers\n", left_out);
}

bool model_describe(const model_header *h, bool all_tensors, buf *out, err *e)
{
    assert(h && out);
    buf_add_text(out, "model       ");
    add_shown(out, str_of(h->name));
    buf_add_char(out, '\n');
    describe_files(h, out);
    if (h->config.family) {
        describe_config(h, out);
    } else {
        buf_add_text(out, "family      not one we compute: only the vocabulary can be used\n");
    }
    if (h->n_tensor > 0) describe_formats(h, out);
    if (h->n_tensor == 0) buf_add_text(out, "weights     none: a vocabulary alone\n");
    if (h->tokens) describe_tokenizer(h->tokens, out);
    describe_template(h->chat_template, out);
    if (h->n_tensor > 0) describe_tensors(h, all_tensors, out);
    return buf_check(out, "the description of the model", e);
}

/* ---- for programs -------------------------------------------------------------------------- */

/* Escaped for a JSON string; bytes that are no UTF-8 (half characters of a vocabulary): U+FFFD. */
static void json_escaped(buf *out, str s)
{
    for (size_t at = 0; at < s.size;) {
        utf8proc_int32_t c;
        utf8proc_ssize_t n = utf8proc_iterate((const utf8proc_uint8_t *)s.data + at,
                                              (utf8proc_ssize_t)(s.size - at), &c);
        if (n > 0) {
            buf_add_json(out, str_part(s, at, (size_t)n));
        } else {
            buf_add_text(out, "\xEF\xBF\xBD");
        }
        at += n > 0 ? (size_t)n : 1;
    }
}

static void json_text(buf *out, const char *key, str s)
{
    buf_printf(out, "\"%s\":\"", key);
    json_escaped(out, s);
    buf_add_text(out, "\"");
}

static void json_files(const model_header *h, buf *out)
{
    buf_add_text(out, ",\"files\":[");
    for (int32_t i = 0; i < h->n_file; i++) {
        buf_add_text(out, i ? ",{" : "{");
        json_text(out, "path", str_of(h->file[i].path));
        buf_printf(out, ",\"bytes\":%zu,\"sha256\":\"%s\"}", h->file[i].size,
                   model_hash_file(h, i).hex);
    }
    buf_add_text(out, "]");
}

static void json_rope(const char *key, const rope_config *r, buf *out)
{
    buf_printf(out,
               ",\"%s\":{\"base\":%.17g,\"scaling\":\"%s\",\"factor\":%.17g,"
               "\"original_context\":%d,\"attention_factor\":%.17g}",
               key, r->base, scaling_name(r->scaling), r->factor, r->original_context,
               r->attention_factor);
}

static void json_config(const model_config *c, buf *out)
{
    if (!c->family) {
        buf_add_text(out, ",\"family\":null");
        return;
    }
    buf_printf(out,
               ",\"family\":\"%s\",\"n_layer\":%d,\"d_model\":%d,\"n_head\":%d,\"n_head_kv\":%d,"
               "\"head_dim\":%d,\"d_ff\":%d,\"n_vocab\":%d,\"n_context\":%d,\"norm_eps\":%.9g,"
               "\"tied\":%s",
               c->family->name, c->n_layer, c->d_model, c->n_head, c->n_head_kv, c->head_dim,
               c->d_ff, c->n_vocab, c->n_context, (double)c->norm_eps, c->tied ? "true" : "false");
    buf_printf(out, ",\"window\":%d,\"local_layers\":[", c->window);
    const char *comma = "";
    for (int32_t i = 0; i < c->n_layer; i++) {
        if (!c->layer_is_local[i]) continue;
        buf_printf(out, "%s%d", comma, i);
        comma = ",";
    }
    buf_printf(out, "],\"softcap_attention\":%.9g,\"softcap_final\":%.9g,\"query_scale\":%.9g",
               (double)c->softcap_attention, (double)c->softcap_final, (double)c->query_scale);
    json_rope("rope", &c->rope, out);
    json_rope("rope_local", &c->rope_local, out);
}

static void json_formats(const model_header *h, buf *out)
{
    format_sum sum[DTYPE_COUNT];
    sum_formats(h, sum);
    buf_printf(out, ",\"n_tensor\":%d,\"n_parameter\":%lld,\"bytes_weights\":%lld,\"formats\":{",
               h->n_tensor, (long long)h->n_parameter, (long long)h->bytes_weights);
    const char *comma = "";
    for (int t = 0; t < DTYPE_COUNT; t++) {
        if (sum[t].n_tensor == 0) continue;
        buf_printf(out, "%s\"%s\":{\"tensors\":%lld,\"values\":%lld,\"bytes\":%lld}", comma,
                   dtype_get((dtype)t)->name, (long long)sum[t].n_tensor, (long long)sum[t].n_value,
                   (long long)sum[t].bytes);
        comma = ",";
    }
    buf_add_text(out, "}");
}

static void json_tokenizer(const tokenizer *t, buf *out)
{
    if (!t) {
        buf_add_text(out, ",\"tokenizer\":null");
        return;
    }
    char hex[65];
    token_hash(t, hex);
    buf_add_text(out, ",\"tokenizer\":{");
    json_text(out, "kind", str_of(token_kind(t)));
    buf_printf(out,
               ",\"tokens\":%d,\"bos\":%d,\"eos\":%d,\"adds_bos\":%s,\"sha256\":\"%s\","
               "\"special\":{",
               token_count(t), token_bos(t), token_eos(t), token_adds_bos(t) ? "true" : "false",
               hex);
    const char *comma = "";
    for (int32_t i = 0; i < token_count(t); i++) {
        if (!token_is_special(t, i)) continue;
        buf_printf(out, "%s\"%d\":\"", comma, i);
        json_escaped(out, token_text(t, i));
        buf_add_text(out, "\"");
        comma = ",";
    }
    buf_add_text(out, "}}");
}

static void json_tensors(const model_header *h, bool all_tensors, buf *out)
{
    const char *comma = "";
    buf_add_text(out, ",\"tensors\":[");
    for (int32_t i = 0; i < h->n_tensor; i++) {
        const tensor_entry *t = &h->tensor[i];
        if (!all_tensors && !is_first_layer(t->name)) continue;
        buf_printf(out, "%s{", comma);
        json_text(out, "name", t->name);
        buf_printf(out, ",\"format\":\"%s\",\"shape\":[", dtype_get(t->view.type)->name);
        for (int32_t k = 0; k < t->view.rank; k++) {
            buf_printf(out, "%s%lld", k ? "," : "", (long long)t->view.dim[k]);
        }
        buf_printf(out, "],\"bytes\":%lld,\"file\":%d}", (long long)t->bytes, t->file);
        comma = ",";
    }
    buf_add_text(out, "]");
}

bool model_describe_json(const model_header *h, bool all_tensors, buf *out, err *e)
{
    assert(h && out);
    buf_add_text(out, "{");
    json_text(out, "path", str_of(h->path));
    buf_add_text(out, ",");
    json_text(out, "name", str_of(h->name));
    buf_add_text(out, ",");
    json_text(out, "licence", str_of(h->licence));
    buf_printf(out, ",\"format\":\"%s\"", h->format);
    json_files(h, out);
    json_config(&h->config, out);
    json_formats(h, out);
    json_tokenizer(h->tokens, out);
    if (h->chat_template.size == 0) {
        buf_add_text(out, ",\"chat_template\":null");
    } else {
        buf_add_text(out, ",\"chat_template\":{");
        json_text(out, "text", h->chat_template);
        buf_printf(out, ",\"sha256\":\"%s\"}",
                   hash_of(h->chat_template.data, h->chat_template.size).hex);
    }
    json_tensors(h, all_tensors, out);
    buf_add_text(out, "}\n");
    return buf_check(out, "the description of the model", e);
}
