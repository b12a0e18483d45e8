/* adapter_files: see adapter_files.h. */
#include "model/adapter_in.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

enum { ADAPTER_CONFIG_MAX = 1 << 20 };

const adapter_module adapter_modules[ADAPTER_MODULES] = {
    {"self_attn.q_proj", "attn_q", LORA_Q, 0},       {"self_attn.k_proj", "attn_k", LORA_K, 0},
    {"self_attn.v_proj", "attn_v", LORA_V, 0},       {"self_attn.qkv_proj", "attn_qkv", LORA_Q, 1},
    {"self_attn.o_proj", "attn_output", LORA_O, -1}, {"mlp.gate_proj", "ffn_gate", LORA_GATE, 0},
    {"mlp.up_proj", "ffn_up", LORA_UP, 0},           {"mlp.gate_up_proj", "ffn_up", LORA_GATE, 1},
    {"mlp.down_proj", "ffn_down", LORA_DOWN, -1},
};

bool adapter_of_family(const adapter_module *m, const model_config *c)
{
    return m->fused < 0 || (m->fused == 1) == c->family->fused;
}

bool adapter_has(const adapter_module *m, const lora *l)
{
    return adapter_of_family(m, l->model) && (l->config.targets >> m->target & 1);
}

/* The targets that share the module's matrix. */
static uint32_t targets_of(const adapter_module *m)
{
    if (m->fused != 1) return 1u << m->target;
    if (m->target == LORA_Q) return 1u << LORA_Q | 1u << LORA_K | 1u << LORA_V;
    return 1u << LORA_GATE | 1u << LORA_UP;
}

int64_t adapter_rows_out(const model_config *c, const adapter_module *m)
{
    int64_t rows = 0;
    for (int t = 0; t < LORA_TARGETS; t++) {
        if (targets_of(m) >> t & 1) rows += lora_out(c, (lora_target)t);
    }
    return rows;
}

/* Row (half s, j) of a rotated head in Hugging Face's order is row 2 j + s where rotated pairs
 * stand beside each other. */
int64_t adapter_row_in_memory(const model_config *c, const adapter_module *m, int64_t row,
                              bool gguf_file)
{
    const bool file_pairs = (gguf_file ? c->family->rope_gguf : c->family->rope_hf) == ROPE_PAIRS;
    const bool ours_pairs =
        (c->from_gguf ? c->family->rope_gguf : c->family->rope_hf) == ROPE_PAIRS;
    const bool turned = m->fused != 1 && (m->target == LORA_Q || m->target == LORA_K);
    if (file_pairs == ours_pairs || !turned) return row;
    const int64_t hd = c->head_dim, within = row % hd, half = hd / 2;
    return row - within +
           (ours_pairs ? 2 * (within % half) + within / half : within % 2 * half + within / 2);
}

/* ---- writing ---- */

static void add_entry(buf *b, const char *name, int64_t rows, int64_t columns, int64_t *at)
{
    const int64_t bytes = rows * columns * (int64_t)sizeof(float);
    buf_printf(b, ",\"%s\":{\"dtype\":\"F32\",\"shape\":[%lld,%lld],\"data_offsets\":[%lld,%lld]}",
               name, (long long)rows, (long long)columns, (long long)*at, (long long)(*at + bytes));
    *at += bytes;
}

static void name_of(char out[ADAPTER_NAME_MAX], int32_t layer, const char *module, char which)
{
    snprintf(out, ADAPTER_NAME_MAX, "base_model.model.model.layers.%d.%s.lora_%c.weight", layer,
             module, which);
}

static void add_header(buf *header, const lora *l, bool patient_derived)
{
    int64_t at = 0;
    char name[ADAPTER_NAME_MAX];
    buf_printf(header, "{\"__metadata__\":{\"format\":\"pt\"%s}",
               patient_derived ? ",\"contains-patient-derived-data\":\"true\"" : "");
    for (int32_t i = 0; i < l->model->n_layer; i++) {
        for (size_t k = 0; k < ADAPTER_MODULES; k++) {
            const adapter_module *m = &adapter_modules[k];
            if (!adapter_has(m, l)) continue;
            name_of(name, i, m->name, 'A');
            add_entry(header, name, l->config.rank, lora_in(l->model, m->target), &at);
            name_of(name, i, m->name, 'B');
            add_entry(header, name, adapter_rows_out(l->model, m), l->config.rank, &at);
        }
    }
    buf_add_char(header, '}');
    while (header->size % 8) buf_add_char(header, ' ');
}

