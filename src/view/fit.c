/* fit: see fit.h. */
#include "view/fit.h"

#include "view/json_out.h"

#include <math.h>
#include <stdio.h>

static double gb(int64_t bytes) { return (double)bytes / 1e9; }

const char *fit_kind_name(fit_kind kind, bool quantised)
{
    static const char *const name[FIT_KINDS] = {"score", "few-shot", "generate", "LoRA"};
    return kind == FIT_TUNE && quantised ? "QLoRA" : name[kind];
}

static const char *unit_of(fit_kind kind)
{
    static const char *const unit[FIT_KINDS] = {"rows", "rows", "samples", "prompts"};
    return unit[kind];
}

static void add_grouped(buf *out, int64_t n)
{
    char digits[32];
    int size = snprintf(digits, sizeof digits, "%lld", (long long)n);
    for (int i = 0; i < size; i++) {
        if (i > 0 && (size - i) % 3 == 0) buf_add_char(out, ',');
        buf_add_char(out, digits[i]);
    }
}

static void write_head(const fit *f, buf *out)
{
    const model_config *c = &f->header->config;
    const fit_target *t = &f->target;
    buf_printf(out, "%s: ", f->title);
    add_grouped(out, f->n_parameter);
    buf_printf(out, " parameters%s, %s, %d layers of %d, context %d\n",
               f->shape && f->shape->n_eyes ? " (text part)" : "", c->family->name, c->n_layer,
               c->d_model, c->n_context);
    buf_printf(out, "on %s%s: %.1f GB to use", t->n_card > 1 ? "several of: " : "", t->title,
               gb(t->bytes_free));
    if (t->bytes_reserve > 0)
        buf_printf(out, ", after %.1f GB that %s", gb(t->bytes_reserve),
                   t->cuda ? "driver and context keep" : "the system keeps");
    if (t->n_card > 1) buf_printf(out, "; %d cards", t->n_card);
    buf_printf(out,
               "\nprompts: %d tokens shared, texts of %d; few-shot with %d example%s; %d samples "
               "of %d tokens; LoRA of rank %d on all seven matrices\n",
               f->ask.head_tokens, f->ask.text_tokens, f->ask.shots, f->ask.shots == 1 ? "" : "s",
               f->ask.samples, f->ask.new_tokens, f->ask.rank);
    if (t->cuda)
        buf_printf(out, "planned for the CUDA backend by its own functions, %s\n",
                   t->card && card_rates_of(t->card).source
                       ? "which were within 0.01 % of the driver's figure on this card"
                       : "not yet measured on this card");
    buf_add_char(out, '\n');
}

static void write_verdict(const fit *f, const fit_line *l, bool colour, buf *out)
{
    char word[32];
    if (l->fits && f->target.n_card > 1) snprintf(word, sizeof word, "%d copies", f->target.n_card);
    else if (l->fits) snprintf(word, sizeof word, "yes");
    else if (l->n_split > 1) snprintf(word, sizeof word, "split over %d", l->n_split);
    else snprintf(word, sizeof word, "no");
    const char *paint = l->fits ? "\033[32m" : l->n_split > 1 ? "\033[33m" : "\033[31m";
    buf_printf(out, " %s%-13s%s", colour ? paint : "", word, colour ? "\033[0m" : "");
}

/* GB in three digits: "0.04", "16.2", "139". */
static void add_gb(buf *out, int width, int64_t bytes)
{
    double x = gb(bytes);
    buf_printf(out, "%*.*f", width, x < 9.995 ? 2 : x < 99.95 ? 1 : 0, x);
}

static void add_parts(buf *out, const fit_bytes *b, bool trains)
{
    add_gb(out, 8, b->weights);
    add_gb(out, 7, b->kv);
    add_gb(out, 7, b->activations);
    if (trains) add_gb(out, 7, b->optimiser);
    add_gb(out, 8, b->workspace);
    add_gb(out, 9, b->total);
}

