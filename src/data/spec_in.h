/* spec_in: YAML as a tree of scalars, lists and maps with lines; what spec.c reads. */
#ifndef CASELOAD_DATA_SPEC_IN_H
#define CASELOAD_DATA_SPEC_IN_H

#include "data/spec.h"

typedef enum yaml_kind { YAML_TEXT, YAML_LIST, YAML_MAP } yaml_kind;

typedef struct yaml_item { /* items are columns of one array; links are indices, -1: none */
    str text;              /* of a scalar, as written (not yet NFC) */
    int32_t line;
    int32_t first, next; /* first child; next sibling. In a map keys and values alternate */
    int32_t n;           /* children; of a map: pairs */
    yaml_kind kind;
} yaml_item;

typedef struct yaml_tree {
    const yaml_item *item; /* [n]; item[0] is the root, a map */
    int32_t n;
} yaml_tree;

enum { YAML_ITEMS_MAX = 200 * 1000, YAML_DEPTH_MAX = 12 };

/* ERR_USAGE with path and line. Keys of a map are scalars and differ. */
bool yaml_read(yaml_tree *t, str text, const char *path, arena *a, err *e);

#endif
