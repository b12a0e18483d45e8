/* gather: see gather.h. */
#include "view/gather.h"

#include "data/rows.h"
#include "stats/score.h"
#include "view/centre.h"
#include "view/small.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

static const size_t bytes_memory = (size_t)16 << 30; /* address space */
enum { RECORD_BYTES_MAX = 1 << 30 };

const char *gather_fact(const gather *g, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(g->record, "meta"), key));
    return text ? text : "";
}

static const char *keep(gather *g, str s, err *e) { return str_keep(&g->memory, s, e).data; }

static const char *keep_buf(gather *g, buf *b, err *e)
{
    const char *text = buf_check(b, "the report", e) ? keep(g, buf_view(b), e) : "";
    buf_close(b);
    return text;
}

bool gather_rows_use(const store *s, const store_study *study, int32_t *n, err *e)
{
    buf text = buf_up_to(100);
    int64_t use = study->n_row;
    if (store_get(s, "rows_use", &text, e) &&
        (!str_to_int(buf_view(&text), &use) || use < 0 || use > study->n_row))
        err_set(e, ERR_DATA, "study.db is damaged: its count of judged rows is wrong");
    buf_close(&text);
    *n = (int32_t)use;
    return e->code == ERR_NONE;
}

/* Columns from row `first` on, as a set of their own; `got` keeps the rows before. */
static store_results split_results(store_results *got, int32_t first)
{
    int32_t at = 0;
    while (at < got->n && got->row[at] < first) at++;
    store_results rest = *got;
    rest.n -= at;
    got->n = at;
    rest.row += at;
    rest.scored += at;
    rest.refused += at;
    rest.forced += at;
    rest.n_token += at;
    rest.n_cut += at;
    rest.score += at;
    rest.label_mass += at;
    rest.time_ms += at;
    rest.class_logprob += (size_t)at * (size_t)got->n_class;
    rest.answer_logprob += (size_t)at * (size_t)got->n_answer;
    for (int32_t i = 0; i < rest.n; i++) rest.row[i] -= first;
    return rest;
}

static bool split_tune(gather *g, const store *s, err *e)
{
    int32_t n_use = 0;
    if (!gather_rows_use(s, &g->study, &n_use, e)) return false;
    g->tune_got = arena_take_zero(&g->memory, (size_t)g->study.n_arm, sizeof *g->tune_got, e);
    if (!g->tune_got) return false;
    for (int32_t i = 0; i < g->study.n_arm; i++) centre_arm(&g->study.arm[i], n_use, &g->got[i]);
    for (int32_t i = 0; i < g->study.n_arm; i++) g->tune_got[i] = split_results(&g->got[i], n_use);
    g->n_tune = g->study.n_row - n_use;
    g->tune_row = g->study.row + n_use;
    g->study.n_row = n_use;
    return true;
}

static bool read_store(gather *g, const store *s, err *e)
{
    const store_study *study = &g->study;
    if (!store_get_study(s, &g->study, &g->memory, e)) return false;
    if (study->n_arm == 0) {
        return err_set(e, ERR_USAGE,
                       "study.db holds no study yet: its run ended before the first prompt was "
                       "written; run it again");
    }
    if (study->n_class < 1 || (study->n_class == 2 && study->positive < 0)) {
        return err_set(
            e, ERR_DATA,
            "study.db is damaged: its classes are incomplete; move it away and run again");
    }
    g->got = arena_take_zero(&g->memory, (size_t)g->study.n_arm, sizeof *g->got, e);
    for (int32_t i = 0; g->got && i < g->study.n_arm; i++) {
        if (!store_get_results(s, i, &g->got[i], &g->memory, e)) return false;
    }
    if (!g->got || !split_tune(g, s, e)) return false;
    buf text = buf_up_to(RECORD_BYTES_MAX);
    bool ok = g->got && store_get_record(s, &text, e) && buf_check(&text, "the study's record", e);
    json_error_t why;
    if (ok) g->record = json_loadb(text.data, text.size, 0, &why);
    buf_close(&text);
    if (ok && !g->record)
        return err_set(e, ERR_DATA, "study.db: its record is damaged (%s)", why.text);
    return ok;
}

