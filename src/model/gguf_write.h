/* gguf_write: a GGUF file (version 3, little-endian; layout in gguf.h) out of keys and tensors.
 *
 * The head (keys, tensor directory) is gathered in memory; data follows tensor by tensor in the
 * order of their announcement, each padded to the alignment. The same calls give the same bytes.
 *
 *     gguf_head g;
 *     gguf_head_open(&g);
 *     gguf_put_text(&g, "general.architecture", STR("llama"));
 *     gguf_announce(&g, "token_embd.weight", &t);
 *     gguf_write_head(&g, file, e);
 *     ... the bytes of each tensor with fwrite, then gguf_write_padding(bytes, file)
 */
#ifndef CASELOAD_MODEL_GGUF_WRITE_H
#define CASELOAD_MODEL_GGUF_WRITE_H

#include "model/gguf.h"

#include <stdio.h>

enum { GGUF_ALIGNMENT = 32 };

typedef struct gguf_head {
    buf pairs, tensors;
    uint64_t n_pair, n_tensor;
    int64_t bytes_data; /* of the tensors announced, padding included */
} gguf_head;

void gguf_head_open(gguf_head *g);
void gguf_head_close(gguf_head *g);

/* One pair each. Keys are not checked for being there already. */
void gguf_put_text(gguf_head *g, const char *key, str value);
void gguf_put_u32(gguf_head *g, const char *key, uint32_t value);
void gguf_put_f32(gguf_head *g, const char *key, float value);
void gguf_put_bool(gguf_head *g, const char *key, bool value);
void gguf_put_texts(gguf_head *g, const char *key, const str *value, int64_t n);
void gguf_put_floats(gguf_head *g, const char *key, const float *value, int64_t n);
void gguf_put_ints(gguf_head *g, const char *key, const int32_t *value, int64_t n);
void gguf_put_pair(gguf_head *g, const gguf_pair *pair); /* as another file has it */

/* The next tensor: only its shape and type count. Returns its bytes. */
int64_t gguf_announce(gguf_head *g, str name, const tensor *shape);

/* Everything before the first tensor's data, padding included. ERR_RESOURCE: it grew too large. A
 * failed write shows in ferror(file). */
bool gguf_write_head(const gguf_head *g, FILE *file, err *e);
void gguf_write_padding(int64_t bytes, FILE *file); /* after a tensor of so many bytes */

#endif
