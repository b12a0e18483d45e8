/* The way back through every op: ref against finite differences (central, four points, so the error
 * falls with the fourth power of the step), cpu against ref on odd, prime and one-sized shapes, and
 * the same bits for any number of threads. */
#include "backend_tests.h" /* beside this file */

#include "compute/train.h"

static place open_train(const char *name, int threads)
{
    err e = {0};
    place p = place_open(name, threads);
    backend_shape shape = {.rows = 300,
                           .d_model = 2048,
                           .d_ff = 2048,
                           .n_vocab = 3000,
                           .head_rows = 37,
                           .n_head = 8,
                           .n_head_kv = 1,
                           .head_dim = 256,
                           .adapter_rank = 37};
    arena plan = ARENA_MEASURE;
    assert_true(train_lay_out(&p.b, &shape, &plan, &e));
    arena_close(&p.space);
    assert_true(arena_open(&p.space, (size_t)1 << 30, "workspace", &e));
    assert_true(backend_lay_out(&p.b, &shape, &p.space, &e));
    size_t before = p.space.used;
    assert_true(train_lay_out(&p.b, &shape, &p.space, &e));
    assert_int_equal(p.space.used - before, plan.used);
    return p;
}

/* ---- finite differences ---- */

typedef struct probe { /* a scalar of some input: sum of pull x output */
    place *p;
    tensor input, grad; /* grad: what the op said; same shape */
    double (*value)(const struct probe *c);
    tensor x[6];
    norm_shape norm;
    attend_plan plan;
    attend_tape tape;
    const loss_rows *loss;
    const int32_t *positions;
    int kind;
} probe;

static double dot(tensor a, tensor b)
{
    double sum = 0;
    for (int64_t i = 0; i < tensor_count(&a); i++)
        sum += (double)((float *)a.data)[i] * (double)((float *)b.data)[i];
    return sum;
}

static void check_probe(const probe *c, const char *what)
{
    const float step = 0x1p-5f;
    double size = 0, worst = 0;
    float *x = c->input.data, *g = c->grad.data;
    for (int64_t i = 0; i < tensor_count(&c->grad); i++) size = fmax(size, fabs((double)g[i]));
    assert_true(size > 0);
    for (int64_t i = 0; i < tensor_count(&c->input); i++) {
        double f[4];
        float at = x[i];
        static const float far[4] = {-2, -1, 1, 2};
        for (int k = 0; k < 4; k++) {
            x[i] = at + far[k] * step;
            f[k] = c->value(c);
        }
        x[i] = at;
        double slope = (f[0] - 8 * f[1] + 8 * f[2] - f[3]) / (12 * (double)step);
        worst = fmax(worst, fabs(slope - (double)g[i]));
        if (fabs(slope - (double)g[i]) > 3e-4 * size + 2e-5)
            fail_msg("%s: gradient %lld is %.7f, differences say %.7f", what, (long long)i,
                     (double)g[i], slope);
    }
    printf("  %-12s worst difference %.1e of %.1e\n", what, worst, size);
}

static double value_matmul(const probe *c) /* x: y, w, pull */
{
    op_matmul(&c->p->b, c->x[0], c->input, c->x[1], NULL, false);
    return dot(c->x[0], c->x[2]);
}

static double value_weight(const probe *c) /* input is the weight; x: y, x, pull */
{
    op_matmul(&c->p->b, c->x[0], c->x[1], c->input, NULL, false);
    return dot(c->x[0], c->x[2]);
}

static void test_products(void **state)
{
    (void)state;
    place p = open_train("ref", 2);
    rng r = rng_for(6, 1, 0);
    tensor x = randoms(&p, &r, 5, 7), w = randoms(&p, &r, 11, 7), pull = randoms(&p, &r, 5, 11);
    tensor y = randoms(&p, &r, 5, 11), dx = randoms(&p, &r, 5, 7), dw = randoms(&p, &r, 11, 7);
    memset(dw.data, 0, 77 * sizeof(float));
    op_matmul_back(&p.b, dx, pull, w, false);
    op_weight_grad(&p.b, dw, pull, x);
    check_probe(&(probe){.p = &p, .input = x, .grad = dx, .value = value_matmul, .x = {y, w, pull}},
                "product");
    check_probe(&(probe){.p = &p, .input = w, .grad = dw, .value = value_weight, .x = {y, x, pull}},
                "weight");
    place_close(&p);
}

