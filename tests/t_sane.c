/* Every statistic on thousands of small random inputs, most of them hopeless: one class, no rows,
 * ties, holes, infinities, wild probabilities. Whatever comes back is finite, in order, and never
 * an interval of a point. */
#include "base/rng.h"
#include "stats/agree.h"
#include "stats/boot.h"
#include "stats/calib.h"
#include "stats/cluster.h"
#include "stats/cut.h"
#include "stats/decide.h"
#include "stats/multi.h"
#include "stats/paired.h"
#include "stats/recal.h"
#include "stats/subgroup.h"
#include "stats/weigh.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

enum { ROWS = 30, ROUNDS = 4000 };

typedef struct input {
    int64_t n;
    double a[ROWS], b[ROWS], p[ROWS], p3[3 * ROWS];
    uint8_t y[ROWS];
    int32_t patient[ROWS], label[ROWS], r1[ROWS], r2[ROWS];
} input;

static double odd_number(rng *r, int kind)
{
    switch (rng_below(r, kind ? 12 : 40)) {
    case 0: return INFINITY;
    case 1: return -INFINITY;
    case 2: return kind > 1 ? NAN : 0.0;
    case 3: return -0.0;
    case 4: return 1e308;
    case 5: return -5e-324;
    default: return (double)rng_below(r, 5) - 2;
    }
}

static void make(input *in, uint64_t round)
{
    rng r = rng_for(11, 12, round);
    int kind = (int)rng_below(&r, 3), share = (int)rng_below(&r, 5);
    in->n = (int64_t)rng_below(&r, rng_below(&r, 2) ? 6 : ROWS + 1);
    int ties = (int)rng_below(&r, 4);
    for (int64_t i = 0; i < in->n; i++) {
        in->a[i] = ties ? odd_number(&r, kind) : rng_normal(&r);
        in->b[i] = ties == 1 ? 3 : rng_below(&r, 2) ? in->a[i] : odd_number(&r, kind);
        double wild = rng_unit(&r) * 1.4 - 0.2;
        in->p[i] = kind == 2          ? wild
                   : ties == 2        ? 0.5
                   : rng_below(&r, 4) ? rng_unit(&r)
                                      : (double)rng_below(&r, 2);
        in->y[i] = share == 0 ? 0 : share == 1 ? 1 : (uint8_t)rng_below(&r, 2);
        in->patient[i] = (int32_t)rng_below(&r, 1 + rng_below(&r, ROWS)) - 1;
        in->label[i] = share == 0 ? 1 : (int32_t)rng_below(&r, 3);
        in->r1[i] = (int32_t)rng_below(&r, 4) - 1;
        in->r2[i] = share == 1 ? in->r1[i] : (int32_t)rng_below(&r, 4) - 1;
        double sum = 0;
        for (int k = 0; k < 3; k++)
            sum += in->p3[3 * i + k] = ties ? (double)rng_below(&r, 2) + 0.1 : rng_unit(&r);
        for (int k = 0; k < 3; k++) in->p3[3 * i + k] /= sum;
    }
}

static void check(const stat_estimate *o, const char *what)
{
    const double all[4] = {o->value, o->variance, o->low, o->high};
    for (int k = 0; k < 4; k++) {
        if (!isfinite(all[k])) fail_msg("%s: number %d is %g", what, k, all[k]);
    }
    if (!o->has_value && o->value != 0) fail_msg("%s: a value that does not exist", what);
    if (!o->has_value && o->status == STAT_OK) fail_msg("%s: ok without a value", what);
    if (o->has_variance && o->variance < 0) fail_msg("%s: variance below 0", what);
    if (!o->has_interval) return;
    if (!(o->low < o->high)) fail_msg("%s: interval [%.17g, %.17g]", what, o->low, o->high);
    if (o->low > o->value || o->high < o->value)
        fail_msg("%s: %.17g outside [%.17g, %.17g]", what, o->value, o->low, o->high);
    if (!o->method || !o->method[0]) fail_msg("%s: an interval without a method", what);
}

static void check_test(const rank_test *t, const char *what)
{
    const double all[] = {t->difference, t->variance, t->low, t->high, t->statistic, t->p, t->df};
    for (size_t k = 0; k < countof(all); k++) {
        if (!isfinite(all[k])) fail_msg("%s: number %zu is %g", what, k, all[k]);
    }
    if (t->p < 0 || t->p > 1) fail_msg("%s: p %g", what, t->p);
    if (t->has_interval && !(t->low < t->high)) fail_msg("%s: interval of a point", what);
}

