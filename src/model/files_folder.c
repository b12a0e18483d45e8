/* files_folder: a Hugging Face model folder as a model_header.
 *
 *   config.json                       required
 *   model.safetensors                 or model.safetensors.index.json and the shards it names
 *   tokenizer files                   text/token.h reads them
 *   chat_template.jinja, chat_template.json
 *                                     count before the template in tokenizer_config.json
 *   tokenizer_config.json             bos_token, eos_token, chat_template
 *   special_tokens_map.json           fills in tokens that are missing there
 */
#include "model/files_in.h"

#include "model/packed.h"
#include "model/safetensors.h"

#include <assert.h>
#include <stdlib.h>

enum {
    CONFIG_MAX = 4 << 20,
    INDEX_MAX = 64 << 20,
    WORDS_MAX = 64 << 20,
    TEMPLATE_MAX = 1 << 20,
    SHARDS_MAX = 1000
};

static int order_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A shard's name is a plain file name: nothing that could leave the folder. */
static bool name_is_plain(const char *name)
{
    size_t n = strlen(name);
    return n > 12 && n < 256 && name[0] != '.' && !strchr(name, '/') &&
           str_ends(str_of(name), ".safetensors");
}

/* The distinct file names of weight_map, sorted: *names [return value]; 0 on failure. */
static int32_t list_shards(const json_t *map, const char *index, const char ***names, arena *a,
                           err *e)
{
    char shown[NAME_SHOWN];
    size_t n = json_object_size(map);
    if (!json_is_object(map) || n == 0 || n > SAFETENSORS_TENSORS_MAX) {
        err_set(e, ERR_MODEL, "%s: `weight_map` is no object of 1 to %d tensors", index,
                SAFETENSORS_TENSORS_MAX);
        return 0;
    }
    const char **list = arena_take(a, n, sizeof *list, e);
    if (!list) return 0;
    int32_t count = 0, kept = 0;
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        const char *name = json_string_value(value);
        if (!name || !name_is_plain(name)) {
            err_set(
                e, ERR_MODEL,
                "%s: tensor `%s` should name a .safetensors file of this folder, without a path",
                index, name_shown(shown, str_of(key)));
            return 0;
        }
        list[count++] = name;
    }
    qsort(list, (size_t)count, sizeof *list, order_names);
    for (int32_t i = 0; i < count; i++) {
        if (i == 0 || strcmp(list[i], list[kept - 1]) != 0) list[kept++] = list[i];
    }
    if (kept > SHARDS_MAX) {
        err_set(e, ERR_MODEL, "%s: %d shards; at most %d are read", index, kept, SHARDS_MAX);
        return 0;
    }
    *names = list;
    return kept;
}

/* Maps the files and lists their tensors. */
static bool open_shards(model_header *h, const char **names, int32_t n, arena *a, err *e)
{
    h->file = arena_take_zero(a, (size_t)n, sizeof *h->file, e);
    safetensors *s = arena_take_zero(a, (size_t)n, sizeof *s, e);
    if (!h->file || !s) return false;
    int64_t total = 0;
    for (int32_t i = 0; i < n; i++) {
        const char *path = path_join(a, h->path, names[i], e);
        if (!path || !file_map_open(&h->file[i], path, ERR_MODEL, e)) return false;
        h->n_file = i + 1;
        if (!safetensors_read_raw(&s[i], path, h->file[i].data, h->file[i].size, a, e))
            return false;
        total += s[i].n_tensor;
    }
    if (total > SAFETENSORS_TENSORS_MAX) {
        return err_set(e, ERR_MODEL, "%s: over %d tensors", h->path, SAFETENSORS_TENSORS_MAX);
    }
    tensor_entry *entry = arena_take(a, (size_t)total, sizeof *entry, e);
    if (!entry) return false;
    tensor_entry *next = entry;
    for (int32_t i = 0; i < n; i++) {
        for (int32_t k = 0; k < s[i].n_tensor; k++) {
            const safetensors_entry *t = &s[i].tensor[k];
            *next++ = (tensor_entry){t->name, t->view, t->bytes, i, NULL};
        }
    }
    int32_t left = packed_fold(entry, (int32_t)total, h->path, a, e);
    return left >= 0 && files_sort_tensors(h, entry, left, e);
}

