/* files_in: what the readers of model files share. */
#ifndef CASELOAD_MODEL_FILES_IN_H
#define CASELOAD_MODEL_FILES_IN_H

#include "model/files.h"
#include "model/gguf.h"

#include <jansson.h>

enum { NAME_SHOWN = 100 };

/* A name out of a file, fit for a message: control and non-ASCII bytes as '?', cut with "..". */
const char *name_shown(char out[NAME_SHOWN], str name);

/* config.json -> config. `path` is for messages. */
bool config_from_json(model_config *c, const json_t *root, const char *path, arena *a, err *e);

/* The keys of the first GGUF file -> config; h's tensors are already listed. An unknown
 * architecture is an error unless the file is vocabulary-only. */
bool config_from_gguf(model_config *c, const gguf *g, const model_header *h, arena *a, err *e);

/* Checks what must hold between the numbers of a configuration, whatever its source. */
bool config_check(const model_config *c, const char *path, err *e);

/* A JSON file of at most `bytes_max`, duplicate keys refused; NULL on failure. json_decref it. */
json_t *json_read_file(const char *path, size_t bytes_max, err *e);

typedef struct peek_how {
    bool tokenizer;  /* must be there */
    bool sizes_only; /* weights may be absent or cut off */
} peek_how;

bool files_read_gguf(model_header *h, peek_how how, arena *a, err *e);
bool files_read_folder(model_header *h, peek_how how, arena *a, err *e);

/* Sorts the directory by name, refuses names that are there twice, sums sizes. */
bool files_sort_tensors(model_header *h, tensor_entry *entry, int32_t n, err *e);

/* a + "/" + b, in the arena. */
const char *path_join(arena *a, const char *folder, const char *name, err *e);

#endif