/* Z of every arm over n_row rows, NaN where a row has no score. */
static const double **take_scores(gather *g, const store_results *of, int32_t n_row, err *e)
{
    const store_study *s = &g->study;
    const double **z = arena_take(&g->memory, (size_t)s->n_arm, sizeof *z, e);
    for (int32_t i = 0; z && i < s->n_arm; i++) {
        size_t n = (size_t)n_row * (size_t)s->n_class;
        double *own = arena_take(&g->memory, n, sizeof *own, e);
        if (!own) return NULL;
        for (size_t k = 0; k < n; k++) own[k] = (double)NAN;
        for (int32_t k = 0; k < of[i].n; k++) {
            if (!of[i].scored[k]) continue;
            memcpy(own + (size_t)of[i].row[k] * (size_t)s->n_class,
                   of[i].class_logprob + (size_t)k * (size_t)s->n_class,
                   (size_t)s->n_class * sizeof *own);
        }
        z[i] = own;
    }
    return z;
}

/* A study without labels: all its rows stand for judged ones, and there is nothing to judge. */
static bool judge_nothing(gather *g, err *e)
{
    const store_study *s = &g->study;
    int32_t *row = arena_take(&g->memory, (size_t)s->n_row, sizeof *row, e);
    int64_t *count = arena_take_zero(&g->memory, 1, sizeof *count, e);
    g->stats = (verdict){.n_arm = s->n_arm,
                         .n_class = 1,
                         .positive = -1,
                         .n_row = s->n_row,
                         .primary = -1,
                         .level = 0.95,
                         .row = row,
                         .class_count = count};
    g->stats.arm = arena_take_zero(&g->memory, (size_t)s->n_arm, sizeof *g->stats.arm, e);
    if (!row || !count || !g->stats.arm) return false;
    uint8_t *there = arena_take(&g->memory, (size_t)s->n_row, 1, e);
    if (!there) return false;
    memset(there, 1, (size_t)s->n_row);
    for (int32_t k = 0; k < s->n_arm; k++) {
        for (int32_t i = 0; i < g->got[k].n; i++)
            if (!g->got[k].scored[i]) there[g->got[k].row[i]] = 0;
    }
    for (int32_t i = 0; i < s->n_row; i++) {
        if (there[i]) row[(*count)++] = i;
    }
    g->stats.n = *count;
    return true;
}

/* The point and the recalibration that the store's facts name; those of older stores name none. */
static void read_declared(const gather *g, verdict_input *in)
{
    static const char *const maps[] = {"none", "temperature", "platt", "isotonic"};
    static const char *const rules[] = {"youden", "sensitivity", "specificity", "net_benefit"};
    double x = 0;
    for (size_t i = 0; i < countof(maps); i++) {
        if (!strcmp(gather_fact(g, "recalibrate"), maps[i])) in->recalibrate = (verdict_recal)i;
    }
    for (size_t i = 0; i < countof(rules); i++) {
        if (strcmp(gather_fact(g, "operating_point"), rules[i])) continue;
        in->point.chosen = true;
        in->point.rule = (cut_rule)i;
    }
    if (str_to_double(str_of(gather_fact(g, "operating_target")), &x) && x > 0 && x < 1)
        in->point.target = x;
    else if (in->point.rule != CUT_YOUDEN) in->point = (verdict_point){0}; /* a damaged fact */
    int32_t n = 0;
    for (int side = 0; side < 2; side++) {
        const char *name = gather_fact(g, side ? "primary_second" : "primary_first");
        for (int32_t k = 0; name[0] && k < g->study.n_arm; k++) {
            if (!str_is(g->study.arm[k].name, name)) continue;
            in->primary[side] = k;
            n++;
        }
    }
    if (n != 2) in->primary[0] = in->primary[1] = 0;
}

