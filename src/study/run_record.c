/* run_record: the store's account of what is studied, and of what it took. */
#include "study/run_in.h"

#include <stdio.h>

bool run_set_number(run *r, const char *key, int64_t n, err *e)
{
    char text[32];
    snprintf(text, sizeof text, "%lld", (long long)n);
    return store_set(r->store, key, str_of(text), e);
}

static str split_of(const run *r, int32_t row)
{
    if (!r->rows.part) return STR("");
    return row < r->rows.n_use ? r->spec.data.use.text : r->spec.data.tune.text;
}

static bool record_rows(run *r, store_study *study, err *e)
{
    const row_set *scored = &r->rows.scored;
    store_row *row = arena_take_zero(&r->memory, (size_t)scored->n, sizeof *row, e);
    str *group =
        arena_take_zero(&r->memory, (size_t)scored->n * (size_t)r->rows.n_group, sizeof *group, e);
    if (!row || !group) return false;
    for (int32_t i = 0; i < scored->n; i++) {
        for (int32_t g = 0; g < r->rows.n_group; g++) {
            group[(int64_t)i * r->rows.n_group + g] = r->rows.group[(int64_t)g * scored->n + i];
        }
        row[i] = (store_row){.id = scored->id[i],
                             .split = split_of(r, i),
                             .label = scored->label[i],
                             .patient = scored->patient[i],
                             .group = group + (int64_t)i * r->rows.n_group};
    }
    study->row = row;
    study->n_row = scored->n;
    study->group_name = r->rows.group_name;
    study->n_group = r->rows.n_group;
    return true;
}

/* The number type that most of the model's values have: its quantisation. */
static const char *weight_type(const model_header *h)
{
    int64_t n[DTYPE_COUNT] = {0};
    int best = 0;
    for (int32_t i = 0; i < h->n_tensor; i++) {
        const tensor *t = &h->tensor[i].view;
        n[t->type] += h->tensor[i].bytes;
        if (n[t->type] > n[best]) best = (int)t->type;
    }
    return dtype_get((dtype)best)->name;
}

static const pass *pass_of(const run *r, int32_t arm)
{
    for (int32_t i = 0; i < r->n_pass; i++) {
        for (int32_t k = 0; k < r->pass[i].n_arm; k++) {
            if (r->pass[i].arm[k] == arm) return &r->pass[i];
        }
    }
    return NULL;
}

static void write_model_record(const run *r, int32_t which, buf *out)
{
    const run_model *m = &r->model[r->model_of[which]];
    const pass *p = pass_of(r, which);
    const model_header *h = &m->engine.header;
    buf_add_text(out, "\"model\": \"");
    buf_add_json(out, str_of(h->name));
    buf_printf(out,
               "\", \"model_sha256\": \"%s\", \"quantisation\": \"%s\", \"parameters\": %lld, "
               "\"bytes_weights\": %lld, \"adapter\": \"",
               m->hash.hex, weight_type(h), (long long)h->n_parameter, (long long)h->bytes_weights);
    if (p && p->adapter) buf_add_json(out, str_of(p->adapter));
    buf_printf(out, "\", \"adapter_sha256\": \"%s\", \"adapter_rank\": %d",
               p ? p->adapter_hash.hex : "", p ? p->adapter_rank : 0);
}

/* How the arm asks. */
static void write_ask_record(const spec_ask *k, buf *out)
{
    buf_printf(out, "\"framing\": \"%s\", \"position\": \"%s\", \"method\": \"",
               spec_framing_name(k->framing), spec_position_name(k->position));
    const char *between = "";
    for (int i = 0; i < SPEC_METHODS; i++) {
        if (!(k->methods & 1u << i)) continue;
        buf_printf(out, "%s%s", between, spec_part_name((spec_part)i));
        between = " + ";
    }
    buf_printf(out, "\", \"wordings\": %d, \"draws\": %d, \"samples\": %d, ", k->n_question,
               k->draws, k->think.samples);
}