static void put_numbers(FILE *f, const lora *l, int32_t layer, const adapter_module *m)
{
    const lora_place *place = &l->place[(int64_t)layer * LORA_TARGETS + m->target];
    const int64_t r = l->config.rank, rows = adapter_rows_out(l->model, m);
    fwrite(l->value + place->a, sizeof(float), (size_t)(r * lora_in(l->model, m->target)), f);
    for (int64_t i = 0; i < rows; i++) {
        const float *row = l->value + place->b + adapter_row_in_memory(l->model, m, i, false) * r;
        fwrite(row, sizeof(float), (size_t)r, f);
    }
}

/* Written as it goes: a second copy of the numbers would be memory that nobody planned. */
static bool write_tensors(const lora *l, const char *path, bool patient_derived, err *e)
{
    buf header = buf_up_to(SAFETENSORS_HEADER_MAX);
    file_out out;
    add_header(&header, l, patient_derived);
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)header.size >> (8 * i));
    bool ok = buf_check(&header, "the adapter's header", e) && file_out_open(&out, path, e);
    if (ok) {
        fwrite(length, 1, sizeof length, out.stream);
        fwrite(header.data, 1, header.size, out.stream);
        for (int32_t i = 0; i < l->model->n_layer; i++) {
            for (size_t k = 0; k < ADAPTER_MODULES; k++) {
                const adapter_module *m = &adapter_modules[k];
                if (adapter_has(m, l)) put_numbers(out.stream, l, i, m);
            }
        }
        ok = file_out_commit(&out, e);
    }
    buf_close(&header);
    return ok;
}

static bool write_config(const lora *l, const char *path, const char *base, err *e)
{
    buf b = buf_up_to(ADAPTER_CONFIG_MAX);
    buf_add_text(&b, "{\n \"peft_type\": \"LORA\",\n \"task_type\": \"CAUSAL_LM\",\n");
    buf_add_text(&b, " \"base_model_name_or_path\": \"");
    buf_add_json(&b, str_of(base));
    buf_printf(&b, "\",\n \"r\": %d,\n \"lora_alpha\": %.17g,\n", l->config.rank, l->config.alpha);
    buf_add_text(&b, " \"lora_dropout\": 0.0,\n \"bias\": \"none\",\n \"fan_in_fan_out\": false,\n"
                     " \"inference_mode\": true,\n \"init_lora_weights\": true,\n"
                     " \"modules_to_save\": null,\n \"use_dora\": false,\n"
                     " \"use_rslora\": false,\n \"target_modules\": [");
    bool first = true;
    for (size_t k = 0; k < ADAPTER_MODULES; k++) {
        const adapter_module *m = &adapter_modules[k];
        if (!adapter_has(m, l)) continue;
        buf_printf(&b, "%s\"%s\"", first ? "" : ", ", strchr(m->name, '.') + 1);
        first = false;
    }
    buf_add_text(&b, "]\n}\n");
    bool ok =
        buf_check(&b, "the adapter's configuration", e) && file_write_atomic(path, buf_view(&b), e);
    buf_close(&b);
    return ok;
}

static bool path_in(char out[4096], const char *folder, const char *name, err *e)
{
    if ((size_t)snprintf(out, 4096, "%s/%s", folder, name) < 4096) return true;
    return err_set(e, ERR_USAGE, "the path of the adapter's folder is too long");
}

bool adapter_write(const lora *l, const char *folder, const adapter_about *about, err *e)
{
    assert(l && l->value && folder && about && about->base);
    char config[4096], tensors[4096];
    return path_in(config, folder, "adapter_config.json", e) &&
           path_in(tensors, folder, "adapter_model.safetensors", e) &&
           file_make_folder(folder, e) && write_tensors(l, tensors, about->patient_derived, e) &&
           write_config(l, config, about->base, e);
}