static void write_line(const fit *f, const fit_line *l, bool colour, buf *out)
{
    const bool rows = l->kind == FIT_SCORE || l->kind == FIT_SHOTS;
    const bool as_it_is = !strcmp(l->numbers, "as it is");
    char size[32] = "-", k[32] = "";
    if (l->largest > 0)
        snprintf(size, sizeof size, "%d%s %s", l->largest,
                 l->largest >= (rows ? FIT_ROWS_MAX : FIT_SIZE_MAX) ? "+" : "", unit_of(l->kind));
    else if (l->n_split > 1) snprintf(size, sizeof size, "%d %s", l->size, unit_of(l->kind));
    if (l->kind == FIT_TUNE) snprintf(k, sizeof k, "%d/%d", l->rerun, f->header->config.n_layer);
    buf_printf(out, "%-8s %-8s", l->numbers, fit_kind_name(l->kind, l->quantised));
    add_parts(out, &l->bytes, true);
    write_verdict(f, l, colour, out);
    double over = 100.0 * ((double)l->textbook / (double)l->bytes.total - 1);
    buf_printf(out, "%-14s %-7s", size, k);
    add_gb(out, 7, l->textbook);
    buf_printf(out, " %+4.0f %%", over);
    if (f->shape) buf_printf(out, "  %s", l->best ? l->best->title : as_it_is ? "-" : "none");
    buf_add_char(out, '\n');
}

static void write_table(const fit *f, bool colour, buf *out)
{
    const char *bold = colour ? "\033[1m" : "", *plain = colour ? "\033[0m" : "";
    buf_printf(out, "%s%-8s %-8s%8s%7s%7s%7s%8s%9s %-13s%-14s %-7s%14s%s%s%s\n", bold, "numbers",
               "task", "weights", "K/V", "activ.", "optim.", "worksp.", "total GB", " fits",
               "at most", "k", "rule of thumb", f->shape ? "  largest that fits of " : "",
               f->shape ? f->shape->series : "", plain);
    for (int32_t i = 0; i < f->n_line; i++) {
        if (i > 0 && f->line[i].kind == 0) buf_add_char(out, '\n');
        write_line(f, &f->line[i], colour, out);
    }
    buf_printf(
        out,
        "\nat most: rows a step (score, few-shot), samples at once, prompts a micro-batch with "
        "every layer checkpointed.\nk: checkpointed layers, the fewest with which %d prompts "
        "(or as many as fit) fit.\n",
        f->ask.batch);
}

static void write_shares(const fit *f, buf *out)
{
    bool any = false;
    for (int32_t i = 0; i < f->n_line; i++) {
        const fit_line *l = &f->line[i];
        if (l->n_split < 2) continue;
        if (!any) buf_add_text(out, "\nLayers split over cards, GB on each:\n");
        any = true;
        buf_printf(out, "%-8s %-9s", l->numbers, fit_kind_name(l->kind, l->quantised));
        for (int32_t k = 0; k < l->n_split; k++) {
            buf_printf(out, "%s layers %d-%d %.1f", k ? "," : "", l->share[k].first_layer + 1,
                       l->share[k].end_layer, gb(l->share[k].bytes.total));
        }
        buf_add_char(out, '\n');
    }
    if (f->target.n_card > 1)
        buf_add_text(out, "Where one copy fits, each card holds a whole copy and takes its part of "
                          "the texts.\n");
}

/* The rule counts Q bits a weight and a fifth on top; say what is there instead. */
static void write_rule(const fit *f, buf *out)
{
    buf_add_text(out,
                 "\nThe rule of thumb, M = P x 4 bytes / (32 / Q) x 1.2, knows neither prompts nor "
                 "training:\n");
    for (int32_t i = 0; i + FIT_KINDS <= f->n_line; i += FIT_KINDS) {
        const fit_line *l = &f->line[i];
        double bits = 8.0 * (double)l->bytes.weights / (double)f->n_parameter;
        int64_t base = (int64_t)((double)l->textbook / 1.2);
        buf_printf(out, "%-8s %5.2f bits a weight, not %d (%+.1f GB); a fifth is %.1f GB, in truth",
                   l->numbers, bits, l->bits, gb(l->bytes.weights - base), gb(l->textbook - base));
        for (int32_t k = 0; k < FIT_KINDS; k++) {
            const fit_line *t = &f->line[i + k];
            buf_printf(out, "%s %s %.1f", k ? "," : "", fit_kind_name(t->kind, t->quantised),
                       gb(t->bytes.total - t->bytes.weights));
        }
        buf_add_char(out, '\n');
    }
}

/* When nothing at all fits: the way out in order of least harm. */
static void write_way_out(const fit *f, buf *out)
{
    bool any = false;
    const shape *best = NULL;
    for (int32_t i = 0; i < f->n_line; i++) {
        any = any || f->line[i].n_split > 0;
        const shape *b = f->line[i].best;
        if (b && (!best || b->n_parameter > best->n_parameter)) best = b;
    }
    if (any) return;
    buf_printf(out, "\nNothing fits. Take a larger card or more of them (--card, --cards)");
    if (best) buf_printf(out, ", or a smaller model: %s fits", best->title);
    else buf_add_text(out, ", or a smaller model");
    buf_add_text(out, ".\n");
}

