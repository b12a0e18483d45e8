/* spec_evidence: what a study declares beforehand about its evidence: the primary comparison, how
 * the threshold is chosen, how probabilities are recalibrated. */
#include "data/spec_in.h"

#include <assert.h>
#include <stddef.h>

static const char *const recalibrate_choices[] = {"none", "temperature", "platt", "isotonic", NULL};

static const char *const points[] = {"fixed", "youden", "sensitivity", "specificity",
                                     "net_benefit"};

static const char *const baselines[] = {"baseline-prevalence", "baseline-keywords",
                                        "baseline-tfidf"};

/* A decimal number strictly between 0 and 1. */
static bool read_share(spec_reader *r, const spec_key *key, const yaml_item *value, double *x)
{
    if (!spec_need_text(r, key, value)) return false;
    if (str_to_double(str_trim(value->text), x) && *x > 0 && *x < 1) return true;
    return spec_fail(r->s, value->line, r->e, "'%s' (%s) is a number between 0 and 1", key->name,
                     key->what);
}

static bool set_share(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    return read_share(r, key, value, (double *)(void *)((char *)base + key->offset));
}

bool spec_set_primary(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    static const spec_key primary_keys[] = {
        {"compare", "two arms: the first against the second", spec_set_list,
         .offset = offsetof(spec_evidence, compare), .required = true, .least = 2, .most = 2},
        {"margin", "of non-inferiority in AUROC", set_share,
         .offset = offsetof(spec_evidence, margin)},
    };
    static const spec_keys place = {.key = primary_keys, .n = countof(primary_keys)};
    if (value->kind != YAML_MAP)
        return spec_fail(r->s, value->line, r->e,
                         "'primary' (%s) is one map such as {compare: [few-shot, zero-shot]}: a "
                         "study has exactly one primary comparison",
                         key->what);
    return spec_read_map(r, "primary", value, place, (char *)base + key->offset);
}

bool spec_set_operating_point(spec_reader *r, const spec_key *key, const yaml_item *value,
                              void *base)
{
    static const char *const rules[] = {"sensitivity", "specificity", "net_benefit"};
    spec_evidence *v = (spec_evidence *)(void *)((char *)base + key->offset);
    v->line_point = value->line;
    if (value->kind == YAML_TEXT && str_is(str_trim(value->text), "youden")) {
        v->point = SPEC_POINT_YOUDEN;
        return true;
    }
    v->point = SPEC_POINT_FIXED;
    if (value->kind == YAML_TEXT) return read_share(r, key, value, &v->target);
    const yaml_item *name = value->kind == YAML_MAP ? spec_child(r, value->first) : NULL;
    for (int i = 0; name && value->n == 1 && i < (int)countof(rules); i++) {
        if (!str_is(name->text, rules[i])) continue;
        spec_key own = {.name = rules[i], .what = key->what};
        v->point = (spec_point)(SPEC_POINT_SENSITIVITY + i);
        return read_share(r, &own, spec_child(r, name->next), &v->target);
    }
    return spec_fail(r->s, value->line, r->e,
                     "'operating_point' is a probability such as 0.5, youden, or one of "
                     "{sensitivity: 0.95}, {specificity: 0.9}, {net_benefit: 0.2}");
}

bool spec_set_recalibrate(spec_reader *r, const spec_key *key, const yaml_item *value, void *base)
{
    spec_evidence *v = (spec_evidence *)(void *)((char *)base + key->offset);
    spec_key own = {.name = key->name,
                    .what = key->what,
                    .offset = offsetof(spec_evidence, recalibrate),
                    .choices = recalibrate_choices};
    v->line_recalibrate = value->line;
    return spec_set_choice(r, &own, value, v);
}

/* An arm of the study, one that an arm becomes (NAME/..), or a baseline that is on. */
static bool is_arm(const spec *s, str name)
{
    for (int32_t i = 0; i < s->n_arm; i++) {
        str arm = s->arms[i].name.text;
        if (str_equal(arm, name)) return true;
        if (name.size > arm.size && str_equal(str_part(name, 0, arm.size), arm) &&
            name.data[arm.size] == '/')
            return true;
    }
    for (int k = 0; k < (int)countof(baselines); k++) {
        if ((s->baselines & 1 << k) && str_is(name, baselines[k])) return true;
    }
    return false;
}

bool spec_scores_tune(const spec *s)
{
    return s->evidence.point != SPEC_POINT_FIXED || s->evidence.recalibrate != 0;
}

bool spec_check_evidence(spec_reader *r)
{
    spec *s = r->s;
    spec_evidence *v = &s->evidence;
    if (v->line_point == 0) v->target = 0.5;
    for (int32_t i = 0; i < v->compare.n; i++) {
        spec_text name = v->compare.item[i];
        str shown = encoding_cut(name.text, 60);
        if (is_arm(s, name.text)) continue;
        return spec_fail(s, name.line, r->e,
                         "'primary' compares '%.*s', which is no arm of the "
                         "study",
                         (int)shown.size, shown.data);
    }
    int32_t line = v->line_point         ? v->line_point
                   : v->line_recalibrate ? v->line_recalibrate
                                         : v->compare.line;
    if (s->positive < 0 && (v->compare.n || v->line_point || v->recalibrate))
        return spec_fail(s, line, r->e,
                         "'primary', 'operating_point' and 'recalibrate' are about one class "
                         "against the rest; name it under 'positive'");
    if (spec_scores_tune(s) && !s->data.split.text.data && !s->data.split_file.text.data)
        return spec_fail(s, line, r->e,
                         "'%s' is chosen on tune rows, but 'data' names no 'split' column and no "
                         "'split_file'; write 'split_file: splits.csv' there and make it with "
                         "`caseload split`",
                         v->point != SPEC_POINT_FIXED ? "operating_point" : "recalibrate");
    return true;
}

void spec_write_evidence(const spec *s, buf *out)
{
    const spec_evidence *v = &s->evidence;
    if (v->compare.n == 0 && v->line_point == 0 && v->recalibrate == 0) return;
    buf_printf(out, "operating_point: %s %.17g\nrecalibrate: %s\n", points[v->point], v->target,
               recalibrate_choices[v->recalibrate]);
    for (int32_t i = 0; i < v->compare.n; i++) {
        buf_add_text(out, "primary: \"");
        buf_add_json(out, v->compare.item[i].text);
        buf_add_text(out, "\"\n");
    }
    if (v->compare.n) buf_printf(out, "margin: %.17g\n", v->margin);
}

const char *spec_point_name(spec_point p)
{
    assert(p < countof(points));
    return points[p];
}

const char *spec_recalibrate_name(spec_recalibrate k)
{
    assert(k <= SPEC_RECALIBRATE_ISOTONIC);
    return recalibrate_choices[k];
}
