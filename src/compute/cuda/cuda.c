/* cuda: cards, what is open on one, its memory, and the ops that work on rows; see cuda.h.
 * Products, attention and the answer head have their own files. Everything runs in one stream. */
#include "compute/cache.h"
#include "compute/cuda/cuda_in.h"

#include <assert.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { LEAST_MAJOR = 8, BYTES_OWN = 4 << 20 };

/* ---- failures ---- */

bool cuda_checked(backend *b, cudaError_t r, const char *what)
{
    if (r == cudaSuccess) return b->failure.code == ERR_NONE;
    return err_set(&b->failure, ERR_RESOURCE, "GPU %d failed in %s: %s; see `caseload devices`",
                   cuda_of(b)->card, what, cudaGetErrorString(r));
}

bool cuda_checked_lt(backend *b, cublasStatus_t r, const char *what)
{
    if (r == CUBLAS_STATUS_SUCCESS) return b->failure.code == ERR_NONE;
    return err_set(&b->failure, ERR_RESOURCE, "GPU %d: cuBLASLt failed in %s: %s", cuda_of(b)->card,
                   what, cublasLtGetStatusString(r));
}

void cuda_launched(backend *b, const char *what) { cuda_checked(b, cudaGetLastError(), what); }

/* ---- cards ---- */

int32_t cuda_count(void)
{
    int n = 0;
    return cudaGetDeviceCount(&n) == cudaSuccess ? n : 0;
}

static bool no_card(int32_t card, err *e)
{
    int n = 0;
    cudaError_t r = cudaGetDeviceCount(&n);
    if (r != cudaSuccess) {
        return err_set(e, ERR_RESOURCE,
                       "no NVIDIA GPU can be used here: %s; see `nvidia-smi`, or try --device cpu",
                       cudaGetErrorString(r));
    }
    return err_set(e, ERR_RESOURCE,
                   "there is no GPU %d: this machine has %d; see `caseload devices`", card, n);
}

bool cuda_describe(int32_t card, cuda_card *about, err *e)
{
    struct cudaDeviceProp p;
    size_t left = 0, total = 0;
    *about = (cuda_card){0};
    if (card < 0 || card >= cuda_count()) return no_card(card, e);
    cudaError_t r = cudaGetDeviceProperties(&p, card);
    if (r == cudaSuccess) r = cudaSetDevice(card);
    if (r == cudaSuccess) r = cudaMemGetInfo(&left, &total);
    if (r != cudaSuccess) {
        return err_set(e, ERR_RESOURCE, "GPU %d cannot be used: %s", card, cudaGetErrorString(r));
    }
    *about = (cuda_card){.major = p.major,
                         .minor = p.minor,
                         .bytes_total = (int64_t)total,
                         .bytes_free = (int64_t)left};
    snprintf(about->name, sizeof about->name, "%.127s", p.name);
    return p.major >= LEAST_MAJOR ||
           err_set(e, ERR_RESOURCE,
                   "GPU %d, %s, has compute capability %d.%d; 8.0 or later is needed", card, p.name,
                   p.major, p.minor);
}

typedef struct arithmetic {
    const char *name; /* behind the card */
    bool precise, two_terms;
} arithmetic;

static const arithmetic usual = {"bf16", false, false};
static const arithmetic others[] = {{"fp32", true, false}, {"bf16x3", true, true}};

/* "cuda[:N][:arithmetic]" */
static bool read_name(const char *device, int32_t *card, const arithmetic **how, err *e)
{
    const char *at = device + strlen("cuda");
    *card = 0, *how = &usual;
    if (*at == ':' && at[1] >= '0' && at[1] <= '9') {
        char *end = NULL;
        long n = strtol(at + 1, &end, 10);
        *card = n > INT32_MAX ? INT32_MAX : (int32_t)n;
        at = end;
    }
    for (size_t i = 0; *at == ':' && i < countof(others); i++) {
        if (strcmp(at + 1, others[i].name) != 0) continue;
        *how = &others[i];
        return true;
    }
    return !*at || err_set(e, ERR_USAGE,
                           "unknown device \"%s\"; a GPU is cuda or cuda:N, with :bf16x3 behind it "
                           "for 16 bits of each number in products, or :fp32 for the check mode",
                           device);
}