/* Is it a part of a packed matrix, and so no tensor any more? */
static bool is_part(const model_header *h, str name)
{
    char whole[1024];
    for (size_t n = name.size; n > 0 && n < sizeof whole - 8; n--) {
        if (n < name.size && name.data[n] != '.') continue;
        memcpy(whole, name.data, n);
        for (int tail = 0; tail < 2; tail++) {
            memcpy(whole + n, tail ? ".weight" : "", tail ? 8 : 1);
            const tensor_entry *t = model_find_tensor(h, whole);
            if (t && t->packed) return true;
        }
    }
    return false;
}

/* Every tensor the index promises must be in the file it names. */
static bool check_index(const model_header *h, const json_t *map, const char *index, err *e)
{
    char shown[NAME_SHOWN];
    const char *key;
    json_t *value;
    json_object_foreach((json_t *)(uintptr_t)map, key, value)
    {
        const tensor_entry *t = model_find_tensor(h, key);
        const char *name = json_string_value(value);
        if (!t && is_part(h, str_of(key))) continue;
        if (!t && str_ends(str_of(key), "rotary_emb.inv_freq")) continue;
        if (!t || !str_ends(str_of(h->file[t->file].path), name)) {
            return err_set(e, ERR_MODEL, "%s: tensor `%s` is not in %s", index,
                           name_shown(shown, str_of(key)), name);
        }
    }
    return true;
}

/* Is every file of the index there? */
static bool shards_are_here(const model_header *h, const json_t *root, arena *a, err *e)
{
    const char **names = NULL;
    const char *index = "model.safetensors.index.json";
    int32_t n = list_shards(json_object_get(root, "weight_map"), index, &names, a, e);
    for (int32_t i = 0; i < n; i++) {
        const char *path = path_join(a, h->path, names[i], e);
        if (!path || !file_exists(path)) return false;
    }
    return n > 0;
}

static bool read_weights(model_header *h, peek_how how, arena *a, err *e)
{
    const char *one = path_join(a, h->path, "model.safetensors", e);
    const char *index = path_join(a, h->path, "model.safetensors.index.json", e);
    const char *old = path_join(a, h->path, "pytorch_model.bin", e);
    if (!one || !index || !old) return false;
    if (file_exists(one)) {
        const char *name = "model.safetensors";
        return open_shards(h, &name, 1, a, e);
    }
    if (!file_exists(index) && how.sizes_only) return true;
    if (!file_exists(index)) {
        return err_set(e, ERR_MODEL,
                       "%s: no model.safetensors and no model.safetensors.index.json%s", h->path,
                       file_exists(old) ? "; pytorch_model.bin is not read, it can hold programs"
                                        : "");
    }
    json_t *root = json_read_file(index, INDEX_MAX, e);
    if (!root) return false;
    if (how.sizes_only && !shards_are_here(h, root, a, e)) {
        json_decref(root);
        return e->code == ERR_NONE;
    }
    const json_t *map = json_object_get(root, "weight_map");
    const char **names = NULL;
    int32_t n = list_shards(map, index, &names, a, e);
    bool ok = n > 0 && open_shards(h, names, n, a, e) && check_index(h, map, index, e);
    json_decref(root);
    return ok;
}

/* A token of tokenizer_config.json: a text, or an object with its content. */
static bool read_token_text(const json_t *root, const char *key, str *out, arena *a, err *e)
{
    const json_t *v = json_object_get(root, key);
    if (json_is_object(v)) v = json_object_get(v, "content");
    if (out->size > 0 || !json_is_string(v)) return true;
    *out = str_keep(a, (str){json_string_value(v), json_string_length(v)}, e);
    return out->data != NULL;
}