static double value_lora(const probe *c) /* x: x, a, b, y, t, pull */
{
    lora_pair pair = {.a = c->x[1], .b = c->x[2], .scale = 0.75f};
    memset(c->x[3].data, 0, (size_t)tensor_count(&c->x[3]) * sizeof(float));
    op_lora(&c->p->b, c->x[3], c->x[0], &pair, c->x[4]);
    return dot(c->x[3], c->x[5]);
}

static void test_lora(void **state)
{
    (void)state;
    place p = open_train("ref", 2);
    rng r = rng_for(6, 2, 0);
    tensor x = randoms(&p, &r, 5, 7), a = randoms(&p, &r, 3, 7), b = randoms(&p, &r, 11, 3);
    tensor y = randoms(&p, &r, 5, 11), t = randoms(&p, &r, 5, 3), pull = randoms(&p, &r, 5, 11);
    tensor da = randoms(&p, &r, 3, 7), db = randoms(&p, &r, 11, 3), dx = randoms(&p, &r, 5, 7);
    memset(da.data, 0, 21 * sizeof(float));
    memset(db.data, 0, 33 * sizeof(float));
    memset(dx.data, 0, 35 * sizeof(float));
    lora_pair pair = {.a = a, .b = b, .da = da, .db = db, .scale = 0.75f};
    tensor w = randoms(&p, &r, 11, 7); /* beside a weight of zeros the adapter stands alone */
    memset(w.data, 0, 77 * sizeof(float));
    matmul_part part = {.y = y, .w = w, .adapter = &pair, .low = t};
    op_matmul_group(&p.b, x, &part, 1);
    back_part back = {.dy = pull, .x = x, .w = w, .dx = &dx, .adapter = &pair, .low = t};
    back.dlow = randoms(&p, &r, 5, 3);
    op_product_back(&p.b, &back);
    tensor in[3] = {x, a, b}, grad[3] = {dx, da, db};
    for (int i = 0; i < 3; i++)
        check_probe(&(probe){.p = &p,
                             .input = in[i],
                             .grad = grad[i],
                             .value = value_lora,
                             .x = {x, a, b, y, t, pull}},
                    "adapter");
    place_close(&p);
}

static double value_norm(const probe *c)
{
    op_rmsnorm(&c->p->b, c->x[0], c->input, c->norm.w, c->norm.eps, c->norm.w_plus);
    return dot(c->x[0], c->x[1]);
}

static void test_norm(void **state)
{
    (void)state;
    place p = open_train("ref", 1);
    rng r = rng_for(6, 3, 0);
    tensor x = randoms(&p, &r, 6, 13), y = copy(&p, x), dx = copy(&p, x);
    tensor pull = randoms(&p, &r, 6, 13), w = randoms(&p, &r, 1, 13);
    w.rank = 1, w.dim[0] = 13, w.dim[1] = 1;
    norm_shape norm = {.w = w, .eps = 1e-2f, .w_plus = 1};
    op_rmsnorm_back(&p.b, dx, pull, x, norm, false);
    check_probe(&(probe){.p = &p,
                         .input = x,
                         .grad = dx,
                         .value = value_norm,
                         .x = {y, pull},
                         .norm = norm},
                "norm");
    tensor twice = copy(&p, dx); /* add: on top of what is there */
    op_rmsnorm_back(&p.b, twice, pull, x, norm, true);
    op_scale(&p.b, dx, 2);
    assert_close(twice, dx, 1e-5);
    place_close(&p);
}

