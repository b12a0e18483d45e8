/* A made-up study in a store of its own, for the tests of figures and papers: binormal scores,
 * patients with several texts, subgroups, awkward names; or as few rows and classes as asked for.
 * */
#ifndef CASELOAD_TESTS_PAPER_SAMPLE_H
#define CASELOAD_TESTS_PAPER_SAMPLE_H

#include "base/rng.h"
#include "data/store_parts.h"
#include "stats/prop.h"

#include <math.h>
#include <stdio.h>

#define PAPER_SECRET "XQZWPATIENT" /* stands in every id: must be in no table, figure or word */

typedef struct paper_sample {
    int32_t n_row, n_arm, n_class, positive;
    int32_t rows_a_patient; /* 0: no patients */
    double share;           /* of positives; 0 or 1: one class */
    bool perfect, tied;     /* scores */
    bool asks;  /* arms with records of how they ask; the last one's options at every place */
    bool tuned; /* arms are adapters of 40, 40, 120 and 240 texts, with records */
    int32_t n_no_label;          /* 0: 12 */
    const char *const (*own)[2]; /* [n_arm] name and record of each arm, in place of the usual */
    bool each;                   /* rows are options of questions, three each: ids end in "/A" .. */
    int32_t parts[4];            /* variants in which the first arms ask each row; 0: one way */
    bool votes;                  /* three texts a row of the first arm (sample_says) */
    bool references;             /* two arms' texts are compared with references (LIKENESS below) */
} paper_sample;

static const str sample_classes[] = {{"serious", 7},
                                     {"not-serious", 11},
                                     {"\354\213\254\352\260\201 <\353\266\210\353\252\205>", 15}};
static const str sample_groups[] = {{"site", 4}, {"성별", 6}};
static const str sample_sites[] = {{"Seoul", 5}, {"Busan", 5}, {"a & \"b\" <c>", 11}, {"", 0}};
static const str sample_sexes[] = {{"여", 3}, {"남", 3}};
static const struct {
    const char *name, *record;
    double shift;
} sample_arms[] = {
    {"zero-shot",
     "{\"shots\": 0, \"seed\": 1, \"question\": \"Serious?\", \"system\": \"\", \"template\": "
     "\"chat\", \"prompt\": \"<|user|>\\nSerious?\\n\\n{text}\\n<|assistant|>\\n\"}",
     1.2},
    {"three-shot, seed 1",
     "{\"shots\": 3, \"seed\": 1, \"question\": \"Serious?\", \"system\": \"\", \"template\": "
     "\"chat\", \"prompt\": \"{example 1} {text}\"}",
     1.5},
    {"three-shot, seed 2",
     "{\"shots\": 3, \"seed\": 2, \"question\": \"Serious?\", \"system\": \"\", \"template\": "
     "\"chat\", \"prompt\": \"{example 1} {text}\"}",
     1.35},
    {"role, 내원 기록을 읽는 의사의 역할을 맡긴 아주 긴 이름의 갈래",
     "{\"shots\": 0, \"seed\": 1, \"question\": \"Serious?\", \"system\": \"You are a doctor.\", "
     "\"template\": \"chat\", \"prompt\": \"{text}\"}",
     0.7},
    {"baseline-tfidf", "{\"kind\": \"baseline\", \"shots\": 0, \"seed\": 0}", 0.9},
    {"baseline-prevalence", "{\"kind\": \"baseline\", \"shots\": 0, \"seed\": 0}", 0},
    {"other wording",
     "{\"shots\": 0, \"seed\": 1, \"question\": \"심각합니까?\", \"system\": \"\", \"template\": "
     "\"chat\", \"prompt\": \"{text} 심각합니까?\"}",
     1.0},
};

static const struct {
    const char *name;
    int32_t n_row, seed;
} sample_adapters[] = {
    {"tuned/n-40/seed-1", 40, 1},   {"tuned/n-40/seed-2", 40, 2},  {"tuned/n-120/seed-1", 120, 1},
    {"tuned/n-240/seed-1", 240, 1}, {"other <b>&/seed-1", 240, 1},
};

