/* sparse: see sparse.h. Weights are [n_output][n_column + 1] flat; "wide" is n_column + 1. */
#include "stats/sparse.h"

#include <assert.h>
#include <math.h>
#include <string.h>

enum { STEPS_MAX = 200, INNER_MAX = 500, HALVINGS_MAX = 50 };

typedef struct solver {
    const sparse_task *t;
    int32_t n_output, wide;
    int64_t size;  /* n_output * wide */
    double *share; /* [n][n_output] probabilities at the current weights */
    double *eta;   /* [n_output] of one row */
    double *gradient, *step, *residual, *conditioned, *direction, *product, *diagonal, *next;
} solver;

static double dot(const double *x, const double *y, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++) sum += x[i] * y[i];
    return sum;
}

static double largest(const double *x, int64_t n)
{
    double most = 0;
    for (int64_t i = 0; i < n; i++) most = fmax(most, fabs(x[i]));
    return most;
}

static bool kept(const sparse_task *t, int64_t i) { return !t->keep || t->keep[i]; }

static void row_eta(const sparse_rows *r, int64_t i, const double *w, int32_t n_output, double *eta)
{
    int64_t wide = (int64_t)r->n_column + 1;
    for (int32_t k = 0; k < n_output; k++) {
        const double *own = w + k * wide;
        double sum = own[r->n_column];
        for (int64_t j = r->start[i]; j < r->start[i + 1]; j++)
            sum += own[r->column[j]] * r->value[j];
        eta[k] = sum;
    }
}

/* y[k] += factor[k] * x of row i, and of its intercept's 1. */
static void add_row(const sparse_rows *r, int64_t i, const double *factor, int32_t n_output,
                    double *y)
{
    int64_t wide = (int64_t)r->n_column + 1;
    for (int32_t k = 0; k < n_output; k++) {
        double *own = y + k * wide, f = factor[k];
        for (int64_t j = r->start[i]; j < r->start[i + 1]; j++)
            own[r->column[j]] += f * r->value[j];
        own[r->n_column] += f;
    }
}

/* Probabilities from eta in place; returns log of the normaliser, for the loss. */
static double to_shares(double *eta, int32_t n_output)
{
    if (n_output == 1) {
        double x = eta[0];
        eta[0] = 1 / (1 + exp(-x));
        return x > 0 ? x + log1p(exp(-x)) : log1p(exp(x));
    }
    double most = eta[0], sum = 0;
    for (int32_t k = 1; k < n_output; k++) most = fmax(most, eta[k]);
    for (int32_t k = 0; k < n_output; k++) sum += eta[k] = exp(eta[k] - most);
    for (int32_t k = 0; k < n_output; k++) eta[k] /= sum;
    return most + log(sum);
}

static double penalty(const solver *s, const double *w)
{
    double sum = 0;
    for (int32_t k = 0; k < s->n_output; k++)
        sum += dot(w + (int64_t)k * s->wide, w + (int64_t)k * s->wide, s->wide - 1);
    return 0.5 * sum;
}

/* The objective at w; keeps each row's probabilities when `keep_shares`. */
static double objective(const solver *s, const double *w, bool keep_shares)
{
    const sparse_task *t = s->t;
    double loss = 0;
    for (int64_t i = 0; i < t->rows->n; i++) {
        if (!kept(t, i)) continue;
        row_eta(t->rows, i, w, s->n_output, s->eta);
        double own = s->n_output == 1 ? (t->label[i] ? s->eta[0] : 0) : s->eta[t->label[i]];
        loss += to_shares(s->eta, s->n_output) - own;
        if (keep_shares)
            memcpy(s->share + i * s->n_output, s->eta, (size_t)s->n_output * sizeof *s->eta);
    }
    return penalty(s, w) + t->c * loss;
}

static bool is_intercept(const solver *s, int64_t at) { return at % s->wide == s->wide - 1; }