static double value_rope(const probe *c)
{
    memcpy(c->x[0].data, c->input.data, (size_t)tensor_count(&c->input) * sizeof(float));
    op_rope(&c->p->b, c->x[0], c->positions, c->x[2], (rope_style)c->kind);
    return dot(c->x[0], c->x[1]);
}

static double value_glu(const probe *c) /* x: y, gate, up, pull */
{
    op_glu(&c->p->b, c->x[0], c->x[1], c->x[2], (glu_kind)c->kind);
    return dot(c->x[0], c->x[3]);
}

static void test_rope_and_gate(void **state)
{
    (void)state;
    place p = open_train("ref", 1);
    rng r = rng_for(6, 4, 0);
    static const int32_t positions[3] = {0, 5, 2};
    for (int kind = 0; kind < 2; kind++) {
        tensor table = randoms(&p, &r, 6, kind ? 6 : 8); /* 6: a part of each head */
        tensor x = randoms(&p, &r, 3, 16), pull = randoms(&p, &r, 3, 16);
        x = tensor_f32_3(x.data, 3, 2, 8), pull = tensor_f32_3(pull.data, 3, 2, 8);
        tensor y = copy(&p, x), dx = copy(&p, pull);
        op_rope_back(&p.b, dx, positions, table, (rope_style)kind);
        probe c = {.p = &p, .input = x, .grad = dx, .value = value_rope, .x = {y, pull, table}};
        c.positions = positions, c.kind = kind;
        check_probe(&c, "rotation");
        tensor gate = randoms(&p, &r, 4, 9), up = randoms(&p, &r, 4, 9);
        tensor from = randoms(&p, &r, 4, 9), out = copy(&p, gate);
        tensor dgate = copy(&p, gate), dup = copy(&p, up);
        op_glu_back(&p.b, dgate, dup, from, (glu_kind)kind);
        probe g = {.p = &p, .input = gate, .grad = dgate, .value = value_glu, .kind = kind};
        g.x[0] = out, g.x[1] = gate, g.x[2] = up, g.x[3] = from;
        check_probe(&g, "gate");
        g.input = up, g.grad = dup;
        check_probe(&g, "up");
    }
    place_close(&p);
}

static double value_loss(const probe *c)
{
    head_request want = {.pick_start = c->loss->one_each,
                         .pick_id = c->loss->target,
                         .softcap = c->loss->softcap};
    double lse[37], sum = 0;
    float logit[37];
    head_result got = {.log_sum_exp = lse, .pick_logit = logit};
    op_head(&c->p->b, c->input, c->x[0], &want, &got);
    for (int64_t i = 0; i < c->input.dim[0]; i++)
        sum += (double)c->loss->weight[i] * (lse[i] - (double)logit[i]);
    return sum;
}

static const int64_t one_each[] = {0,  1,  2,  3,  4,  5,  6,  7,  8,  9,  10, 11, 12,
                                   13, 14, 15, 16, 17, 18, 19, 20, 21, 22, 23, 24, 25,
                                   26, 27, 28, 29, 30, 31, 32, 33, 34, 35, 36, 37};

static loss_rows make_loss(place *p, rng *r, int64_t m, int64_t n_vocab, int64_t chunk)
{
    err e = {0};
    int32_t *target = arena_take(&p->data, (size_t)m, sizeof *target, &e);
    double *lse = arena_take(&p->data, (size_t)m, sizeof *lse, &e);
    float *weight = take(p, m);
    for (int64_t i = 0; i < m; i++) {
        target[i] = (int32_t)rng_below(r, (uint64_t)n_vocab);
        weight[i] = 0.25f + (float)rng_unit(r);
    }
    return (loss_rows){.target = target,
                       .weight = weight,
                       .log_sum_exp = lse,
                       .logit = take(p, m),
                       .chunk = take(p, m * chunk),
                       .chunk_ids = chunk,
                       .one_each = one_each};
}

