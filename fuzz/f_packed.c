/* Fuzzes the folding of packed matrices: any safetensors file gives matrices that can be laid out
 * and read whole, or an error of the model's files. */
#include "model/packed.h"
#include "model/safetensors.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    err e = {0};
    arena a;
    safetensors s;
    if (size > 1 << 20 || !arena_open(&a, 256 << 20, "fuzz", &e)) return 0;
    uint8_t *file = arena_take(&a, size, 1, &e);
    if (size) memcpy(file, data, size);
    tensor_entry *entry = NULL;
    int32_t n = 0;
    if (safetensors_read_raw(&s, "x.safetensors", file, size, &a, &e))
        entry = arena_take(&a, (size_t)s.n_tensor, sizeof *entry, &e);
    for (int32_t i = 0; entry && i < s.n_tensor; i++) {
        const safetensors_entry *t = &s.tensor[i];
        entry[n++] = (tensor_entry){t->name, t->view, t->bytes, 0, NULL};
    }
    n = entry ? packed_fold(entry, n, "x", &a, &e) : 0;
    if (n < 0 && e.code != ERR_MODEL && e.code != ERR_RESOURCE) abort();
    float row[1024];
    for (int32_t i = 0; i < n; i++) {
        tensor w;
        if (!entry[i].packed || !packed_tensor(&w, &entry[i], &a, &e)) continue;
        int64_t bytes = 0;
        if (w.dim[1] > 1024 || !dtype_row_bytes(w.type, w.dim[1], &bytes)) continue;
        for (int64_t k = 0; k < w.dim[0]; k++)
            dtype_to_f32(w.type, row, (const char *)w.data + k * bytes, w.dim[1]);
    }
    arena_close(&a);
    return 0;
}