static bool compute(gather *g, err *e)
{
    const store_study *s = &g->study;
    if (s->n_class == 1) return judge_nothing(g, e);
    size_t n = (size_t)s->n_row + (size_t)g->n_tune;
    int32_t *label = arena_take(&g->memory, n, sizeof *label, e);
    int32_t *patient = arena_take(&g->memory, n, sizeof *patient, e);
    if (!label || !patient) return false;
    bool any_patient = false;
    for (size_t i = 0; i < n; i++) {
        label[i] = s->row[i].label; /* the tune rows stand behind */
        patient[i] = s->row[i].patient;
        any_patient = any_patient || (i < (size_t)s->n_row && patient[i] >= 0);
    }
    verdict_tune tune = {.n_row = g->n_tune, .label = label + s->n_row};
    verdict_input in = {.n_arm = s->n_arm,
                        .n_class = s->n_class,
                        .positive = s->positive,
                        .n_row = s->n_row,
                        .label = label,
                        .patient = any_patient ? patient : NULL,
                        .tune = g->n_tune > 0 ? &tune : NULL};
    in.log_score = take_scores(g, g->got, s->n_row, e);
    tune.log_score = take_scores(g, g->tune_got, g->n_tune, e);
    if (!in.log_score || !tune.log_score) return false;
    read_declared(g, &in);
    return verdict_judge(&in, &g->memory, &g->stats, e);
}

/* ---- what the report says ---- */

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static double median_tokens(gather *g, const store_results *got, double *largest, err *e)
{
    size_t mark = arena_mark(&g->memory);
    int32_t *n = arena_take(&g->memory, (size_t)got->n, sizeof *n, e);
    double median = 0;
    *largest = 0;
    if (n && got->n > 0) {
        memcpy(n, got->n_token, (size_t)got->n * sizeof *n);
        qsort(n, (size_t)got->n, sizeof *n, by_value);
        median = ((double)n[(got->n - 1) / 2] + (double)n[got->n / 2]) / 2;
        *largest = n[got->n - 1];
    }
    arena_reset(&g->memory, mark);
    return median;
}

static int64_t arm_number(const gather *g, const char *what, str arm)
{
    char key[300];
    int64_t n = 0;
    snprintf(key, sizeof key, "%s/%.*s", what, (int)arm.size, arm.data);
    return str_to_int(str_of(gather_fact(g, key)), &n) ? n : 0;
}

static bool is_baseline(const json_t *record)
{
    const char *kind = json_string_value(json_object_get(record, "kind"));
    return kind && !strcmp(kind, "baseline");
}

static const char *arm_detail(gather *g, str name, const json_t *record, err *e)
{
    buf text = buf_up_to(10000);
    if (is_baseline(record)) {
        char key[300];
        snprintf(key, sizeof key, "detail/%.*s", (int)name.size, name.data);
        buf_add_text(&text, gather_fact(g, key));
        return keep_buf(g, &text, e);
    }
    int shots = (int)json_integer_value(json_object_get(record, "shots"));
    if (shots > 0) {
        buf_printf(&text, "%d example%s, seed %lld", shots, shots == 1 ? "" : "s",
                   (long long)json_integer_value(json_object_get(record, "seed")));
    } else {
        buf_add_text(&text, "no examples");
    }
    return keep_buf(g, &text, e);
}