static void test_loss(void **state)
{
    (void)state;
    place p = open_train("ref", 2);
    rng r = rng_for(6, 5, 0);
    for (int k = 0; k < 2; k++) {
        tensor x = randoms(&p, &r, 5, 7), w = randoms(&p, &r, 53, 7), dx = copy(&p, x);
        loss_rows l = make_loss(&p, &r, 5, 53, 17);
        l.softcap = k ? 3 : 0;
        double loss = op_answer_loss(&p.b, dx, x, w, &l);
        probe c = {.p = &p, .input = x, .grad = dx, .value = value_loss, .x = {w}, .loss = &l};
        assert_true(fabs(loss - value_loss(&c)) < 1e-12);
        check_probe(&c, k ? "capped loss" : "loss");
    }
    place_close(&p);
}

/* A shared head [0, 4) of positions 0.., two branches of it, and a leaf of the second. */
static const attend_range tree_range[] = {{0, 4, 0}, {0, 4, 0}, {4, 3, 4}, {0, 4, 0},
                                          {7, 5, 4}, {0, 4, 0}, {7, 5, 4}, {12, 2, 9}};
static const attend_span tree_span[] = {
    {.row = 0, .count = 4, .position = 0, .first_range = 0, .n_range = 1},
    {.row = 4, .count = 3, .position = 4, .first_range = 1, .n_range = 2},
    {.row = 7, .count = 5, .position = 4, .first_range = 3, .n_range = 2},
    {.row = 12, .count = 2, .position = 9, .first_range = 5, .n_range = 3}};

static double value_attend(const probe *c) /* x: pull */
{
    op_attend(&c->p->b, c->tape.o, c->tape.q, c->tape.k, c->tape.v, &c->plan);
    return dot(c->tape.o, c->x[0]);
}

static tensor randoms_3(place *p, rng *r, int64_t a, int64_t b, int64_t c)
{
    return tensor_f32_3(randoms(p, r, a, b * c).data, a, b, c);
}

static attend_tape make_tape(place *p, rng *r, int64_t rows, const int64_t heads[3])
{
    return (attend_tape){.q = randoms_3(p, r, rows, heads[0], heads[2]),
                         .o = randoms_3(p, r, rows, heads[0], heads[2]),
                         .k = randoms_3(p, r, rows, heads[1], heads[2]),
                         .v = randoms_3(p, r, rows, heads[1], heads[2]),
                         .log_sum_exp = take(p, rows * heads[0])};
}

static attend_grad make_grad(place *p, rng *r, const attend_tape *t)
{
    return (attend_grad){.d_o = randoms_3(p, r, t->q.dim[0], t->q.dim[1], t->q.dim[2]),
                         .dq = copy(p, t->q),
                         .dk = copy(p, t->k),
                         .dv = copy(p, t->v)};
}

static void test_attention(void **state)
{
    (void)state;
    place p = open_train("ref", 2);
    rng r = rng_for(6, 6, 0);
    for (int k = 0; k < 3; k++) {
        attend_tape t = make_tape(&p, &r, 14, (const int64_t[]){4, 2, 6});
        attend_grad g = make_grad(&p, &r, &t);
        attend_plan plan = {.span = tree_span, .range = tree_range, .n_span = 4, .scale = 0.4f};
        if (k == 1) plan.softcap = 1.5f;
        if (k == 2) plan.window = 3;
        op_attend_keep(&p.b, &t, &plan);
        op_attend_back(&p.b, &t, &g, &plan);
        probe c = {.p = &p, .value = value_attend, .x = {g.d_o}, .plan = plan, .tape = t};
        c.tape.o = copy(&p, t.o);
        tensor in[3] = {t.q, t.k, t.v}, grad[3] = {g.dq, g.dk, g.dv};
        for (int i = 0; i < 3; i++) {
            c.input = in[i], c.grad = grad[i];
            check_probe(&c, i == 0 ? "query" : i == 1 ? "key" : "value");
        }
    }
    place_close(&p);
}