bool fit_write_text(const fit *f, bool colour, buf *out, err *e)
{
    write_head(f, out);
    write_table(f, colour, out);
    write_shares(f, out);
    write_rule(f, out);
    write_way_out(f, out);
    return buf_check(out, "the plan", e);
}

static void add_time(buf *out, double seconds)
{
    if (!isfinite(seconds)) buf_printf(out, " %9s", "?");
    else if (seconds < 120) buf_printf(out, " %7.0f s", seconds);
    else if (seconds < 2 * 3600) buf_printf(out, " %5.0f min", seconds / 60);
    else buf_printf(out, " %7.1f h", seconds / 3600);
}

static void write_work(const fit_study *f, str name, const fit_work *w, bool colour, buf *out)
{
    const fit_line verdict = {.fits = w->fits, .n_split = w->n_split};
    const fit where = {.target = f->target};
    buf_printf(out, "%-18.*s %6lld %7d", (int)name.size, name.data, (long long)w->texts,
               w->longest);
    add_parts(out, &w->bytes, false);
    write_verdict(&where, &verdict, colour, out);
    buf_printf(out, "%11lld %11lld %9lld", (long long)w->tokens_shared, (long long)w->tokens_alone,
               (long long)w->tokens_drawn);
    add_time(out, w->seconds);
    buf_add_char(out, '\n');
}

static void write_trainings(const fit_study *f, bool colour, buf *out)
{
    const char *bold = colour ? "\033[1m" : "", *plain = colour ? "\033[0m" : "";
    if (f->n_training == 0) return;
    buf_printf(out, "%s%-28s %6s %5s %8s%8s%7s%7s%7s%8s%9s %-13s%-7s %11s %11s %9s%s\n", bold,
               "training, each adapter alone", "rows", "tune", "updates", "weights", "K/V",
               "activ.", "optim.", "worksp.", "total GB", " fits", "k", "tokens", "each alone",
               "time", plain);
    for (int32_t i = 0; i < f->n_training; i++) {
        const fit_training *t = &f->training[i];
        const fit_line verdict = {.fits = t->fits, .n_split = t->fits};
        const fit where = {.target = f->target};
        buf_printf(out, "%-28s %6d %5d %8lld", t->unit, t->rows, t->rows_tune,
                   (long long)t->updates);
        add_parts(out, &t->bytes, true);
        write_verdict(&where, &verdict, colour, out);
        char k[32];
        snprintf(k, sizeof k, "%d/%d", t->rerun, t->n_layer);
        buf_printf(out, "%-7s %11lld %11lld", k, (long long)t->tokens, (long long)t->tokens_alone);
        if (t->done) buf_printf(out, " %9s", "is there");
        else add_time(out, t->seconds);
        buf_add_char(out, '\n');
    }
    buf_add_text(out, "k: layers forwarded again, the fewest with which it fits; tokens of all "
                      "epochs; time with the scoring of tune rows.\n");
    if (f->training[0].token > 0)
        buf_printf(out, "Forward and backward: %.0f tokens a second.\n", 1 / f->training[0].token);
    buf_add_char(out, '\n');
}

static void write_speeds(const fit_study *f, buf *out)
{
    for (int32_t i = 0; i < f->n_speed; i++) {
        const fit_speed *s = &f->speed[i];
        buf_printf(out, "Speed: %s", s->source);
        if (isfinite(s->token) && s->token > 0)
            buf_printf(out, ": %.0f tokens a second behind 200 tokens, %.0f behind 2,000",
                       1 / (s->token + 200 * s->key), 1 / (s->token + 2000 * s->key));
        if (s->drawn > 0) buf_printf(out, ", %.0f generated", 1 / s->drawn);
        buf_add_text(out, ".\n");
    }
}

