/* spec: the study file. YAML in, one checked struct out; every mistake is a sentence with its line.
 *
 *   study: serious-events            name: letters, digits, . _ -
 *   model: models/x.gguf             file or folder; `--model` may replace it
 *   data:
 *     ..                             the table and its columns: spec_data.h
 *   splits: {by: random | time | site, train: 60, tune: 20, test: 20, folds: 0, seed: 1,
 *            stratify: label | none, date: COLUMN, site: COLUMN, hold_out: [B]}     for `split`
 *   baselines: none | [prevalence, keywords, tfidf]      default: all three (study/baseline.h)
 *   keywords: [admitted, died]         of the positive class; or {class: [words]}
 *   tfidf: auto | words | characters   default auto: characters for Korean, Chinese, Japanese, Thai
 *   classes: {serious: [Yes, yes], not-serious: [No, no]}     class -> the answers that mean it
 *   positive: serious                required when there are two classes
 *   question: ...                    here or in each arm
 *   system: ...                      optional role text, here or in arms
 *   template: chat | plain           default: chat when the model brings a template
 *   seed: 1                          of everything random in the study
 *   limits: {max_tokens: 1024, cut: refuse | head | tail | head+tail | sections | chunks,
 *            sections: [Impression, 결론], chunk_tokens: 400, overlap: 15, combine: mean | max |
 *            noisy-or}               default: refuse
 *   arms:                            default: one arm `zero-shot`
 *     - {name: three-shot, shots: 3, ..}     how an arm asks: spec_ask.h; lora: spec_lora.h;
 *                                      model, adapter: files of its own
 *   matrix: ..                       an arm of every combination (spec_ask.h)
 *   primary, operating_point, recalibrate:     what is declared beforehand (spec_evidence.h)
 *   paper: yes | no                  yes: arms with `lora` (spec_lora.h) have at least three seeds
 *
 * Scalars are text: Yes and No stay words, 007 keeps its zeros; numbers are read by us. Texts are
 * brought to NFC, paths are left alone. Anchors, aliases, tags, repeated keys and second documents
 * are refused; a file has at most 4 MB. Keys are rows of tables in spec.c. */
#ifndef CASELOAD_DATA_SPEC_H
#define CASELOAD_DATA_SPEC_H

#include "base/hash.h"
#include "base/str.h"
#include "data/spec_ask.h"
#include "data/spec_data.h"
#include "data/spec_evidence.h"

enum {
    SPEC_BYTES_MAX = 4 << 20,
    SPEC_CLASSES_MAX = 200,
    SPEC_SURFACES_MAX = 100, /* answers of one class */
    SPEC_ARMS_MAX = 1000,
    SPEC_SHOTS_MAX = 256,
    SPEC_COLUMNS_MAX = 64 /* text columns; group columns */
};

typedef enum spec_cut {
    SPEC_CUT_REFUSE,
    SPEC_CUT_HEAD,
    SPEC_CUT_TAIL,
    SPEC_CUT_HEAD_TAIL,
    SPEC_CUT_SECTIONS,
    SPEC_CUT_CHUNKS
} spec_cut;
typedef enum spec_template {
    SPEC_TEMPLATE_AUTO,
    SPEC_TEMPLATE_CHAT,
    SPEC_TEMPLATE_PLAIN
} spec_template;

typedef struct spec_path { /* a file or folder of an arm; file.text.data NULL: absent */
    spec_text file;        /* resolved */
    str written;           /* as in the study file */
} spec_path;

typedef struct spec_arm { /* complete: what an arm does not say is the study's */
    spec_text name, question, system;
    spec_path model, adapter; /* absent: the study's model; no adapter */
    spec_class *classes;      /* [n_class of the study], in the study's order of classes */
    int32_t shots, line;
    uint64_t seed;
    const struct spec_training *training; /* spec_lora.h; NULL: the model as it is */
    spec_ask ask;
} spec_arm;

/* Ways of asking of an arm: wordings x label words x orders x draws .., at most SPEC_WAYS_MAX. */
int32_t spec_ways(const spec_arm *arm);

enum { SPEC_SPLIT_RANDOM, SPEC_SPLIT_TIME, SPEC_SPLIT_SITE };

typedef struct spec_splits {      /* how `caseload split` divides the table */
    int32_t line, rule, share[3]; /* 0: not said; SPEC_SPLIT_..; train, tune, test in percent */
    int32_t folds, stratify;      /* of all but test, 0: none; 0: by label, 1: no */
    uint64_t seed;
    spec_text date, site;
    spec_list hold_out;
} spec_splits;

enum { SPEC_PREVALENCE = 1, SPEC_KEYWORDS = 2, SPEC_TFIDF = 4 }; /* baselines */

typedef struct spec {
    const char *path, *folder; /* as given; "." when the path has no folder */
    spec_text study;
    spec_text model; /* resolved; absent is allowed: the command line may name it */
    spec_data data;
    int32_t n_class;
    spec_class *classes; /* [n_class] */
    bool lettered;       /* classes are A, B, .. of the rows' own options */
    int32_t positive;    /* index, or -1: more than two classes and none named */
    spec_text question, system;
    spec_template template_kind;
    uint64_t seed;
    int32_t paper, max_tokens; /* 0: what the model allows */
    spec_cut cut;
    spec_combine combine;          /* of chunks */
    int32_t chunk_tokens, overlap; /* 0: the note budget; percent of a chunk */
    spec_list sections;            /* headings that are kept, the dearest first */
    spec_arm all;                  /* what holds for all arms */
    spec_splits splits;
    int32_t baselines, tfidf,
        n_keywords;       /* SPEC_PREVALENCE | ..; 0: auto, 1: words, 2: characters */
    spec_class *keywords; /* [n_keywords] class -> words; NULL: the classes' names */
    int32_t n_arm;
    spec_arm *arms; /* [n_arm] */
    spec_evidence evidence;
    str canonical;  /* one line a key, in a fixed order, defaults written out, paths as written */
    hash_text hash; /* of `canonical`: comments and layout do not change it */
} spec;

/* Everything lands in `a`. ERR_USAGE "study.yaml: line 7: unknown key 'qestion'; did you mean
 * 'question'?" */
bool spec_read(spec *s, const char *path, arena *a, err *e);
bool spec_parse(spec *s, str yaml, const char *path, arena *a, err *e);

/* Without labels, generated texts are compared with references alone: one class, no answers. */
static inline bool spec_has_labels(const spec *s) { return s->data.label.text.data != NULL; }

/* "study.yaml: line 7: ..." as ERR_USAGE; for what turns out wrong later. Returns false. */
bool spec_fail(const spec *s, int32_t line, err *e, const char *format, ...) PRINTF(4, 5);

const char *spec_cut_name(spec_cut c); /* "head+tail", as in the study file */

#endif