static bool describe_arm(gather *g, int32_t which, err *e)
{
    const store_results *got = &g->got[which];
    str name = g->study.arm[which].name, record_text = g->study.arm[which].record_json;
    json_error_t why;
    json_t *record = json_loadb(record_text.data, record_text.size, 0, &why);
    if (!record)
        return err_set(e, ERR_DATA, "study.db: the record of arm %.*s is damaged", (int)name.size,
                       name.data);
    report_arm *a = &g->arm[which];
    const char *prompt = json_string_value(json_object_get(record, "prompt"));
    *a = (report_arm){.name = name.data,
                      .baseline = is_baseline(record),
                      .detail = arm_detail(g, name, record, e)};
    if (!a->baseline) a->prompt = keep(g, str_of(prompt ? prompt : ""), e);
    json_decref(record);
    double ms = 0;
    int64_t scored = 0;
    for (int32_t k = 0; k < got->n; k++) {
        a->n_cut += got->n_cut[k] > 0;
        a->n_forced += got->forced[k];
        if (got->scored[k]) ms += got->time_ms[k];
        scored += got->scored[k];
    }
    a->tokens_median = median_tokens(g, got, &a->tokens_max, e);
    a->seconds = ms / 1e3;
    a->texts_per_s = ms > 0 ? 1e3 * (double)scored / ms : 0;
    a->n_forwarded = arm_number(g, "tokens_forwarded", name);
    a->n_unshared = arm_number(g, "tokens_unshared", name);
    return e->code == ERR_NONE;
}

/* Table T1 prints the texts with a label of every part, so these counts need no hiding; of other
 * parts the flow counts all rows, and what the two differ by may be small. */
static report_count left_out_for(const gather *g, const store_flow *flow)
{
    report_count c = {.reason = flow->name.data, .n = flow->n};
    c.printed =
        !strcmp(c.reason, row_fate_text(ROW_EXAMPLE)) || !strcmp(c.reason, row_fate_text(ROW_TUNE));
    if (strcmp(c.reason, row_fate_text(ROW_OTHER_SPLIT))) return c;
    json_t *profile = json_loads(gather_fact(g, "profile"), 0, NULL), *part;
    size_t i;
    json_array_foreach(json_object_get(profile, "parts"), i, part)
    {
        const char *role = json_string_value(json_object_get(part, "role"));
        int64_t without = json_integer_value(json_object_get(part, "n")) -
                          json_integer_value(json_object_get(part, "texts"));
        c.small |= role && !strcmp(role, "other") && without > 0 && without < SMALL_BELOW;
    }
    json_decref(profile);
    return c;
}

static report_flow describe_flow(gather *g, err *e)
{
    const store_study *s = &g->study;
    report_flow f = {.source = gather_fact(g, "data_file"), .n_asked = s->n_row};
    report_count *left_out = arena_take_zero(&g->memory, (size_t)s->n_flow, sizeof *left_out, e);
    report_count *unscored = arena_take_zero(&g->memory, 1, sizeof *unscored, e);
    if (!left_out || !unscored) return f;
    for (int32_t i = 0; i < s->n_flow; i++) {
        f.n_read += s->flow[i].n;
        if (i == 0 || s->flow[i].n == 0) continue; /* the first is the rows that are scored */
        left_out[f.n_excluded++] = left_out_for(g, &s->flow[i]);
    }
    if (g->stats.n < s->n_row) {
        *unscored = (report_count){.reason = "not scored yet in every arm; run again to finish",
                                   .n = s->n_row - g->stats.n};
        f.n_unscored = 1;
    }
    f.excluded = left_out;
    f.unscored = unscored;
    return f;
}

typedef struct fact_row { /* a line of the report and the key it comes from */
    const char *name, *key;
    bool code;
} fact_row;

static report_facts list_facts(gather *g, const fact_row *row, size_t n, err *e)
{
    report_fact *f = arena_take_zero(&g->memory, n, sizeof *f, e);
    report_facts list = {.fact = f};
    for (size_t i = 0; f && i < n; i++) {
        const char *value = gather_fact(g, row[i].key);
        if (value[0]) f[list.n++] = (report_fact){row[i].name, value, row[i].code};
    }
    return list;
}

