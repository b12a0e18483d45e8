/* profile: see profile.h. */
#include "profile.h"

#include "../bench.h"

#include <stdio.h>
#include <string.h>

static profile *now; /* a bench runs one at a time */

typedef struct timed { /* an op under way */
    const char *name;
    double start;
    bool outer;
} timed;

static timed begin(const char *name)
{
    err e = {0};
    timed t = {.name = name, .outer = !now->inside};
    if (!t.outer) return t;
    now->inside = true;
    backend_sync(now->b, &e);
    t.start = seconds_now();
    return t;
}

static void end(timed t)
{
    err e = {0};
    if (!t.outer) return;
    backend_sync(now->b, &e);
    const double took = seconds_now() - t.start;
    now->inside = false;
    int i = 0;
    while (i < now->n && strcmp(now->op[i].name, t.name) != 0) i++;
    if (i == PROFILE_OPS) return;
    if (i == now->n) snprintf(now->op[now->n++].name, sizeof now->op[i].name, "%s", t.name);
    now->op[i].seconds += took;
    now->op[i].calls++;
}

static const char *widths(char to[48], const char *what, int n, int64_t in, int64_t out)
{
    snprintf(to, 48, "%s %d x %lld > %lld", what, n, (long long)in, (long long)out);
    return to;
}

static void t_embed(backend *b, tensor y, tensor w, const int32_t *ids, float scale)
{
    const timed op = begin("embed");
    now->own->embed(b, y, w, ids, scale);
    end(op);
}

static void t_rmsnorm(backend *b, tensor y, tensor x, tensor w, float eps, float plus)
{
    const timed op = begin("rmsnorm");
    now->own->rmsnorm(b, y, x, w, eps, plus);
    end(op);
}

static void t_matmul(backend *b, tensor x, const matmul_part *part, int n)
{
    char name[48];
    const timed op =
        begin(widths(name, x.dim[0] < 64 ? "few rows" : "product", n, x.dim[1], part[0].w.dim[0]));
    now->own->matmul(b, x, part, n);
    end(op);
}

static void t_rope(backend *b, tensor x, const int32_t *positions, tensor table, rope_style style)
{
    const timed op = begin("rope");
    now->own->rope(b, x, positions, table, style);
    end(op);
}

static void t_glu(backend *b, tensor y, tensor gate, tensor up, glu_kind kind)
{
    const timed op = begin("glu");
    now->own->glu(b, y, gate, up, kind);
    end(op);
}

static void t_add(backend *b, tensor y, tensor x)
{
    const timed op = begin("add");
    now->own->add(b, y, x);
    end(op);
}

static void t_gather(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const timed op = begin("gather");
    now->own->gather(b, y, x, rows);
    end(op);
}

static void t_head(backend *b, tensor x, tensor w, const head_request *want, head_result *got)
{
    const timed op = begin("head");
    now->own->head(b, x, w, want, got);
    end(op);
}

static void t_attend_keep(backend *b, const attend_tape *t, const attend_plan *plan)
{
    const timed op = begin("attention");
    now->own->train->attend_keep(b, t, plan);
    end(op);
}

static void t_attend_back(backend *b, const attend_tape *t, const attend_grad *g,
                          const attend_plan *plan)
{
    const timed op = begin("attention back");
    now->own->train->attend_back(b, t, g, plan);
    end(op);
}

static void t_matmul_back(backend *b, tensor dx, tensor dy, tensor w, bool add)
{
    const timed op = begin("other product back");
    now->own->train->matmul_back(b, dx, dy, w, add);
    end(op);
}

static void t_group_back(backend *b, const back_part *p, int n)
{
    char name[48];
    const timed op = begin(widths(name, "back", n, p->w.dim[1], p->w.dim[0]));
    now->own->train->group_back(b, p, n);
    end(op);
}

