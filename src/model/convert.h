/* convert: a model into another container (GGUF file, Hugging Face folder) or number type, with an
 * adapter merged in where one is given.
 *
 *   OUT ends in .gguf   GGUF: every key carried over from a GGUF file, or made from config.json
 *                       and the tokenizer's files. q and k rows of the llama family go to pair
 *                       order, Gemma's norms gain their 1, vectors are F32: llama.cpp's form
 *   otherwise           a folder: config.json, model.safetensors, the tokenizer's files: copied
 *                       from a folder, made from the arrays of a GGUF file
 *
 * Number types (`type`; NULL: each tensor keeps its own where the container has it):
 *
 *   f32 f16 bf16        every matrix
 *   q8_0 q6_k q5_k q4_k q4_1 q4_0
 *                       GGUF only. Embedding and head: q8_0 under q8_0, else q6_k. Rows that are no
 *                       whole blocks of 256 take q8_0 (for q6_k), q5_1 (q5_k) or q5_0 (q4_k); no
 *                       whole blocks of 32: f16. Norms, biases, RoPE factors stay F32
 *   nf4 int8            folder only, in bitsandbytes' layout (model/packed.h), NF4 with double
 *                       quantisation. Only the layers' matrices; embedding, head, norms and biases
 *                       keep their type
 *
 * A GGUF file's blocks go to a folder as F32: exact, and several times larger.
 *
 * Merging: W + (alpha / r) B A, summed in double and rounded once to the number type.
 *
 * Written beside its place under another name, synced, renamed: a reader sees the old model, the
 * new one or none. The same input gives the same bytes, for any number of threads.
 */
#ifndef CASELOAD_MODEL_CONVERT_H
#define CASELOAD_MODEL_CONVERT_H

#include "base/pool.h"
#include "base/str.h"

typedef struct convert_options {
    const char *model;   /* file or folder */
    const char *adapter; /* folder (PEFT) or GGUF file, merged in; NULL: none */
    const char *out;
    const char *type; /* as above; NULL: keep */
    bool force;       /* replace what is there */
    pool *threads;
    bool (*progress)(void *context, int64_t bytes_done, int64_t bytes_all); /* NULL; false: stop */
    void *context;
} convert_options;

/* `report` gains a few lines: what was written, which tensors became what, the error of rounding.
 * ERR_USAGE: OUT is there already, a type that the container has not. ERR_MODEL: a tensor with no
 * place in the new form, values that are no numbers or beyond the type's range. ERR_RESOURCE,
 * ERR_STOPPED: nothing is left behind. */
bool convert_model(const convert_options *o, buf *report, err *e);

/* "f32, f16, ..": the words of `type`, for messages and --help. */
const char *convert_types(void);

#endif
