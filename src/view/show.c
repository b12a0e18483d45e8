/* show: see show.h. Columns of scores.csv:
 *
 *   arm, id, label, score, logprob_<class>.., probability_<class>.., label_mass, tokens, cut,
 * boundary, status
 *
 * Numbers have 17 digits: they read back bit for bit. UTF-8 with a byte-order mark and CRLF, as
 * Excel wants it. */
#include "view/show.h"

#include "base/file.h"
#include "stats/score.h"
#include "view/results.h"
#include "view/text.h"

#include <assert.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>

static const size_t bytes_memory = (size_t)16 << 30; /* address space */
enum { PAGE_BYTES_MAX = 1 << 30 };

typedef struct verdict { /* all that is read and computed */
    arena memory;
    const store *store;
    const show_options *options;
    store_study study;
    store_results *got; /* [n_arm] */
    arms_result stats;
    report_arm *arm; /* [n_arm] */
    json_t *record;  /* {"meta": {..}, "runs": [..]} */
} verdict;

static const char *fact(const verdict *v, const char *key)
{
    const char *text = json_string_value(json_object_get(json_object_get(v->record, "meta"), key));
    return text ? text : "";
}

static const char *keep(verdict *v, str s, err *e) { return str_keep(&v->memory, s, e).data; }

static const char *keep_buf(verdict *v, buf *b, err *e)
{
    const char *text = buf_check(b, "the report", e) ? keep(v, buf_view(b), e) : "";
    buf_close(b);
    return text;
}

static bool read_store(verdict *v, err *e)
{
    if (!store_get_study(v->store, &v->study, &v->memory, e)) return false;
    v->got = arena_take_zero(&v->memory, (size_t)v->study.n_arm, sizeof *v->got, e);
    for (int32_t i = 0; v->got && i < v->study.n_arm; i++) {
        if (!store_get_results(v->store, i, &v->got[i], &v->memory, e)) return false;
    }
    buf text = buf_up_to(PAGE_BYTES_MAX);
    bool ok =
        v->got && store_get_record(v->store, &text, e) && buf_check(&text, "the study's record", e);
    json_error_t why;
    if (ok) v->record = json_loadb(text.data, text.size, 0, &why);
    buf_close(&text);
    if (ok && !v->record)
        return err_set(e, ERR_DATA, "study.db: its record is damaged (%s)", why.text);
    return ok;
}

/* Z of every arm over all rows of the study, NaN where a row has no score. */
static bool compute(verdict *v, err *e)
{
    const store_study *s = &v->study;
    const double **z = arena_take(&v->memory, (size_t)s->n_arm, sizeof *z, e);
    int32_t *label = arena_take(&v->memory, (size_t)s->n_row, sizeof *label, e);
    if (!z || !label) return false;
    for (int32_t i = 0; i < s->n_row; i++) label[i] = s->row[i].label;
    for (int32_t i = 0; i < s->n_arm; i++) {
        size_t n = (size_t)s->n_row * (size_t)s->n_class;
        double *own = arena_take(&v->memory, n, sizeof *own, e);
        if (!own) return false;
        for (size_t k = 0; k < n; k++) own[k] = (double)NAN;
        const store_results *got = &v->got[i];
        for (int32_t k = 0; k < got->n; k++) {
            if (!got->scored[k]) continue;
            memcpy(own + (size_t)got->row[k] * (size_t)s->n_class,
                   got->class_logprob + (size_t)k * (size_t)s->n_class,
                   (size_t)s->n_class * sizeof *own);
        }
        z[i] = own;
    }
    arms_input in = {.n_arm = s->n_arm,
                     .n_class = s->n_class,
                     .positive = s->positive,
                     .n_row = s->n_row,
                     .label = label,
                     .log_score = z};
    return arms_judge(&in, &v->memory, &v->stats, e);
}

/* ---- scores.csv ---- */

static void add_cell(FILE *f, str s)
{
    bool quote = false;
    for (size_t i = 0; i < s.size; i++) quote = quote || strchr(",\"\r\n", s.data[i]);
    if (!quote) {
        fwrite(s.data, 1, s.size, f);
        return;
    }
    fputc('"', f);
    for (size_t i = 0; i < s.size; i++) {
        if (s.data[i] == '"') fputc('"', f);
        fputc(s.data[i], f);
    }
    fputc('"', f);
}

static void write_header(FILE *f, const store_study *s)
{
    fputs("\xEF\xBB\xBF"
          "arm,id,label,score",
          f);
    for (int32_t c = 0; c < s->n_class; c++) {
        fputs(",logprob_", f);
        add_cell(f, s->class_name[c]);
    }
    for (int32_t c = 0; c < s->n_class; c++) {
        fputs(",probability_", f);
        add_cell(f, s->class_name[c]);
    }
    fputs(",label_mass,tokens,cut,boundary,status\r\n", f);
}

static void write_numbers(FILE *f, const double *x, int32_t n, bool scored)
{
    for (int32_t i = 0; i < n; i++) {
        if (scored && !isnan(x[i])) fprintf(f, ",%.17g", x[i]);
        else fputc(',', f);
    }
}