/* torch.optim.AdamW by hand, one value. */
static void test_adamw(void **state)
{
    (void)state;
    place p = open_train("ref", 1);
    float value = 0.5f, grad[3] = {0.3f, -0.2f, 0.9f}, first = 0, second = 0;
    double want = 0.5, m = 0, v = 0;
    for (int64_t i = 1; i <= 3; i++) {
        adamw_state s = {&value, &grad[i - 1], &first, &second, 1};
        op_adamw(&p.b, &s,
                 &(adamw_step){.rate = 0.01,
                               .beta1 = 0.9,
                               .beta2 = 0.999,
                               .eps = 1e-8,
                               .decay = 0.1,
                               .grad_scale = 0.5,
                               .number = i});
        double g = (double)grad[i - 1] * 0.5;
        want -= 0.01 * 0.1 * want;
        m = 0.9 * m + 0.1 * g;
        v = 0.999 * v + 0.001 * g * g;
        want -=
            0.01 * (m / (1 - pow(0.9, (double)i))) / (sqrt(v / (1 - pow(0.999, (double)i))) + 1e-8);
        assert_true(fabs((double)value - want) < 1e-6);
    }
    place_close(&p);
}

/* ---- cpu against ref ---- */

enum { PLACES = 3 };

/* ref with one thread, then a cpu with one and with three. */
static void open_places(place p[PLACES], int d)
{
    p[0] = open_train("ref", 1);
    p[1] = open_train(device(d), 1);
    p[2] = open_train(device(d), 3);
}

static void close_places(place p[PLACES])
{
    for (int i = 0; i < PLACES; i++) place_close(&p[i]);
}

static void compare(const tensor got[PLACES], double relative)
{
    double size = largest_of(got[0]);
    assert_close(got[1], got[0], relative * size + 1e-7);
    assert_same_numbers(got[1].data, got[2].data, tensor_count(&got[1]));
}

static void check_products(place p[PLACES], rng *r, dtype type, const int64_t size[3])
{
    const int64_t n = size[0], out = size[1], in = size[2];
    tensor w = weight(&p[0], r, type, out, in), dy = randoms(&p[0], r, n, out);
    tensor x = randoms(&p[0], r, n, in), first = randoms(&p[0], r, n, in), dx[PLACES];
    for (int add = 0; add < 2; add++) {
        for (int i = 0; i < PLACES; i++) {
            dx[i] = copy(&p[0], first);
            op_matmul_back(&p[i].b, dx[i], dy, w, add);
        }
        compare(dx, 3e-6);
    }
    for (int i = 0; i < PLACES && type == DTYPE_F32; i++) {
        dx[i] = copy(&p[0], w);
        op_weight_grad(&p[i].b, dx[i], dy, x);
    }
    if (type == DTYPE_F32) compare(dx, 3e-6);
    place_reset(&p[0]);
}

