/* spec_in: what the readers of the study file share. YAML as a tree of scalars, lists and maps with
 * lines; tables of keys, one a place of the file, each row saying how a value is read and where it
 * goes; the setters for common kinds of value; writers of the canonical text. */
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

typedef struct spec_reader {
    spec *s;
    yaml_tree tree;
    arena *a;
    err *e;
    str file_written, model_written, split_written; /* paths as the study file has them */
    int32_t arms_room;
    struct prompt_list *versions; /* of the question; NULL: not read yet */
} spec_reader;

enum { SPEC_KEYS_MAX = 64 }; /* of one place */

typedef struct spec_key spec_key;
typedef bool spec_setter(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);

struct spec_key {
    const char *name;
    const char *what; /* for messages: "the column with each row's id" */
    spec_setter *set;
    size_t offset; /* in the place's struct */
    bool required;
    int64_t least, most;          /* of numbers; of lists: items */
    const char *const *choices;   /* of spec_set_choice, NULL-ended: enum values in order */
    const struct spec_keys *keys; /* of spec_set_map */
};

typedef struct spec_keys {
    const spec_key *key;
    size_t n;
    const struct spec_keys *also;    /* keys of another place that are taken here too; NULL: none */
    size_t also_before, also_offset; /* read before this many-th of `key`; where they go */
} spec_keys;

const yaml_item *spec_child(const spec_reader *r, int32_t i); /* NULL: none */

/* Setters. Texts are brought to NFC; a choice is an enum's value; a path is relative to the study
 * file's folder; a list is one text or several, none twice, `least` to `most` of them. */
bool spec_set_text(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_name(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_path(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_count(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_seed(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_choice(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_list(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_map(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);

/* What setters are made of; false with a sentence. */
bool spec_need_text(spec_reader *r, const spec_key *key, const yaml_item *value);
spec_text spec_keep_text(spec_reader *r, const yaml_item *value);
bool spec_keep_path(spec_reader *r, const spec_key *key, const yaml_item *value, spec_text *to);
bool spec_read_number(spec_reader *r, const spec_key *key, const yaml_item *value, int64_t *n);
bool spec_read_list(spec_reader *r, const spec_key *key, const yaml_item *value, spec_list *to);
/* class -> answers; or a list of classes that are their own answers. */
bool spec_read_classes(spec_reader *r, const spec_key *key, const yaml_item *value, int32_t *n,
                       spec_class **out);
/* Keys are read in the order of their table, not of the file: arms may rely on the classes. */
bool spec_read_map(spec_reader *r, const char *place, const yaml_item *map, spec_keys keys,
                   void *base);

bool spec_check_surfaces(spec_reader *r, const char *key, const spec_class *c, int32_t n);
int32_t spec_find_class(const spec *s, str name); /* -1: none */
bool spec_fail_class(spec_reader *r, const char *key, spec_text name);

/* The canonical text, one line a key; an absent text is written empty. */
void spec_write_text(buf *out, const char *key, str value);
void spec_write_list(buf *out, const char *key, spec_list list);
void spec_write_classes(buf *out, const char *key, const spec_class *c, int32_t n);

/* spec_ask.c: keys that an arm and the study for all its arms have */
extern const spec_keys spec_ask_place;
const char *spec_part_words(spec_part p,
                            spec_language l); /* our own; NULL: the user's are needed */
bool spec_thinks(const spec_ask *a);
const char *spec_language_name(spec_language l);
extern const char *const spec_combine_choices[];

/* spec_arms.c */
extern const spec_keys spec_arm_place;
/* A set of answers for all the study's classes. */
bool spec_read_words(spec_reader *r, const spec_key *key, const yaml_item *value, spec_class **to);
spec_arm *spec_add_arm(spec_reader *r, int32_t line); /* a copy of what holds for all; then */
bool spec_keep_arm(spec_reader *r);                   /* counted, when its name is new */
bool spec_set_arms(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_finish_arms(spec_reader *r);
void spec_write_arms(const spec *s, buf *out);

/* spec_matrix.c: an arm of every combination */
bool spec_set_matrix(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);

/* spec_evidence.c: primary, operating_point, recalibrate */
bool spec_set_recalibrate(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_primary(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_set_operating_point(spec_reader *r, const spec_key *key, const yaml_item *value,
                              void *base);
bool spec_check_evidence(spec_reader *r); /* after all arms are known */
void spec_write_evidence(const spec *s, buf *canonical);

/* spec_constrain.c */
bool spec_set_constrain(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
void spec_write_form(const spec_form *f, buf *out);

/* spec_lora.c: the `lora` of an arm; when all arms are finished, each seed and size becomes an
 * arm. */
bool spec_set_lora(spec_reader *r, const spec_key *key, const yaml_item *value, void *base);
bool spec_spread_lora(spec_reader *r);
void spec_write_lora(const spec *s, const spec_arm *arm, buf *out);

#endif