/* The prompt's form for the report: everything but the text. Examples hold texts of patients: only
 * their ids. */
static void write_arm_record(const run *r, int32_t which, buf *out)
{
    const arm *m = &r->arms.arm[which];
    buf_printf(out, "{\"shots\": %d, \"seed\": %llu, \"question\": \"", m->spec->shots,
               (unsigned long long)m->spec->seed);
    buf_add_json(out, m->spec->question.text);
    buf_add_text(out, "\", \"system\": \"");
    if (m->spec->system.text.data) buf_add_json(out, m->spec->system.text);
    buf_printf(out,
               "\", \"template\": \"%s\", \"note_tokens\": %d, \"head_tokens\": %d, "
               "\"prompt_sha256\": \"%s\"",
               m->model->chat ? "chat" : "plain", m->model->note_tokens, m->form[0].n_head,
               hash_of(m->form[0].before.data, m->form[0].before.size).hex);
    buf_add_text(out, ", \"prompt\": \"");
    buf_add_json(out, m->shown);
    buf_add_text(out, "\", \"answers\": [");
    for (int32_t i = 0; i < m->n_answer; i++) {
        buf_add_text(out, i ? ", [" : "[");
        buf_add_char(out, '"');
        buf_add_json(out, m->answer[i]);
        buf_printf(out, "\", %d]", m->answer_class[i]);
    }
    buf_add_text(out, "], \"examples\": [");
    for (int32_t i = 0; i < (m->spec->shots > 0 ? m->spec->shots : 0); i++) {
        buf_add_text(out, i ? ", \"" : "\"");
        buf_add_json(out, r->rows.pool.id[m->shots.example[i]]);
        buf_add_char(out, '"');
    }
    buf_printf(out, "], \"sets\": %d, ", m->n_form);
    write_ask_record(&m->spec->ask, out);
    write_model_record(r, which, out);
    buf_add_text(out, ", \"ask\": ");
    arms_write_record(&r->arms, which, out);
    buf_add_char(out, '}');
}

bool run_record_study(run *r, err *e)
{
    store_study s = {.n_class = r->spec.n_class,
                     .positive = r->spec.positive,
                     .n_arm = r->spec.n_arm + r->baselines.n};
    str *class_name = arena_take(&r->memory, (size_t)s.n_class, sizeof *class_name, e);
    store_arm *arm_record = arena_take_zero(&r->memory, (size_t)s.n_arm, sizeof *arm_record, e);
    store_flow *flow = arena_take_zero(&r->memory, ROW_FATE_COUNT, sizeof *flow, e);
    if (!class_name || !arm_record || !flow || !record_rows(r, &s, e)) return false;
    for (int32_t i = 0; i < s.n_class; i++) class_name[i] = r->spec.classes[i].name.text;
    buf record = buf_up_to(64 << 20);
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        buf_clear(&record);
        write_arm_record(r, i, &record);
        arm_record[i] =
            (store_arm){r->spec.arms[i].name.text, str_keep(&r->memory, buf_view(&record), e)};
    }
    for (int32_t i = 0; i < r->baselines.n; i++) {
        const baseline *b = &r->baselines.arm[i];
        arm_record[r->spec.n_arm + i] = (store_arm){str_of(b->name), b->record_json};
    }
    bool ok = buf_check(&record, "an arm's record", e);
    buf_close(&record);
    for (int32_t i = 0; i < ROW_FATE_COUNT; i++)
        flow[i] = (store_flow){str_of(row_fate_text(i)), r->rows.flow[i]};
    s.class_name = class_name;
    s.arm = arm_record;
    s.flow = flow;
    s.n_flow = ROW_FATE_COUNT;
    return ok && e->code == ERR_NONE && store_set_study(r->store, &s, e);
}

