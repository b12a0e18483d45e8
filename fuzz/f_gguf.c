/* Fuzzes the GGUF reader, the configuration in its keys, and binding: any bytes give a model or an
 * error. */
#include "model/bind.h"
#include "model/files_in.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    gguf g;
    if (!arena_open(&a, 64 << 20, "fuzz", &e)) return 0;
    if (!gguf_read(&g, "fuzz.gguf", data, size, &a, &e)) goto out;
    file_map map = {.data = data, .size = size, .path = "fuzz.gguf"};
    model_header h = {.path = "fuzz.gguf", .file = &map, .n_file = 1};
    tensor_entry *entry = arena_take(&a, (size_t)g.n_tensor, sizeof *entry, &e);
    if (!entry) goto out;
    int64_t sum = 0;
    for (int32_t i = 0; i < g.n_tensor; i++) {
        const gguf_tensor *t = &g.tensor[i];
        entry[i] = (tensor_entry){.name = t->name, .view = t->view, .bytes = t->bytes};
        const uint8_t *p = t->view.data; /* both ends must be readable */
        if (t->bytes) sum += p[0] + p[t->bytes - 1];
    }
    for (int32_t i = 0; i < g.n_pair; i++) {
        const gguf_value *v = &g.pair[i].value;
        const str *texts = gguf_texts(v, &a, &e);
        int64_t n;
        double x;
        for (int64_t k = 0; k < v->count; k++) {
            if (texts && texts[k].size) sum += texts[k].data[texts[k].size - 1];
            if (gguf_item_int(v, k, &n) && n == sum) sum++;
            if (gguf_item_double(v, k, &x) && x == 0.5) sum++;
        }
    }
    model_weights w;
    if (sum != INT64_MIN && files_sort_tensors(&h, entry, g.n_tensor, &e) &&
        config_from_gguf(&h.config, &g, &h, &a, &e)) {
        model_bind(&w, &h, &a, &e);
    }
out:
    arena_close(&a);
    return 0;
}
