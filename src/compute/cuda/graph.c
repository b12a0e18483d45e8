/* cuda graphs; see compute/graph.h.
 *
 * A body is walked through first with a table of ops that start nothing: each stages what the host
 * hands over, exactly as the op itself does, and mixes all else it was given into a key (places,
 * shapes, types, scalars, where things were staged, how attention is cut into tiles). The stage
 * begins anew with every body, so the same run of ops finds its small arrays at the same places,
 * and they go over in one copy. The key then says what to do: a graph that was recorded under it is
 * launched; one that was met before is recorded now (the ops run again, into a capture of this
 * thread alone) and launched; a new one runs op by op, which also lets products choose their
 * algorithms, for which a capture would be no place.
 *
 * Keys are 64 bits mixed of some hundred kilobytes; of the few graphs of a process two meet with a
 * chance of 1e-16. */
#include "compute/cache.h"
#include "compute/cuda/cuda_in.h"
#include "compute/draw.h"

#include <assert.h>
#include <string.h>

void cuda_graph_note(cuda_graphs *g, uint64_t what)
{
    g->key = (g->key ^ what) * 0x9e3779b97f4a7c15u;
    g->key ^= g->key >> 29;
}

/* ---- what ops are given ---- */

enum { /* which op it is */
       AN_EMBED = 1,
       A_NORM,
       A_PRODUCT,
       A_ROTATION,
       AN_ATTENTION,
       A_GATE,
       A_SUM,
       A_GATHER,
       A_SCATTER,
       A_DRAW,
       A_CACHE,
       A_KEEP,
       A_BACK,
       A_PRODUCT_BACK,
       A_WEIGHT_GRAD,
       A_GROUP_BACK,
       A_LOW,
       GATES,
       GATES_BACK,
       A_NORM_KEEP,
       A_NORM_BACK,
       A_ROTATION_BACK,
       A_GATE_BACK,
       A_SCALE,
       A_ZERO,
       A_SCATTER_ADD,
       A_TURNED
};

static cuda_graphs *graphs_of(const backend *b) { return &cuda_of(b)->graphs; }

static void note(backend *b, uint64_t what) { cuda_graph_note(graphs_of(b), what); }

static void note_place(backend *b, const void *p) { note(b, (uint64_t)(uintptr_t)p); }

static void note_float(backend *b, float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    note(b, bits);
}

static void note_tensor(backend *b, const tensor *t)
{
    static const uint64_t odd[] = {0xd6e8feb86659fd93u, 0xa0761d6478bd642fu, 0xe7037ed1a0b428dbu,
                                   0x8ebc6af09c88c6e3u};
    note_place(b, t->data);
    if (!t->data) return;
    uint64_t form = (uint64_t)t->type << 32 | (uint32_t)t->rank;
    for (int i = 0; i < 4; i++) form += (uint64_t)t->dim[i] * odd[i];
    note(b, form);
}

static void note_tensors(backend *b, int op, const tensor *const *t, int n)
{
    note(b, (uint64_t)op << 8 | (uint64_t)n);
    for (int i = 0; i < n; i++) note_tensor(b, t[i]);
}

static void note_pair(backend *b, const lora_pair *p)
{
    note_place(b, p ? p->a.data : NULL);
    if (!p) return;
    const tensor *all[] = {&p->a, &p->b, &p->da, &p->db};
    note_tensors(b, 0, all, countof(all));
    note_float(b, p->scale);
}

static void note_part(backend *b, const matmul_part *p)
{
    const tensor none = {.data = NULL}, *all[] = {&p->y, &p->w, p->bias ? p->bias : &none};
    note_tensors(b, p->add, all, countof(all));
    note_pair(b, p->adapter);
    if (p->adapter) note_tensor(b, &p->low);
}