bool fit_study_write_text(const fit_study *f, bool colour, buf *out, err *e)
{
    const char *bold = colour ? "\033[1m" : "", *plain = colour ? "\033[0m" : "";
    const fit_target *t = &f->target;
    buf_printf(out, "%s on %s%s: %.1f GB to use\n\n", f->path, t->n_card > 1 ? "several of: " : "",
               t->title, gb(t->bytes_free));
    buf_printf(out, "%s%-18s %6s %7s%8s%7s%7s%8s%9s %-13s%11s %11s %9s %9s%s\n", bold, "arm, alone",
               "texts", "longest", "weights", "K/V", "activ.", "worksp.", "total GB", " fits",
               "tokens", "each alone", "generated", "time", plain);
    for (int32_t i = 0; i < f->n_arm; i++)
        write_work(f, f->arm[i].name, &f->arm[i].alone, colour, out);
    buf_printf(out, "%s%s%s\n", bold, "arms of a model together, as a run does them", plain);
    for (int32_t i = 0; i < f->n_pass; i++) {
        char name[19]; /* of a column */
        const bool adapted = f->pass[i].adapter != NULL;
        snprintf(name, sizeof name, "%.*s%s", adapted ? 11 : 18, f->pass[i].model,
                 adapted ? " + LoRA" : "");
        write_work(f, str_of(name), &f->pass[i].all, colour, out);
    }
    buf_add_char(out, '\n');
    write_trainings(f, colour, out);
    buf_printf(out,
               "Peak over the study: %.2f GB, %s. Time of the whole study:", gb(f->bytes_peak),
               f->fits ? "fits" : "does not fit");
    add_time(out, f->seconds);
    if (f->n_training > 0) {
        buf_add_text(out, ", of it training:");
        add_time(out, f->seconds_training);
    }
    buf_add_text(out, ".\n");
    write_speeds(f, out);
    buf_add_text(out, "Tokens: as forwarded, what prompts share once; every answer's prompt alone; "
                      "generated at most.\n\n");
    return buf_check(out, "the plan", e);
}

static void put_bytes(buf *out, const char *key, const fit_bytes *b)
{
    json_open(out, key, '{');
    json_whole(out, "weights", b->weights);
    json_whole(out, "kv", b->kv);
    json_whole(out, "activations", b->activations);
    json_whole(out, "optimiser", b->optimiser);
    json_whole(out, "workspace", b->workspace);
    json_whole(out, "total", b->total);
    json_close(out, '}');
}