static void write_row(FILE *f, const verdict *v, int32_t arm, int32_t k, double *p)
{
    const store_study *s = &v->study;
    const store_results *got = &v->got[arm];
    const store_row *row = &s->row[got->row[k]];
    const double *z = got->class_logprob + (size_t)k * (size_t)s->n_class;
    bool scored = got->scored[k];
    add_cell(f, s->arm[arm].name);
    fputc(',', f);
    add_cell(f, row->id);
    fputc(',', f);
    add_cell(f, s->class_name[row->label]);
    write_numbers(f, &got->score[k], 1, scored);
    write_numbers(f, z, s->n_class, scored);
    bool shares = scored && score_probabilities(z, s->n_class, p);
    write_numbers(f, p, s->n_class, shares);
    write_numbers(f, &got->label_mass[k], 1, scored);
    fprintf(f, ",%d,%d,%s,%s\r\n", got->n_token[k], got->n_cut[k],
            got->forced[k] ? "forced" : "clean",
            scored            ? "scored"
            : got->refused[k] ? "refused"
                              : "pending");
}

static bool write_scores(verdict *v, const char *path, err *e)
{
    file_out f;
    double *p = arena_take(&v->memory, (size_t)v->study.n_class, sizeof *p, e);
    if (!p || !file_out_open(&f, path, e)) return false;
    write_header(f.stream, &v->study);
    for (int32_t i = 0; i < v->study.n_arm; i++) {
        for (int32_t k = 0; k < v->got[i].n; k++) write_row(f.stream, v, i, k, p);
    }
    return file_out_commit(&f, e);
}

/* ---- what the report says ---- */

static int by_value(const void *a, const void *b)
{
    int32_t x = *(const int32_t *)a, y = *(const int32_t *)b;
    return (x > y) - (x < y);
}

static double median_tokens(verdict *v, const store_results *got, double *largest, err *e)
{
    size_t mark = arena_mark(&v->memory);
    int32_t *n = arena_take(&v->memory, (size_t)got->n, sizeof *n, e);
    double median = 0;
    *largest = 0;
    if (n && got->n > 0) {
        memcpy(n, got->n_token, (size_t)got->n * sizeof *n);
        qsort(n, (size_t)got->n, sizeof *n, by_value);
        median = ((double)n[(got->n - 1) / 2] + (double)n[got->n / 2]) / 2;
        *largest = n[got->n - 1];
    }
    arena_reset(&v->memory, mark);
    return median;
}

static int64_t arm_number(const verdict *v, const char *what, str arm)
{
    char key[300];
    int64_t n = 0;
    snprintf(key, sizeof key, "%s/%.*s", what, (int)arm.size, arm.data);
    return str_to_int(str_of(fact(v, key)), &n) ? n : 0;
}

static const char *arm_detail(verdict *v, const json_t *record, err *e)
{
    buf text = buf_up_to(10000);
    int shots = (int)json_integer_value(json_object_get(record, "shots"));
    if (shots > 0) {
        buf_printf(&text, "%d example%s, seed %lld", shots, shots == 1 ? "" : "s",
                   (long long)json_integer_value(json_object_get(record, "seed")));
    } else {
        buf_add_text(&text, "no examples");
    }
    return keep_buf(v, &text, e);
}

static bool describe_arm(verdict *v, int32_t which, err *e)
{
    const store_results *got = &v->got[which];
    str name = v->study.arm[which].name, record_text = v->study.arm[which].record_json;
    json_error_t why;
    json_t *record = json_loadb(record_text.data, record_text.size, 0, &why);
    if (!record)
        return err_set(e, ERR_DATA, "study.db: the record of arm %.*s is damaged", (int)name.size,
                       name.data);
    report_arm *a = &v->arm[which];
    const char *prompt = json_string_value(json_object_get(record, "prompt"));
    *a = (report_arm){.name = name.data, .detail = arm_detail(v, record, e)};
    a->prompt = keep(v, str_of(prompt ? prompt : ""), e);
    json_decref(record);
    double ms = 0;
    int64_t scored = 0;
    for (int32_t k = 0; k < got->n; k++) {
        a->n_cut += got->n_cut[k] > 0;
        a->n_forced += got->forced[k];
        if (got->scored[k]) ms += got->time_ms[k];
        scored += got->scored[k];
    }
    a->tokens_median = median_tokens(v, got, &a->tokens_max, e);
    a->seconds = ms / 1e3;
    a->texts_per_s = ms > 0 ? 1e3 * (double)scored / ms : 0;
    a->n_forwarded = arm_number(v, "tokens_forwarded", name);
    a->n_unshared = arm_number(v, "tokens_unshared", name);
    return e->code == ERR_NONE;
}

