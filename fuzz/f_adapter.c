/* Fuzzes the adapter reader on a small made-up model: any bytes give an adapter of finite numbers
 * or an error of the model's files. Input: length of the configuration (2 bytes, little-endian),
 * the configuration, then the safetensors file. First bit of the length: a fused family. */
#include "model/adapter_files.h"

#include <math.h>
#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    lora l;
    if (size < 2 || size > 1 << 20) return 0;
    size_t n = (size_t)(data[0] | data[1] << 8);
    const char *family = n & 0x8000 ? "phi3" : "llama";
    n &= 0x7fff;
    if (n > size - 2) n = size - 2;
    model_config c = {.family = model_family_by_gguf(str_of(family)),
                      .from_gguf = data[0] & 1,
                      .n_layer = 2,
                      .d_model = 4,
                      .n_head = 2,
                      .n_head_kv = 1,
                      .head_dim = 2,
                      .d_ff = 6,
                      .n_vocab = 10};
    if (!arena_open(&a, 64 << 20, "fuzz", &e)) return 0;
    size_t rest = size - 2 - n;
    char *tensors = arena_take(&a, rest, 1, &e);
    if (rest) memcpy(tensors, data + 2 + n, rest);
    adapter_bytes files = {"adapter_config.json",
                           "adapter_model.safetensors",
                           {(const char *)data + 2, n},
                           {tensors, rest}};
    if (adapter_parse(&l, &files, &c, &a, &e)) {
        for (int64_t i = 0; i < l.n_value; i++) {
            if (!isfinite(l.value[i])) abort();
        }
    } else if (e.code != ERR_MODEL && e.code != ERR_RESOURCE) {
        abort();
    }
    arena_close(&a);
    return 0;
}
