/* describe: what a model file is, for people (`inspect`) and for programs (JSON).
 *
 * Says: name, licence, files with their SHA-256, family and sizes, RoPE, windows, caps, parameters
 * and bytes by number format, the tensors, the tokenizer with its special tokens and hash, the chat
 * template and its hash. Hashing reads the files whole, once. Text out of the files is shown
 * without control characters.
 */
#ifndef CASELOAD_MODEL_DESCRIBE_H
#define CASELOAD_MODEL_DESCRIBE_H

#include "model/files.h"

/* Appends to `out`. `all_tensors`: each tensor with its shape; else the first layer's and those
 * outside layers. ERR_RESOURCE when `out` is full. */
bool model_describe(const model_header *h, bool all_tensors, buf *out, err *e);

/* One JSON object, keys in a fixed order, a newline at the end. */
bool model_describe_json(const model_header *h, bool all_tensors, buf *out, err *e);

#endif