/* ---- reading ---- */

static bool is_empty(const json_t *v)
{
    return !v || json_is_null(v) || (json_is_array(v) && json_array_size(v) == 0) ||
           (json_is_object(v) && json_object_size(v) == 0);
}

static bool is_word(const json_t *v, const char *word)
{
    return json_is_string(v) && !strcmp(json_string_value(v), word);
}

/* What an adapter may say that is not computed here. */
static bool check_settings(const json_t *root, const char *path, err *e)
{
    static const char *const must_be_off[] = {"use_dora", "fan_in_fan_out", "lora_bias",
                                              "use_qalora"};
    static const char *const must_be_empty[] = {
        "modules_to_save",         "rank_pattern",      "alpha_pattern",
        "layers_to_transform",     "layer_replication", "target_parameters",
        "trainable_token_indices", "megatron_config",   "arrow_config",
        "alora_invocation_tokens", "kasa_config",       "velora_config",
        "monteclora_config",       "use_bdlora"};
    if (!json_is_object(root)) return err_set(e, ERR_MODEL, "%s is no JSON object", path);
    if (!is_word(json_object_get(root, "peft_type"), "LORA")) {
        return err_set(e, ERR_MODEL, "%s: its peft_type is not LORA; no other adapter is computed",
                       path);
    }
    for (size_t i = 0; i < countof(must_be_off); i++) {
        if (!json_is_true(json_object_get(root, must_be_off[i]))) continue;
        return err_set(e, ERR_MODEL, "%s: `%s` is on, which is not computed; take a plain LoRA",
                       path, must_be_off[i]);
    }
    for (size_t i = 0; i < countof(must_be_empty); i++) {
        if (is_empty(json_object_get(root, must_be_empty[i]))) continue;
        return err_set(e, ERR_MODEL, "%s: `%s` is set, which is not computed; take a plain LoRA",
                       path, must_be_empty[i]);
    }
    const json_t *bias = json_object_get(root, "bias");
    if (bias && !json_is_null(bias) && !is_word(bias, "none")) {
        return err_set(e, ERR_MODEL, "%s: it trained biases too, which are not computed", path);
    }
    return true;
}

static bool read_settings(adapter_settings *s, const json_t *root, const char *path, err *e)
{
    if (!check_settings(root, path, e)) return false;
    const json_t *r = json_object_get(root, "r"), *alpha = json_object_get(root, "lora_alpha");
    json_int_t rank = json_is_integer(r) ? json_integer_value(r) : 0;
    if (rank < 1 || rank > MODEL_WIDTH_MAX) {
        return err_set(e, ERR_MODEL, "%s: its rank `r` is no number from 1 to %d", path,
                       MODEL_WIDTH_MAX);
    }
    s->rank = (int32_t)rank;
    s->alpha = json_is_number(alpha) ? json_number_value(alpha) : 0;
    if (!(s->alpha > 0) || !isfinite(s->alpha)) {
        return err_set(e, ERR_MODEL, "%s: its `lora_alpha` is no number above 0", path);
    }
    if (json_is_true(json_object_get(root, "use_rslora"))) s->alpha *= sqrt((double)rank);
    return true;
}

/* "..layers.<i>.<module>.lora_A.weight", with or without an adapter's name before "weight". */
static bool parse_name(adapter_place *p, str name, const model_config *c)
{
    int64_t at = str_find(name, STR("layers."));
    if (at < 0) return false;
    size_t i = (size_t)at + 7;
    int64_t layer = 0;
    if (i >= name.size || name.data[i] < '0' || name.data[i] > '9') return false;
    for (; i < name.size && name.data[i] >= '0' && name.data[i] <= '9' && layer < 100000; i++) {
        layer = layer * 10 + (name.data[i] - '0');
    }
    if (layer >= c->n_layer || i >= name.size || name.data[i] != '.') return false;
    str rest = str_part(name, i + 1, name.size - i - 1);
    for (size_t k = 0; k < ADAPTER_MODULES; k++) {
        const size_t n = strlen(adapter_modules[k].name);
        if (!adapter_of_family(&adapter_modules[k], c) ||
            !str_starts(rest, adapter_modules[k].name))
            continue;
        str tail = str_part(rest, n, rest.size - n);
        bool is_a = str_is(tail, ".lora_A.weight") || str_is(tail, ".lora_A.default.weight");
        bool is_b = str_is(tail, ".lora_B.weight") || str_is(tail, ".lora_B.default.weight");
        if (!is_a && !is_b) continue;
        *p = (adapter_place){&adapter_modules[k], (int32_t)layer, is_b};
        return true;
    }
    return false;
}