#define SAMPLE_ASK(framing, position, methods, parts, system)                                      \
    "{\"shots\": 0, \"seed\": 1, \"question\": \"Serious?\", \"template\": \"chat\", \"prompt\": " \
    "\"{text}\", \"system\": \"" system "\", \"model_sha256\": \"aa\", \"answers\": [[\"" framing  \
    "\", 0]], \"ask\": {\"framing\": \"" framing                                                   \
    "\", \"score\": \"letter\", \"position\": \"" position                                         \
    "\", \"calibrate\": \"none\", \"language\": \"en\", \"method\": [" methods                     \
    "], \"parts\": {" parts                                                                        \
    "}, \"wordings\": [], \"ways\": [{\"labels\": 0, \"reversed\": false}]}}"
static const struct {
    const char *name, *record;
} sample_asks[] = {
    {"plain", SAMPLE_ASK("labels", "as-is", "", "", "")},
    {"role", SAMPLE_ASK("labels", "as-is", "\"role\"", "\"role\": \"You read.\"", "You read.")},
    {"role-meta", SAMPLE_ASK("labels", "as-is", "\"role\", \"meta\"",
                             "\"role\": \"You read.\", \"meta\": \"Think.\"", "You read.")},
    {"meta", SAMPLE_ASK("labels", "as-is", "\"meta\"", "\"meta\": \"Think.\"", "")},
    {"cyclic", SAMPLE_ASK("options", "cyclic", "", "", "")},
};

static str sample_arm_name(const paper_sample *how, int32_t k)
{
    if (how->own) return str_of(how->own[k][0]);
    if (how->asks) return str_of(sample_asks[k].name);
    return str_of(how->tuned ? sample_adapters[k].name : sample_arms[k].name);
}

/* As study/tune records a training: falling loss, AUROC best at the second of three looks. */
static bool sample_training(store *s, int32_t k, err *e)
{
    char key[100];
    buf b = buf_up_to(10000);
    snprintf(key, sizeof key, "training/%s", sample_adapters[k].name);
    buf_printf(&b,
               "{\"adapter_sha256\": \"ad\", \"parameters\": 9024, \"rows\": %d, \"seed\": %d, "
               "\"updates_done\": 30, \"seconds\": 12.5, \"loss\": [",
               sample_adapters[k].n_row, sample_adapters[k].seed);
    for (int i = 0; i < 30; i++)
        buf_printf(&b, "%s[%d, %.9g]", i ? ", " : "", i + 1, 0.3 + exp(-0.1 * i) + 0.01 * k);
    buf_add_text(&b, "], \"evaluations\": [");
    for (int i = 0; i < 3; i++)
        buf_printf(&b, "%s{\"update\": %d, \"tune_auroc\": 0.%d, \"tune_loss\": 0.%d}",
                   i ? ", " : "", 10 * (i + 1), i == 1 ? 875 : 700 + 25 * i + k, 60 + i);
    buf_add_text(&b,
                 "], \"best\": {\"update\": 20, \"tune_auroc\": 0.875, \"tune_loss\": 0.61}}\n");
    bool ok = store_set(s, key, buf_view(&b), e);
    buf_close(&b);
    return ok;
}

/* As written before the adapter is trained: its hash is in the training's record alone. */
static str sample_record(const paper_sample *how, int32_t k)
{
    if (how->own) return str_of(how->own[k][1]);
    if (how->tuned) return STR("{\"shots\": 0, \"adapter_sha256\": \"\", \"adapter_rank\": 4}");
    return str_of(how->asks ? sample_asks[k].record : sample_arms[k].record);
}

