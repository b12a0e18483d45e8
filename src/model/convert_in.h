/* convert_in: what the files of convert*.c share. The plan lists what is written, tensor by tensor;
 * a writer of each container lays the places out and asks for the rows. */
#ifndef CASELOAD_MODEL_CONVERT_IN_H
#define CASELOAD_MODEL_CONVERT_IN_H

#include "model/adapter_files.h"
#include "model/convert.h"
#include "model/files_in.h"
#include "model/gguf_write.h"
#include "model/packed.h"

#include <math.h>
#include <stdlib.h>

typedef enum row_order { ORDER_SAME, ORDER_TO_PAIRS, ORDER_TO_HALVES } row_order;

typedef struct convert_item { /* one tensor of the model */
    const char *name;         /* in the new file */
    weight_slot slot;         /* SLOT_COUNT: none of the model's, carried along */
    tensor from;              /* as it was stored */
    dtype type;               /* as it will be */
    row_order order;          /* of the rows of each head, or of a vector's values */
    float plus;               /* added to each value */
    lora_pair part[3];        /* to be merged; rows follow one another */
    int n_part;
    double squares, errors; /* sum of w^2, sum of (w - stored)^2, once written */
} convert_item;

typedef struct convert_plan {
    const convert_options *o;
    arena memory;
    model_header source;
    lora adapter;
    bool to_gguf;
    dtype matrix_type, wide_type; /* of matrices, of embedding and head; DTYPE_COUNT: keep */
    const char *type_word;
    convert_item *item; /* [n_item] */
    int32_t n_item;
    int32_t head_dim;
    int64_t bytes_done, bytes_all;
} convert_plan;

typedef struct convert_piece { /* one tensor of a safetensors file */
    const char *name;
    dtype type;
    int32_t rank;
    int64_t dim[4], bytes, at; /* at: from the start of the data */
} convert_piece;

typedef struct row_block { /* rows [first, first + count) of an item, made ready to be written */
    const convert_item *item;
    int64_t first, count, bytes_row;
    int32_t head_dim;
    uint8_t *out;             /* [count, bytes_row] */
    float *scratch;           /* [threads, 2 columns] */
    double *squares, *errors; /* [count] */
    uint8_t *broken;          /* [count] a value of the row is no number, or left the range */
} row_block;

static inline int64_t convert_columns(const tensor *t) { return t->dim[t->rank - 1]; }

/* The values of a row after turning, adding and merging: out [columns]. */
void convert_take_row(const convert_item *item, int32_t head_dim, int64_t row, float *out);

/* Writes the item's rows at the file's position. */
bool convert_write_rows(convert_plan *p, convert_item *item, FILE *file, err *e);

/* Counts values as done; false: the caller of all this wants to stop. */
bool convert_tell(convert_plan *p, int64_t values, err *e);

/* convert_folder.c: is this type stored as several tensors (model/packed.h)? */
static inline bool convert_is_packed(dtype t) { return t == DTYPE_NF4 || t == DTYPE_INT8; }

/* The type of the numbers that are not packed. */
dtype convert_main_type(const convert_plan *p);

/* The containers. */
bool convert_write_gguf(convert_plan *p, const char *path, err *e);
bool convert_write_folder(convert_plan *p, const char *folder, err *e);

/* convert_config.c: keys of a GGUF file out of a folder; config.json out of a GGUF file, or the
 * folder's own with what has changed. */
bool convert_add_keys(convert_plan *p, gguf_head *g, err *e);
bool convert_write_config(convert_plan *p, const char *folder, err *e);

#endif