/* ---- open and close ---- */

static void release(backend *b)
{
    cudaSetDevice(cuda_of(b)->card);
    cuda_graphs_forget(&cuda_of(b)->graphs);
    if (b->memory.block) cudaFree(b->memory.block); /* waits for what runs */
    b->memory = ARENA_MEASURE;
}

static void close_state(backend *b)
{
    cuda_state *s = cuda_of(b);
    if (!s) return;
    cudaSetDevice(s->card);
    if (s->stream) cudaStreamSynchronize(s->stream);
    release(b);
    if (s->lt) cublasLtDestroy(s->lt);
    for (int i = 0; i < PASSES; i++) {
        if (s->passed[i]) cudaEventDestroy(s->passed[i]);
    }
    for (int i = 0; i < 2; i++) {
        if (s->clock[i]) cudaEventDestroy(s->clock[i]);
    }
    for (int i = 0; i < BRANCHES; i++) {
        if (s->side[i]) cudaStreamDestroy(s->side[i]);
        if (s->joined[i]) cudaEventDestroy(s->joined[i]);
    }
    if (s->forked) cudaEventDestroy(s->forked);
    if (s->stream) cudaStreamDestroy(s->stream);
    if (s->pinned) cudaFreeHost(s->pinned);
    arena own = s->own;
    arena_close(&own);
    b->own = NULL;
}

static bool reserve(backend *b, size_t bytes, err *e)
{
    cuda_state *s = cuda_of(b);
    size_t left = 0, total = 0;
    void *block = NULL;
    release(b);
    cudaMemGetInfo(&left, &total);
    cudaError_t r = cudaErrorMemoryAllocation;
    if (left >= bytes + b->beside) r = cudaMalloc(&block, bytes > 0 ? bytes : 1);
    if (r != cudaSuccess) {
        cudaGetLastError();
        return err_set(
            e, ERR_RESOURCE,
            "GPU %d: %.2f GB are needed and %.2f GB of %.2f are free (%s); take a smaller "
            "or quantised model, fewer rows a step, or a larger card",
            s->card, (double)(bytes + b->beside) / 1e9, (double)left / 1e9, (double)total / 1e9,
            cudaGetErrorString(r));
    }
    b->memory = (arena){.block = block, .size = bytes, .name = "the GPU's block"};
    return true;
}

typedef struct part_copy { /* a copy shared by the threads */
    unsigned char *to;
    const unsigned char *from;
    size_t bytes, each;
} part_copy;

static void copy_part(void *context, int64_t i, int thread)
{
    (void)thread;
    const part_copy *c = context;
    size_t at = (size_t)i * c->each, left = c->bytes - at;
    memcpy(c->to + at, c->from + at, left < c->each ? left : c->each);
}

static void copy_shared(backend *b, void *to, const void *from, size_t bytes)
{
    enum { EACH = 1 << 20 };
    part_copy c = {.to = to, .from = from, .bytes = bytes, .each = EACH};
    if (bytes <= EACH) memcpy(to, from, bytes); /* no thread need wake */
    else pool_run(b->threads, (int64_t)((bytes + EACH - 1) / EACH), copy_part, &c);
}

typedef struct ring { /* a copy to the device through the pinned buffers, which take turns */
    cuda_state *state;
    unsigned char *to;
    const unsigned char *from;
    size_t bytes;
    atomic_int_fast64_t sent[PASSES]; /* the latest pass of a buffer that is on its way */
    atomic_int filled[PASSES];        /* pieces of the pass that is being filled */
    atomic_int failure;               /* of the runtime; the first one stays */
} ring;

enum { PIECE_BYTES = 1 << 20, PIECES = PASS_BYTES / PIECE_BYTES };

static void ring_checked(ring *r, cudaError_t result)
{
    int none = cudaSuccess;
    if (result != cudaSuccess) atomic_compare_exchange_strong(&r->failure, &none, (int)result);
}