/* A group of products with adapters and their way back: x [n,in], r the rank. */
static void check_adapted(place p[PLACES], rng *r, dtype type, const int64_t size[4])
{
    const int64_t n = size[0], out = size[1], in = size[2], rank = size[3];
    place *d = &p[0];
    tensor w[2] = {weight(d, r, type, out, in), weight(d, r, type, out + 3, in)};
    tensor x = randoms(d, r, n, in), start = randoms(d, r, n, out), dy = randoms(d, r, n, out);
    tensor a = randoms(d, r, rank, in), b = randoms(d, r, out, rank), first = randoms(d, r, n, in);
    tensor da = randoms(d, r, rank, in), db = randoms(d, r, out, rank);
    tensor y[PLACES], low[PLACES], dx[PLACES], grad[2][PLACES];
    for (int i = 0; i < PLACES; i++) {
        y[i] = copy(d, start), low[i] = randoms(d, r, n, rank), dx[i] = copy(d, first);
        grad[0][i] = copy(d, da), grad[1][i] = copy(d, db);
        lora_pair pair = {.a = a, .b = b, .da = grad[0][i], .db = grad[1][i], .scale = 0.5f};
        matmul_part part[2] = {{.y = randoms(d, r, n, out + 3), .w = w[1]},
                               {.y = y[i], .w = w[0], .add = true, .adapter = &pair}};
        part[1].low = low[i];
        op_matmul_group(&p[i].b, x, part, 2);
        back_part back = {.dy = dy, .x = x, .w = w[0], .dx = &dx[i], .add = true};
        back.adapter = &pair, back.low = low[i], back.dlow = randoms(d, r, n, rank);
        op_product_back(&p[i].b, &back);
        if (i == 0) continue;
        tensor again = copy(d, start), one = randoms(d, r, 1, rank); /* its last row alone */
        matmul_part alone = part[1];
        alone.y = rows_of(again, n - 1, 1), alone.low = one;
        op_matmul_group(&p[i].b, rows_of(x, n - 1, 1), &alone, 1);
        assert_same_numbers(alone.y.data, rows_of(y[i], n - 1, 1).data, out);
        assert_same_numbers(one.data, rows_of(low[i], n - 1, 1).data, rank);
    }
    compare(y, 5e-6);
    compare(low, 5e-6);
    compare(dx, 5e-6);
    compare(grad[0], 5e-6);
    compare(grad[1], 5e-6);
    place_reset(d);
}

static void test_cpu_adapters(void **state)
{
    (void)state;
    static const int64_t size[][4] = {{1, 1, 1, 1},     {5, 7, 11, 3},     {17, 33, 65, 16},
                                      {29, 97, 800, 8}, {300, 97, 33, 37}, {64, 1601, 131, 17}};
    for (int d = 0; d < n_device(); d++) {
        place p[PLACES];
        rng r = rng_for(6, 21, (uint64_t)d);
        open_places(p, d);
        for (size_t i = 0; i < countof(size); i++) check_adapted(p, &r, DTYPE_F32, size[i]);
        check_adapted(p, &r, DTYPE_Q4_1, (const int64_t[]){37, 101, 832, 16});
        check_adapted(p, &r, DTYPE_Q6_K, (const int64_t[]){41, 230, 512, 5});
        close_places(p);
    }
}

static void test_cpu_products(void **state)
{
    (void)state;
    static const int64_t size[][3] = {{1, 1, 1},     {1, 7, 5},      {13, 17, 29},  {29, 1, 31},
                                      {37, 131, 67}, {97, 61, 131},  {5, 401, 257}, {300, 16, 96},
                                      {211, 97, 16}, {61, 769, 129}, {1, 256, 512}};
    static const int64_t coarse[][3] = {{1, 1, 256}, {7, 193, 256}, {31, 59, 768}, {64, 401, 512}};
    for (int d = 0; d < n_device(); d++) {
        place p[PLACES];
        rng r = rng_for(6, 20, (uint64_t)d);
        open_places(p, d);
        for (size_t i = 0; i < countof(size); i++) check_products(p, &r, DTYPE_F32, size[i]);
        for (int type = 0; type < DTYPE_I32; type++) {
            for (size_t i = 0; i < countof(coarse); i++)
                check_products(p, &r, (dtype)type, coarse[i]);
        }
        close_places(p);
    }
}

