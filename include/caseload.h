/* caseload: clinical text studies with local language models. The one public header.
 *
 * Every function returns true on success; else the error holds one sentence (what, where, what to
 * try; never the text of a row) and the exit code by kind. The library never prints, exits or
 * installs handlers: texts go to a sink, progress and cancelling are one callback. No function
 * opens a network connection.
 *
 *     caseload_error e = {0};
 *     caseload_run_options o = {.study = "study.yaml", .out = "out"};
 *     if (!caseload_run(&o, &e)) fprintf(stderr, "%s\n", e.text);
 */
#ifndef CASELOAD_H
#define CASELOAD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define CASELOAD_VERSION "0.1.0"

enum caseload_exit {
    CASELOAD_OK = 0,
    CASELOAD_OTHER = 1,    /* anything else */
    CASELOAD_USAGE = 2,    /* command line or study file */
    CASELOAD_DATA = 3,     /* the table */
    CASELOAD_MODEL = 4,    /* the model's files */
    CASELOAD_RESOURCE = 5, /* memory, disk, permissions */
    CASELOAD_STOPPED = 6,  /* interrupted; the same command goes on from there */
};

typedef struct caseload_error {
    int code; /* caseload_exit */
    char text[1000];
} caseload_error;

typedef void caseload_sink(void *context, const char *text, size_t size);

typedef struct caseload_state {    /* where a long job is */
    const char *phase;             /* "reading", "tokenising", "opening", "training", "scoring" */
    const char *detail;            /* of a training: which adapter, how far, its loss; NULL: none */
    int64_t texts_done, texts_all; /* over all arms; those scored by earlier runs are done */
    int64_t texts_now;             /* scored by this run */
    int64_t tokens_done, tokens_all; /* forwarded by this run */
    double seconds;                  /* of the phase */
    double seconds_left;             /* estimate; negative: unknown yet */
} caseload_state;

/* Called often; returning false stops after the step under way: CASELOAD_STOPPED, nothing lost. */
typedef bool caseload_progress(void *context, const caseload_state *s);

typedef struct caseload_engine_options { /* how to compute; zero is the default */
    const char *model;                   /* file or folder; replaces the study's */
    const char *device;   /* "cpu" (default), "cuda", "auto"; a list: "cuda:0,1", "cuda:all" */
    int ranks;            /* that share the work; 0: one a device. Changes no score */
    const char *split;    /* what they share: "rows", "layers"; NULL: rows where a model fits */
    int threads;          /* 0: OMP_NUM_THREADS, else all cores this process may use */
    int batch;            /* most texts a step; 0: as many as fit. Changes no score */
    int rows;             /* most tokens a step; 0: 512. Changes no score */
    int64_t memory_limit; /* bytes this process may take; 0: what the system gives */
    bool unshared;        /* compute every prompt alone: a check, slow. Changes no score */
} caseload_engine_options;

/* What a model is: format, family, sizes, tensors, tokenizer, template, hashes. */
typedef struct caseload_inspect_options {
    const char *model;
    bool json, tensors;
} caseload_inspect_options;
bool caseload_inspect(const caseload_inspect_options *o, caseload_sink *sink, void *context,
                      caseload_error *e);

/* "48GB", "44.5 GiB", "48g": a size of memory in bytes. */
bool caseload_parse_memory(const char *text, int64_t *bytes, caseload_error *e);

/* What fits: memory of a model in each number type and task, on a card or here. Headers are enough:
 * a folder with config.json alone will do. 0 and NULL: the defaults (cli/cmd_fit.c has them). */
typedef struct caseload_fit_options {
    const char *model, *shape, *study; /* a model or a published shape; a study's own when absent */
    const char *card, *memory;         /* neither: this computer */
    const char *device;
    int cards, threads;
    int tokens, shared, shots, samples, new_tokens, rank, prompts, rows;
    bool json, list, colour; /* list: the names of shapes and cards, nothing else */
} caseload_fit_options;
bool caseload_fit(const caseload_fit_options *o, caseload_sink *sink, void *context,
                  caseload_error *e);

/* JSONL requests in, JSONL answers out (study/requests.h tells the format). */
typedef struct caseload_score_options {
    caseload_engine_options engine;
    const char *jsonl;
    size_t size;
    caseload_sink *sink;
    caseload_progress *progress; /* may be NULL */
    void *context;               /* of both */
} caseload_score_options;
bool caseload_score(const caseload_score_options *o, caseload_error *e);

/* A commented study file for a table. */
bool caseload_init(const char *table, const char *model, caseload_sink *sink, void *context,
                   caseload_error *e);

