/* files: a model on disk, whatever its format, as one header: configuration, tensor directory,
 * tokenizer, chat template. Headers only: the weights stay in their map and are not read here.
 *
 * Formats: GGUF (v2, v3; little-endian; split files -00001-of-0000N) and Hugging Face folders
 * (config.json, model.safetensors or shards with an index, tokenizer files, tokenizer_config.json,
 * chat_template.jinja). Every count, length and offset is checked against the bytes of the file
 * before it is used.
 */
#ifndef CASELOAD_MODEL_FILES_H
#define CASELOAD_MODEL_FILES_H

#include "base/file.h"
#include "base/hash.h"
#include "compute/tensor.h"
#include "model/arch.h"
#include "text/token.h"

typedef struct tensor_entry {
    str name;
    tensor view; /* data points into a file's map, aligned to its element (4 bytes for F32, 2 for
                    the rest); dim in row-major order, slowest first */
    int64_t bytes;
    int32_t file;                /* which of model_header.file */
    const struct packed *packed; /* not NULL: view.data is not laid out yet (model/packed.h) */
} tensor_entry;

typedef struct model_header {
    const char *path;    /* as given: a .gguf file or a folder */
    const char *format;  /* "GGUF v3", "safetensors" */
    const char *name;    /* general.name, or the folder's last part */
    const char *licence; /* what the file says; "" if nothing */
    model_config config;
    int32_t n_tensor;           /* 0: a vocabulary-only GGUF */
    const tensor_entry *tensor; /* sorted by name */
    int32_t n_file;
    file_map *file;         /* [n_file] those that hold weights */
    tokenizer *tokens;      /* NULL when opened without; gives ids below config.n_vocab only */
    str chat_template;      /* empty: none */
    str bos_text, eos_text; /* for the template; empty: none */
    int64_t n_parameter;    /* sum of tensor sizes */
    int64_t bytes_weights;
} model_header;

/* Opens maps and reads every header; everything else goes into `a`. ERR_MODEL names the file, the
 * place and what is wrong. On failure nothing stays open. */
bool model_peek(model_header *h, const char *path, arena *a, err *e);
bool model_peek_without_tokenizer(model_header *h, const char *path, arena *a, err *e);
/* What planning needs: weights may be absent (a folder with config.json alone: n_tensor 0) or cut
 * off (the first bytes of a GGUF file: views without data). `with_tokenizer`: it must be there. */
bool model_peek_sizes(model_header *h, const char *path, bool with_tokenizer, arena *a, err *e);
void model_close_header(model_header *h); /* twice is fine */

/* By name; NULL when absent. */
const tensor_entry *model_find_tensor(const model_header *h, const char *name);

/* SHA-256 of a file of the model. Reads it whole (once for its life: keep the answer). */
hash_text model_hash_file(const model_header *h, int32_t file);

#endif
