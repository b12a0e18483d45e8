/* Adapters in training on a GPU against ref: products with them, both ways, outputs that turn,
 * gates, norms that add them to the stream; in every mode, with room for adapters of rank 32 and 64
 * (which different kernels take), on odd, prime and one-row shapes. What went twice has the same
 * bits. */
#include "gpu_tests.h" /* beside this file */

typedef struct way { /* how a test runs */
    const char *mode;
    int32_t rank; /* that the workspace has room for */
} way;

static gpu way_open(const void *state)
{
    const way *w = state;
    return gpu_open_for(w->mode, w->rank);
}

typedef struct adapted { /* products of one x with adapters, on the card and for ref */
    int64_t n, in, rank, out[3];
    tensor x, h, dx, w[3], y[3], low[3], dlow[3];
    lora_pair pair[3];
    tensor apart[2]; /* dx of the second product and the third; data NULL: the same */
} adapted;

static adapted adapted_make(gpu *g, rng *r, const int64_t size[4])
{
    adapted a = {.n = size[0], .in = size[1], .rank = size[2]};
    a.x = randoms(&g->p, r, a.n, a.in), a.dx = randoms(&g->p, r, a.n, a.in);
    round_all(g, a.x);
    a.h = copy(&g->p, a.x);
    for (int i = 0; i < 3; i++) {
        const int64_t out = a.out[i] = i == 2 ? size[3] : (size[3] + 1) / 2 / 8 * 8 + 8;
        a.w[i] = weight(&g->p, r, DTYPE_BF16, out, a.in);
        a.y[i] = randoms(&g->p, r, a.n, out);
        a.low[i] = randoms(&g->p, r, a.n, a.rank), a.dlow[i] = randoms(&g->p, r, a.n, a.rank);
        a.pair[i] = (lora_pair){.a = randoms(&g->p, r, a.rank, a.in),
                                .b = randoms(&g->p, r, out, a.rank),
                                .da = randoms(&g->p, r, a.rank, a.in),
                                .db = randoms(&g->p, r, out, a.rank),
                                .scale = 0.5f};
        round_all(g, a.y[i]), round_all(g, a.pair[i].a), round_all(g, a.pair[i].b);
    }
    return a;
}

/* The same numbers on the card; `rows`: y and dx in the type of its rows. */
static adapted adapted_there(gpu *g, const adapted *a, bool rows)
{
    adapted t = *a;
    t.x = rows_there(g, a->x), t.h = rows_there(g, a->h);
    t.dx = rows ? rows_there(g, a->dx) : there(g, a->dx);
    for (int i = 0; i < 3; i++) {
        t.w[i] = there(g, a->w[i]), t.y[i] = rows ? rows_there(g, a->y[i]) : there(g, a->y[i]);
        t.low[i] = rows_there(g, a->low[i]), t.dlow[i] = rows_there(g, a->dlow[i]);
        t.pair[i].a = there(g, a->pair[i].a), t.pair[i].b = there(g, a->pair[i].b);
        t.pair[i].da = there(g, a->pair[i].da), t.pair[i].db = there(g, a->pair[i].db);
    }
    return t;
}

typedef struct adapted_back { /* norm: x is what stands before it on the way back; or NULL */
    const norm_shape *norm;
    const rope_turn *turn; /* of outputs whose width its heads divide */
    bool add;
} adapted_back;

static void adapted_run(backend *b, const adapted *a, int n, adapted_back how)
{
    matmul_part part[3];
    back_part back[3];
    for (int i = 0; i < n; i++) {
        part[i] = (matmul_part){.y = a->y[i], .w = a->w[i], .add = how.add, .low = a->low[i]};
        part[i].adapter = &a->pair[i];
        back[i] = (back_part){.x = a->x, .w = a->w[i], .dx = &a->dx, .add = how.add};
        back[i].dy = a->y[i], back[i].low = a->low[i], back[i].dlow = a->dlow[i];
        back[i].adapter = &a->pair[i];
        if (i > 0 && a->apart[i - 1].data) back[i].dx = &a->apart[i - 1];
        back[i].normed = how.norm, back[i].h = a->h;
        if (a->out[i] % how.turn->head_dim == 0) back[i].turn = how.turn;
    }
    op_matmul_group(b, a->x, part, n);
    op_products_back(b, back, n);
}