/* Divides the study's table into train, tune and test as its `splits` say; writes the file that
 * `data: split_file` (or `out`) names, which must not exist yet. What is where goes to the sink. */
bool caseload_split(const char *study, const char *out, caseload_sink *sink, void *context,
                    caseload_error *e);

/* Versions of a study's question: the list, or words that differ between two. `study` may be the
 * folder of versions itself; NULL: `a` and `b` are files. */
typedef struct caseload_prompts_options {
    const char *study, *folder, *a, *b;
    bool colour;
} caseload_prompts_options;
bool caseload_prompts(const caseload_prompts_options *o, caseload_sink *sink, void *context,
                      caseload_error *e);

/* The model lists what in an arm's question is unclear and proposes rewrites, kept as versions. */
typedef struct caseload_refine_options {
    caseload_engine_options engine;
    const char *study, *arm,
        *folder;   /* arm NULL: the first; folder NULL: prompts beside the study */
    int proposals; /* 0: 4 */
    uint64_t seed;
    caseload_progress *progress; /* may be NULL; phase "reading"; false stops */
    void *context;
} caseload_refine_options;
bool caseload_refine(const caseload_refine_options *o, caseload_sink *sink, void *context,
                     caseload_error *e);

/* One row under every arm (or the one named): prompt, tokens, answers with log-probabilities.
 * Prints the row's text: it is the only command that does. */
typedef struct caseload_try_options {
    caseload_engine_options engine;
    const char *study, *row, *arm; /* arm NULL: all; row NULL: the first */
    bool colour;
} caseload_try_options;
bool caseload_try(const caseload_try_options *o, caseload_sink *sink, void *context,
                  caseload_error *e);

/* Runs a study, or goes on with it; writes study.db, scores.csv, results.json, report.html. */
typedef struct caseload_run_options {
    caseload_engine_options engine;
    const char *study, *out;
    int limit;                   /* score the first N rows only; 0: all */
    bool paper;                  /* also the folder `paper`, as caseload_report */
    bool plan;                   /* stop before the weights are opened: the plan goes to the sink */
    bool colour;                 /* of the closing table */
    caseload_sink *sink;         /* the closing table; may be NULL */
    caseload_progress *progress; /* may be NULL */
    void *context;               /* of both */
} caseload_run_options;
bool caseload_run(const caseload_run_options *o, caseload_error *e);

/* Trains the adapters of the study's arms that have `lora`, or goes on with them; each in
 * OUT/adapters/ARM, in PEFT's layout. A training is done once: `caseload_run` uses what is
 * there, and trains what is not. */
typedef struct caseload_tune_state {
    const char *phase;                 /* "reading", "tokenising", "training", .. */
    const char *adapter;               /* under way; NULL: none yet */
    int number, of;                    /* adapters */
    int64_t updates_done, updates_all; /* of this adapter */
    int64_t rows_done;                 /* likewise */
    double loss, tune_auroc;           /* of the last update; the best so far; NaN: none */
    double tokens_per_second;          /* forwarded and backward, mean of this run */
    double seconds, seconds_left;      /* negative: unknown yet */
} caseload_tune_state;
typedef struct caseload_tune_options {
    caseload_engine_options engine;
    const char *study, *out;
    const char *arm;     /* only this one; NULL: every arm with `lora` */
    int steps;           /* stop each adapter after so many updates of this call; 0: none */
    int checkpoint;      /* updates between checkpoints; 0: a minute */
    bool plan;           /* only say what it will take */
    bool certify;        /* each finished adapter, as caseload_certify */
    caseload_sink *sink; /* what was done; may be NULL */
    bool (*progress)(void *context, const caseload_tune_state *s); /* as caseload_progress */
    void *context;                                                 /* of both */
} caseload_tune_options;
bool caseload_tune(const caseload_tune_options *o, caseload_error *e);

/* Draws report.html, results.json and scores.csv again from study.db: no model, no table. */
typedef struct caseload_report_options {
    const char *out;
    bool paper;          /* also the folder `paper`: tables, figures, methods, checklists */
    const char *explain; /* "auroc/zero-shot": tell where that number comes from, write nothing */
    bool colour;
} caseload_report_options;
bool caseload_report(const caseload_report_options *o, caseload_sink *sink, void *context,
                     caseload_error *e);

/* Every statistic of scores in a table from anywhere: no model, no study. JSON keys:
 * view/judge.h. */
