/* A made-up study for the tests of the view: three arms over 400 rows, binormal scores, awkward
 * names. */
#ifndef CASELOAD_TESTS_REPORT_SAMPLE_H
#define CASELOAD_TESTS_REPORT_SAMPLE_H

#include "base/rng.h"
#include "view/report.h"

#include <math.h>

enum { SAMPLE_ROWS = 400, SAMPLE_ARMS = 3 };

typedef struct sample {
    int32_t label[SAMPLE_ROWS], patient[SAMPLE_ROWS];
    double z[SAMPLE_ARMS][SAMPLE_ROWS * 3];
    const double *z_of[SAMPLE_ARMS];
    verdict stats;
    report_input in;
} sample;

static const char *const sample_class[3] = {"not-serious", "serious", "심각 <불명> & \"?\""};
static const report_count sample_excluded[3] = {{.reason = "no label in column `outcome`", .n = 12},
                                                {.reason = "rows of split train", .n = 240},
                                                {.reason = "repeated id", .n = 0}};
static const report_count sample_unscored[1] = {
    {.reason = "longer than 1,024 tokens, and the rule is refuse", .n = 4}};
static const report_arm sample_arm[SAMPLE_ARMS] = {
    {.name = "zero-shot",
     .detail = "no examples",
     .prompt = "<|im_start|>user\nWas the event serious? Answer Yes or No.\n\n{text}<|im_end|>\n"
               "<|im_start|>assistant\n",
     .tokens_median = 212,
     .tokens_max = 871,
     .seconds = 51.2,
     .texts_per_s = 7.8,
     .n_forwarded = 41214,
     .n_unshared = 84930},
    {.name = "three-shot",
     .detail = "3 examples, seed 1",
     .prompt = "<|im_start|>user\n{example 1}\nYes\n{example 2}\nNo\n\n{text}<|im_end|>\n",
     .n_cut = 7,
     .tokens_median = 530,
     .tokens_max = 1024,
     .seconds = 96.4,
     .texts_per_s = 4.15,
     .n_forwarded = 91200,
     .n_unshared = 240112},
    {.name = "a-very-long-name-of-an-arm-that-someone-will-surely-write-내원-기록",
     .prompt = "Answer \"Yes\" & <No>: {text}\n질문: 심각합니까?",
     .n_forced = 3,
     .seconds = 40},
};
static const report_fact sample_model[3] = {
    {"model", "SmolLM2-135M-Instruct.Q4_1.gguf", true},
    {"SHA-256", "2c0ffee92a6b7d1e8f00d15ea5e0ddba11cafe5eedfacef00dbabe0123456789", true},
    {"architecture", "llama, 30 layers, 576 wide, 9 heads (3 of K/V), 49,152 tokens", false}};
static const report_fact sample_run[3] = {{"machine", "2 cores, AVX-512", false},
                                          {"started", "2026-01-31 09:00:00 UTC", false},
                                          {"seed", "1", false}};
static const report_fact sample_same[1] = {
    {"numerics", "float32, per-row order of sums; the same for any batch, thread count and resume",
     false}};
static const char *const sample_warning[1] = {
    "The study ran with --limit 400: 1,250 rows were not asked."};

/* shift[k]: how far arm k moves the positives; n_class 2 or 3 (then positive may be -1). */
static bool sample_make(sample *s, arena *a, int32_t n_class, int32_t positive, const double *shift,
                        err *e)
{
    for (int64_t i = 0; i < SAMPLE_ROWS; i++) {
        rng r = rng_for(7, (uint64_t)i, 0);
        s->patient[i] = (int32_t)(i % 311);
        double u = rng_unit(&r);
        s->label[i] = u < 0.27 ? 1 : u < 0.4 && n_class == 3 ? 2 : 0;
        double common = rng_normal(&r);
        for (int32_t k = 0; k < SAMPLE_ARMS; k++) {
            double score = 2 * (common + 0.7 * rng_normal(&r)) - 1;
            if (s->label[i] == 1) score += 2 * shift[k];
            double mass = k == 2 ? 0.02 : 0.93 + 0.05 * rng_unit(&r);
            double p = 1 / (1 + exp(-score)), *z = s->z[k] + i * n_class;
            z[0] = log(mass * (1 - p));
            z[1] = log(mass * p);
            if (n_class == 3) z[2] = log(0.1 * mass) + (s->label[i] == 2 ? 1.5 : 0);
        }
    }
    for (int k = 0; k < SAMPLE_ARMS; k++) s->z_of[k] = s->z[k];
    verdict_input in = {.n_arm = SAMPLE_ARMS,
                        .n_class = n_class,
                        .positive = positive,
                        .n_row = SAMPLE_ROWS,
                        .label = s->label,
                        .patient = s->patient,
                        .log_score = s->z_of};
    if (!verdict_judge(&in, a, &s->stats, e)) return false;
    s->in = (report_input){
        .title = "serious-events <판독> & \"more\"",
        .subtitle = "SmolLM2-135M-Instruct on texts.csv",
        .question = "Was the event serious?\nAnswer Yes or No. <b>&",
        .class_name = sample_class,
        .flow = {.source = "texts.csv",
                 .n_read = 656,
                 .n_excluded = 3,
                 .excluded = sample_excluded,
                 .n_asked = 404,
                 .n_unscored = 1,
                 .unscored = sample_unscored},
        .stats = &s->stats,
        .arm = sample_arm,
        .n_warning = 1,
        .warning = sample_warning,
        .model = {3, sample_model},
        .run = {3, sample_run},
        .determinism = {1, sample_same},
        .version = "0.1.0",
        .date = "2026-01-31",
    };
    return true;
}

#endif