bool run_record_arms(run *r, const pass *p, err *e)
{
    buf record = buf_up_to(64 << 20);
    bool ok = true;
    for (int32_t i = 0; ok && i < p->n_arm; i++) {
        buf_clear(&record);
        write_arm_record(r, p->arm[i], &record);
        ok = buf_check(&record, "an arm's record", e) &&
             store_set_arm(r->store, p->arm[i], buf_view(&record), e);
    }
    buf_close(&record);
    return ok;
}

static void add_warning(buf *list, const char *sentence)
{
    buf_add_text(list, list->size > 1 ? ", \"" : "\"");
    buf_add_json(list, str_of(sentence));
    buf_add_char(list, '"');
}

static bool record_warnings(run *r, err *e)
{
    buf list = buf_up_to(1 << 20), changed = buf_up_to(1000);
    buf_add_char(&list, '[');
    for (int32_t i = 0; i < r->rows.n_warning; i++) add_warning(&list, r->rows.warning[i].data);
    bool moved = false;
    for (int32_t i = 0; i < r->spec.n_arm; i++) {
        bool takes = r->arms.arm[i].model->takes_system;
        moved = moved || (!takes && r->spec.arms[i].system.text.size > 0);
    }
    if (moved)
        add_warning(&list,
                    "The model's chat template takes no system message: the role text stands "
                    "before the first question.");
    if (r->baselines.left_out) add_warning(&list, r->baselines.left_out);
    if (store_get(r->store, "split_changed", &changed, e)) add_warning(&list, changed.data);
    buf_close(&changed);
    if (e->code != ERR_NONE) return buf_close(&list), false;
    buf_add_char(&list, ']');
    bool ok =
        buf_check(&list, "the warnings", e) && store_set(r->store, "warnings", buf_view(&list), e);
    buf_close(&list);
    return ok;
}

/* "A, B": every model of the study once. */
static void write_model_names(const run *r, buf *out)
{
    for (int32_t i = 0; i < r->n_model; i++)
        buf_printf(out, "%s%s", i ? ", " : "", r->model[i].engine.header.name);
}

/* The folder's results are of a study with another name and another table: they would be lost. */
static bool check_folder(const run *r, err *e)
{
    buf study = buf_up_to(1000), table = buf_up_to(1000);
    const bool other = store_get(r->store, "study", &study, e) && study.size > 0 &&
                       store_get(r->store, "data_sha256", &table, e) && table.size > 0 &&
                       !str_equal(buf_view(&study), r->spec.study.text) &&
                       !str_equal(buf_view(&table), str_of(r->table.record.hash.hex));
    if (other)
        err_set(e, ERR_USAGE,
                "%s holds the results of the study '%s', of another table, and this is the study "
                "'%s'; choose another --out",
                r->options.out, study.data, r->spec.study.text.data);
    buf_close(&table);
    buf_close(&study);
    return e->code == ERR_NONE;
}

bool run_record_facts(run *r, err *e)
{
    if (!check_folder(r, e)) return false;
    const run_model *first = &r->model[r->model_of[0]];
    const model_header *h = &first->engine.header;
    buf names = buf_up_to(100000);
    write_model_names(r, &names);
    const struct {
        const char *key;
        str value;
    } facts[] = {
        {"study", r->spec.study.text},
        {"study_sha256", str_of(r->spec.hash.hex)},
        {"data_file", str_of(r->table.record.file)},
        {"data_sha256", str_of(r->table.record.hash.hex)},
        {"data_format", str_of(table_format_name(&r->table.record))},
        {"model_path", str_of(h->path)},
        {"model_name", buf_view(&names)},
        {"model_format", str_of(h->format)},
        {"model_family", str_of(h->config.family->name)},
        {"model_licence", str_of(h->licence)},
        {"model_sha256", str_of(first->hash.hex)},
        {"tokenizer", str_of(token_kind(h->tokens))},
        {"tokenizer_sha256", str_of(first->tokenizer_hash.hex)},
        {"template_sha256", str_of(first->template_hash.hex)},
        {"numerics", str_of(first->numerics)},
        {"cut", str_of(spec_cut_name(r->spec.cut))},
        {"several", r->spec.data.several ? STR("each") : STR("")},
        {"question",
         r->spec.question.text.data ? r->spec.question.text : r->spec.arms[0].question.text},
    };
    bool ok = buf_check(&names, "the models' names", e);
    for (size_t i = 0; ok && i < countof(facts); i++)
        ok = store_set(r->store, facts[i].key, facts[i].value, e);
    buf_close(&names);
    return ok && run_set_number(r, "model_parameters", h->n_parameter, e) &&
           run_set_number(r, "max_tokens", r->arms.model[0].max_tokens, e) &&
           run_set_number(r, "note_tokens", r->arms.model[0].note_tokens, e) &&
           run_set_number(r, "threads", pool_size(first->engine.threads), e) &&
           record_warnings(r, e);
}