static bool sample_rows(store *s, const paper_sample *how, arena *a, err *e)
{
    store_row *row = arena_take_zero(a, (size_t)how->n_row, sizeof *row, e);
    str *group = arena_take(a, 2 * (size_t)how->n_row, sizeof *group, e);
    store_arm *arm = arena_take(a, (size_t)how->n_arm, sizeof *arm, e);
    if (!row || !group || !arm) return false;
    for (int32_t i = 0; i < how->n_row; i++) {
        char id[40];
        rng r = rng_for(3, (uint64_t)i, 0);
        snprintf(id, sizeof id, PAPER_SECRET "-%04d", i);
        if (how->each) snprintf(id, sizeof id, PAPER_SECRET "-%04d/%c", i / 3, 'A' + i % 3);
        bool positive = rng_unit(&r) < how->share;
        double u = rng_unit(&r);
        group[2 * i] = sample_sites[u < 0.5 ? 0 : u < 0.95 ? 1 : u < 0.985 ? 2 : 3];
        group[2 * i + 1] = sample_sexes[rng_unit(&r) < 0.4];
        row[i] = (store_row){.id = str_keep(a, str_of(id), e),
                             .split = STR("test"),
                             .label = positive || how->n_class == 1  ? 0
                                      : how->n_class == 3 && u < 0.2 ? 2
                                                                     : 1,
                             .patient = how->rows_a_patient ? i / how->rows_a_patient : -1,
                             .group = group + 2 * i};
    }
    for (int32_t k = 0; k < how->n_arm; k++)
        arm[k] = (store_arm){sample_arm_name(how, k), sample_record(how, k)};
    const store_flow flow[] = {{STR("scored"), how->n_row},
                               {STR("excluded: empty label"),
                                how->n_no_label ? how->n_no_label : 12},
                               {STR("another split than test or train"), 240},
                               {STR("excluded: empty text"), 0}};
    store_study study = {.n_class = how->n_class,
                         .positive = how->positive,
                         .class_name = sample_classes,
                         .n_flow = 4,
                         .flow = flow,
                         .n_arm = how->n_arm,
                         .arm = arm,
                         .n_row = how->n_row,
                         .row = row,
                         .n_group = 2,
                         .group_name = sample_groups};
    return store_set_study(s, &study, e);
}

static bool sample_score(store *s, const paper_sample *how, int32_t k, int32_t i, err *e)
{
    char text[60];
    int n = snprintf(text, sizeof text, "%d/%d", k, i);
    rng common = rng_for(3, (uint64_t)i, 0), patient = rng_for(4, (uint64_t)i, 0),
        own = rng_for(5, (uint64_t)i, (uint64_t)k + 1);
    bool positive = rng_unit(&common) < how->share;
    if (how->rows_a_patient) patient = rng_for(4, (uint64_t)(i / how->rows_a_patient), 0);
    double score = 1.2 * rng_normal(&patient) + 0.9 * rng_normal(&own) - 1 +
                   (positive ? 1.3 * sample_arms[k].shift : 0);
    if (how->perfect) score = positive ? 2 + rng_unit(&own) : -2 - rng_unit(&own);
    if (how->tied || k == 5) score = 0.25; /* exactly: no noise in the mass either */
    double p = 1 / (1 + exp(-score)),
           mass = how->tied || k == 5 ? 0.9 : 0.9 + 0.08 * rng_unit(&own);
    double z[3] = {log(mass * p), log(mass * (1 - p)), log(0.05)};
    store_asked q = {.arm = k, .row = i, .n_token = 150 + i % 90, .n_cut = i % 50 == 7};
    q.key = hash_of(text, (size_t)n);
    store_score scored = {.key = q.key,
                          .score = how->n_class == 2 ? z[0] - z[1] : (double)NAN,
                          .label_mass = mass,
                          .n_class = how->n_class,
                          .n_answer = how->n_class,
                          .class_logprob = z,
                          .answer_logprob = z,
                          .time_ms = 12};
    return store_add_asked(s, &q, e) && store_append(s, &scored, e);
}