/* All pieces of a pass are in its buffer. */
static void send_pass(ring *r, int64_t pass, int buffer)
{
    const cuda_state *s = r->state;
    const size_t at = (size_t)pass * PASS_BYTES, left = r->bytes - at;
    const unsigned char *from = s->pinned + STAGE_BYTES + (size_t)buffer * PASS_BYTES;
    ring_checked(r, cudaMemcpyAsync(r->to + at, from, left < PASS_BYTES ? left : PASS_BYTES,
                                    cudaMemcpyHostToDevice, s->stream));
    ring_checked(r, cudaEventRecord(s->passed[buffer], s->stream));
    atomic_store(&r->filled[buffer], 0);
    atomic_store(&r->sent[buffer], pass);
}

/* Pieces come in rising order, so a pass that a thread waits for is in other threads' hands. */
static void fill_piece(void *context, int64_t i, int thread)
{
    ring *r = context;
    const cuda_state *s = r->state;
    const int64_t pass = i / PIECES;
    const int buffer = (int)((s->next_pass + pass) % PASSES);
    const size_t at = (size_t)i * PIECE_BYTES, left = r->bytes - at,
                 whole = r->bytes - (size_t)pass * PASS_BYTES;
    const int pieces = whole < PASS_BYTES ? (int)((whole + PIECE_BYTES - 1) / PIECE_BYTES) : PIECES;
    (void)thread;
    cudaSetDevice(s->card);
    while (atomic_load(&r->sent[buffer]) < pass - PASSES) sched_yield();
    ring_checked(r, cudaEventSynchronize(s->passed[buffer]));
    memcpy(s->pinned + STAGE_BYTES + (size_t)buffer * PASS_BYTES + i % PIECES * PIECE_BYTES,
           r->from + at, left < PIECE_BYTES ? left : PIECE_BYTES);
    if (atomic_fetch_add(&r->filled[buffer], 1) + 1 == pieces) send_pass(r, pass, buffer);
}

static void write_through(backend *b, void *to, const void *from, size_t bytes)
{
    cuda_state *s = cuda_of(b);
    ring r = {.state = s, .to = to, .from = from, .bytes = bytes};
    const int64_t pieces = (int64_t)((bytes + PIECE_BYTES - 1) / PIECE_BYTES);
    for (int i = 0; i < PASSES; i++) atomic_init(&r.sent[i], -1), atomic_init(&r.filled[i], 0);
    if (pieces == 1) fill_piece(&r, 0, 0); /* no thread need wake */
    else pool_run(b->threads, pieces, fill_piece, &r);
    s->next_pass = (int)((s->next_pass + (pieces + PIECES - 1) / PIECES) % PASSES);
    cuda_checked(b, (cudaError_t)atomic_load(&r.failure), "a copy to it");
}

static void read_part(backend *b, const unsigned char *from, size_t n, int turn)
{
    cuda_state *s = cuda_of(b);
    unsigned char *buffer = s->pinned + STAGE_BYTES + (size_t)turn * PASS_BYTES;
    cuda_checked(b, cudaEventSynchronize(s->passed[turn]), "a copy from it");
    cuda_checked(b, cudaMemcpyAsync(buffer, from, n, cudaMemcpyDeviceToHost, s->stream),
                 "a copy from it");
    cuda_checked(b, cudaEventRecord(s->passed[turn], s->stream), "a copy from it");
}

static void read_through(backend *b, void *to, const void *from, size_t bytes)
{
    cuda_state *s = cuda_of(b);
    size_t got = 0, asked = 0;
    while (got < bytes) {
        while (asked < bytes && asked - got < 2 * (size_t)PASS_BYTES) {
            const size_t n = bytes - asked < PASS_BYTES ? bytes - asked : PASS_BYTES;
            if (asked - got + n > 2 * (size_t)PASS_BYTES) break;
            read_part(b, (const unsigned char *)from + asked, n, (int)(asked / PASS_BYTES % 2));
            asked += n;
        }
        const int turn = (int)(got / PASS_BYTES % 2);
        const size_t n = bytes - got < PASS_BYTES ? bytes - got : PASS_BYTES;
        if (!cuda_checked(b, cudaEventSynchronize(s->passed[turn]), "a copy from it")) return;
        copy_shared(b, (unsigned char *)to + got,
                    s->pinned + STAGE_BYTES + (size_t)turn * PASS_BYTES, n);
        got += n;
    }
}

