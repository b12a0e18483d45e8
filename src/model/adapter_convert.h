/* adapter_convert: a LoRA adapter from PEFT's layout into a GGUF file and back. The base tells
 * names, shapes and the order of rows; its weights are not read. */
#ifndef CASELOAD_MODEL_ADAPTER_CONVERT_H
#define CASELOAD_MODEL_ADAPTER_CONVERT_H

#include "base/str.h"

typedef struct adapter_convert_options {
    const char *base;    /* file or folder of the model it was trained on */
    const char *adapter; /* folder or GGUF file */
    const char *out;     /* a name ending in .gguf, or a folder */
    bool force;          /* replace what is there */
} adapter_convert_options;

/* `report` gains a line. The stamp `contains-patient-derived-data` goes along. ERR_USAGE: OUT is
 * there already. */
bool adapter_convert(const adapter_convert_options *o, buf *report, err *e);

#endif