/* The two turns of a row's list: every third row keeps to its first option, the others to place A.
 */
static bool sample_turns(store *s, int32_t arm, int32_t row, err *e)
{
    for (int32_t turn = 0; turn < 2; turn++) {
        char text[60];
        int n = snprintf(text, sizeof text, "turn %d/%d", row, turn);
        const bool first = row % 3 == 0 || turn == 0;
        const double z[2] = {first ? -0.1 : -3, first ? -3 : -0.1};
        hash_text key = hash_of(text, (size_t)n);
        store_part p = {.key = key,
                        .n_token = 9,
                        .n_class = 2,
                        .n_answer = 2,
                        .class_logprob = z,
                        .answer_logprob = z};
        if (!store_add_asked_part(s, arm, row, turn, &key, e) || !store_add_part(s, &p, e))
            return false;
    }
    return true;
}

/* As study/likeness.c records it: texts of four words, of which one or two (arm 0), one to three
 * (arm 1) are the reference's, by turns; a reference of eight. */
static bool sample_likeness(store *s, int32_t n_row, err *e)
{
    buf b = buf_up_to(1 << 20);
    for (int32_t k = 0; k < 2; k++) {
        for (int32_t i = 0; i < n_row; i++) {
            const int same = 1 + i % (2 + k);
            buf_printf(&b, "%d %d 8 1 %.17g 0 %.17g 0 4", k, i, same / 6.0, same / 6.0);
            buf_printf(&b, " %d 0 0 0 4 3 2 1 4 8", same);
            for (int n = 0; n < 6; n++) buf_printf(&b, " %d", n < 3 ? 4 * same : 0);
            for (int n = 0; n < 6; n++) buf_printf(&b, " %d", 16 - n);
            for (int n = 0; n < 6; n++) buf_printf(&b, " %d", 32 - n);
            buf_add_char(&b, '\n');
        }
    }
    bool ok = store_set(s, "likeness", buf_view(&b), e);
    buf_close(&b);
    return ok;
}

/* The score of a row asked in variant v: the further v, the less it knows. */
static double sample_part_score(const paper_sample *how, int32_t i, int32_t v)
{
    rng common = rng_for(3, (uint64_t)i, 0), own = rng_for(6, (uint64_t)i, (uint64_t)v);
    const bool positive = rng_unit(&common) < how->share;
    return rng_normal(&own) + (positive ? 1.5 - 0.2 * v : 0);
}

/* What text s of a row says: right, wrong or nothing. */
static int32_t sample_says(int32_t label, int32_t i, int32_t s)
{
    if (s == 0) return i % 4 ? label : 1 - label;
    if (s == 1) return i % 2 ? label : -1;
    return i % 3 ? 0 : -1;
}

/* The interval of the share of right rows: Wilson's, or by patient as wide as the variance of a
 * ratio over patients makes it (n (n - 1)^-1 sum of squares of right - share x rows). */
static inline bool sample_is_interval(double low, double high, const int32_t *is_right,
                                      const paper_sample *how)
{
    const int32_t n = how->n_row, a_patient = how->rows_a_patient;
    int32_t right = 0;
    double squares = 0;
    for (int32_t i = 0; i < n; i++) right += is_right[i];
    if (a_patient == 0) {
        const stat_estimate wilson = prop_of(right, n, PROP_WILSON, 0.95);
        return fabs(low - wilson.low) < 1e-9 && fabs(high - wilson.high) < 1e-9;
    }
    for (int32_t i = 0; i < n; i += a_patient) {
        double d = 0;
        for (int32_t k = i; k < i + a_patient; k++) d += is_right[k] - (double)right / n;
        squares += d * d;
    }
    const double patients = (double)n / a_patient;
    const double half = 1.96 * sqrt(patients / (patients - 1) * squares) / n;
    return fabs(high - low - 2 * half) < 0.1 * half;
}