static const fact_row model_rows[] = {
    {"name", "model_name", false},
    {"family", "model_family", false},
    {"format", "model_format", false},
    {"parameters", "model_parameters", false},
    {"licence", "model_licence", false},
    {"file SHA-256", "model_sha256", true},
    {"tokenizer", "tokenizer", false},
    {"tokenizer SHA-256", "tokenizer_sha256", true},
    {"template SHA-256", "template_sha256", true},
};
static const fact_row data_rows[] = {
    {"file", "data_file", true},
    {"split", "split_rule", false},
    {"split SHA-256", "split_sha256", true},
    {"format", "data_format", false},
    {"SHA-256", "data_sha256", true},
    {"most tokens a prompt", "max_tokens", false},
    {"tokens left for a text", "note_tokens", false},
    {"longer texts", "cut", false},
};
static const fact_row run_rows[] = {
    {"study file SHA-256", "study_sha256", true},
    {"computed with", "numerics", false},
    {"threads", "threads", false},
    {"memory planned (bytes)", "bytes_planned", false},
    {"peak memory (bytes)", "bytes_peak", false},
    {"first run", "started", false},
    {"last run", "ended", false},
};

static report_facts determinism_facts(gather *g, err *e)
{
    static const report_fact rows[] = {
        {"randomness",
         "none in scoring; examples are drawn with the seeds above, generated texts with the "
         "study's seed, the row's id and the text's number",
         false},
        {"a score depends on",
         "its own text, the prompt, the model and the arithmetic named above; not on batch, order, "
         "threads, kill or resume",
         false},
    };
    (void)g, (void)e;
    return (report_facts){(int32_t)countof(rows), rows};
}

static bool describe(gather *g, const char *version, const char *date, err *e)
{
    const store_study *s = &g->study;
    g->arm = arena_take_zero(&g->memory, (size_t)s->n_arm, sizeof *g->arm, e);
    const char **class_name = arena_take(&g->memory, (size_t)s->n_class, sizeof *class_name, e);
    if (!g->arm || !class_name) return false;
    for (int32_t i = 0; i < s->n_class; i++) class_name[i] = s->class_name[i].data;
    for (int32_t i = 0; i < s->n_arm; i++) {
        if (!describe_arm(g, i, e)) return false;
    }
    report_input *in = &g->in;
    *in = (report_input){.title = gather_fact(g, "study"),
                         .subtitle = gather_fact(g, "model_name"),
                         .question = gather_fact(g, "question"),
                         .class_name = class_name,
                         .flow = describe_flow(g, e),
                         .stats = &g->stats,
                         .arm = g->arm,
                         .model = list_facts(g, model_rows, countof(model_rows), e),
                         .data = list_facts(g, data_rows, countof(data_rows), e),
                         .run = list_facts(g, run_rows, countof(run_rows), e),
                         .determinism = determinism_facts(g, e),
                         .version = version,
                         .date = date};
    const json_t *warnings = json_object_get(json_object_get(g->record, "meta"), "warnings");
    json_error_t why;
    json_t *list =
        json_is_string(warnings) ? json_loads(json_string_value(warnings), 0, &why) : NULL;
    const char **sentence = arena_take(&g->memory, json_array_size(list), sizeof *sentence, e);
    for (size_t i = 0; sentence && i < json_array_size(list); i++) {
        sentence[in->n_warning++] = keep(g, str_of(json_string_value(json_array_get(list, i))), e);
    }
    json_decref(list);
    in->warning = sentence;
    return e->code == ERR_NONE;
}

bool gather_open(gather *g, const store *s, const char *version, const char *date, err *e)
{
    assert(s && version && date);
    *g = (gather){0};
    if (!arena_open_up_to(&g->memory, bytes_memory, "the results", e)) return false;
    if (read_store(g, s, e) && compute(g, e) && gather_read_ways(g, s, e) &&
        describe(g, version, date, e))
        return true;
    gather_close(g);
    return false;
}

void gather_close(gather *g)
{
    json_decref(g->record);
    arena_close(&g->memory);
    *g = (gather){0};
}
