/* questions: see questions.h. */
#include "view/questions.h"

#include "stats/prop.h"
#include "view/json_out.h"

static str question_of(str id)
{
    while (id.size > 0 && id.data[id.size - 1] != '/') id.size--;
    return id;
}

static str id_at(const gather *g, int64_t i) { return g->study.row[g->stats.row[i]].id; }

questions_arm questions_count(const gather *g, int32_t arm)
{
    const verdict_arm *a = &g->stats.arm[arm];
    questions_arm q = {0};
    for (int64_t i = 0, to; i < g->stats.n; i = to) {
        const str question = question_of(id_at(g, i));
        int64_t good = 0, top = i;
        for (to = i; to < g->stats.n && str_equal(question_of(id_at(g, to)), question); to++) {
            good += (a->probability[to] >= a->threshold) == (a->positive[to] == 1);
            if (a->score[to] > a->score[top]) top = to;
        }
        q.n++;
        q.n_exact += good == to - i;
        q.n_top += a->positive[top];
        q.share += (double)good / (double)(to - i);
    }
    if (q.n > 0) q.share /= (double)q.n;
    return q;
}

bool questions_there(const gather *g)
{
    return !strcmp(gather_fact(g, "several"), "each") && g->stats.positive >= 0 && g->stats.n > 0;
}

static void json_share(buf *b, const char *key, int64_t x, int64_t n)
{
    stat_estimate o = prop_of(x, n, PROP_WILSON, 0);
    json_open(b, key, '{');
    json_number(b, "value", o.has_value, o.value);
    json_number(b, "low", o.has_interval, o.low);
    json_number(b, "high", o.has_interval, o.high);
    json_close(b, '}');
}

void questions_json(const gather *g, int32_t arm, buf *out)
{
    if (!questions_there(g)) return;
    questions_arm q = questions_count(g, arm);
    json_open(out, "questions", '{');
    json_whole(out, "n", q.n);
    json_share(out, "every_option_right", q.n_exact, q.n);
    json_number(out, "options_right_mean", true, q.share);
    json_share(out, "highest_is_right", q.n_top, q.n);
    json_close(out, '}');
}

static void add_share(sheet *s, int64_t x, int64_t n)
{
    buf text = buf_up_to(200);
    stat_estimate o = prop_of(x, n, PROP_WILSON, 0);
    evidence_add(&text, &o, 3);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

void questions_table(const evidence *v, sheet *s)
{
    const gather *g = v->g;
    sheet_open(s, "S7", "Questions with several right options");
    if (!questions_there(g)) return;
    sheet_column(s, "arm", false);
    sheet_column(s, "questions", true);
    sheet_column(s, "every option decided right (95 % CI)", true);
    sheet_column(s, "options decided right, mean", true);
    sheet_column(s, "highest score on a right option (95 % CI)", true);
    for (int32_t k = 0; k < g->stats.n_arm; k++) {
        questions_arm q = questions_count(g, k);
        sheet_add(s, str_of(g->in.arm[k].name));
        sheet_printf(s, "%lld", (long long)q.n);
        add_share(s, q.n_exact, q.n);
        sheet_printf(s, "%.3f", q.share);
        add_share(s, q.n_top, q.n);
    }
    buf point = buf_up_to(1000);
    evidence_add_point(&g->stats, &point);
    sheet_note(s,
               "Each option was asked about by itself; %lld options. Decided %.*s. Wilson's "
               "intervals over questions. A question may have no right option at all: then the "
               "highest score cannot be right.",
               (long long)g->stats.n, (int)point.size, point.data);
    buf_close(&point);
}
