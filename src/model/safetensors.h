/* safetensors: the container of Hugging Face weights, read in place.
 *
 *   bytes   what
 *   8  u64  n, little-endian: length of the header (at most 100 MB)
 *   n       one JSON object: "__metadata__" (ignored) and, for each tensor,
 *           {"dtype": "BF16", "shape": [rows, columns], "data_offsets": [from, to]}
 *   rest    data; offsets count from here; no gaps are required, no overlaps are allowed
 *
 * Nothing is copied but names. Refused with ERR_MODEL: a header that is no such object, offsets
 * outside the file, bytes that do not match dtype and shape, overlaps, tensors that start between
 * elements, formats other than F32, F16 and BF16.
 */
#ifndef CASELOAD_MODEL_SAFETENSORS_H
#define CASELOAD_MODEL_SAFETENSORS_H

#include "base/str.h"
#include "compute/tensor.h"

enum { SAFETENSORS_HEADER_MAX = 100 << 20, SAFETENSORS_TENSORS_MAX = 262144 };

typedef struct safetensors_entry {
    str name; /* in the arena, 0-terminated */
    tensor view;
    int64_t bytes;
} safetensors_entry;

typedef struct safetensors {
    int32_t n_tensor;
    const safetensors_entry *tensor; /* in order of their places in the file */
} safetensors;

/* As below, U8 and I8 too: parts of packed forms. */
bool safetensors_read_raw(safetensors *s, const char *path, const uint8_t *data, size_t size,
                          arena *a, err *e);

bool safetensors_read(safetensors *s, const char *path, const uint8_t *data, size_t size, arena *a,
                      err *e);

#endif