static void note_norm(backend *b, const norm_shape *norm)
{
    note_place(b, norm ? norm->w.data : NULL);
    if (!norm) return;
    note_tensor(b, &norm->w);
    note_place(b, norm->scale);
    note_float(b, norm->eps);
    note_float(b, norm->w_plus);
    note_pair(b, norm->adapter);
    if (norm->adapter) note_tensor(b, &norm->low);
}

static void note_turn(backend *b, const rope_turn *turn)
{
    const tensor none = {.data = NULL};
    note_tensor(b, turn ? &turn->table : &none);
    if (turn) note(b, (uint64_t)turn->style << 32 | (uint32_t)turn->head_dim);
}

static void note_back(backend *b, const back_part *p)
{
    const tensor none = {.data = NULL};
    const tensor *all[] = {&p->dy, &p->x, &p->w, p->dx ? p->dx : &none};
    note_tensors(b, p->add, all, countof(all));
    note_turn(b, p->turn);
    note_norm(b, p->normed);
    if (p->normed) note_tensor(b, &p->h);
    note_pair(b, p->adapter);
    if (!p->adapter) return;
    note_tensor(b, &p->low);
    note_tensor(b, &p->dlow);
}

static void note_plan(backend *b, const attend_plan *plan)
{
    note_float(b, plan->scale);
    note_float(b, plan->softcap);
    note(b, (uint64_t)plan->n_span << 32 | (uint32_t)plan->window);
}

static void note_tape(backend *b, const attend_tape *t)
{
    const tensor *all[] = {&t->q, &t->o, &t->k, &t->v};
    note_tensors(b, 0, all, countof(all));
    note_place(b, t->log_sum_exp);
}

/* ---- ops, written down; those with arrays of the host go on to stage them ---- */

static const op_table *own_ops(const backend *b) { return graphs_of(b)->own; }

static void noted_embed(backend *b, tensor y, tensor w, const int32_t *ids, float scale)
{
    const tensor *all[] = {&y, &w};
    note_tensors(b, AN_EMBED, all, countof(all));
    note_float(b, scale);
    own_ops(b)->embed(b, y, w, ids, scale);
}

static void noted_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float w_plus)
{
    const tensor *all[] = {&y, &x, &w};
    note_tensors(b, A_NORM, all, countof(all));
    note_float(b, eps);
    note_float(b, w_plus);
}

static void noted_matmul(backend *b, tensor x, const matmul_part *part, int n_part)
{
    const tensor *all[] = {&x};
    note_tensors(b, A_PRODUCT, all, countof(all));
    for (int i = 0; i < n_part; i++) note_part(b, &part[i]);
}

static void noted_rope(backend *b, tensor x, const int32_t *positions, tensor table,
                       rope_style style)
{
    const tensor *all[] = {&x, &table};
    note_tensors(b, A_ROTATION, all, countof(all));
    note(b, (uint64_t)style);
    own_ops(b)->rope(b, x, positions, table, style);
}

static void noted_attend(backend *b, tensor o, tensor q, tensor k, tensor v,
                         const attend_plan *plan)
{
    const tensor *all[] = {&o, &q, &k, &v};
    note_tensors(b, AN_ATTENTION, all, countof(all));
    note_plan(b, plan);
    own_ops(b)->attend(b, o, q, k, v, plan);
}

static void noted_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind kind)
{
    const tensor *all[] = {&y, &gate, &up};
    note_tensors(b, A_GATE, all, countof(all));
    note(b, (uint64_t)kind);
}

static void noted_add(backend *b, tensor y, tensor x)
{
    const tensor *all[] = {&y, &x};
    note_tensors(b, A_SUM, all, countof(all));
}

static void noted_gather(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const tensor *all[] = {&y, &x};
    note_tensors(b, A_GATHER, all, countof(all));
    own_ops(b)->gather(b, y, x, rows);
}

static void noted_scatter(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const tensor *all[] = {&y, &x};
    note_tensors(b, A_SCATTER, all, countof(all));
    own_ops(b)->scatter(b, y, x, rows);
}