typedef struct adapter_reader {
    const adapter_bytes *files;
    const model_config *c;
    safetensors tensors;
    adapter_settings settings;
    bool gguf;
    lora *l;
    err *e;
} adapter_reader;

static bool parse_any(const adapter_reader *r, adapter_place *p, str name)
{
    return r->gguf ? adapter_parse_gguf_name(p, name, r->c) : parse_name(p, name, r->c);
}

/* Which targets the tensors are for; a name that none has is refused. */
static bool find_targets(const adapter_reader *r, uint32_t *targets)
{
    char shown[NAME_SHOWN];
    *targets = 0;
    for (int32_t i = 0; i < r->tensors.n_tensor; i++) {
        adapter_place p;
        if (parse_any(r, &p, r->tensors.tensor[i].name)) {
            *targets |= targets_of(p.module);
            continue;
        }
        return err_set(r->e, ERR_MODEL,
                       "%s: the tensor `%s` belongs to no adapted matrix of this %s model with %d "
                       "layers; it may be an adapter of another base",
                       r->files->tensors_path, name_shown(shown, r->tensors.tensor[i].name),
                       r->c->family->name, r->c->n_layer);
    }
    if (*targets) return true;
    return err_set(r->e, ERR_MODEL, "%s: no tensor in it", r->files->tensors_path);
}

static bool read_tensor(const adapter_reader *r, const safetensors_entry *t, uint8_t *seen)
{
    adapter_place p;
    char shown[NAME_SHOWN];
    bool known = parse_any(r, &p, t->name);
    assert(known);
    const lora_place *place = &r->l->place[(int64_t)p.layer * LORA_TARGETS + p.module->target];
    const int64_t rank = r->settings.rank;
    const int64_t rows = p.is_b ? adapter_rows_out(r->c, p.module) : rank;
    const int64_t columns = p.is_b ? rank : lora_in(r->c, p.module->target);
    if (t->view.rank != 2 || t->view.dim[0] != rows || t->view.dim[1] != columns) {
        return err_set(r->e, ERR_MODEL,
                       "%s: the tensor `%s` is not %lld x %lld as this model and rank %lld ask; it "
                       "may be an adapter of another base",
                       r->files->tensors_path, name_shown(shown, t->name), (long long)rows,
                       (long long)columns, (long long)rank);
    }
    seen[((int64_t)p.layer * LORA_TARGETS + p.module->target) * 2 + p.is_b]++;
    const int64_t bytes = t->bytes / rows;
    for (int64_t i = 0; i < rows; i++) {
        int64_t to = p.is_b ? place->b + adapter_row_in_memory(r->c, p.module, i, r->gguf) * rank
                            : place->a + i * columns;
        dtype_to_f32(t->view.type, r->l->value + to, (const char *)t->view.data + i * bytes,
                     columns);
        for (int64_t j = 0; j < columns; j++) {
            if (isfinite(r->l->value[to + j])) continue;
            return err_set(r->e, ERR_MODEL, "%s: the tensor `%s` holds values that are no numbers",
                           r->files->tensors_path, name_shown(shown, t->name));
        }
    }
    return true;
}

/* Every adapted matrix has its A and its B, once. */
static bool check_whole(const adapter_reader *r, const uint8_t *seen)
{
    for (int32_t i = 0; i < r->c->n_layer; i++) {
        for (size_t k = 0; k < ADAPTER_MODULES; k++) {
            const adapter_module *m = &adapter_modules[k];
            if (!adapter_has(m, r->l)) continue;
            const uint8_t *both = seen + ((int64_t)i * LORA_TARGETS + m->target) * 2;
            if (both[0] == 1 && both[1] == 1) continue;
            return err_set(r->e, ERR_MODEL, "%s: layer %d has %s lora_%c of %s",
                           r->files->tensors_path, i,
                           both[0] > 1 || both[1] > 1 ? "more than one" : "no",
                           both[0] == 1 ? 'B' : 'A', m->name);
        }
    }
    return true;
}

