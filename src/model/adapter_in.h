/* adapter_in: what the files of adapter_*.c share: the matrices of a layer by both ways of naming
 * them, and what a tensor's name says. */
#ifndef CASELOAD_MODEL_ADAPTER_IN_H
#define CASELOAD_MODEL_ADAPTER_IN_H

#include "model/adapter_files.h"
#include "model/files_in.h"
#include "model/safetensors.h"

enum { ADAPTER_MODULES = 9, ADAPTER_NAME_MAX = 200 };

typedef struct adapter_module { /* one matrix of a layer */
    const char *name, *gguf;    /* as PEFT and GGUF files name it */
    lora_target target;         /* the first of a fused matrix */
    int8_t fused;               /* 0: families that are not fused, 1: those that are, -1: both */
} adapter_module;

extern const adapter_module adapter_modules[ADAPTER_MODULES];

bool adapter_of_family(const adapter_module *m, const model_config *c);
bool adapter_has(const adapter_module *m, const lora *l); /* of the family, and adapted */
int64_t adapter_rows_out(const model_config *c, const adapter_module *m);

/* Where row `row` of a file's B stands in memory. */
int64_t adapter_row_in_memory(const model_config *c, const adapter_module *m, int64_t row,
                              bool gguf_file);

typedef struct adapter_place { /* what a tensor's name says */
    const adapter_module *module;
    int32_t layer;
    bool is_b;
} adapter_place;

typedef struct adapter_settings {
    int32_t rank;
    double alpha;
} adapter_settings;

/* adapter_gguf.c */
bool adapter_parse_gguf_name(adapter_place *p, str name, const model_config *c);
bool adapter_list_gguf(safetensors *s, adapter_settings *settings, const adapter_bytes *file,
                       const model_config *c, arena *a, err *e);

#endif