static void noted_draw(backend *b, tensor logits, const draw_request *want)
{
    const tensor *all[] = {&logits};
    note_tensors(b, A_DRAW, all, countof(all));
    note_place(b, want->id);
    note_float(b, want->softcap);
    own_ops(b)->draw(b, logits, want);
}

static void noted_cache(backend *b, const cache_rows *c)
{
    const tensor *all[] = {&c->q, &c->k, &c->v, &c->key, &c->value, &c->table};
    note_tensors(b, A_CACHE, all, countof(all));
    note(b, (uint64_t)c->style);
    own_ops(b)->cache(b, c);
}

/* The answers are read by the host: nothing for a graph. */
static void noted_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got)
{
    (void)x, (void)w, (void)want, (void)got;
    graphs_of(b)->unfit = true;
}

/* ---- the same for training ---- */

static void noted_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    note(b, A_KEEP);
    note_tape(b, t);
    note_plan(b, plan);
    own_ops(b)->train->attend_keep(b, t, plan);
}

static void noted_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                              const attend_plan *plan)
{
    const tensor *all[] = {&g->d_o, &g->dq, &g->dk, &g->dv};
    note_tensors(b, A_BACK, all, countof(all));
    note_tape(b, t);
    note_plan(b, plan);
    own_ops(b)->train->attend_back(b, t, g, plan);
}

static void noted_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    const tensor *all[] = {&dx, &dy, &w};
    note_tensors(b, A_PRODUCT_BACK, all, countof(all));
    note(b, add);
}

static void noted_weight_grad(backend *b, tensor dw, tensor dy, tensor x)
{
    const tensor *all[] = {&dw, &dy, &x};
    note_tensors(b, A_WEIGHT_GRAD, all, countof(all));
}

static void noted_group_back(backend *b, const back_part *part, int n)
{
    note(b, A_GROUP_BACK);
    for (int i = 0; i < n; i++) note_back(b, &part[i]);
    for (int i = 0; i < n; i++) cuda_stage_turn(b, part[i].turn, part[i].dy);
}

static void noted_matmul_turned(backend *b, tensor x, const matmul_part *part,
                                const rope_turn *turn, int n)
{
    const tensor *all[] = {&x};
    note_tensors(b, A_TURNED, all, countof(all));
    for (int i = 0; i < n; i++) {
        note_part(b, &part[i]);
        note_turn(b, &turn[i]);
        cuda_stage_turn(b, &turn[i], part[i].y);
    }
}

static void noted_lora_low(backend *b, tensor low, tensor x, const lora_pair *pair)
{
    const tensor *all[] = {&low, &x};
    note_tensors(b, A_LOW, all, countof(all));
    note_pair(b, pair);
}

static void note_gates(backend *b, int op, const gate_block *g)
{
    const tensor *all[] = {&g->act};
    note_tensors(b, op, all, countof(all));
    note(b, (uint64_t)g->kind);
    note_part(b, &g->gate);
    note_part(b, &g->up);
}

static void noted_gates(backend *b, tensor x, const gate_block *g)
{
    note_gates(b, GATES, g);
    note_tensor(b, &x);
}

static bool noted_gates_back(backend *b, const gate_block *g, const back_part *down)
{
    note_gates(b, GATES_BACK, g);
    note_back(b, down);
    return cuda_gates_add_b(b, g, down);
}

static void noted_rmsnorm_keep(backend *b, tensor y, tensor kept, tensor x, const norm_shape *norm)
{
    const tensor *all[] = {&y, &kept, &x};
    note_tensors(b, A_NORM_KEEP, all, countof(all));
    note_norm(b, norm);
}

static void noted_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, const norm_shape *norm,
                               bool add)
{
    const tensor *all[] = {&dx, &dy, &x};
    note_tensors(b, A_NORM_BACK, all, countof(all));
    note_norm(b, norm);
    note(b, add);
}