static bool sample_parts(store *s, const paper_sample *how, int32_t k, int32_t i, err *e)
{
    bool ok = true;
    rng common = rng_for(3, (uint64_t)i, 0);
    const int32_t label = rng_unit(&common) < how->share ? 0 : 1;
    for (int32_t v = 0; ok && k < 4 && v < how->parts[k]; v++) {
        char text[60];
        const double score = sample_part_score(how, i, v), p = 1 / (1 + exp(-score)),
                     z[2] = {log(p), log(1 - p)};
        const int n = snprintf(text, sizeof text, "part %d/%d/%d", k, i, v);
        hash_text key = hash_of(text, (size_t)n);
        const store_part part = {.key = key,
                                 .n_token = 9,
                                 .n_class = 2,
                                 .n_answer = 2,
                                 .class_logprob = z,
                                 .answer_logprob = z};
        ok = store_add_asked_part(s, k, i, v, &key, e) && store_add_part(s, &part, e);
        for (int32_t t = 0; ok && how->votes && k == 0 && t < 3; t++) {
            const store_sample sample = {.key = key,
                                         .number = t,
                                         .text = STR("a text"),
                                         .n_token = 4,
                                         .end = STR("end"),
                                         .class = sample_says(label, i, t),
                                         .n_class = 2,
                                         .class_logprob = z};
            ok = store_add_sample(s, &sample, e);
        }
    }
    return ok;
}

/* Makes DIR/study.db. */
static bool sample_store(const char *path, const paper_sample *how, arena *a, err *e)
{
    static const char *const facts[][2] = {
        {"study", "serious-events"},
        {"study_sha256", "5a1d2c6f00d15ea5e0ddba11cafe5eedfacef00dbabe0123456789abcdef0123"},
        {"data_file", "texts.csv"},
        {"data_sha256", "feed2c6f00d15ea5e0ddba11cafe5eedfacef00dbabe0123456789abcdef0123"},
        {"data_format", "CSV, UTF-8"},
        {"model_name", "SmolLM2-135M-Instruct"},
        {"model_family", "llama"},
        {"model_format", "GGUF, Q4_1"},
        {"model_parameters", "134515008"},
        {"model_licence", "apache-2.0"},
        {"model_sha256", "2c0ffee92a6b7d1e8f00d15ea5e0ddba11cafe5eedfacef00dbabe0123456789"},
        {"tokenizer", "byte-level BPE"},
        {"tokenizer_sha256", "70ce45e00d15ea5e0ddba11cafe5eedfacef00dbabe0123456789abcdef012345"},
        {"template_sha256", "7e3914fe00d15ea5e0ddba11cafe5eedfacef00dbabe0123456789abcdef01234"},
        {"numerics", "cpu:avx2 1"},
        {"cut", "head+tail"},
        {"max_tokens", "1024"},
        {"note_tokens", "700"},
        {"question", "Was the event serious? Answer Yes or No."},
        {"started", "2026-01-30T09:00:00Z"},
        {"ended", "2026-01-30T10:00:00Z"},
        {"threads", "2"},
    };
    store *s = store_open(path, e);
    bool ok = s && store_begin(s, e) && sample_rows(s, how, a, e);
    for (size_t i = 0; ok && i < countof(facts); i++)
        ok = store_set(s, facts[i][0], str_of(facts[i][1]), e);
    if (ok && how->each) ok = store_set(s, "several", STR("each"), e);
    if (ok && how->references) ok = sample_likeness(s, how->n_row, e);
    for (int32_t k = 0; ok && k < how->n_arm; k++) {
        ok = !how->tuned || sample_training(s, k, e);
        for (int32_t i = 0; ok && how->asks && k == 4 && i < how->n_row; i++)
            ok = sample_turns(s, k, i, e);
        for (int32_t i = 0; ok && i < how->n_row; i++)
            ok = sample_score(s, how, k, i, e) && sample_parts(s, how, k, i, e);
    }
    ok = ok && store_commit(s, e);
    store_close(s);
    return ok;
}

#endif