/* May this card write to the other's memory? Where it may not, the driver goes through the host. */
static void let_reach(cuda_state *s, int other)
{
    if (s->card == other || s->reaches[other % CARDS_MAX]) return;
    s->reaches[other % CARDS_MAX] = true;
    if (cuda_reaches(s->card, other)) cudaDeviceEnablePeerAccess(other, 0);
    cudaGetLastError(); /* another backend of this card has asked before */
}

static void pass_over(backend *from, const void *source, backend *to, void *place, size_t bytes)
{
    cuda_state *a = cuda_of(from);
    const cuda_state *b = cuda_of(to);
    cuda_checked(to, cudaStreamSynchronize(b->stream), "its work");
    cudaSetDevice(a->card);
    let_reach(a, b->card);
    cuda_checked(from,
                 cudaMemcpyPeerAsync(place, b->card, source, a->card, bytes, a->stream),
                 "a copy to another GPU");
    cuda_checked(from, cudaStreamSynchronize(a->stream), "its work");
    cudaSetDevice(b->card);
}

static void sync_all(backend *b)
{
    cuda_checked(b, cudaStreamSynchronize(cuda_of(b)->stream), "its work");
}

static int64_t room_left(const backend *b)
{
    size_t left = 0, total = 0;
    cudaSetDevice(cuda_of(b)->card);
    return cudaMemGetInfo(&left, &total) == cudaSuccess ? (int64_t)left : -1;
}

static void enter(const backend *b) { cudaSetDevice(cuda_of(b)->card); }

static bool open_beside(backend *b, const backend *other, err *e)
{
    char name[32];
    const cuda_state *s = cuda_of(other);
    const char *how = s->two_terms ? ":bf16x3" : s->precise ? ":fp32" : "";
    snprintf(name, sizeof name, "cuda:%d%s", s->card, how);
    return backend_open(b, name, other->threads, e);
}

static const device_table memory_ops = {.reserve = reserve,
                                        .release = release,
                                        .write = write_through,
                                        .read = read_through,
                                        .pass = pass_over,
                                        .sync = sync_all,
                                        .beside = open_beside,
                                        .room = room_left,
                                        .enter = enter,
                                        .close = close_state,
                                        .graph = cuda_graph_run,
                                        .graphs = cuda_graph_counts};
static const op_table cuda_ops;

int32_t cuda_card_of(const backend *b) { return b->ops == &cuda_ops ? cuda_of(b)->card : -1; }

cudaStream_t cuda_stream_of(const backend *b)
{
    return b->ops == &cuda_ops ? cuda_of(b)->stream : NULL;
}

bool cuda_is_done(backend *b)
{
    if (b->ops != &cuda_ops) return true;
    const cudaError_t r = cudaStreamQuery(cuda_of(b)->stream);
    return r != cudaErrorNotReady && (cuda_checked(b, r, "its work"), true);
}

bool cuda_reaches(int32_t card, int32_t other)
{
    int can = 0;
    return cudaDeviceCanAccessPeer(&can, card, other) == cudaSuccess && can;
}

static bool open_event(backend *b, cudaEvent_t *event)
{
    return cuda_checked(b, cudaEventCreateWithFlags(event, cudaEventDisableTiming), "opening");
}

static bool open_stream(backend *b, cudaStream_t *stream)
{
    return cuda_checked(b, cudaStreamCreateWithFlags(stream, cudaStreamNonBlocking), "opening");
}

