/* gguf: the GGUF container, versions 2 and 3, little-endian, read in place.
 *
 * Layout (all numbers little-endian):
 *
 *   bytes      what
 *   4          "GGUF"
 *   4  u32     version (2 or 3; 1 and big-endian files are refused)
 *   8  u64     number of tensors
 *   8  u64     number of key-value pairs
 *   pairs      key: u64 length, bytes | u32 type | value
 *                value of type 8 (string): u64 length, bytes
 *                value of type 9 (array): u32 item type, u64 count, items (no arrays of arrays)
 *   tensors    name: u64 length, bytes | u32 rank | rank x u64 dims, fastest first |
 *              u32 number format | u64 offset from the start of the data
 *   padding    to general.alignment (32 unless stated)
 *   data       each tensor at its offset, a multiple of the alignment
 *
 * Nothing is copied: strings and data are views into the caller's bytes, which must outlive the
 * struct.
 *
 * Refused with ERR_MODEL: a length, count or offset that the bytes left do not hold,
 * duplicate keys or tensors, overlapping tensors, an unknown number format, counts over the limits
 * below.
 */
#ifndef CASELOAD_MODEL_GGUF_H
#define CASELOAD_MODEL_GGUF_H

#include "base/str.h"
#include "compute/tensor.h"

enum { GGUF_PAIRS_MAX = 65536, GGUF_TENSORS_MAX = 262144, GGUF_NAME_MAX = 1024 };

typedef enum gguf_type {
    GGUF_U8,
    GGUF_I8,
    GGUF_U16,
    GGUF_I16,
    GGUF_U32,
    GGUF_I32,
    GGUF_F32,
    GGUF_BOOL,
    GGUF_STRING,
    GGUF_ARRAY,
    GGUF_U64,
    GGUF_I64,
    GGUF_F64,
    GGUF_TYPE_COUNT
} gguf_type;

typedef struct gguf_value {
    gguf_type type;      /* of the value, or of an array's items: never GGUF_ARRAY */
    bool is_array;       /* then count items follow one another at data */
    int64_t count;       /* 1 unless an array */
    const uint8_t *data; /* unaligned; a lone string's bytes, without its length */
    size_t size;         /* bytes at data */
} gguf_value;

typedef struct gguf_pair {
    str key;
    gguf_value value;
} gguf_pair;

typedef struct gguf_tensor {
    str name;
    tensor view;    /* data inside the file; dim slowest first */
    int64_t offset; /* from the start of the file */
    int64_t bytes;
} gguf_tensor;

typedef struct gguf {
    const char *path; /* for messages */
    int32_t version;
    int32_t n_pair, n_tensor;
    const gguf_pair *pair;     /* [n_pair] sorted by key */
    const gguf_tensor *tensor; /* [n_tensor] sorted by name */
} gguf;

/* Reads and checks the whole directory; touches no tensor data. Tables go into `a`. */
bool gguf_read(gguf *g, const char *path, const uint8_t *data, size_t size, arena *a, err *e);

/* For planning: the data may be cut off, as in a file of which only the first bytes were fetched. A
 * tensor whose bytes are not all there has no data. */
bool gguf_read_header(gguf *g, const char *path, const uint8_t *data, size_t size, arena *a,
                      err *e);

const gguf_value *gguf_find(const gguf *g, const char *key);          /* NULL: absent */
const gguf_tensor *gguf_find_tensor(const gguf *g, const char *name); /* NULL: absent */

/* Item i of a value (0 of a lone one). False when i is out of range or the type does not fit: _int
 * takes any integer or bool that fits int64_t, _double any number. Strings: gguf_texts. */
bool gguf_item_int(const gguf_value *v, int64_t i, int64_t *out);
bool gguf_item_double(const gguf_value *v, int64_t i, double *out);

/* A lone string. False for anything else. */
bool gguf_text(const gguf_value *v, str *out);

/* All strings of an array, as views: one walk. NULL when v is no array of strings (no error set) or
 * when the arena is full (error set). */
const str *gguf_texts(const gguf_value *v, arena *a, err *e);

#endif
