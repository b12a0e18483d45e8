/* engine: a model opened for one run: threads, device, weights, and the session that a schedule
 * needs.
 *
 * Opening is in two steps, because everything is parsed, tokenised and planned before a weight is
 * read: engine_peek gives configuration, tokenizer and template; engine_start takes the finished
 * schedules and lays out exactly the planned memory. */
#ifndef CASELOAD_STUDY_ENGINE_H
#define CASELOAD_STUDY_ENGINE_H

#include "base/room.h"
#include "model/files.h"
#include "model/place.h"
#include "study/generate.h"
#include "study/schedule.h"
#include "text/prompt.h"

/* Row budget of a step: weights are expanded once for so many rows; a GPU needs many to be busy. */
enum { ENGINE_ROWS = 512, ENGINE_ROWS_APART = 4096 };

typedef struct engine_options {
    const char *model;       /* file or folder */
    const char *device;      /* NULL: "cpu"; a list (compute/ranks.h) for crew_peek alone */
    int32_t ranks;           /* likewise; 0: one a device */
    const char *split;       /* likewise: "rows" or "layers" are split; NULL: as it fits */
    int32_t threads;         /* 0: all cores this process may use; of all ranks together */
    int64_t bytes_limit;     /* of memory that this process may take; 0: what the system gives */
    bool sizes_only;         /* to plan: the weights may be absent; engine_start is not for it */
    int64_t bytes_elsewhere; /* plan for a place with so many bytes free; 0: here */
} engine_options;

typedef struct engine {
    arena memory; /* header, tokenizer, directory */
    arena block;  /* session and scorer: exactly what was planned */
    arena woven;  /* matrices in another order, in place of the file's, where tokens are drawn */
    model_header header;
    model model;
    model_part part;     /* end 0: the whole model */
    chat_template *chat; /* NULL: the model has none */
    pool *threads;
    backend backend;
    session session;
    lora adapter; /* as the session reads it */
    scorer scorer;
    generator generator;                  /* of a schedule with streams */
    int64_t bytes_limit, bytes_elsewhere; /* of the options */
    bool in_company;                      /* other engines read the same file's weights */
    bool incomplete;                      /* sizes only: some weights are not there */
    bool beside;                          /* header and template are another's */
    const struct engine *lender; /* its weights are read, on the same device; NULL: own ones */
    const char *device;                   /* its name, in a crew; else NULL */
    size_t bytes_planned;
    size_t bytes_device; /* weights and session, where they are not the host's */
    size_t mark;         /* end of the session in `block` */
} engine;

bool engine_peek(engine *g, const engine_options *o, err *e);
/* Another of the same model, with device, threads, weights and session of its own; closed first. */
bool engine_open_beside(engine *g, const engine *first, const engine_options *o, err *e);
/* Another session on the device of `lender`, with its weights: both take the same part, the lender
 * is started first and closed last. */
bool engine_open_borrower(engine *g, const engine *lender, err *e);
/* From now on layers [first, end) alone, with what stands before them when they are the first, and
 * behind when they are the last; nothing is open. Sessions of parts follow one another. */
void engine_take_part(engine *g, int32_t first, int32_t end);
int32_t engine_rows(const engine *g); /* the row budget where none is asked for */
typedef struct engine_work {          /* what one session is to serve */
    const schedule *const *schedule;
    int32_t n_schedule;
    int32_t adapter_rank; /* 0: no adapter */
} engine_work;

/* Binds the weights and lays out a session that serves each of the schedules, and room for the
 * largest scorer. `adapter` (NULL: none) is computed beside the model; its rank is the work's. */
bool engine_start(engine *g, const engine_work *w, const lora *adapter, err *e);
void engine_stop(engine *g); /* gives the session back; engine_start may follow */

/* Weights and so many bytes of session fit in what may still be taken; else ERR_RESOURCE. Asked by
 * engine_start. */
bool engine_check_room(const engine *g, int64_t bytes_session, err *e);

/* What may still be taken, here or elsewhere. */
room engine_room(const engine *g);

/* The largest of each that the schedules ask. */
session_shape engine_shape(const engine_work *w);

/* The bytes that engine_start would lay out. */
bool engine_plan(engine *g, const engine_work *w, int64_t *bytes, err *e);

/* The scorer of one of them; the one before is gone. */
bool engine_take_scorer(engine *g, const schedule *s, err *e);
void engine_close(engine *g);

prompt_rules engine_prompt_rules(const engine *g, bool chat);

#endif