static bool open_parts(backend *b, cuda_state *s, const cuda_card *card, err *e)
{
    cudaSetDevice(s->card);
    bool ok = open_stream(b, &s->stream) && open_event(b, &s->forked);
    for (int i = 0; i < PASSES && ok; i++) ok = open_event(b, &s->passed[i]);
    for (int i = 0; i < BRANCHES && ok; i++)
        ok = open_stream(b, &s->side[i]) && open_event(b, &s->joined[i]);
    for (int i = 0; i < 2 && ok; i++)
        ok = cuda_checked(b, cudaEventCreate(&s->clock[i]), "opening");
    ok = ok &&
         cuda_checked(b,
                      cudaHostAlloc((void **)&s->pinned, STAGE_BYTES + PASSES * (size_t)PASS_BYTES,
                                    cudaHostAllocDefault),
                      "taking pinned memory");
    ok = ok && cuda_checked_lt(b, cublasLtCreate(&s->lt), "opening");
    if (!ok) return err_set(e, b->failure.code, "%s", b->failure.text);
    s->hopper = card->major == 9 && card->minor == 0;
    int driver = 0;
    cudaDriverGetVersion(&driver);
    snprintf(s->isa, sizeof s->isa, "%s, sm_%d%d, cuBLASLt %zu, driver %d.%d, %s", card->name,
             card->major, card->minor, cublasLtGetVersion(), driver / 1000, driver % 1000 / 10,
             s->two_terms ? "bf16x3"
             : s->precise ? "fp32"
                          : "bf16");
    return true;
}

bool cuda_open(backend *b, const char *device, err *e)
{
    int32_t card;
    const arithmetic *how;
    cuda_card about;
    arena own;
    if (!read_name(device, &card, &how, e) || !cuda_describe(card, &about, e)) return false;
    if (!arena_open(&own, BYTES_OWN, "the GPU's state", e)) return false;
    cuda_state *s = arena_take_zero(&own, 1, sizeof *s, e);
    assert(s);
    s->own = own;
    s->card = card;
    s->precise = how->precise;
    s->two_terms = how->two_terms;
    b->own = s;
    b->ops = &cuda_ops;
    b->device = &memory_ops;
    b->memory = ARENA_MEASURE;
    b->rows = how->precise ? DTYPE_F32 : DTYPE_BF16;
    b->isa = s->isa;
    if (open_parts(b, s, &about, e)) return true;
    close_state(b);
    b->device = NULL;
    return false;
}

/* ---- small arrays ---- */

void cuda_stage_begin(backend *b)
{
    cuda_state *s = cuda_of(b);
    s->stage_used = 0;
    s->n_kept = s->next_kept = 0;
    s->tiles = (known){0};
    s->stage_began++;
}

bool cuda_stage_send(backend *b)
{
    const cuda_state *s = cuda_of(b);
    if (s->stage_used == 0) return true;
    return cuda_checked(b,
                        cudaMemcpyAsync(cuda_space(b)->stage, s->pinned, s->stage_used,
                                        cudaMemcpyHostToDevice, s->stream),
                        "a copy to it");
}

/* Where the next array goes; false: nowhere. */
static bool find_place(backend *b, size_t bytes)
{
    cuda_state *s = cuda_of(b);
    if (bytes > STAGE_BYTES) {
        return err_set(&b->failure, ERR_RESOURCE,
                       "a step's plan takes %zu bytes, more than the %d that go to the GPU at "
                       "once; take fewer rows a step",
                       bytes, STAGE_BYTES);
    }
    if (s->graphs.recording) {
        return err_set(&b->failure, ERR_RESOURCE,
                       "GPU %d: a graph needs an array that was not staged; please report this",
                       s->card);
    }
    if (s->n_kept == STAGE_KEPT) s->graphs.unfit = true; /* the first ones are forgotten now */
    if (s->stage_used + bytes <= STAGE_BYTES) return true;
    s->graphs.unfit = true;
    if (!cuda_checked(b, cudaStreamSynchronize(s->stream), "its work")) return false;
    cuda_stage_begin(b);
    return true;
}

/* What an array of so many bytes takes: arrays of nearly the same size take the same, so that those
 * behind them stay where they are (graph.c). */
static size_t room_of(size_t bytes)
{
    size_t step = ARENA_ALIGN;
    while (step * 8 < bytes) step *= 2;
    return (bytes + step - 1) / step * step;
}

