/* Fuzzes the safetensors reader: any bytes give a directory inside the file or an error. */
#include "model/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    safetensors s;
    if (!arena_open(&a, 64 << 20, "fuzz", &e)) return 0;
    if (safetensors_read(&s, "fuzz.safetensors", data, size, &a, &e)) {
        for (int32_t i = 0; i < s.n_tensor; i++) {
            const uint8_t *p = s.tensor[i].view.data;
            int64_t n = s.tensor[i].bytes;
            if (n && p[0] == 1 && p[n - 1] == 255) e.code = ERR_NONE; /* both ends are readable */
        }
    }
    arena_close(&a);
    return 0;
}
