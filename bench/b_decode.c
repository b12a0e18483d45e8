/* b_decode: tokens a second of generated text, many streams at once or one.
 *   b_decode MODEL [--texts 16] [--samples 8] [--prompt 256] [--new 32] [--threads N] [--repeats 3]
 *            [--temperature 1] [--top-k 40] [--device cpu] [--csv FILE] [--seconds-only]
 * `texts` prompts of `prompt` tokens are forwarded first and not timed; then texts x samples
 * streams draw `new` tokens each, none ends early. Prints tokens/s of the fastest repeat, the bytes
 * of weights read a second, and the share of the machine's own reading speed, measured in the same
 * run by summing a block of memory larger than any cache: the wall of one stream. */
#include "bench_model.h"
#include "model/decode.h"
#include "model/describe.h"
#include "model/weave.h"

typedef struct run {
    bench_model on;
    arena woven;
    session s;
    decoder d;
    decode_stream *stream;
    int32_t *id, *position, *prompt_id;
    int32_t texts, samples, prompt, fresh;
    sampling how;
} run;

static void *take(run *r, int64_t n, size_t size)
{
    err e = {0};
    void *p = arena_take_zero(&r->on.keep, (size_t)n, size, &e);
    if (!p) bench_stop(&e);
    return p;
}

static void open_run(run *r)
{
    err e = {0};
    const int32_t streams = r->texts * r->samples;
    arena all = ARENA_MEASURE;
    if (!model_weave(&r->on.m, &r->on.b, &all, &e)) bench_stop(&e);
    if (all.used > 0) {
        if (!arena_open(&r->woven, all.used, "weights", &e)) bench_stop(&e);
        arena_want_large_pages(&r->woven);
        if (!model_weave(&r->on.m, &r->on.b, &r->woven, &e)) bench_stop(&e);
    }
    session_shape shape = {.rows = r->prompt > streams ? r->prompt : streams,
                           .slots = r->texts * r->prompt + streams * r->fresh,
                           .positions = r->prompt + r->fresh + 1,
                           .out_rows = streams,
                           .n_top = 1,
                           .logit_rows = streams};
    if (shape.slots < shape.rows) shape.slots = shape.rows;
    bench_model_session(&r->on, &r->s, shape);
    if (!decoder_lay_out(&r->d, &r->s, streams, &r->on.keep, &e)) bench_stop(&e);
    r->stream = take(r, streams, sizeof *r->stream);
    r->id = take(r, (int64_t)streams * r->fresh, sizeof *r->id);
    r->prompt_id = bench_ids(&r->on, (int64_t)r->texts * r->prompt);
    r->position = take(r, r->prompt, sizeof *r->position);
    for (int32_t i = 0; i < r->prompt; i++) r->position[i] = i;
}

static void prefill(run *r)
{
    for (int32_t t = 0; t < r->texts; t++) {
        attend_range range = {.slot = t * r->prompt, .count = r->prompt, .position = 0};
        attend_span span = {.row = 0, .count = r->prompt, .position = 0, .n_range = 1};
        step st = {.n_row = r->prompt,
                   .first_slot = t * r->prompt,
                   .id = r->prompt_id + t * r->prompt,
                   .position = r->position,
                   .span = &span,
                   .range = &range,
                   .n_span = 1};
        session_forward(&r->s, &st);
    }
}

static double generate(run *r)
{
    err e = {0};
    const int32_t streams = r->texts * r->samples;
    const decode_rules rules = {0};
    for (int32_t i = 0; i < streams; i++) {
        const int32_t t = i / r->samples, last = (t + 1) * r->prompt - 1;
        r->stream[i] = (decode_stream){.how = r->how,
                                       .generator = rng_for(1, (uint64_t)i, 0),
                                       .path = {{t * r->prompt, r->prompt, 0}},
                                       .n_path = 1,
                                       .position = r->prompt,
                                       .last_id = r->prompt_id[last],
                                       .last_slot = last,
                                       .prefix = r->prompt_id + t * r->prompt,
                                       .n_prefix = r->prompt - 1,
                                       .slot = r->texts * r->prompt + i * r->fresh,
                                       .max_new = r->fresh,
                                       .id = r->id + i * r->fresh};
    }
    double start = seconds_work(pool_size(r->on.threads));
    if (!decode_run(&r->d, r->stream, streams, &rules, &e)) bench_stop(&e);
    return seconds_work(pool_size(r->on.threads)) - start;
}