const void *cuda_stage_at(backend *b, const void *data, size_t bytes)
{
    cuda_state *s = cuda_of(b);
    cuda_workspace *w = cuda_space(b);
    for (int i = 0; i < s->n_kept; i++) {
        const staged *k = &s->kept[i];
        if (k->bytes == bytes && !memcmp(s->pinned + k->at, data, bytes)) {
            cuda_graph_note(&s->graphs, k->at);
            return w->stage + k->at;
        }
    }
    if (!find_place(b, bytes)) return NULL;
    const size_t at = s->stage_used, room = room_of(bytes), left = STAGE_BYTES - at;
    s->stage_used += room < left ? room : left;
    memcpy(s->pinned + at, data, bytes);
    s->kept[s->next_kept] = (staged){at, bytes};
    s->next_kept = (s->next_kept + 1) % STAGE_KEPT;
    if (s->n_kept < STAGE_KEPT) s->n_kept++;
    cuda_graph_note(&s->graphs, at);
    if (s->graphs.describing) return w->stage + at;
    cudaError_t r =
        cudaMemcpyAsync(w->stage + at, s->pinned + at, bytes, cudaMemcpyHostToDevice, s->stream);
    return cuda_checked(b, r, "a copy to it") ? w->stage + at : NULL;
}

const void *cuda_stage(backend *b, const void *data, size_t bytes)
{
    const void *at = cuda_stage_at(b, data, bytes);
    return cuda_of(b)->graphs.describing ? NULL : at;
}

k_rows cuda_rows(tensor t)
{
    return (k_rows){.data = t.data,
                    .type = cuda_row_type(t.type),
                    .n = t.dim[0],
                    .width = t.dim[1] * t.dim[2] * t.dim[3]};
}

k_weight cuda_weight(backend *b, tensor w, int64_t first, int64_t rows)
{
    k_weight k = {.type = w.type, .rows = rows, .columns = w.dim[w.rank - 1]};
    bool whole = dtype_row_bytes(w.type, k.columns, &k.bytes_row);
    assert(whole);
    k.data = (const unsigned char *)w.data + first * k.bytes_row;
    if (!k_reads(w.type)) {
        err_set(&b->failure, ERR_MODEL, "weights of type %s cannot be read on a GPU yet",
                dtype_get(w.type)->name);
    }
    return k;
}

const float *cuda_vector(backend *b, const tensor *w)
{
    cuda_workspace *s = cuda_space(b);
    if (w->type == DTYPE_F32) return w->data;
    float *to = s->vector + s->next_vector * s->vector_max;
    assert(w->dim[0] <= s->vector_max);
    s->next_vector = (s->next_vector + 1) % VECTOR_MAX_PARTS;
    k_expand(cuda_of(b)->stream, to, ROWS_F32, cuda_weight(b, *w, 0, 1));
    return to;
}

/* ---- ops on rows ---- */

static void cuda_embed(backend *b, tensor y, tensor w, const int32_t *ids, float scale)
{
    const int32_t *there = cuda_stage(b, ids, (size_t)y.dim[0] * sizeof *ids);
    for (int64_t i = 0; i < y.dim[0]; i++) assert(ids[i] >= 0 && ids[i] < w.dim[0]);
    if (!there) return;
    k_embed(cuda_of(b)->stream, y.data, cuda_weight(b, w, 0, w.dim[0]), there, y.dim[0], scale);
    cuda_launched(b, "embedding");
}

static void cuda_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float w_plus)
{
    const int64_t width = w.dim[0], n = tensor_count(&x) / width;
    k_rows to = cuda_rows(y), from = cuda_rows(x);
    to.n = from.n = n, to.width = from.width = width; /* a row may be a head */
    k_rows weights = cuda_rows(w);
    if (w.type != DTYPE_BF16) weights.data = (void *)(uintptr_t)cuda_vector(b, &w);
    k_rmsnorm(cuda_of(b)->stream, to, from, weights, eps, w_plus);
    cuda_launched(b, "a norm");
}