static void noted_rope_back(backend *b, tensor dx, const int32_t *positions, tensor table,
                            rope_style style)
{
    const tensor *all[] = {&dx, &table};
    note_tensors(b, A_ROTATION_BACK, all, countof(all));
    note(b, (uint64_t)style);
    own_ops(b)->train->rope_back(b, dx, positions, table, style);
}

static void noted_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind)
{
    const tensor *all[] = {&gate, &up, &dy};
    note_tensors(b, A_GATE_BACK, all, countof(all));
    note(b, (uint64_t)kind);
}

static void noted_scale(backend *b, tensor y, float factor)
{
    const tensor *all[] = {&y};
    note_tensors(b, A_SCALE, all, countof(all));
    note_float(b, factor);
}

static void noted_zero(backend *b, tensor y)
{
    const tensor *all[] = {&y};
    note_tensors(b, A_ZERO, all, countof(all));
}

static void noted_scatter_add(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const tensor *all[] = {&y, &x};
    note_tensors(b, A_SCATTER_ADD, all, countof(all));
    own_ops(b)->train->scatter_add(b, y, x, rows);
}

static void noted_softmax_back(backend *b, tensor logits, const loss_rows *l, int64_t first_id)
{
    (void)logits, (void)l, (void)first_id;
    graphs_of(b)->unfit = true;
}

static double noted_sum_squares(backend *b, const float *x, int64_t n)
{
    (void)x, (void)n;
    graphs_of(b)->unfit = true;
    return 0;
}

static void noted_adamw(backend *b, const adamw_state *s, const adamw_step *step)
{
    (void)s, (void)step;
    graphs_of(b)->unfit = true;
}

_Static_assert(sizeof(op_table) == 18 * sizeof(void *), "an op is not written down here");
_Static_assert(sizeof(train_table) == 21 * sizeof(void *), "an op is not written down here");

/* The table that a body is walked through with. */
static op_table noted_table(const op_table *own, train_table *train)
{
    op_table t = *own;
    t.embed = noted_embed, t.rmsnorm = noted_rmsnorm, t.matmul = noted_matmul;
    t.rope = noted_rope, t.attend = noted_attend, t.glu = noted_glu, t.add = noted_add;
    t.gather = noted_gather, t.scatter = noted_scatter, t.head = noted_head, t.draw = noted_draw;
    t.cache = noted_cache;
    t.train = train;
    *train = *own->train;
    train->attend_keep = noted_attend_keep, train->attend_back = noted_attend_back;
    train->matmul_back = noted_matmul_back, train->weight_grad = noted_weight_grad;
    train->group_back = noted_group_back, train->lora_low = noted_lora_low;
    train->matmul_turned = noted_matmul_turned;
    train->gates = noted_gates, train->gates_back = noted_gates_back;
    train->rmsnorm_keep = noted_rmsnorm_keep, train->rmsnorm_back = noted_rmsnorm_back;
    train->rope_back = noted_rope_back, train->glu_back = noted_glu_back;
    train->scale = noted_scale, train->zero = noted_zero;
    train->scatter_add = noted_scatter_add, train->softmax_back = noted_softmax_back;
    train->sum_squares = noted_sum_squares, train->adamw = noted_adamw;
    return t;
}

/* ---- walk, find, record, launch ---- */

/* Writes a body down in g->key and sends what it stages. False: it is nothing for a graph. */
static bool describe(backend *b, void (*body)(void *), void *context)
{
    cuda_state *s = cuda_of(b);
    cuda_graphs *g = &s->graphs;
    train_table train;
    if (!cuda_checked(b, cudaStreamSynchronize(s->stream), "its work")) return false;
    cuda_stage_begin(b);
    g->own = b->ops;
    const op_table walk = noted_table(b->ops, &train);
    g->key = 0, g->unfit = false;
    g->describing = true;
    b->ops = &walk;
    body(context);
    b->ops = g->own;
    g->describing = false;
    if (g->unfit) {
        cuda_stage_begin(b);
        return false;
    }
    return cuda_stage_send(b);
}