static void check_ranks(const input *in, arena *a)
{
    err e = {0};
    rank_parts p[2];
    int32_t cluster[ROWS];
    cluster_rows rows = {.n = in->n, .positive = in->y, .cluster = cluster};
    assert_true(cluster_number(in->patient, in->n, cluster, &rows.n_cluster, a, &e));
    const double *score[2] = {in->a, in->b};
    for (int k = 0; k < 2; k++) {
        rank_auroc plain, clustered;
        rank_roc roc;
        stat_estimate precision;
        assert_true(rank_parts_take(score[k], in->y, in->n, a, &p[k], &e));
        plain = rank_auroc_of(&p[k], 0);
        check(&plain.logit, "auroc");
        if (plain.has_wald) assert_true(plain.wald_low < plain.wald_high);
        if (plain.logit.has_interval) assert_true(plain.logit.low >= 0 && plain.logit.high <= 1);
        assert_true(cluster_auroc(&rows, &p[k], 0, a, &clustered, &e));
        check(&clustered.logit, "clustered auroc");
        assert_true(weigh_auprc_rows(score[k], in->y, in->n, a, &precision, &e));
        check(&precision, "average precision");
        assert_true(rank_roc_take(score[k], in->y, in->n, a, &roc, &e));
        for (cut_rule rule = CUT_YOUDEN; rule <= CUT_NET_BENEFIT; rule++) {
            cut_choice c = cut_choose(&roc, rule, 0.8);
            assert_false(isnan(c.threshold) || isnan(c.youden));
        }
        if (roc.n_point) assert_true(isfinite(rank_partial_area(&roc, 0, 0.1)));
    }
    rank_test t = rank_compare_paired(&p[0], &p[1], 0);
    check_test(&t, "paired");
    assert_true(isfinite(paired_noninferior(&t, 0.02).p));
    t = rank_compare_unpaired(&p[0], &p[1], 0);
    check_test(&t, "unpaired");
    if (p[0].status != p[1].status) return; /* pairs are of rows that both have */
    const rank_parts *pair[2] = {&p[0], &p[1]};
    assert_true(cluster_compare(&rows, pair, 0, a, &t, &e));
    check_test(&t, "clustered pair");
    stat_estimate two[2] = {rank_auroc_of(&p[0], 0).logit, rank_auroc_of(&p[1], 0).logit};
    assert_true(isfinite(subgroup_heterogeneity(two, 2).p));
}

static void check_probabilities(const input *in, arena *a)
{
    err e = {0};
    int64_t n_clipped;
    double odds[ROWS];
    stat_rows given = {.n = in->n, .score = in->p, .positive = in->y};
    stat_rows odds_rows = {.n = in->n, .score = odds, .positive = in->y};
    stat_estimate o = calib_brier(in->p, in->y, in->n);
    check(&o, "brier");
    o = calib_brier_scaled(in->p, in->y, in->n);
    check(&o, "scaled brier");
    o = calib_log_loss(in->p, in->y, in->n, &n_clipped);
    check(&o, "log loss");
    o = calib_observed_expected(in->p, in->y, in->n);
    check(&o, "observed / expected");
    calib_spiegelhalter z = calib_spiegelhalter_of(in->p, in->y, in->n);
    assert_true(isfinite(z.z) && isfinite(z.p));
    calib_bin bin[7];
    for (int mass = 0; mass < 2; mass++) {
        assert_true(calib_ece(&given, (calib_bins){7, mass}, bin, a, &o, &e));
        check(&o, "ece");
        for (int k = 0; k < 7; k++) assert_true(isfinite(bin[k].mean) && bin[k].events <= bin[k].n);
    }
    const double threshold[3] = {0, 0.3, 0.99};
    decide_point point[3];
    decide_rows d = {.n = in->n, .p = in->p, .positive = in->y};
    if (decide_curve(&d, threshold, 3, point) == STAT_OK)
        for (int k = 0; k < 3; k++) assert_true(isfinite(point[k].model) && isfinite(point[k].all));
    if (stat_check_probabilities(in->p, in->n) != STAT_OK) return;
    calib_log_odds(in->p, in->n, odds, &n_clipped);
    calib_line line;
    assert_true(calib_line_of(&odds_rows, a, &line, &e));
    check(&line.in_the_large, "calibration in the large");
    check(&line.intercept, "calibration intercept");
    check(&line.slope, "calibration slope");
    recal_map m[4];
    assert_true(recal_temperature(&odds_rows, a, &m[0], &e));
    assert_true(recal_platt(&odds_rows, false, a, &m[1], &e));
    assert_true(recal_platt(&odds_rows, true, a, &m[2], &e));
    assert_true(recal_isotonic(&odds_rows, 1, a, &m[3], &e));
    for (int k = 0; k < 4; k++) {
        if (m[k].status != STAT_OK) continue;
        for (double x = -40; x < 41; x += 7) {
            double p = recal_apply(&m[k], x);
            assert_true(p >= 0 && p <= 1);
        }
    }
    calib_spline s;
    double grid[3] = {0, 0.4, 1}, observed[3];
    assert_true(calib_spline_take(odds, in->y, in->n, a, &s, &e));
    if (calib_spline_curve(&s, NULL, grid, 3, observed) == STAT_OK)
        for (int k = 0; k < 3; k++) assert_true(observed[k] >= 0 && observed[k] <= 1);
}