/* Gradient and the Hessian's diagonal from the shares. */
static void derivatives(const solver *s, const double *w)
{
    const sparse_task *t = s->t;
    const sparse_rows *r = t->rows;
    memset(s->gradient, 0, (size_t)s->size * sizeof(double));
    memset(s->diagonal, 0, (size_t)s->size * sizeof(double));
    for (int64_t i = 0; i < r->n; i++) {
        if (!kept(t, i)) continue;
        const double *p = s->share + i * s->n_output;
        for (int32_t k = 0; k < s->n_output; k++) {
            bool right = s->n_output == 1 ? t->label[i] == 1 : t->label[i] == k;
            s->eta[k] = t->c * (p[k] - right);
            double curve = t->c * p[k] * (1 - p[k]), *own = s->diagonal + (int64_t)k * s->wide;
            for (int64_t j = r->start[i]; j < r->start[i + 1]; j++)
                own[r->column[j]] += curve * r->value[j] * r->value[j];
            own[r->n_column] += curve;
        }
        add_row(r, i, s->eta, s->n_output, s->gradient);
    }
    for (int64_t at = 0; at < s->size; at++) {
        if (!is_intercept(s, at)) s->gradient[at] += w[at];
        s->diagonal[at] += is_intercept(s, at) ? 1e-10 : 1;
    }
}

/* out = Hessian v */
static void curve_product(const solver *s, const double *v, double *out)
{
    const sparse_task *t = s->t;
    memset(out, 0, (size_t)s->size * sizeof(double));
    for (int64_t i = 0; i < t->rows->n; i++) {
        if (!kept(t, i)) continue;
        const double *p = s->share + i * s->n_output;
        row_eta(t->rows, i, v, s->n_output, s->eta);
        if (s->n_output == 1) {
            s->eta[0] *= t->c * p[0] * (1 - p[0]);
        } else {
            double mean = dot(p, s->eta, s->n_output);
            for (int32_t k = 0; k < s->n_output; k++) s->eta[k] = t->c * p[k] * (s->eta[k] - mean);
        }
        add_row(t->rows, i, s->eta, s->n_output, out);
    }
    for (int64_t at = 0; at < s->size; at++) out[at] += is_intercept(s, at) ? 0 : v[at];
}

/* s->step = about -Hessian^-1 gradient, by preconditioned conjugate gradients. */
static void solve_step(const solver *s, double tolerance)
{
    memset(s->step, 0, (size_t)s->size * sizeof(double));
    for (int64_t i = 0; i < s->size; i++) s->residual[i] = -s->gradient[i];
    for (int64_t i = 0; i < s->size; i++) s->direction[i] = s->residual[i] / s->diagonal[i];
    double rho = dot(s->residual, s->direction, s->size);
    double stop = tolerance * tolerance * rho;
    for (int32_t n = 0; n < INNER_MAX && rho > stop && rho > 0; n++) {
        curve_product(s, s->direction, s->product);
        double curve = dot(s->direction, s->product, s->size);
        if (!(curve > 0)) break; /* flat: many classes leave the intercepts' sum free */
        double length = rho / curve;
        for (int64_t i = 0; i < s->size; i++) {
            s->step[i] += length * s->direction[i];
            s->residual[i] -= length * s->product[i];
            s->conditioned[i] = s->residual[i] / s->diagonal[i];
        }
        double next = dot(s->residual, s->conditioned, s->size);
        for (int64_t i = 0; i < s->size; i++)
            s->direction[i] = s->conditioned[i] + next / rho * s->direction[i];
        rho = next;
    }
}

/* w + step, halved until the objective falls as it should. False: it cannot be lowered any more. */
static bool move(const solver *s, sparse_model *m)
{
    double slope = dot(s->gradient, s->step, s->size), length = 1;
    if (!(slope < 0)) return false;
    for (int h = 0; h < HALVINGS_MAX; h++, length /= 2) {
        for (int64_t i = 0; i < s->size; i++) s->next[i] = m->weight[i] + length * s->step[i];
        double value = objective(s, s->next, false);
        if (!(value < m->objective && value <= m->objective + 1e-4 * length * slope)) continue;
        memcpy(m->weight, s->next, (size_t)s->size * sizeof(double));
        m->objective = value;
        return true;
    }
    return false;
}

