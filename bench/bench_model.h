/* bench_model: what the benches of a whole model share: a model opened on a device, and numbers of
 * the command line. Every failure ends the bench with the library's exit code. */
#ifndef CASELOAD_BENCH_BENCH_MODEL_H
#define CASELOAD_BENCH_BENCH_MODEL_H

#include "bench.h"
#include "model/session.h"

typedef struct bench_model {
    pool *threads;
    backend b;
    arena keep, block; /* what stays; what the session or trainer is laid out in */
    model_header header;
    model m;
} bench_model;

static inline void bench_stop(const err *e)
{
    fprintf(stderr, "%s\n", e->text);
    exit((int)e->code);
}

static inline int number(int argc, char **argv, const char *name, const char *otherwise)
{
    return atoi(option(argc, argv, name, otherwise));
}

static inline bool has(int argc, char **argv, const char *name)
{
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], name)) return true;
    }
    return false;
}

/* The model named first, with --threads and --device. */
static inline void bench_model_open(bench_model *o, int argc, char **argv)
{
    err e = {0};
    if (!arena_open(&o->keep, (size_t)4 << 30, "model", &e)) bench_stop(&e);
    if (!model_peek_without_tokenizer(&o->header, argv[1], &o->keep, &e)) bench_stop(&e);
    o->m = (model){.header = &o->header, .config = &o->header.config};
    if (!model_bind(&o->m.weights, &o->header, &o->keep, &e)) bench_stop(&e);
    o->threads = pool_open(number(argc, argv, "--threads", "0"), &e);
    if (!o->threads || !backend_open(&o->b, option(argc, argv, "--device", "cpu"), o->threads, &e))
        bench_stop(&e);
}

/* A session on it, in a block of the size that is planned. */
static inline void bench_model_session(bench_model *o, session *s, session_shape shape)
{
    err e = {0};
    arena plan = ARENA_MEASURE;
    if (!session_lay_out(s, &o->m, &o->b, shape, &plan, &e)) bench_stop(&e);
    if (!arena_open(&o->block, plan.used, "session", &e)) bench_stop(&e);
    if (!session_lay_out(s, &o->m, &o->b, shape, &o->block, &e)) bench_stop(&e);
}

static inline int32_t *bench_ids(bench_model *o, int64_t n) /* the same for every run */
{
    err e = {0};
    int32_t *id = arena_take(&o->keep, (size_t)n, sizeof *id, &e);
    if (!id) bench_stop(&e);
    for (int64_t i = 0; i < n; i++)
        id[i] = (int32_t)((1000 + 7919LL * i) % o->header.config.n_vocab);
    return id;
}

static inline void bench_model_close(bench_model *o)
{
    model_close_header(&o->header);
    arena_close(&o->block);
    arena_close(&o->keep);
    pool_close(o->threads);
}

#endif