static tensor vector_of(float *x, int64_t n)
{
    tensor t = tensor_f32(x, n, 1);
    t.rank = 1;
    return t;
}

/* A norm of random weights, and what it multiplies each row of x by. */
static norm_shape row_norm(place *p, rng *r, tensor x)
{
    const int64_t n = x.dim[0], m = x.dim[1];
    norm_shape norm = {.w = randoms(p, r, 1, m), .eps = 1e-3f, .w_plus = 0.5f};
    norm.w.rank = 1, norm.w.dim[0] = m, norm.w.dim[1] = 1;
    norm.scale = randoms(p, r, 1, n).data;
    for (int64_t i = 0; i < n; i++) {
        double sum = 0;
        const float *row = (const float *)x.data + i * m;
        for (int64_t j = 0; j < m; j++) sum += (double)row[j] * (double)row[j];
        norm.scale[i] = (float)(1 / sqrt(sum / (double)m + 1e-3));
    }
    return norm;
}

/* Each product assigns a dx of its own. */
static void set_apart(gpu *g, adapted *t, const adapted *a)
{
    for (int i = 0; i < 2; i++) t->apart[i] = rows_there(g, a->dx);
}

static tensor sum_of_dx(gpu *g, const adapted *t, int n)
{
    tensor sum = here(g, t->dx);
    for (int i = 1; i < n && t->apart[i - 1].data; i++) {
        const tensor more = here(g, t->apart[i - 1]);
        for (int64_t k = 0; k < tensor_count(&sum); k++)
            ((float *)sum.data)[k] += ((const float *)more.data)[k];
    }
    return sum;
}