/* What the step would lower is less than the objective's last bits can tell: it is the last one,
 * taken whole. */
static bool move_last(const solver *s, sparse_model *m)
{
    const double slope = dot(s->gradient, s->step, s->size);
    if (!(slope <= 0 && -slope <= 1e-14 * fabs(m->objective))) return false;
    for (int64_t i = 0; i < s->size; i++) m->weight[i] += s->step[i];
    m->objective = objective(s, m->weight, true);
    m->n_step++;
    return true;
}

static stat_status check_task(const sparse_task *t)
{
    int64_t n = 0;
    int32_t first = -1;
    bool several = false;
    for (int64_t i = 0; i < t->rows->n; i++) {
        if (!kept(t, i)) continue;
        assert(t->label[i] >= 0 && t->label[i] < t->n_class);
        if (n++ == 0) first = t->label[i];
        several = several || t->label[i] != first;
    }
    return n == 0 ? STAT_NO_CASES : several ? STAT_OK : STAT_ONE_CLASS;
}

static bool take_room(solver *s, arena *a, err *e)
{
    double **vector[] = {&s->gradient,  &s->step,    &s->residual, &s->conditioned,
                         &s->direction, &s->product, &s->diagonal, &s->next};
    for (size_t i = 0; i < countof(vector); i++)
        *vector[i] = arena_take(a, (size_t)s->size, sizeof(double), e);
    s->share = arena_take(a, (size_t)s->t->rows->n, (size_t)s->n_output * sizeof(double), e);
    s->eta = arena_take(a, (size_t)s->n_output, sizeof(double), e);
    return e->code == ERR_NONE;
}

static void descend(const solver *s, sparse_model *m)
{
    double first = 0;
    m->objective = objective(s, m->weight, true);
    for (; m->n_step < STEPS_MAX; m->n_step++) {
        derivatives(s, m->weight);
        double now = largest(s->gradient, s->size);
        if (m->n_step == 0) first = now;
        if (now <= 1e-9 * first) return;
        solve_step(s, fmin(0.1, sqrt(now / first)));
        if (now <= 1e-5 * first && move_last(s, m)) return;
        if (!move(s, m)) { /* at the last bits of the objective */
            if (now > 1e-5 * first) m->status = STAT_SEPARATION;
            return;
        }
        m->objective = objective(s, m->weight, true);
    }
    m->status = STAT_SEPARATION;
}

bool sparse_fit(const sparse_task *t, arena *a, sparse_model *out, err *e)
{
    assert(t->c > 0 && t->n_class >= 2 && t->rows->n >= 0 && t->rows->n_column >= 0);
    *out = (sparse_model){.status = check_task(t), .n_class = t->n_class};
    out->n_output = t->n_class == 2 ? 1 : t->n_class;
    out->n_column = t->rows->n_column;
    if (out->status != STAT_OK) return true;
    solver s = {.t = t, .n_output = out->n_output, .wide = t->rows->n_column + 1};
    s.size = (int64_t)s.n_output * s.wide;
    out->weight = arena_take_zero(a, (size_t)s.size, sizeof(double), e);
    size_t mark = arena_mark(a);
    if (!out->weight || !take_room(&s, a, e)) return false;
    descend(&s, out);
    arena_reset(a, mark);
    return true;
}

void sparse_log_probabilities(const sparse_model *m, const sparse_rows *rows, int64_t i,
                              double *out)
{
    assert(m->weight && rows->n_column == m->n_column && i >= 0 && i < rows->n);
    row_eta(rows, i, m->weight, m->n_output, out);
    if (m->n_output == 1) {
        double x = out[0];
        out[1] = x > 0 ? -log1p(exp(-x)) : x - log1p(exp(x));
        out[0] = x > 0 ? -x - log1p(exp(-x)) : -log1p(exp(x));
        return;
    }
    double most = out[0], sum = 0;
    for (int32_t k = 1; k < m->n_output; k++) most = fmax(most, out[k]);
    for (int32_t k = 0; k < m->n_output; k++) sum += exp(out[k] - most);
    for (int32_t k = 0; k < m->n_output; k++) out[k] -= most + log(sum);
}