static void put_line(buf *out, const fit_line *l)
{
    json_open(out, NULL, '{');
    json_text(out, "numbers", l->numbers);
    json_whole(out, "bits", l->bits);
    json_text(out, "task", fit_kind_name(l->kind, l->quantised));
    put_bytes(out, "bytes", &l->bytes);
    json_bool(out, "fits", l->fits);
    json_whole(out, "size", l->size);
    json_whole(out, "largest", l->largest);
    json_text(out, "unit", unit_of(l->kind));
    json_whole(out, "checkpointed_layers", l->rerun);
    json_whole(out, "cards_needed", l->n_split);
    json_whole(out, "textbook_bytes", l->textbook);
    json_text(out, "largest_of_series", l->best ? l->best->name : NULL);
    json_open(out, "split", '[');
    for (int32_t k = 0; k < l->n_split && l->share; k++) {
        json_open(out, NULL, '{');
        json_whole(out, "first_layer", l->share[k].first_layer);
        json_whole(out, "end_layer", l->share[k].end_layer);
        put_bytes(out, "bytes", &l->share[k].bytes);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

static void put_work(buf *out, const fit_work *w)
{
    json_whole(out, "texts", w->texts);
    json_whole(out, "longest_tokens", w->longest);
    json_whole(out, "tokens_shared", w->tokens_shared);
    json_whole(out, "tokens_alone", w->tokens_alone);
    json_whole(out, "tokens_generated_at_most", w->tokens_drawn);
    json_whole(out, "rows", w->rows);
    put_bytes(out, "bytes", &w->bytes);
    json_bool(out, "fits", w->fits);
    json_whole(out, "cards_needed", w->n_split);
    json_number(out, "seconds", isfinite(w->seconds), w->seconds);
}

static void put_training(buf *out, const fit_training *t)
{
    json_open(out, NULL, '{');
    json_text(out, "adapter", t->unit);
    json_whole(out, "rows", t->rows);
    json_whole(out, "rows_tune", t->rows_tune);
    json_whole(out, "updates", t->updates);
    json_whole(out, "tokens", t->tokens);
    json_whole(out, "tokens_alone", t->tokens_alone);
    json_whole(out, "tokens_tune", t->tokens_tune);
    put_bytes(out, "bytes", &t->bytes);
    json_bool(out, "fits", t->fits);
    json_whole(out, "checkpointed_layers", t->rerun);
    json_bool(out, "done", t->done);
    json_number(out, "seconds_token", isfinite(t->token), t->token);
    json_number(out, "seconds", isfinite(t->seconds), t->seconds);
    json_close(out, '}');
}

static void put_study(buf *out, const fit_study *s)
{
    json_open(out, "study", '{');
    json_text(out, "file", s->path);
    json_whole(out, "bytes_peak", s->bytes_peak);
    json_bool(out, "fits", s->fits);
    json_number(out, "seconds", isfinite(s->seconds), s->seconds);
    json_number(out, "seconds_training", isfinite(s->seconds_training), s->seconds_training);
    json_open(out, "trainings", '[');
    for (int32_t i = 0; i < s->n_training; i++) put_training(out, &s->training[i]);
    json_close(out, ']');
    json_open(out, "arms", '[');
    for (int32_t i = 0; i < s->n_arm; i++) {
        const fit_arm *a = &s->arm[i];
        char name[200];
        snprintf(name, sizeof name, "%.*s", (int)a->name.size, a->name.data);
        json_open(out, NULL, '{');
        json_text(out, "arm", name);
        json_text(out, "model", a->model);
        json_text(out, "adapter", a->adapter);
        put_work(out, &a->alone);
        json_text(out, "speed", s->speed[a->speed_of].source);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_open(out, "passes", '[');
    for (int32_t i = 0; i < s->n_pass; i++) {
        const fit_pass *p = &s->pass[i];
        json_open(out, NULL, '{');
        json_text(out, "model", p->model);
        json_text(out, "adapter", p->adapter);
        json_whole(out, "arms", p->n_arm);
        put_work(out, &p->all);
        json_close(out, '}');
    }
    json_close(out, ']');
    json_close(out, '}');
}

bool fit_write_json(const fit *f, const fit_study *s, buf *out, err *e)
{
    const fit_target *t = &f->target;
    json_open(out, NULL, '{');
    json_text(out, "model", f->title);
    json_text(out, "shape", f->shape ? f->shape->name : NULL);
    json_whole(out, "parameters", f->n_parameter);
    json_bool(out, "has_weights", f->has_weights);
    json_open(out, "target", '{');
    json_text(out, "name", t->title);
    json_text(out, "card", t->card ? t->card->name : NULL);
    json_whole(out, "cards", t->n_card);
    json_whole(out, "bytes_free", t->bytes_free);
    json_whole(out, "bytes_reserve", t->bytes_reserve);
    json_bool(out, "measured", !t->cuda);
    json_close(out, '}');
    json_open(out, "prompts", '{');
    json_whole(out, "head_tokens", f->ask.head_tokens);
    json_whole(out, "text_tokens", f->ask.text_tokens);
    json_whole(out, "shots", f->ask.shots);
    json_whole(out, "samples", f->ask.samples);
    json_whole(out, "new_tokens", f->ask.new_tokens);
    json_whole(out, "rank", f->ask.rank);
    json_whole(out, "batch", f->ask.batch);
    json_whole(out, "rows", f->ask.rows);
    json_close(out, '}');
    json_open(out, "plan", '[');
    for (int32_t i = 0; i < f->n_line; i++) put_line(out, &f->line[i]);
    json_close(out, ']');
    if (s) put_study(out, s);
    json_close(out, '}');
    buf_add_char(out, '\n');
    return buf_check(out, "the plan", e);
}

bool fit_write_lists(buf *out, err *e)
{
    int32_t n = 0;
    const shape *s = shapes_all(&n);
    buf_add_text(out, "shapes (--shape):\n");
    for (int32_t i = 0; i < n; i++) {
        buf_printf(out, "  %-16s %-20s ", s[i].name, s[i].title);
        add_grouped(out, s[i].n_parameter);
        buf_printf(out, " parameters%s\n", s[i].n_eyes ? ", its eyes included" : "");
    }
    const card *c = cards_all(&n);
    buf_add_text(out, "\ncards (--card):\n");
    for (int32_t i = 0; i < n; i++) {
        const card_rates rates = card_rates_of(&c[i]);
        buf_printf(out, "  %-19s %-45s %6.1f GB, %5.0f GB/s, %7.1f TFLOP/s", c[i].name, c[i].title,
                   gb(c[i].bytes_total), c[i].bandwidth / 1e9, c[i].rate / 1e12);
        if (rates.source)
            buf_printf(out, "; measured: %.0f scoring, %.0f training", rates.score / 1e12,
                       rates.train / 1e12);
        buf_add_char(out, '\n');
    }
    return buf_check(out, "the lists", e);
}