static void check_rows(place p[PLACES], rng *r, int64_t n, int64_t d)
{
    tensor x = randoms(&p[0], r, n, d), dy = randoms(&p[0], r, n, d), got[PLACES], other[PLACES];
    tensor w = weight(&p[0], r, DTYPE_BF16, 1, d);
    w.rank = 1, w.dim[0] = d, w.dim[1] = 1;
    for (int i = 0; i < PLACES; i++) {
        got[i] = copy(&p[0], dy);
        op_rmsnorm_back(&p[i].b, got[i], dy, x, (norm_shape){.w = w, .eps = 1e-5f, .w_plus = 1},
                        true);
    }
    compare(got, 1e-5);
    for (int kind = 0; kind < 2; kind++) {
        for (int i = 0; i < PLACES; i++) {
            got[i] = copy(&p[0], x), other[i] = copy(&p[0], dy);
            op_glu_back(&p[i].b, got[i], other[i], x, (glu_kind)kind);
        }
        compare(got, 1e-5);
        compare(other, 1e-5);
    }
    int32_t rows[300];
    for (int32_t i = 0; i < n; i++) rows[i] = (int32_t)(n - 1 - i);
    for (int i = 0; i < PLACES; i++) {
        got[i] = copy(&p[0], x);
        op_scatter_add(&p[i].b, got[i], dy, rows);
        op_scale(&p[i].b, got[i], 0.3f);
    }
    compare(got, 1e-6);
    double sum[PLACES];
    for (int i = 0; i < PLACES; i++) sum[i] = op_sum_squares(&p[i].b, x.data, n * d);
    assert_true(fabs(sum[1] - sum[0]) <= 1e-12 * sum[0] && memcmp(&sum[1], &sum[2], 8) == 0);
    place_reset(&p[0]);
}

static void test_cpu_rows(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p[PLACES];
        rng r = rng_for(6, 21, (uint64_t)d);
        open_places(p, d);
        static const int64_t size[][2] = {{1, 1}, {3, 7}, {17, 61}, {211, 257}, {300, 512}};
        for (size_t i = 0; i < countof(size); i++) check_rows(p, &r, size[i][0], size[i][1]);
        close_places(p);
    }
}

static void test_cpu_loss(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p[PLACES];
        rng r = rng_for(6, 22, (uint64_t)d);
        open_places(p, d);
        for (int k = 0; k < 4; k++) {
            const int64_t m = k % 2 ? 37 : 1, n = 1009;
            tensor x = randoms(&p[0], &r, m, 61), w = weight(&p[0], &r, DTYPE_F32, n, 61), dx[3];
            loss_rows l = make_loss(&p[0], &r, m, n, k < 2 ? n : 173);
            double loss[PLACES];
            l.softcap = k == 3 ? 5 : 0;
            for (int i = 0; i < PLACES; i++) {
                dx[i] = copy(&p[0], x);
                loss[i] = op_answer_loss(&p[i].b, dx[i], x, w, &l);
            }
            compare(dx, 1e-5);
            assert_true(fabs(loss[1] - loss[0]) < 1e-5 * loss[0] && loss[1] == loss[2]);
            place_reset(&p[0]);
        }
        close_places(p);
    }
}

/* Random trees: a head, cases under it, leaves under some. Returns the rows. */
static int32_t random_plan(rng *r, attend_span *span, attend_range *range, int32_t *n_span)
{
    int32_t head = 1 + (int32_t)rng_below(r, 130), row = head, n = 0;
    range[0] = (attend_range){0, head, 0};
    span[n++] = (attend_span){.count = head, .n_range = 1};
    int32_t at = 1;
    for (int i = 0; i < 3; i++) {
        int32_t count = 1 + (int32_t)rng_below(r, i == 0 ? 1 : 40), slot = row;
        int32_t leaf = (int32_t)rng_below(r, 4);
        range[at] = (attend_range){0, head, 0};
        range[at + 1] = (attend_range){slot, count, head};
        span[n++] = (attend_span){row, count, head, at, 2};
        at += 2, row += count;
        if (leaf == 0) continue;
        range[at] = (attend_range){0, head, 0};
        range[at + 1] = (attend_range){slot, count, head};
        range[at + 2] = (attend_range){row, leaf, head + count};
        span[n++] = (attend_span){row, leaf, head + count, at, 3};
        at += 3, row += leaf;
    }
    *n_span = n;
    return row;
}