static void check_readers_and_classes(const input *in, arena *a)
{
    err e = {0};
    agree_two t;
    agree_table(in->r1, in->r2, in->n, 3, &t);
    stat_estimate o = agree_raw(&t);
    check(&o, "agreement");
    for (agree_weight w = AGREE_UNWEIGHTED; w <= AGREE_QUADRATIC; w++) {
        o = agree_kappa(&t, w, 0);
        check(&o, "kappa");
    }
    int32_t rating[2 * ROWS];
    for (int64_t i = 0; i < in->n; i++) rating[2 * i] = in->r1[i], rating[2 * i + 1] = in->r2[i];
    agree_many m = {.n = in->n, .n_rater = 2, .n_category = 3, .rating = rating};
    o = agree_fleiss(&m);
    check(&o, "fleiss");
    o = agree_ac1(&m, 0);
    check(&o, "ac1");
    for (agree_metric k = AGREE_NOMINAL; k <= AGREE_INTERVAL; k++) {
        o = agree_alpha(&m, k);
        check(&o, "alpha");
    }
    multi_rows rows = {in->n, 3, in->label, in->p3};
    multi_auroc r;
    assert_true(multi_auroc_of(&rows, a, &r, &e));
    const stat_estimate four[4] = {r.macro, r.weighted, r.hand_till, r.hand_till_weighted};
    for (int k = 0; k < 4; k++) check(&four[k], "multi-class auroc");
    multi_measures mm = multi_measures_of(&rows);
    const stat_estimate nine[9] = {mm.accuracy,     mm.macro_f1,        mm.weighted_f1,
                                   mm.mcc,          mm.kappa,           mm.log_loss,
                                   mm.kappa_linear, mm.kappa_quadratic, mm.brier};
    for (int k = 0; k < 9; k++) check(&nine[k], "multi-class measure");
    multi_labels labels = {.n = in->n / 3, .n_label = 3, .truth = in->y, .p = in->p3};
    multi_label_measures ml;
    assert_true(multi_label_measures_of(&labels, 0.4, a, &ml, &e));
    const stat_estimate seven[7] = {ml.macro_auroc, ml.micro_auroc,     ml.macro_f1,    ml.micro_f1,
                                    ml.samples_f1,  ml.subset_accuracy, ml.hamming_loss};
    for (int k = 0; k < 7; k++) check(&seven[k], "multi-label measure");
}

static void check_cut(const input *in)
{
    for (int64_t i = 0; i < in->n; i++) {
        if (isnan(in->a[i])) return;
    }
    for (prop_method k = PROP_WILSON; k <= PROP_CLOPPER_PEARSON; k++) {
        cut_measures c = cut_measures_of(cut_table_of(in->a, in->y, in->n, 0.5), k, 0);
        const stat_estimate all[11] = {c.accuracy, c.sensitivity, c.specificity,
                                       c.ppv,      c.npv,         c.f1,
                                       c.mcc,      c.kappa,       c.balanced_accuracy,
                                       c.macro_f1, c.weighted_f1};
        for (int i = 0; i < 11; i++) check(&all[i], "measure at a threshold");
    }
}

typedef struct drawn {
    weigh_order order;
} drawn;