/* Of all passes. */
static book_cost cost_of_all(const run *r)
{
    book_cost all = {0};
    for (int32_t i = 0; i < r->n_pass; i++) {
        all.shared += r->pass[i].book.all.shared;
        all.unshared += r->pass[i].book.all.unshared;
    }
    return all;
}

void run_say_cost(const run *r, buf *out)
{
    book_cost all = cost_of_all(r);
    if (all.shared == 0) return;
    buf_printf(out, "tokens: %lld to forward, %lld if each prompt stood alone: %.1f times fewer\n",
               (long long)all.shared, (long long)all.unshared,
               (double)all.unshared / (double)all.shared);
}

bool run_record_tokens(run *r, const pass *p, err *e)
{
    for (int32_t i = 0; i < p->n_arm; i++) {
        str name = r->spec.arms[p->arm[i]].name.text;
        const book_cost *cost = &r->cost[p->arm[i]];
        char key[400];
        snprintf(key, sizeof key, "tokens_forwarded/%.*s", (int)name.size, name.data);
        if (!run_set_number(r, key, cost->shared, e)) return false;
        snprintf(key, sizeof key, "tokens_unshared/%.*s", (int)name.size, name.data);
        if (!run_set_number(r, key, cost->unshared, e)) return false;
    }
    book_cost all = cost_of_all(r);
    return run_set_number(r, "tokens_forwarded", all.shared, e) &&
           run_set_number(r, "tokens_unshared", all.unshared, e);
}

/* What computing the arm's scores took, over all runs in this folder. */
static double seconds_of(run *r, int32_t arm, err *e)
{
    store_results all;
    double ms = 0;
    size_t mark = arena_mark(&r->memory);
    if (store_get_results(r->store, arm, &all, &r->memory, e)) {
        for (int32_t i = 0; i < all.n; i++) ms += all.scored[i] ? all.time_ms[i] : 0;
    }
    arena_reset(&r->memory, mark);
    return ms / 1e3;
}

bool run_record_cost(run *r, const pass *p, err *e)
{
    for (int32_t i = 0; i < p->n_arm; i++) {
        const book_cost *cost = &r->cost[p->arm[i]];
        str name = r->spec.arms[p->arm[i]].name.text;
        char key[400], text[600];
        snprintf(key, sizeof key, "cost/%.*s", (int)name.size, name.data);
        double seconds = seconds_of(r, p->arm[i], e);
        if (e->code != ERR_NONE) return false;
        snprintf(text, sizeof text,
                 "{\"bytes_planned\": %lld, \"bytes_before\": %lld, \"bytes_weights\": %lld, "
                 "\"bytes_peak\": %lld, \"tokens_forwarded\": %lld, "
                 "\"tokens_unshared\": %lld, \"seconds\": %.3f}",
                 (long long)p->bytes_planned, (long long)p->bytes_before,
                 (long long)p->bytes_weights, (long long)p->bytes_peak, (long long)cost->shared,
                 (long long)cost->unshared, seconds);
        if (!store_set(r->store, key, str_of(text), e)) return false;
    }
    return true;
}