static report_flow describe_flow(verdict *v, err *e)
{
    const store_study *s = &v->study;
    report_flow f = {.source = fact(v, "data_file"), .n_asked = s->n_row};
    report_count *left_out = arena_take_zero(&v->memory, (size_t)s->n_flow, sizeof *left_out, e);
    report_count *unscored = arena_take_zero(&v->memory, 1, sizeof *unscored, e);
    if (!left_out || !unscored) return f;
    for (int32_t i = 0; i < s->n_flow; i++) {
        f.n_read += s->flow[i].n;
        if (i == 0 || s->flow[i].n == 0) continue; /* the first is the rows that are scored */
        left_out[f.n_excluded++] = (report_count){s->flow[i].name.data, s->flow[i].n};
    }
    if (v->stats.n < s->n_row) {
        *unscored = (report_count){"not scored yet in every arm; run again to finish",
                                   s->n_row - v->stats.n};
        f.n_unscored = 1;
    }
    f.excluded = left_out;
    f.unscored = unscored;
    for (int32_t i = 0; i < s->n_row; i++) {
        if (s->row[i].patient >= f.n_patient) f.n_patient = s->row[i].patient + 1;
    }
    return f;
}

typedef struct fact_row { /* a line of the report and the key it comes from */
    const char *name, *key;
    bool code;
} fact_row;

static report_facts list_facts(verdict *v, const fact_row *row, size_t n, err *e)
{
    report_fact *f = arena_take_zero(&v->memory, n, sizeof *f, e);
    report_facts list = {.fact = f};
    for (size_t i = 0; f && i < n; i++) {
        const char *value = fact(v, row[i].key);
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

static report_facts determinism_facts(verdict *v, err *e)
{
    static const report_fact rows[] = {
        {"randomness", "none in scoring; examples are drawn with the seeds above", false},
        {"a score depends on",
         "its own text, the prompt, the model and the arithmetic named above; not on batch, order, "
         "threads, kill or resume",
         false},
    };
    (void)v, (void)e;
    return (report_facts){(int32_t)countof(rows), rows};
}

static bool describe(verdict *v, report_input *in, err *e)
{
    const store_study *s = &v->study;
    v->arm = arena_take_zero(&v->memory, (size_t)s->n_arm, sizeof *v->arm, e);
    const char **class_name = arena_take(&v->memory, (size_t)s->n_class, sizeof *class_name, e);
    if (!v->arm || !class_name) return false;
    for (int32_t i = 0; i < s->n_class; i++) class_name[i] = s->class_name[i].data;
    for (int32_t i = 0; i < s->n_arm; i++) {
        if (!describe_arm(v, i, e)) return false;
    }
    *in = (report_input){.title = fact(v, "study"),
                         .subtitle = fact(v, "model_name"),
                         .question = fact(v, "question"),
                         .class_name = class_name,
                         .flow = describe_flow(v, e),
                         .stats = &v->stats,
                         .arm = v->arm,
                         .model = list_facts(v, model_rows, countof(model_rows), e),
                         .data = list_facts(v, data_rows, countof(data_rows), e),
                         .run = list_facts(v, run_rows, countof(run_rows), e),
                         .determinism = determinism_facts(v, e),
                         .version = v->options->version,
                         .date = v->options->date};
    const json_t *warnings = json_object_get(json_object_get(v->record, "meta"), "warnings");
    json_error_t why;
    json_t *list =
        json_is_string(warnings) ? json_loads(json_string_value(warnings), 0, &why) : NULL;
    const char **sentence = arena_take(&v->memory, json_array_size(list), sizeof *sentence, e);
    for (size_t i = 0; sentence && i < json_array_size(list); i++) {
        sentence[in->n_warning++] = keep(v, str_of(json_string_value(json_array_get(list, i))), e);
    }
    json_decref(list);
    in->warning = sentence;
    return e->code == ERR_NONE;
}

static bool write_file(verdict *v, const char *name, const buf *text, err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/%s", v->options->out, name);
    return buf_check(text, name, e) && file_write_atomic(path, buf_view(text), e);
}

static bool write_all(verdict *v, const report_input *in, buf *shown, err *e)
{
    char path[4200];
    snprintf(path, sizeof path, "%s/scores.csv", v->options->out);
    buf json = buf_up_to(PAGE_BYTES_MAX), html = buf_up_to(PAGE_BYTES_MAX);
    bool ok = write_scores(v, path, e) && results_write(in, &json, e) &&
              write_file(v, "results.json", &json, e);
    ok = ok && report_write(in, &v->memory, &html, e) && write_file(v, "report.html", &html, e);
    buf_close(&json);
    buf_close(&html);
    if (!ok) return false;
    text_style style = {.colour = v->options->colour};
    text_arms(in, style, shown);
    if (v->stats.positive >= 0 && !text_roc(in, style, &v->memory, shown, e)) return false;
    buf_printf(shown, "\nreport: %s/report.html\n", v->options->out);
    return buf_check(shown, "the closing table", e);
}

bool show_study(const store *s, const show_options *o, buf *shown, err *e)
{
    assert(s && o->out && o->date && o->version);
    verdict v = {.store = s, .options = o};
    report_input in;
    if (!arena_open(&v.memory, bytes_memory, "the results", e)) return false;
    bool ok =
        read_store(&v, e) && compute(&v, e) && describe(&v, &in, e) && write_all(&v, &in, shown, e);
    json_decref(v.record);
    arena_close(&v.memory);
    return ok;
}