static void cuda_rope(backend *b, tensor x, const int32_t *positions, tensor table,
                      rope_style style)
{
    const int32_t *there = cuda_stage(b, positions, (size_t)x.dim[0] * sizeof *positions);
    if (!there) return;
    k_rope_how how = {.positions = there,
                      .table = table.data,
                      .heads = (int32_t)x.dim[1],
                      .head_dim = (int32_t)x.dim[2],
                      .turned = (int32_t)table.dim[1],
                      .pairs = style == ROPE_PAIRS,
                      .sign = 1};
    k_rope(cuda_of(b)->stream, cuda_rows(x), how);
    cuda_launched(b, "a rotation");
}

static void cuda_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind kind)
{
    k_glu(cuda_of(b)->stream, cuda_rows(y), cuda_rows(gate), cuda_rows(up), kind == GLU_GELU_TANH);
    cuda_launched(b, "a gate");
}

static void cuda_add(backend *b, tensor y, tensor x)
{
    k_add(cuda_of(b)->stream, cuda_rows(y), cuda_rows(x));
    cuda_launched(b, "a sum");
}

static void cuda_gather(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const int32_t *there = cuda_stage(b, rows, (size_t)y.dim[0] * sizeof *rows);
    for (int64_t i = 0; i < y.dim[0]; i++) assert(rows[i] >= 0 && rows[i] < x.dim[0]);
    if (!there) return;
    k_gather(cuda_of(b)->stream, cuda_rows(y), cuda_rows(x), there);
    cuda_launched(b, "gathering rows");
}

static void cuda_scatter(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const int32_t *there = cuda_stage(b, rows, (size_t)x.dim[0] * sizeof *rows);
    for (int64_t i = 0; i < x.dim[0]; i++) assert(rows[i] >= 0 && rows[i] < y.dim[0]);
    if (!there) return;
    k_scatter(cuda_of(b)->stream, cuda_rows(y), cuda_rows(x), there);
    cuda_launched(b, "scattering rows");
}

static void cuda_cache(backend *b, const cache_rows *c)
{
    const int64_t n = c->k.dim[0];
    k_cache h = {.q = c->q.data,
                 .k = c->k.data,
                 .v = c->v.data,
                 .key = c->key.data,
                 .value = c->value.data,
                 .position = cuda_stage(b, c->position, (size_t)n * sizeof *c->position),
                 .slot = cuda_stage(b, c->slot, (size_t)n * sizeof *c->slot),
                 .table = c->table.data,
                 .type = cuda_row_type(c->k.type),
                 .heads = c->q.data ? (int32_t)c->q.dim[1] : 0,
                 .heads_kv = (int32_t)c->k.dim[1],
                 .head_dim = (int32_t)c->k.dim[2],
                 .turned = (int32_t)c->table.dim[1],
                 .pairs = c->style == ROPE_PAIRS,
                 .n = n};
    for (int64_t i = 0; i < n; i++) assert(c->slot[i] >= 0 && c->slot[i] < c->key.dim[0]);
    if (!h.position || !h.slot) return;
    k_cache_rows(cuda_of(b)->stream, &h);
    cuda_launched(b, "putting rows into the cache");
}

/* ---- workspace ---- */

static bool lay_out(backend *b, const backend_shape *shape, arena *a, err *e)
{
    if (!cuda_space_lay_out(b, shape, a, e) || !b->workspace) return e->code == ERR_NONE;
    cuda_checked(b, cudaStreamSynchronize(cuda_of(b)->stream), "its work");
    cuda_stage_begin(b); /* another stage: nothing is there yet */
    cuda_graphs_forget(&cuda_of(b)->graphs);
    return true;
}

static const op_table cuda_ops = {
    .name = "cuda",
    .embed = cuda_embed,
    .rmsnorm = cuda_rmsnorm,
    .matmul = cuda_matmul,
    .adapts = true,
    .rope = cuda_rope,
    .attend = cuda_attend,
    .glu = cuda_glu,
    .add = cuda_add,
    .gather = cuda_gather,
    .scatter = cuda_scatter,
    .head = cuda_head,
    .draw = cuda_draw,
    .cache = cuda_cache,
    .lay_out = lay_out,
    .train = &cuda_train_ops,
};
