/* Fuzzes the reader of GGUF adapters on a small made-up model: any bytes give an adapter of finite
 * numbers or an error of the model's files. Input: one byte (bit 0: base is GGUF, bit 1: a fused
 * family), then the file. */
#include "model/adapter_files.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    lora l;
    if (size < 1 || size > 1 << 20) return 0;
    model_config c = {.family = model_family_by_gguf(str_of(data[0] & 2 ? "phi3" : "llama")),
                      .from_gguf = data[0] & 1,
                      .n_layer = 2,
                      .d_model = 4,
                      .n_head = 2,
                      .n_head_kv = 1,
                      .head_dim = 2,
                      .d_ff = 6,
                      .n_vocab = 10};
    if (!arena_open(&a, 64 << 20, "fuzz", &e)) return 0;
    char *file = arena_take(&a, size - 1, 1, &e);
    if (size > 1) memcpy(file, data + 1, size - 1);
    if (adapter_parse_gguf(&l, "adapter.gguf", (str){file, size - 1}, &c, &a, &e)) {
        for (int64_t i = 0; i < l.n_value; i++) {
            if (!isfinite(l.value[i])) abort();
        }
    } else if (e.code != ERR_MODEL && e.code != ERR_RESOURCE) {
        abort();
    }
    arena_close(&a);
    return 0;
}