typedef struct caseload_judge_options {
    const char *table, *label;
    const char *positive;     /* the label's value that means positive; all others are negative */
    const char *const *score; /* [n_score] columns; a higher score means positive */
    int n_score;
    const char *patient, *group; /* columns, or NULL */
    bool probability;            /* the scores are probabilities of being positive */
    double threshold;            /* called positive from here on */
    int draws;                   /* of the bootstrap; 0: 2,000 for tables of usual size; -1: none */
    uint64_t seed;
    bool json;
} caseload_judge_options;
bool caseload_judge(const caseload_judge_options *o, caseload_sink *sink, void *context,
                    caseload_error *e);

/* Small questions beside a study; view/desk.h. Tables are read as a study's are. */
typedef struct caseload_desk_options {
    const char *table;         /* of agree and overlap */
    const char *const *column; /* agree: [n_column] raters; overlap: reference, generated */
    int n_column;
    bool ordered;     /* agree: ratings are numbers, in their order */
    bool ascii, stem; /* overlap: words as published English figures count them */
    double auroc, prevalence, width, power; /* size */
    int rows, prompts;                      /* size; 0: not given */
    int64_t right[3], wrong[3];             /* audit: rows, read again, labels found wrong */
    uint64_t seed;
    bool json;
} caseload_desk_options;
bool caseload_agree(const caseload_desk_options *o, caseload_sink *sink, void *context,
                    caseload_error *e);
bool caseload_overlap(const caseload_desk_options *o, caseload_sink *sink, void *context,
                      caseload_error *e);
bool caseload_size(const caseload_desk_options *o, caseload_sink *sink, void *context,
                   caseload_error *e);
bool caseload_audit(const caseload_desk_options *o, caseload_sink *sink, void *context,
                    caseload_error *e);

/* Arms of a study, from study.db alone: paired differences, on the rows that all of them scored. */
typedef struct caseload_compare_options {
    const char *out;        /* the study's folder */
    const char *const *arm; /* [n_arm] names, two or more */
    int n_arm;
    const char *group; /* a subgroup column of the study, or NULL */
    int draws;         /* of the bootstrap; 0: 2,000 */
    bool json;         /* keys as caseload_judge's */
} caseload_compare_options;
bool caseload_compare(const caseload_compare_options *o, caseload_sink *sink, void *context,
                      caseload_error *e);

/* A model into another container or number type, with a LoRA adapter merged in where one is given;
 * what was written goes to the sink. model/convert.h tells the types. */
typedef struct caseload_convert_options {
    const char *model;   /* file or folder */
    const char *adapter; /* folder or GGUF file; NULL: none */
    const char *out;     /* a name ending in .gguf, or a folder */
    bool adapter_only;   /* the adapter itself into the other layout; the model is its base */
    const char *type;    /* "f16", "q4_k", ..; NULL: each tensor keeps its own */
    bool force;          /* replace what is there */
    int threads;         /* 0: as of caseload_engine_options */
    caseload_sink *sink;
    caseload_progress *progress; /* tokens_done and tokens_all count numbers; may be NULL */
    void *context;               /* of both */
} caseload_convert_options;
bool caseload_convert(const caseload_convert_options *o, caseload_error *e);

/* Scores a study's tune rows with an adapter beside its base and in every form in which it is
 * handed on; writes certificate.json. CASELOAD_MODEL when a form differs beyond rounding
 * (study/certificate.h). */
typedef struct caseload_certify_options {
    const char *model, *adapter;
    const char *study, *arm;       /* whose rows, and how they are asked; arm NULL: the first */
    const char *merged;            /* a merged model to be compared too; NULL */
    bool merged_only;              /* leave out the merged forms that would be made for it */
    const char *out;               /* NULL: certificate.json in the adapter's folder */
    caseload_engine_options engine; /* its model is not used */
    caseload_sink *sink;
    caseload_progress *progress; /* texts_done and texts_all count forms; may be NULL */
    void *context;               /* of both */
} caseload_certify_options;
bool caseload_certify(const caseload_certify_options *o, caseload_error *e);

/* Devices this machine can compute on, one a line. */
bool caseload_devices(caseload_sink *sink, void *context, caseload_error *e);

/* A table of synthetic clinical notes (data/notes.h tells how they are made). `best_auroc` (may be
 * NULL): what a reader who finds every truth reaches against the noisy labels, in the limit. */
typedef struct caseload_notes_options { /* fractions: 0 is the default, negative is none */
    const char *out;                    /* CSV file */
    const char *language;               /* "en" (default), "ko", "mixed" */
    int rows;
    uint64_t seed;
    double serious, noise, hard; /* defaults 0.4, 0.05, 0.4 */
} caseload_notes_options;
bool caseload_notes(const caseload_notes_options *o, double *best_auroc, caseload_error *e);

#endif