static bool read_all(adapter_reader *r, arena *a)
{
    uint32_t targets;
    const uint8_t *data = (const uint8_t *)r->files->tensors.data;
    const size_t size = r->files->tensors.size;
    const char *path = r->files->tensors_path;
    if (!(r->gguf ? adapter_list_gguf(&r->tensors, &r->settings, r->files, r->c, a, r->e)
                  : safetensors_read(&r->tensors, path, data, size, a, r->e)) ||
        !find_targets(r, &targets)) {
        return false;
    }
    lora_config o = {r->settings.rank, r->settings.alpha, targets};
    if (!lora_lay_out(r->l, r->c, o, a, r->e)) {
        if (r->e->code == ERR_USAGE)
            r->e->code = ERR_MODEL; /* the file's numbers, not the user's */
        return err_in(r->e, "%s", r->files->config_path);
    }
    uint8_t *seen = arena_take_zero(a, (size_t)r->c->n_layer * LORA_TARGETS * 2, 1, r->e);
    if (!seen) return false;
    for (int32_t i = 0; i < r->tensors.n_tensor; i++) {
        if (!read_tensor(r, &r->tensors.tensor[i], seen)) return false;
    }
    return check_whole(r, seen);
}

bool adapter_parse(lora *l, const adapter_bytes *files, const model_config *c, arena *a, err *e)
{
    assert(l && files && c && c->family && !arena_measures(a));
    *l = (lora){0};
    adapter_reader r = {.files = files, .c = c, .l = l, .e = e};
    json_error_t why;
    if (files->config.size > ADAPTER_CONFIG_MAX) {
        return err_set(e, ERR_MODEL, "%s has %zu bytes; at most %d are read", files->config_path,
                       files->config.size, ADAPTER_CONFIG_MAX);
    }
    json_t *root = json_loadb(files->config.data, files->config.size, JSON_REJECT_DUPLICATES, &why);
    if (!root) {
        return err_set(e, ERR_MODEL, "%s: line %d, column %d: not valid JSON", files->config_path,
                       why.line, why.column);
    }
    bool ok = read_settings(&r.settings, root, files->config_path, e) && read_all(&r, a);
    json_decref(root);
    return ok;
}

bool adapter_parse_gguf(lora *l, const char *path, str bytes, const model_config *c, arena *a,
                        err *e)
{
    assert(l && path && c && c->family && !arena_measures(a));
    *l = (lora){0};
    const adapter_bytes files = {path, path, {0}, bytes};
    adapter_reader r = {.files = &files, .c = c, .l = l, .gguf = true, .e = e};
    return read_all(&r, a);
}

static bool read_gguf(lora *l, const char *path, const model_config *c, arena *a, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, ERR_MODEL, e)) return false;
    const bool ok = adapter_parse_gguf(l, path, (str){(const char *)m.data, m.size}, c, a, e);
    file_map_close(&m);
    return ok;
}

bool adapter_read(lora *l, const char *folder, const model_config *c, arena *a, err *e)
{
    if (file_exists(folder) && !file_is_folder(folder)) return read_gguf(l, folder, c, a, e);
    char config[4096], tensors[4096];
    file_map one = {0}, two = {0};
    bool ok = path_in(config, folder, "adapter_config.json", e) &&
              path_in(tensors, folder, "adapter_model.safetensors", e) &&
              file_map_open(&one, config, ERR_MODEL, e) &&
              file_map_open(&two, tensors, ERR_MODEL, e);
    if (ok) {
        adapter_bytes files = {config,
                               tensors,
                               {(const char *)one.data, one.size},
                               {(const char *)two.data, two.size}};
        ok = adapter_parse(l, &files, c, a, e);
    }
    file_map_close(&one);
    file_map_close(&two);
    return ok;
}