static graph_met *find(cuda_graphs *g)
{
    for (int i = 0; i < g->n; i++) {
        if (g->met[i].key == g->key) return &g->met[i];
    }
    return NULL;
}

static void forget(cuda_graphs *g, graph_met *m)
{
    if (!m->exec) return;
    cudaGraphExecDestroy(m->exec);
    m->exec = NULL;
    g->bytes -= m->nodes * GRAPH_NODE_BYTES;
}

/* The one not asked for the longest; of those with a graph, if so wanted. */
static graph_met *oldest(cuda_graphs *g, bool with_graph)
{
    graph_met *found = NULL;
    for (int i = 0; i < g->n; i++) {
        graph_met *m = &g->met[i];
        if ((m->exec || !with_graph) && (!found || m->used < found->used)) found = m;
    }
    return found;
}

static void remember(cuda_graphs *g)
{
    graph_met *at = g->n < GRAPHS_MAX ? &g->met[g->n++] : oldest(g, false);
    forget(g, at);
    *at = (graph_met){.key = g->key, .used = g->time};
}

/* New arguments for a graph that is there would take a twentieth of the time, but graphs of other
 * numbers of rows have other kernels, and then that is refused. */
static bool make(backend *b, graph_met *m, cudaGraph_t graph)
{
    cuda_graphs *g = graphs_of(b);
    const char *what = "making a graph";
    if (!cuda_checked(b, cudaGraphGetNodes(graph, NULL, &m->nodes), what)) return false;
    const size_t bytes = m->nodes * GRAPH_NODE_BYTES;
    m->too_large = bytes > GRAPHS_BYTES;
    if (m->too_large) return true;
    while (g->bytes + bytes > GRAPHS_BYTES) forget(g, oldest(g, true));
    if (!cuda_checked(b, cudaGraphInstantiate(&m->exec, graph, 0), what)) return false;
    g->bytes += bytes;
    return true;
}

static bool record(backend *b, graph_met *m, void (*body)(void *), void *context)
{
    cuda_state *s = cuda_of(b);
    cudaGraph_t graph = NULL;
    const char *what = "recording a graph";
    if (!cuda_checked(b, cudaStreamBeginCapture(s->stream, cudaStreamCaptureModeThreadLocal), what))
        return false;
    s->graphs.recording = true;
    body(context);
    s->graphs.recording = false;
    const bool ok =
        cuda_checked(b, cudaStreamEndCapture(s->stream, &graph), what) && make(b, m, graph);
    if (graph) cudaGraphDestroy(graph);
    if (ok) s->graphs.counts.recorded += m->exec != NULL;
    return ok;
}

void cuda_graph_run(backend *b, void (*body)(void *context), void *context)
{
    cuda_state *s = cuda_of(b);
    cuda_graphs *g = &s->graphs;
    assert(!g->inside);
    g->inside = true;
    const bool fit = b->beside > 0 && b->failure.code == ERR_NONE && describe(b, body, context);
    graph_met *m = fit ? find(g) : NULL;
    g->time++;
    if (fit && !m) remember(g);
    else if (m) m->used = g->time;
    if (m && !m->exec && !m->too_large && !record(b, m, body, context)) {
        g->inside = false;
        return; /* the failure sticks */
    }
    if (m && m->exec) {
        cuda_checked(b, cudaGraphLaunch(m->exec, s->stream), "starting a graph");
        g->counts.launched++;
    } else {
        body(context);
        g->counts.one_by_one++;
    }
    g->inside = false;
}

const graph_counts *cuda_graph_counts(const backend *b) { return &graphs_of(b)->counts; }

void cuda_graphs_forget(cuda_graphs *g)
{
    for (int i = 0; i < g->n; i++) forget(g, &g->met[i]);
    g->n = 0;
}
