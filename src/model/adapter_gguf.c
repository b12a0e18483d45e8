/* adapter_gguf: LoRA adapters in a GGUF file, as llama.cpp loads them.
 *
 *   general.type           "adapter"
 *   general.architecture   of the base: "llama", "qwen2", ..
 *   adapter.type           "lora"
 *   adapter.lora.alpha     f32
 *   blk.<i>.<matrix>.weight.lora_a   [r, in]
 *   blk.<i>.<matrix>.weight.lora_b   [out, r], rows as the base's GGUF file has them
 */
#include "model/adapter_in.h"

#include "model/gguf_write.h"

#include <assert.h>
#include <math.h>
#include <stdio.h>

static const char *architecture_of(const model_config *c)
{
    return c->family->gguf_arch ? c->family->gguf_arch : "llama"; /* mistral */
}

bool adapter_parse_gguf_name(adapter_place *p, str name, const model_config *c)
{
    char wanted[ADAPTER_NAME_MAX];
    int64_t layer = 0;
    if (!str_starts(name, "blk.")) return false;
    size_t i = 4;
    for (; i < name.size && name.data[i] >= '0' && name.data[i] <= '9' && layer < 100000; i++)
        layer = layer * 10 + (name.data[i] - '0');
    if (i == 4 || layer >= c->n_layer) return false;
    const str rest = str_part(name, i, name.size - i);
    for (int k = 0; k < ADAPTER_MODULES; k++) {
        const adapter_module *m = &adapter_modules[k];
        if (!adapter_of_family(m, c)) continue;
        for (int b = 0; b < 2; b++) {
            snprintf(wanted, sizeof wanted, ".%s.weight.lora_%c", m->gguf, b ? 'b' : 'a');
            if (!str_is(rest, wanted)) continue;
            *p = (adapter_place){m, (int32_t)layer, b == 1};
            return true;
        }
    }
    return false;
}

static bool says(const gguf *g, const char *key, const char *word)
{
    const gguf_value *v = gguf_find(g, key);
    str text;
    return v && gguf_text(v, &text) && str_is(text, word);
}

static bool read_keys(const gguf *g, const model_config *c, double *alpha, err *e)
{
    if (!says(g, "general.type", "adapter") || !says(g, "adapter.type", "lora")) {
        return err_set(e, ERR_MODEL,
                       "%s holds no LoRA adapter (keys general.type and adapter.type)", g->path);
    }
    if (!says(g, "general.architecture", architecture_of(c))) {
        return err_set(e, ERR_MODEL,
                       "%s: its general.architecture is not %s; it is an adapter of another base",
                       g->path, architecture_of(c));
    }
    const gguf_value *v = gguf_find(g, "adapter.lora.alpha");
    if (!v || v->is_array || !gguf_item_double(v, 0, alpha) || !(*alpha > 0) || !isfinite(*alpha)) {
        return err_set(e, ERR_MODEL, "%s: its adapter.lora.alpha is no number above 0", g->path);
    }
    return true;
}

bool adapter_list_gguf(safetensors *s, adapter_settings *settings, const adapter_bytes *file,
                       const model_config *c, arena *a, err *e)
{
    gguf g;
    const str *bytes = &file->tensors;
    const char *path = file->tensors_path;
    if (bytes->size == 0) return err_set(e, ERR_MODEL, "%s is empty", path);
    if (!gguf_read(&g, path, (const uint8_t *)bytes->data, bytes->size, a, e) ||
        !read_keys(&g, c, &settings->alpha, e)) {
        return false;
    }
    safetensors_entry *entry = arena_take(a, (size_t)g.n_tensor, sizeof *entry, e);
    if (!entry) return false;
    settings->rank = 0;
    for (int32_t i = 0; i < g.n_tensor; i++) {
        const gguf_tensor *t = &g.tensor[i];
        adapter_place p;
        entry[i] = (safetensors_entry){t->name, t->view, t->bytes};
        if (t->view.type == DTYPE_I32) {
            char shown[NAME_SHOWN];
            return err_set(e, ERR_MODEL, "%s: the tensor `%s` holds indices, not weights", path,
                           name_shown(shown, t->name));
        }
        if (settings->rank == 0 && adapter_parse_gguf_name(&p, t->name, c) && !p.is_b &&
            t->view.dim[0] <= MODEL_WIDTH_MAX) {
            settings->rank = (int32_t)t->view.dim[0];
        }
    }
    *s = (safetensors){.tensor = entry, .n_tensor = g.n_tensor};
    if (settings->rank > 0 || g.n_tensor == 0) return true;
    settings->rank = 1; /* no A that belongs here: what is there will be refused by name */
    return true;
}

/* ---- writing ---- */

static void announce(gguf_head *g, const lora *l)
{
    char name[ADAPTER_NAME_MAX];
    for (int32_t i = 0; i < l->model->n_layer; i++) {
        for (int k = 0; k < ADAPTER_MODULES; k++) {
            const adapter_module *m = &adapter_modules[k];
            if (!adapter_has(m, l)) continue;
            const tensor a = tensor_f32(NULL, l->config.rank, lora_in(l->model, m->target));
            const tensor b = tensor_f32(NULL, adapter_rows_out(l->model, m), l->config.rank);
            snprintf(name, sizeof name, "blk.%d.%s.weight.lora_a", i, m->gguf);
            gguf_announce(g, str_of(name), &a);
            snprintf(name, sizeof name, "blk.%d.%s.weight.lora_b", i, m->gguf);
            gguf_announce(g, str_of(name), &b);
        }
    }
}

static void write_numbers(const lora *l, int32_t layer, const adapter_module *m, FILE *file)
{
    const lora_place *place = &l->place[(int64_t)layer * LORA_TARGETS + m->target];
    const int64_t rank = l->config.rank, rows = adapter_rows_out(l->model, m);
    const int64_t n = rank * lora_in(l->model, m->target);
    fwrite(l->value + place->a, sizeof(float), (size_t)n, file);
    gguf_write_padding(n * (int64_t)sizeof(float), file);
    for (int64_t i = 0; i < rows; i++) {
        const float *row = l->value + place->b + adapter_row_in_memory(l->model, m, i, true) * rank;
        fwrite(row, sizeof(float), (size_t)rank, file);
    }
    gguf_write_padding(rows * rank * (int64_t)sizeof(float), file);
}

bool adapter_write_gguf(const lora *l, const char *path, const adapter_about *about, err *e)
{
    assert(l && l->value && path && about && about->base);
    gguf_head g;
    file_out f;
    gguf_head_open(&g);
    gguf_put_text(&g, "general.architecture", str_of(architecture_of(l->model)));
    gguf_put_text(&g, "general.type", STR("adapter"));
    gguf_put_text(&g, "adapter.type", STR("lora"));
    gguf_put_f32(&g, "adapter.lora.alpha", (float)l->config.alpha);
    gguf_put_text(&g, "general.base_model.0.name", str_of(about->base));
    if (about->patient_derived) gguf_put_bool(&g, "caseload.contains-patient-derived-data", true);
    announce(&g, l);
    bool ok = file_out_open(&f, path, e);
    if (ok) {
        ok = gguf_write_head(&g, f.stream, e);
        for (int32_t i = 0; ok && i < l->model->n_layer; i++) {
            for (int k = 0; k < ADAPTER_MODULES; k++)
                if (adapter_has(&adapter_modules[k], l))
                    write_numbers(l, i, &adapter_modules[k], f.stream);
        }
        if (ok) ok = file_out_commit(&f, e);
        else file_out_abandon(&f);
    }
    gguf_head_close(&g);
    return ok;
}
