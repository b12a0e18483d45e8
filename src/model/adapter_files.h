/* adapter_files: LoRA adapters in PEFT's layout and as GGUF files, in and out.
 *
 *   adapter_config.json         peft_type "LORA", r, lora_alpha, target_modules, ..
 *   adapter_model.safetensors   <layers>.<i>.<module>.lora_A.weight [r,in]
 *                               <layers>.<i>.<module>.lora_B.weight [out,r]
 *   layers                      base_model.model.model.layers
 *   modules                     self_attn.{q,k,v,o}_proj, mlp.{gate,up,down}_proj; fused families:
 *                               self_attn.qkv_proj, mlp.gate_up_proj
 *
 * A GGUF base of the llama family keeps the rows of q and k in another order; the files always have
 * Hugging Face's, so an adapter trained on either form of a model fits the other.
 *
 * Read: F32, F16 or BF16 numbers; rslora as the alpha it amounts to. Refused by name, with
 * ERR_MODEL: other kinds of adapters, DoRA, trained biases or whole modules, ranks that differ by
 * layer, weights of other layers or shapes (an adapter of another base), tensors that nobody would
 * use.
 */
#ifndef CASELOAD_MODEL_ADAPTER_FILES_H
#define CASELOAD_MODEL_ADAPTER_FILES_H

#include "base/file.h"
#include "model/lora.h"

typedef struct adapter_about {
    const char *base; /* the model it was trained on, as a user would name it; "" when unknown */
    bool patient_derived; /* stamp `contains-patient-derived-data` into the file */
} adapter_about;

/* Writes both files into `folder` (made when absent), each atomically. ERR_RESOURCE. */
bool adapter_write(const lora *l, const char *folder, const adapter_about *about, err *e);

/* The same as a GGUF file that llama.cpp loads (layout: adapter_gguf.c), atomically. */
bool adapter_write_gguf(const lora *l, const char *path, const adapter_about *about, err *e);

/* Reads an adapter for this model, a folder or a GGUF file: lays `l` out in `a` and fills it. */
bool adapter_read(lora *l, const char *folder, const model_config *c, arena *a, err *e);

typedef struct adapter_bytes { /* the two files; names for messages */
    const char *config_path, *tensors_path;
    str config, tensors; /* tensors: aligned to 8 bytes */
} adapter_bytes;

bool adapter_parse(lora *l, const adapter_bytes *files, const model_config *c, arena *a, err *e);

/* `bytes`: a GGUF adapter, aligned to 8 bytes. */
bool adapter_parse_gguf(lora *l, const char *path, str bytes, const model_config *c, arena *a,
                        err *e);

#endif