typedef struct read_work {
    const uint64_t *block;
    size_t n; /* of a task */
    uint64_t sum[POOL_THREADS_MAX];
} read_work;

__attribute__((target("avx2"))) static void read_task(void *context, int64_t i, int thread)
{
    (void)thread;
    read_work *w = context;
    const uint64_t *from = w->block + (size_t)i * w->n;
    __m256i s[4] = {_mm256_setzero_si256()};
    for (size_t k = 0; k + 16 <= w->n; k += 16) {
        for (int j = 0; j < 4; j++) {
            s[j] = _mm256_add_epi64(s[j],
                                    _mm256_load_si256(
                                        (const __m256i *)(const void *)(from + k + 4 * (size_t)j)));
        }
    }
    s[0] = _mm256_add_epi64(_mm256_add_epi64(s[0], s[1]), _mm256_add_epi64(s[2], s[3]));
    w->sum[i] = (uint64_t)_mm256_extract_epi64(s[0], 0);
}

/* GB/s of all threads together, best of five. */
static double reading_speed(pool *p)
{
    read_work w = {.n = ((size_t)32 << 20)};
    const int threads = pool_size(p);
    const size_t bytes = w.n * (size_t)threads * 8;
    uint64_t *block = aligned_alloc(64, bytes);
    if (!block) exit(5);
    memset(block, 1, bytes);
    w.block = block;
    double best = 0;
    for (int k = 0; k < 5; k++) {
        double t = seconds_work(threads);
        pool_run(p, threads, read_task, &w);
        t = seconds_work(threads) - t;
        if ((double)bytes / t / 1e9 > best) best = (double)bytes / t / 1e9;
    }
    free(block);
    return best;
}

/* Bytes of the matrices of a decode step: all but the embedding, unless it is the head too. */
static double bytes_a_step(const run *r)
{
    const model_weights *w = &r->on.m.weights;
    int64_t embed = 0;
    double all = (double)r->on.header.bytes_weights;
    if (w->embed.data != w->lm_head.data &&
        dtype_row_bytes(w->embed.type, w->embed.dim[1], &embed)) {
        all -= (double)embed * (double)w->embed.dim[0];
    }
    return all;
}

int main(int argc, char **argv)
{
    if (argc < 2) return fprintf(stderr, "usage: b_decode MODEL [--texts N] ...\n"), 2;
    run r = {.texts = number(argc, argv, "--texts", "16"),
             .samples = number(argc, argv, "--samples", "8"),
             .prompt = number(argc, argv, "--prompt", "256"),
             .fresh = number(argc, argv, "--new", "32")};
    r.how.temperature = (float)atof(option(argc, argv, "--temperature", "1"));
    r.how.top_k = number(argc, argv, "--top-k", "40");
    int repeats = number(argc, argv, "--repeats", "3");
    bool bare = has(argc, argv, "--seconds-only");
    if (r.texts < 1 || r.samples < 1 || r.prompt < 1 || r.fresh < 1 || repeats < 1) return 2;
    bench_model_open(&r.on, argc, argv);
    open_run(&r);
    prefill(&r);
    double best = 1e30;
    for (int i = 0; i < repeats; i++) {
        double t = generate(&r);
        if (t < best) best = t;
        if (bare) printf("%.6f\n", t), fflush(stdout);
    }
    if (!bare) {
        const char *csv = option(argc, argv, "--csv", NULL);
        double steps = r.fresh, tokens = steps * r.texts * r.samples;
        double speed = bytes_a_step(&r) * steps / best / 1e9, wall = reading_speed(r.on.threads);
        char name[300];
        uint64_t sum = 1469598103934665603ull;
        for (int64_t i = 0; i < (int64_t)tokens; i++)
            sum = (sum ^ (uint64_t)r.id[i]) * 1099511628211ull;
        printf("tokens drawn: %016llx\n", (unsigned long long)sum);
        snprintf(name, sizeof name, "decode %s %d x %d behind %d", r.on.header.name, r.texts,
                 r.samples, r.prompt);
        report(csv, name, tokens / best, "tokens/s", speed / wall);
        report(csv, "weights read", speed, "GB/s", speed / wall);
    }
    bench_model_close(&r.on);
    arena_close(&r.woven);
    return 0;
}