static void check_attend(place p[PLACES], rng *r, const int64_t heads[3], int variant)
{
    attend_span span[8];
    attend_range range[24];
    attend_plan plan = {.span = span, .range = range, .scale = 1 / sqrtf((float)heads[2])};
    int32_t rows = random_plan(r, span, range, &plan.n_span);
    if (variant & 1) plan.softcap = 2;
    if (variant & 2) plan.window = 19;
    attend_tape t = make_tape(&p[0], r, rows, heads);
    attend_grad g = make_grad(&p[0], r, &t);
    tensor o[PLACES], lse[PLACES], dq[PLACES], dk[PLACES], dv[PLACES];
    for (int i = 0; i < PLACES; i++) {
        o[i] = t.o = copy(&p[0], t.o);
        lse[i] = tensor_f32(take(&p[0], rows * heads[0]), rows, heads[0]);
        t.log_sum_exp = lse[i].data;
        op_attend_keep(&p[i].b, &t, &plan);
        dq[i] = g.dq = copy(&p[0], t.q), dk[i] = g.dk = copy(&p[0], t.k);
        dv[i] = g.dv = copy(&p[0], t.v);
        op_attend_back(&p[i].b, &t, &g, &plan);
        int64_t n = rows;
        dq[i] = tensor_f32(dq[i].data, n, heads[0] * heads[2]);
        dk[i] = tensor_f32(dk[i].data, n, heads[1] * heads[2]);
        dv[i] = tensor_f32(dv[i].data, n, heads[1] * heads[2]);
        o[i] = tensor_f32(o[i].data, n, heads[0] * heads[2]);
    }
    compare(o, 1e-5);
    compare(lse, 1e-5);
    compare(dq, 2e-5);
    compare(dk, 2e-5);
    compare(dv, 2e-5);
    place_reset(&p[0]);
}

static void test_cpu_attention(void **state)
{
    (void)state;
    static const int64_t heads[][3] = {{1, 1, 2},  {3, 1, 64}, {4, 2, 6},
                                       {8, 8, 24}, {7, 1, 34}, {8, 2, 128}};
    for (int d = 0; d < n_device(); d++) {
        place p[PLACES];
        rng r = rng_for(6, 23, (uint64_t)d);
        open_places(p, d);
        for (size_t i = 0; i < countof(heads); i++) {
            for (int variant = 0; variant < 4; variant++) check_attend(p, &r, heads[i], variant);
        }
        close_places(p);
    }
}

static void test_cpu_adamw(void **state)
{
    (void)state;
    for (int d = 0; d < n_device(); d++) {
        place p[PLACES];
        rng r = rng_for(6, 24, (uint64_t)d);
        open_places(p, d);
        const int64_t n = 40001;
        tensor value = randoms(&p[0], &r, 1, n), grad = randoms(&p[0], &r, 1, n), got[PLACES];
        for (int i = 0; i < PLACES; i++) {
            got[i] = copy(&p[0], value);
            float *m = take(&p[0], n), *v = take(&p[0], n);
            memset(m, 0, (size_t)n * sizeof *m);
            memset(v, 0, (size_t)n * sizeof *v);
            adamw_state s = {got[i].data, grad.data, m, v, n};
            for (int64_t k = 1; k < 4; k++)
                op_adamw(&p[i].b, &s, &(adamw_step){1e-2, 0.9, 0.999, 1e-8, 0.01, 1, k});
        }
        assert_same_numbers(got[0].data, got[1].data, n);
        assert_same_numbers(got[1].data, got[2].data, n);
        close_places(p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),     cmocka_unit_test(test_lora),
        cmocka_unit_test(test_norm),         cmocka_unit_test(test_rope_and_gate),
        cmocka_unit_test(test_loss),         cmocka_unit_test(test_attention),
        cmocka_unit_test(test_adamw),        cmocka_unit_test(test_cpu_products),
        cmocka_unit_test(test_cpu_adapters), cmocka_unit_test(test_cpu_rows),
        cmocka_unit_test(test_cpu_loss),     cmocka_unit_test(test_cpu_attention),
        cmocka_unit_test(test_cpu_adamw)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