/* chat_template of a JSON file: a text, or a list of {name, template} of which "default" counts. */
static bool read_template(const json_t *root, const char *path, str *out, arena *a, err *e)
{
    const json_t *v = json_object_get(root, "chat_template");
    if (out->size > 0 || !v || json_is_null(v)) return true;
    if (json_is_array(v)) {
        const json_t *found = NULL;
        for (size_t i = 0; i < json_array_size(v) && !found; i++) {
            const json_t *item = json_array_get(v, i);
            const char *name = json_string_value(json_object_get(item, "name"));
            if (name && !strcmp(name, "default")) found = json_object_get(item, "template");
        }
        if (!found) {
            return err_set(e, ERR_MODEL, "%s: no chat_template is named `default`", path);
        }
        v = found;
    }
    if (!json_is_string(v) || json_string_length(v) > TEMPLATE_MAX) {
        return err_set(e, ERR_MODEL, "%s: `chat_template` is no text of at most %d bytes", path,
                       TEMPLATE_MAX);
    }
    *out = str_keep(a, (str){json_string_value(v), json_string_length(v)}, e);
    return out->data != NULL;
}

static bool read_jinja(model_header *h, arena *a, err *e)
{
    const char *path = path_join(a, h->path, "chat_template.jinja", e);
    if (!path) return false;
    if (!file_exists(path)) return true;
    file_map m;
    if (!file_map_open(&m, path, ERR_MODEL, e)) return false;
    bool ok = true;
    if (m.size > TEMPLATE_MAX) {
        ok = err_set(e, ERR_MODEL, "%s has %zu bytes; at most %d are read", path, m.size,
                     TEMPLATE_MAX);
    } else if (m.size > 0) {
        h->chat_template = str_keep(a, (str){(const char *)m.data, m.size}, e);
        ok = h->chat_template.data != NULL;
    }
    file_map_close(&m);
    return ok;
}

/* One JSON file with words for the template; fine when absent. */
static bool read_words_of(model_header *h, const char *name, arena *a, err *e)
{
    const char *path = path_join(a, h->path, name, e);
    if (!path) return false;
    if (!file_exists(path)) return true;
    json_t *root = json_read_file(path, WORDS_MAX, e);
    if (!root) return false;
    bool ok = json_is_object(root);
    if (!ok) err_set(e, ERR_MODEL, "%s: it is no JSON object", path);
    ok = ok && read_token_text(root, "bos_token", &h->bos_text, a, e) &&
         read_token_text(root, "eos_token", &h->eos_text, a, e) &&
         read_template(root, path, &h->chat_template, a, e);
    json_decref(root);
    return ok;
}

static bool read_config(model_header *h, arena *a, err *e)
{
    const char *path = path_join(a, h->path, "config.json", e);
    if (!path) return false;
    if (!file_exists(path)) {
        return err_set(
            e, ERR_MODEL,
            "%s: no config.json; give a model folder as published, or a .gguf file itself",
            h->path);
    }
    json_t *root = json_read_file(path, CONFIG_MAX, e);
    if (!root) return false;
    bool ok = config_from_json(&h->config, root, path, a, e);
    json_decref(root);
    return ok;
}

bool files_read_folder(model_header *h, peek_how how, arena *a, err *e)
{
    size_t n = strlen(h->path), from;
    while (n > 1 && h->path[n - 1] == '/') n--;
    for (from = n; from > 0 && h->path[from - 1] != '/'; from--) continue;
    h->name = arena_copy_text(a, h->path + from, n - from, e);
    h->format = "safetensors";
    if (!h->name || !read_config(h, a, e) || !read_weights(h, how, a, e)) return false;
    if (!read_jinja(h, a, e) || !read_words_of(h, "chat_template.json", a, e) ||
        !read_words_of(h, "tokenizer_config.json", a, e) ||
        !read_words_of(h, "special_tokens_map.json", a, e)) {
        return false;
    }
    if (!how.tokenizer) return true;
    h->tokens = token_open_folder(h->path, a, e);
    if (h->tokens) token_limit_ids(h->tokens, h->config.n_vocab);
    return h->tokens != NULL;
}