static void t_rmsnorm_back(backend *b, tensor dx, tensor dy, tensor x, const norm_shape *norm,
                           bool add)
{
    const timed op = begin("rmsnorm back");
    now->own->train->rmsnorm_back(b, dx, dy, x, norm, add);
    end(op);
}

static void t_matmul_turned(backend *b, tensor x, const matmul_part *part, const rope_turn *turn,
                            int n)
{
    char name[48];
    const timed op = begin(widths(name, x.dim[0] < 64 ? "few rows" : "product and rope", n,
                                  x.dim[1], part[0].w.dim[0]));
    now->own->train->matmul_turned(b, x, part, turn, n);
    end(op);
}

static void t_gates(backend *b, tensor x, const gate_block *g)
{
    const timed op = begin(x.dim[0] < 64 ? "few rows, gates" : "gates");
    now->own->train->gates(b, x, g);
    end(op);
}

static bool t_gates_back(backend *b, const gate_block *g, const back_part *down)
{
    const timed op = begin("gates and their last product back");
    const bool done = now->own->train->gates_back(b, g, down);
    end(op);
    return done;
}

static void t_rmsnorm_keep(backend *b, tensor y, tensor kept, tensor x, const norm_shape *norm)
{
    const timed op = begin("rmsnorm that keeps");
    now->own->train->rmsnorm_keep(b, y, kept, x, norm);
    end(op);
}

static void t_rope_back(backend *b, tensor dx, const int32_t *at, tensor table, rope_style style)
{
    const timed op = begin("rope back");
    now->own->train->rope_back(b, dx, at, table, style);
    end(op);
}

static void t_glu_back(backend *b, tensor gate, tensor up, tensor dy, glu_kind kind)
{
    const timed op = begin("glu back");
    now->own->train->glu_back(b, gate, up, dy, kind);
    end(op);
}

static void t_zero(backend *b, tensor y)
{
    const timed op = begin("zero");
    now->own->train->zero(b, y);
    end(op);
}

static void t_scatter_add(backend *b, tensor y, tensor x, const int32_t *rows)
{
    const timed op = begin("scatter add");
    now->own->train->scatter_add(b, y, x, rows);
    end(op);
}

static double t_sum_squares(backend *b, const float *x, int64_t n)
{
    double sum = 0;
    const timed op = begin("norm of the gradient");
    sum = now->own->train->sum_squares(b, x, n);
    end(op);
    return sum;
}

static void t_adamw(backend *b, const adamw_state *s, const adamw_step *step)
{
    const timed op = begin("adamw");
    now->own->train->adamw(b, s, step);
    end(op);
}

void profile_open(profile *p, backend *b)
{
    *p = (profile){.b = b, .own = b->ops, .ops = *b->ops, .train = *b->ops->train};
    op_table *o = &p->ops;
    train_table *t = &p->train;
    o->embed = t_embed, o->rmsnorm = t_rmsnorm, o->matmul = t_matmul, o->rope = t_rope;
    o->glu = t_glu, o->add = t_add, o->gather = t_gather, o->head = t_head;
    t->attend_keep = t_attend_keep, t->attend_back = t_attend_back;
    t->matmul_back = t_matmul_back, t->rmsnorm_back = t_rmsnorm_back;
    t->rope_back = t_rope_back, t->glu_back = t_glu_back, t->zero = t_zero;
    t->scatter_add = t_scatter_add, t->sum_squares = t_sum_squares, t->adamw = t_adamw;
    if (t->matmul_turned) t->matmul_turned = t_matmul_turned;
    if (t->group_back) t->group_back = t_group_back;
    if (t->gates) t->gates = t_gates, t->gates_back = t_gates_back;
    if (t->rmsnorm_keep) t->rmsnorm_keep = t_rmsnorm_keep;
    o->train = t;
    b->ops = o;
    now = p;
}

void profile_reset(profile *p)
{
    memset(p->op, 0, sizeof p->op);
    p->n = 0;
}

void profile_close(profile *p)
{
    p->b->ops = p->own;
    now = NULL;
}