/* What went forward is the gradient of the way back, so that the two see the same rounding. */
static void test_adapters(void **state)
{
    gpu g = way_open(*state);
    rng r = rng_for(9, 5, 3);
    static const int64_t sizes[][4] = {{5, 16, 8, 24},     {1, 8, 16, 8},       {67, 104, 16, 40},
                                       {129, 264, 48, 72}, {300, 520, 16, 136}, {131, 72, 64, 1032},
                                       {33, 1000, 24, 88}, {12, 37, 5, 11},     {64, 64, 32, 640}};
    for (size_t c = 0; c < 6 * countof(sizes); c++) {
        const int n = 1 + (int)(c % 3);
        adapted a = adapted_make(&g, &r, sizes[c / 6]), t = adapted_there(&g, &a, c % 2);
        adapted again = adapted_there(&g, &a, c % 2);
        if (c % 2 && c / 6 % 3 != 0 && op_adds_parts(&g.p.b))
            set_apart(&g, &t, &a), set_apart(&g, &again, &a);
        norm_shape norm = row_norm(&g.p, &r, a.x), on_card = norm;
        on_card.w = there(&g, norm.w);
        on_card.scale = there(&g, vector_of(norm.scale, a.n)).data;
        const bool normed = c / 6 % 2, add = c % 4 < 2;
        int32_t *position = arena_take(&g.p.data, (size_t)a.n, sizeof *position, &(err){0});
        for (int64_t i = 0; i < a.n; i++) position[i] = (int32_t)rng_below(&r, 50);
        const int32_t hd = c % 3 ? 16 : 8;
        rope_turn turn = {position, randoms(&g.p, &r, 50, hd), hd == 8 ? ROPE_PAIRS : ROPE_HALVES,
                          c % 5 ? hd : 1 << 20};
        rope_turn turn2 = turn;
        turn2.table = there(&g, turn.table);
        const adapted_back here_how = {normed ? &norm : NULL, &turn, add};
        const adapted_back there_how = {normed ? &on_card : NULL, &turn2, add};
        adapted_run(&g.p.b, &t, n, there_how), adapted_run(&g.p.b, &again, n, there_how);
        adapted_run(&g.ref.b, &a, n, here_how);
        const double share = g.low ? 2e-2 : g.two_terms ? 5e-5 : 2e-5;
        for (int i = 0; i < n; i++) {
            assert_near(here(&g, t.y[i]), a.y[i], share, "adapted product");
            assert_near(here(&g, t.low[i]), a.low[i], share, "low");
            assert_near(here(&g, t.pair[i].db), a.pair[i].db, share, "dB");
            assert_near(here(&g, t.pair[i].da), a.pair[i].da, share, "dA");
            tensor da[2] = {here(&g, t.pair[i].da), here(&g, again.pair[i].da)};
            tensor db[2] = {here(&g, t.pair[i].db), here(&g, again.pair[i].db)};
            assert_memory_equal(da[0].data, da[1].data, (size_t)tensor_count(&da[0]) * 4);
            assert_memory_equal(db[0].data, db[1].data, (size_t)tensor_count(&db[0]) * 4);
        }
        assert_near(sum_of_dx(&g, &t, n), a.dx, share, "dx of adapted products");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

static tensor rows_from(tensor t, int64_t first, int64_t n)
{
    const int64_t each = t.type == DTYPE_BF16 ? 2 : 4;
    t.data = (char *)t.data + first * t.dim[1] * each;
    t.dim[0] = n;
    return t;
}

/* A row's inner numbers are its own in any company. */
static void test_low_alone(void **state)
{
    enum { MANY = 6467, FEW = 37 };
    gpu g = way_open(*state);
    rng r = rng_for(9, 7, 3);
    static const int64_t sizes[][2] = {{1064, 8}, {40, 24}, {520, 40}, {264, 64}, {8, 16}};
    for (size_t c = 0; c < countof(sizes) && g.low; c++) {
        const int64_t in = sizes[c][0], rank = sizes[c][1];
        tensor x = randoms(&g.p, &r, MANY, in), low = randoms(&g.p, &r, MANY, rank);
        round_all(&g, x);
        lora_pair pair = {.a = randoms(&g.p, &r, rank, in), .scale = 0.5f}, pair2 = pair;
        pair.b = pair.a;
        round_all(&g, pair.a);
        pair2.a = there(&g, pair.a), pair2.b = pair2.a, pair2.b.dim[0] = 8;
        tensor x2 = rows_there(&g, x), low2 = rows_there(&g, low), few2 = rows_there(&g, low);
        op_lora_low(&g.p.b, low2, x2, &pair2);
        op_lora_low(&g.ref.b, low, x, &pair);
        const tensor got = here(&g, low2);
        assert_near(got, low, 1e-2, "low of many rows");
        for (int64_t first = 0; first < MANY; first += 1000 + FEW) {
            const int64_t n = MANY - first < FEW ? MANY - first : FEW;
            op_lora_low(&g.p.b, rows_from(few2, 0, n), rows_from(x2, first, n), &pair2);
            const tensor few = here(&g, rows_from(few2, 0, n)), same = rows_from(got, first, n);
            assert_memory_equal(few.data, same.data, (size_t)(n * rank) * sizeof(float));
        }
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* Products, their adapters, and heads that turn in either style, whole or in part. */
static void test_turned(void **state)
{
    gpu g = way_open(*state);
    rng r = rng_for(9, 6, 3);
    static const int64_t sizes[][5] = {/* rows, in, rank, heads, head size */
                                       {5, 16, 8, 3, 16},     {1, 8, 16, 1, 8},
                                       {67, 104, 16, 5, 64},  {129, 264, 48, 3, 80},
                                       {300, 72, 16, 9, 128}, {131, 72, 64, 7, 32},
                                       {33, 40, 32, 2, 256},  {12, 37, 5, 3, 10},
                                       {70, 64, 16, 40, 48}};
    for (size_t c = 0; c < 6 * countof(sizes); c++) {
        const int64_t *size = sizes[c / 6], hd = size[4];
        const int n = 1 + (int)(c % 3), without = (int)(c % 4);
        adapted a = adapted_make(&g, &r, (int64_t[]){size[0], size[1], size[2], size[3] * hd});
        int32_t *positions = arena_take(&g.p.data, (size_t)a.n, sizeof *positions, &(err){0});
        for (int64_t i = 0; i < a.n; i++) positions[i] = (int32_t)rng_below(&r, 50);
        const int64_t turned = c % 6 == 5 && hd % 4 == 0 ? hd / 2 : hd;
        tensor table = randoms(&g.p, &r, 50, turned), table2 = there(&g, table);
        matmul_part part[3], part2[3];
        rope_turn turn[3] = {0}, turn2[3] = {0};
        for (int i = 0; i < n; i++) { /* the last turns always, as wide as its heads are */
            const int k = 2 - i;
            part[i] = (matmul_part){.y = a.y[k], .w = a.w[k], .low = a.low[k]};
            if (i != without) part[i].adapter = &a.pair[k];
            if (a.out[k] % hd != 0) continue;
            turn[i] = (rope_turn){positions, table, c % 2 ? ROPE_PAIRS : ROPE_HALVES, (int32_t)hd};
            turn2[i] = turn[i], turn2[i].table = table2;
        }
        adapted t = adapted_there(&g, &a, true);
        for (int i = 0; i < n; i++) {
            const int k = 2 - i;
            part2[i] = part[i];
            part2[i].y = t.y[k], part2[i].w = t.w[k], part2[i].low = t.low[k];
            if (part[i].adapter) part2[i].adapter = &t.pair[k];
        }
        op_matmul_turned(&g.p.b, t.x, part2, turn2, n);
        op_matmul_turned(&g.ref.b, a.x, part, turn, n);
        for (int i = 0; i < n; i++)
            assert_near(here(&g, part2[i].y), part[i].y, g.low ? 2e-2 : 2e-5, "turned product");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* One feed-forward forward and back: gates, the last product, and all their adapters. */
typedef struct gated {
    gate_block g;
    back_part down;
    tensor x, dact;
    lora_pair pair[3];
} gated;

static gated gated_of(const adapted *a, tensor act, tensor dact, bool gelu)
{
    gated t = {.x = a->x, .dact = dact};
    for (int i = 0; i < 3; i++) t.pair[i] = a->pair[i];
    t.g = (gate_block){.gate = {.y = a->y[0], .w = a->w[0], .low = a->low[0]},
                       .up = {.y = a->y[1], .w = a->w[1], .low = a->low[1]},
                       .act = act,
                       .kind = gelu ? GLU_GELU_TANH : GLU_SILU};
    t.down = (back_part){.dy = a->dx, .x = act, .w = a->w[2], .low = a->low[2]};
    t.down.dlow = a->dlow[2];
    return t;
}

static void gated_run(backend *b, gated *t, int without)
{
    if (without != 0) t->g.gate.adapter = &t->pair[0];
    if (without != 1) t->g.up.adapter = &t->pair[1];
    if (without != 2) t->down.adapter = &t->pair[2];
    t->down.dx = &t->dact;
    op_gates(b, t->x, &t->g);
}

static void test_gates(void **state)
{
    gpu g = way_open(*state);
    rng r = rng_for(9, 4, 3);
    static const int64_t sizes[][4] = {{5, 16, 8, 24},     {1, 8, 16, 8},      {67, 104, 16, 544},
                                       {129, 264, 48, 72}, {70, 520, 32, 136}, {33, 72, 64, 1032},
                                       {12, 37, 5, 11},    {300, 64, 16, 520}};
    for (size_t c = 0; c < 5 * countof(sizes); c++) {
        const int64_t *size = sizes[c / 5], n = size[0], d = size[1], rank = size[2], f = size[3];
        const int without = (int)(c % 5); /* 3, 4: none is without */
        adapted a = {.n = n, .in = d, .rank = rank};
        a.x = randoms(&g.p, &r, n, d), a.dx = randoms(&g.p, &r, n, d);
        round_all(&g, a.x), round_all(&g, a.dx);
        for (int i = 0; i < 3; i++) {
            const int64_t in = i == 2 ? f : d, out = i == 2 ? d : f;
            a.w[i] = weight(&g.p, &r, DTYPE_BF16, out, in), a.y[i] = randoms(&g.p, &r, n, f);
            a.low[i] = randoms(&g.p, &r, n, rank), a.dlow[i] = randoms(&g.p, &r, n, rank);
            a.pair[i] = (lora_pair){.a = randoms(&g.p, &r, rank, in),
                                    .b = randoms(&g.p, &r, out, rank),
                                    .da = randoms(&g.p, &r, rank, in),
                                    .db = randoms(&g.p, &r, out, rank),
                                    .scale = 0.05f};
            round_all(&g, a.low[i]), round_all(&g, a.pair[i].a), round_all(&g, a.pair[i].b);
        }
        tensor act = randoms(&g.p, &r, n, f), dact = randoms(&g.p, &r, n, f);
        adapted there_a = adapted_there(&g, &a, true);
        gated want = gated_of(&a, act, dact, c % 2);
        gated got = gated_of(&there_a, rows_there(&g, act), rows_there(&g, dact), c % 2);
        gated_run(&g.p.b, &got, without), gated_run(&g.ref.b, &want, without);
        const double share = g.low ? 2e-2 : 1e-4; /* of products of products */
        assert_near(here(&g, got.g.act), act, share, "act");
        const bool done = op_gates_back(&g.p.b, &got.g, &got.down);
        assert_false(op_gates_back(&g.ref.b, &want.g, &want.down));
        for (int i = 0; i < 2 && done; i++) {
            if (i == without) continue;
            op_weight_grad(&g.ref.b, a.pair[i].db, a.y[i], a.low[i]);
            assert_near(here(&g, got.pair[i].db), a.pair[i].db, share, "dB of gate or up");
        }
        assert_near(here(&g, got.g.gate.y), a.y[0], share, "d gate");
        assert_near(here(&g, got.g.up.y), a.y[1], share, "d up");
        if (!done) assert_near(here(&g, got.g.act), act, share, "act again");
        assert_near(here(&g, got.pair[2].da), a.pair[2].da, share, "dA of the last");
        assert_near(here(&g, got.pair[2].db), a.pair[2].db, share, "dB of the last");
        gpu_reset(&g);
    }
    gpu_close(&g);
}

/* A norm that keeps, after an adapter's share has been added to x. */
static void check_norm_adds(gpu *g, rng *r, tensor x, norm_shape norm)
{
    static const int64_t ranks[] = {8, 16, 24, 40, 64, 5};
    const int64_t n = x.dim[0], m = x.dim[1], rank = ranks[rng_below(r, countof(ranks))];
    tensor low = randoms(&g->p, r, n, rank), b = randoms(&g->p, r, m, rank), y = copy(&g->p, x);
    tensor kept = copy(&g->p, x), scale = randoms(&g->p, r, 1, n), x2 = there(g, x);
    tensor y2 = rows_there(g, y), kept2 = rows_there(g, y), scale2 = there(g, scale);
    round_all(g, low), round_all(g, b);
    const lora_pair pair = {.a = b, .b = b, .scale = 3};
    lora_pair pair2 = {.a = there(g, b), .scale = 3};
    pair2.b = pair2.a;
    pair2.a.dim[0] = rank, pair2.a.dim[1] = m; /* nobody reads it */
    norm_shape norm2 = norm;
    norm.adapter = &pair, norm.low = low, norm.scale = NULL;
    norm2.adapter = &pair2, norm2.low = rows_there(g, low), norm2.scale = scale2.data;
    norm2.w = there(g, norm.w);
    op_rmsnorm_keep(&g->p.b, y2, kept2, x2, norm2);
    x = copy(&g->p, x);
    op_rmsnorm_keep(&g->ref.b, y, kept, x, norm);
    const double share = g->two_terms ? 5e-5 : 1e-5;
    assert_near(here(g, x2), x, share, "the stream with an adapter's share");
    assert_near(here(g, y2), y, of_rows(g, y2, 2 * share), "its norm");
    assert_near(here(g, kept2), kept, of_rows(g, kept2, share), "what is kept of it");
    tensor got = here(g, scale2);
    norm_shape by_hand = row_norm(&g->p, r, x);
    assert_near(got, tensor_f32(by_hand.scale, 1, n), 1e-4, "its scale");
}

/* A norm that keeps its input, and its way back from what was kept. */
static void test_norm_keep(void **state)
{
    gpu g = way_open(*state);
    rng r = rng_for(9, 3, 3);
    for (int c = 0; c < 2 * N_WIDTH; c++) { /* the widest is longer than what registers hold */
        const int64_t many = c % 6 == 5 && c < 18 ? 2203 : 0; /* more than blocks at once */
        const int64_t n = many + 1 + (int64_t)rng_below(&r, 40);
        const int64_t m = c / 2 < N_WIDTH - 1 ? widths[c / 2] : 5128;
        tensor x = randoms(&g.p, &r, n, m), w = randoms(&g.p, &r, 1, m), y = copy(&g.p, x);
        tensor kept = copy(&g.p, x), y2 = rows_there(&g, y), kept2 = rows_there(&g, y);
        w.rank = 1, w.dim[0] = m, w.dim[1] = 1;
        norm_shape norm = {.w = w, .eps = 1e-3f}, norm2 = {.w = there(&g, w), .eps = 1e-3f};
        op_rmsnorm_keep(&g.p.b, y2, kept2, there(&g, x), norm2);
        op_rmsnorm_keep(&g.ref.b, y, kept, x, norm);
        round_all(&g, kept);
        assert_near(here(&g, y2), y, of_rows(&g, y2, 1e-5), "norm that keeps");
        assert_near(here(&g, kept2), kept, 0, "what it keeps");
        check_norm_adds(&g, &r, x, norm);
        tensor dy = randoms(&g.p, &r, n, m), dx = randoms(&g.p, &r, n, m), dx2 = there(&g, dx);
        tensor stream = copy(&g.p, dx), stream2 = rows_there(&g, stream);
        round_all(&g, stream);
        op_rmsnorm_back(&g.p.b, dx2, there(&g, dy), kept2, norm2, true);
        op_rmsnorm_back(&g.ref.b, dx, dy, kept, norm, true);
        assert_near(here(&g, dx2), dx, 1e-5, "norm back of what was kept");
        op_rmsnorm_back(&g.p.b, stream2, there(&g, dy), kept2, norm2, true);
        op_rmsnorm_back(&g.ref.b, stream, dy, kept, norm, true);
        assert_near(here(&g, stream2), stream, of_rows(&g, stream2, 1e-5), "onto rows");
        tensor low = copy(&g.p, dy), low2 = rows_there(&g, low);
        round_all(&g, low);
        op_rmsnorm_back(&g.p.b, dx2, low2, kept2, norm2, false);
        op_rmsnorm_back(&g.ref.b, dx, low, kept, norm, false);
        assert_near(here(&g, dx2), dx, 1e-5, "norm back of rows");
        for (int i = 0; i < 2 && op_adds_parts(&g.p.b); i++) { /* of one part more, and of two */
            tensor part = randoms(&g.p, &r, n, m);
            norm2.more[i] = rows_there(&g, part);
            round_all(&g, part);
            for (int64_t k = 0; k < n * m; k++)
                ((float *)low.data)[k] += ((const float *)part.data)[k];
            op_rmsnorm_back(&g.p.b, stream2, low2, kept2, norm2, false);
            op_rmsnorm_back(&g.ref.b, stream, low, kept, norm, false);
            assert_near(here(&g, stream2), stream, of_rows(&g, stream2, 3e-5), "norm of parts");
        }
        gpu_reset(&g);
    }
    gpu_close(&g);
}

int main(int argc, char **argv)
{
    enum { N_RANK = 2 };
    static const int32_t ranks[N_RANK] = {32, 64};
    static const struct {
        const char *name;
        CMUnitTestFunction run;
    } all[] = {{"adapters", test_adapters},
               {"low alone", test_low_alone},
               {"turned", test_turned},
               {"gates", test_gates},
               {"norm keep", test_norm_keep}};
    if (cuda_count() == 0) {
        printf("gpu_adapters: skipped: no GPU\n");
        return 0;
    }
    enum { N_ALL = (int)(sizeof all / sizeof *all), N = N_MODE * N_RANK * N_ALL };
    struct CMUnitTest tests[N];
    static char names[N][64];
    static way ways[N];
    for (int i = 0; i < N; i++) {
        ways[i] = (way){modes[i / N_ALL % N_MODE], ranks[i / N_ALL / N_MODE]};
        snprintf(names[i], sizeof names[i], "%s on %s, %d", all[i % N_ALL].name, ways[i].mode,
                 ways[i].rank);
        tests[i] = (struct CMUnitTest){.name = names[i],
                                       .test_func = all[i % N_ALL].run,
                                       .initial_state = &ways[i]};
    }
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* a name, * for any part of it */
    return cmocka_run_group_tests(tests, NULL, NULL);
}