static bool draw_auroc(const void *context, const uint16_t *weight, double *value)
{
    const drawn *d = context;
    return weigh_auroc(&d->order, weight, &value[0]) &&
           weigh_average_precision(&d->order, weight, &value[1]);
}

static void check_boot(const input *in, pool *p, arena *a)
{
    err e = {0};
    drawn d;
    for (int64_t i = 0; i < in->n; i++) {
        if (isnan(in->a[i])) return;
    }
    assert_true(weigh_order_take(in->a, in->y, in->n, a, &d.order, &e));
    boot_plan plan = {.n = in->n,
                      .n_draw = 60,
                      .n_value = 2,
                      .jackknife = true,
                      .statistic = draw_auroc,
                      .context = &d};
    boot_result r;
    assert_true(boot_run(&plan, p, a, &r, &e));
    for (int k = 0; k < 4; k++) {
        stat_estimate o;
        boot_interval how = {.method = k < 2 ? BOOT_PERCENTILE : BOOT_BCA};
        assert_true(boot_estimate(&r, k % 2, how, a, &o, &e));
        o.low = fmin(o.low, o.value); /* 60 draws may miss the value itself */
        o.high = fmax(o.high, o.value);
        check(&o, "bootstrap");
    }
    boot_gap g;
    assert_true(boot_difference(&r, (boot_pair){0, 1}, 0, a, &g, &e));
    assert_true(isfinite(g.estimate.low) && isfinite(g.estimate.high) && g.p > 0 && g.p <= 1);
}

static void test_random_inputs(void **state)
{
    (void)state;
    arena a;
    err e = {0};
    static input in;
    assert_true(arena_open(&a, (size_t)1 << 28, "test", &e));
    pool *p = pool_open(1, &e);
    assert_non_null(p);
    for (uint64_t round = 0; round < ROUNDS; round++) {
        make(&in, round);
        arena_reset(&a, 0);
        check_ranks(&in, &a);
        check_probabilities(&in, &a);
        check_readers_and_classes(&in, &a);
        check_cut(&in);
        if (round % 8 == 0) check_boot(&in, p, &a);
    }
    pool_close(p);
    arena_close(&a);
}

/* Several notes of one patient: intervals by patient cover as they say; plain DeLong does not. */
static void test_clustered_coverage(void **state)
{
    (void)state;
    arena a;
    err e = {0};
    enum { PATIENTS = 80, NOTES = 3, SETS = 2000 };
    assert_true(arena_open(&a, (size_t)1 << 26, "test", &e));
    /* positives are N(shift + u, 1), negatives N(u, 1), u ~ N(0, 1.5^2) shared by the notes of a
     * patient */
    double shift = 1.7, spread = 1.5, truth = 0.5 * erfc(-shift / (2 * sqrt(1 + spread * spread)));
    int covered = 0, plain_covered = 0;
    for (int set = 0; set < SETS; set++) {
        static double s[PATIENTS * NOTES];
        static uint8_t y[PATIENTS * NOTES];
        static int32_t patient[PATIENTS * NOTES];
        rng r = rng_for(30, 1, (uint64_t)set);
        for (int i = 0; i < PATIENTS * NOTES; i++) patient[i] = i / NOTES;
        for (int k = 0; k < PATIENTS; k++) {
            double u = spread * rng_normal(&r);
            for (int i = k * NOTES; i < (k + 1) * NOTES; i++) {
                y[i] = k % 2;
                s[i] = u + rng_normal(&r) + (y[i] ? shift : 0);
            }
        }
        arena_reset(&a, 0);
        rank_parts p;
        rank_auroc by_patient;
        assert_true(rank_parts_take(s, y, PATIENTS * NOTES, &a, &p, &e));
        cluster_rows rows = {PATIENTS * NOTES, y, patient, PATIENTS};
        assert_true(cluster_auroc(&rows, &p, 0, &a, &by_patient, &e));
        rank_auroc plain = rank_auroc_of(&p, 0);
        covered += by_patient.logit.low <= truth && truth <= by_patient.logit.high;
        plain_covered += plain.logit.low <= truth && truth <= plain.logit.high;
    }
    assert_in_range(covered, 1860, 1940);
    assert_true(plain_covered < 1700); /* far too sure of itself */
    arena_close(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_inputs),
        cmocka_unit_test(test_clustered_coverage),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
