/* paper_parts: T1 by split: what each part of the table holds (data/profile.h), and how far the
 * part that is judged stands from the others. */
#include "stats/plan.h"
#include "view/paper_in.h"
#include "view/small.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>

enum { PARTS_MAX = 8, LEVELS_MAX = 12, CLASSES_MAX = 12 };

typedef struct parts {
    const paper *p;
    sheet *s;
    const json_t *profile;
    size_t n;
    int32_t use, train, tune; /* columns; -1: none */
    int64_t texts[PARTS_MAX];
    bool small[PARTS_MAX]; /* a part of fewer texts than may be shown */
} parts;

static const json_t *part_at(const parts *t, size_t i)
{
    return json_array_get(json_object_get(t->profile, "parts"), i);
}

static int64_t count_at(const parts *t, size_t i, const char *key)
{
    return json_integer_value(json_object_get(part_at(t, i), key));
}

static void add_count(sheet *s, int64_t n, int64_t of, bool hidden)
{
    buf text = buf_up_to(100);
    small_add(&text, n, hidden);
    if (!hidden && of > 0) buf_printf(&text, " (%.1f %%)", 100 * (double)n / (double)of);
    sheet_add(s, buf_view(&text));
    buf_close(&text);
}

static void add_smd(sheet *s, const stat_estimate *o)
{
    if (!o || !o->has_value) sheet_add(s, STR(""));
    else sheet_printf(s, "%.3f", o->value);
}

/* --- shares --- */

typedef struct shares {
    int64_t n[PARTS_MAX][LEVELS_MAX];
    bool hidden[PARTS_MAX][LEVELS_MAX];
} shares;

/* Small counts and what they could be worked out from: each part's total is known. */
static void hide(const parts *t, shares *h, int32_t n_level)
{
    for (size_t i = 0; i < t->n; i++) small_mark(h->n[i], n_level, h->hidden[i]);
}

static void add_share_smd(const parts *t, const shares *h, int32_t level, int32_t other)
{
    stat_estimate o = {0};
    if (other < 0 || t->use < 0) return;
    bool known = !h->hidden[t->use][level] && !h->hidden[other][level];
    if (known && t->texts[t->use] > 0 && t->texts[other] > 0)
        o = plan_smd_shares((double)h->n[other][level] / (double)t->texts[other],
                            (double)h->n[t->use][level] / (double)t->texts[t->use]);
    add_smd(t->s, &o);
}

static void add_shares(const parts *t, const shares *h, int32_t level)
{
    for (size_t i = 0; i < t->n; i++)
        add_count(t->s, h->n[i][level], t->texts[i], h->hidden[i][level]);
    add_share_smd(t, h, level, t->train);
    add_share_smd(t, h, level, t->tune);
}

static void add_class_rows(const parts *t)
{
    const verdict *r = &t->p->v->g->stats;
    int32_t n_class = r->n_class < CLASSES_MAX ? r->n_class : CLASSES_MAX;
    shares h = {0};
    for (size_t i = 0; i < t->n; i++) {
        const json_t *classes = json_object_get(part_at(t, i), "classes");
        for (int32_t c = 0; c < n_class; c++)
            h.n[i][c] = json_integer_value(json_array_get(classes, (size_t)c));
    }
    hide(t, &h, n_class);
    for (int32_t c = 0; c < n_class; c++) {
        sheet_add(t->s, str_of(t->p->v->g->in.class_name[c]));
        add_shares(t, &h, c);
    }
}

static void add_level_rows(const parts *t, const json_t *group)
{
    const json_t *levels = json_object_get(group, "levels");
    int32_t n_level = (int32_t)json_array_size(levels);
    shares h = {0};
    if (n_level > LEVELS_MAX) return;
    for (size_t i = 0; i < t->n; i++) {
        const json_t *n = json_array_get(json_object_get(group, "n"), i);
        for (int32_t k = 0; k < n_level; k++)
            h.n[i][k] = json_integer_value(json_array_get(n, (size_t)k));
    }
    hide(t, &h, n_level);
    for (int32_t k = 0; k < n_level; k++) {
        sheet_printf(t->s, "%s: %s", json_string_value(json_object_get(group, "name")),
                     json_string_value(json_array_get(levels, (size_t)k)));
        add_shares(t, &h, k);
    }
}

/* --- numbers --- */

typedef struct moments {
    int64_t n;
    double mean, sd, q1, median, q3;
} moments;

static moments read_moments(const json_t *o)
{
    return (moments){.n = json_integer_value(json_object_get(o, "n")),
                     .mean = json_number_value(json_object_get(o, "mean")),
                     .sd = json_number_value(json_object_get(o, "sd")),
                     .q1 = json_number_value(json_object_get(o, "q1")),
                     .median = json_number_value(json_object_get(o, "median")),
                     .q3 = json_number_value(json_object_get(o, "q3"))};
}

static void add_mean_smd(const parts *t, const moments *m, int32_t other)
{
    stat_estimate o = {0};
    if (other < 0 || t->use < 0) return;
    const moments *a = &m[other], *b = &m[t->use];
    if (a->n >= SMALL_BELOW && b->n >= SMALL_BELOW)
        o = plan_smd_means(a->mean, a->sd, b->mean, b->sd);
    add_smd(t->s, &o);
}

static void add_moments(const parts *t, const moments *m, bool quartiles, int decimals)
{
    for (size_t i = 0; i < t->n; i++) {
        if (m[i].n < SMALL_BELOW) sheet_add(t->s, m[i].n ? STR("withheld") : STR("none"));
        else if (quartiles)
            sheet_printf(t->s, "%.*f (%.*f to %.*f)", decimals, m[i].median, decimals, m[i].q1,
                         decimals, m[i].q3);
        else sheet_printf(t->s, "%.*f (%.*f)", decimals, m[i].mean, decimals, m[i].sd);
    }
    add_mean_smd(t, m, t->train);
    add_mean_smd(t, m, t->tune);
}

static void add_number_row(const parts *t, const json_t *group)
{
    moments m[PARTS_MAX] = {0};
    for (size_t i = 0; i < t->n; i++)
        m[i] = read_moments(json_array_get(json_object_get(group, "numbers"), i));
    sheet_printf(t->s, "%s, mean (SD)", json_string_value(json_object_get(group, "name")));
    add_moments(t, m, false, 1);
}

static void add_text_rows(const parts *t)
{
    moments length[PARTS_MAX] = {0}, hangul[PARTS_MAX] = {0};
    double most = 0;
    for (size_t i = 0; i < t->n; i++) {
        length[i] = read_moments(json_object_get(part_at(t, i), "characters"));
        hangul[i] = read_moments(json_object_get(part_at(t, i), "hangul"));
        hangul[i].mean *= 100;
        hangul[i].sd *= 100;
        most = fmax(most, hangul[i].mean);
    }
    sheet_add(t->s, STR("characters of the text, median (quartiles)"));
    add_moments(t, length, true, 0);
    if (most == 0) return;
    sheet_add(t->s, STR("Hangul among the letters in percent, mean (SD)"));
    add_moments(t, hangul, false, 1);
}

static void add_empty(const parts *t)
{
    if (t->train >= 0 && t->use >= 0) sheet_add(t->s, STR(""));
    if (t->tune >= 0 && t->use >= 0) sheet_add(t->s, STR(""));
}

static void add_date_row(const parts *t)
{
    bool any = false;
    for (size_t i = 0; i < t->n; i++) any |= json_object_get(part_at(t, i), "first_date") != NULL;
    if (!any) return;
    sheet_add(t->s, STR("years"));
    for (size_t i = 0; i < t->n; i++) {
        const char *first = json_string_value(json_object_get(part_at(t, i), "first_date"));
        const char *last = json_string_value(json_object_get(part_at(t, i), "last_date"));
        if (!first || !last) sheet_add(t->s, STR("none"));
        else if (!strcmp(first, last)) sheet_add(t->s, str_of(first));
        else sheet_printf(t->s, "%s to %s", first, last);
    }
    add_empty(t);
}

/* --- the table --- */

static void find_roles(parts *t)
{
    t->use = t->train = t->tune = -1;
    for (size_t i = 0; i < t->n; i++) {
        const char *role = json_string_value(json_object_get(part_at(t, i), "role"));
        t->texts[i] = count_at(t, i, "texts");
        if (!role) continue;
        if (!strcmp(role, "use")) t->use = (int32_t)i;
        if (!strcmp(role, "train")) t->train = (int32_t)i;
        if (!strcmp(role, "tune")) t->tune = (int32_t)i;
    }
}

static void add_head(const parts *t)
{
    char name[200];
    sheet_open(t->s, "T1", "Characteristics of the texts by part of the study");
    sheet_column(t->s, "characteristic", false);
    for (size_t i = 0; i < t->n; i++)
        sheet_column(t->s, json_string_value(json_object_get(part_at(t, i), "name")), true);
    for (int k = 0; k < 2; k++) {
        int32_t other = k ? t->tune : t->train;
        if (other < 0 || t->use < 0) continue;
        snprintf(name, sizeof name, "SMD, %.30s and %.30s",
                 json_string_value(json_object_get(part_at(t, (size_t)other), "name")),
                 json_string_value(json_object_get(part_at(t, (size_t)t->use), "name")));
        sheet_column(t->s, name, true);
    }
}

static void add_count_row(const parts *t, const char *name, const char *key)
{
    sheet_add(t->s, str_of(name));
    for (size_t i = 0; i < t->n; i++) add_count(t->s, count_at(t, i, key), 0, false);
    add_empty(t);
}

/* Rows and texts of a part differ by the rows without a usable label: where that is a small count
 * in any part, no part's rows are printed, for the whole table's rows are known. */
static void add_rows_of_table(const parts *t)
{
    bool hidden = false;
    for (size_t i = 0; i < t->n; i++) {
        int64_t without = count_at(t, i, "n") - t->texts[i];
        hidden |= without > 0 && without < SMALL_BELOW;
    }
    sheet_add(t->s, STR("rows of the table"));
    for (size_t i = 0; i < t->n; i++) add_count(t->s, count_at(t, i, "n"), 0, hidden);
    add_empty(t);
}

static void add_rows(const parts *t)
{
    size_t i;
    json_t *group;
    add_rows_of_table(t);
    add_count_row(t, "texts with a label", "texts");
    if (json_object_get(part_at(t, 0), "patients")) add_count_row(t, "patients", "patients");
    add_class_rows(t);
    json_array_foreach(json_object_get(t->profile, "groups"), i, group)
    {
        if (json_object_get(group, "levels")) add_level_rows(t, group);
        else if (json_object_get(group, "numbers")) add_number_row(t, group);
    }
    add_text_rows(t);
    add_date_row(t);
    if (t->use >= 0)
        sheet_note(t->s, "Part %s is judged. Percent and means are of the texts with a label.",
                   json_string_value(json_object_get(part_at(t, (size_t)t->use), "name")));
    if (t->use >= 0 && (t->train >= 0 || t->tune >= 0))
        sheet_note(t->s, "SMD: standardised mean difference of the two parts, by its size.");
    sheet_note(t->s,
               "Counts from 1 to 4 are shown as <%d; counts from which they could be worked "
               "out are withheld, as are means of fewer texts.",
               SMALL_BELOW);
}

bool paper_has_parts(const paper *p)
{
    json_t *profile = json_loads(gather_fact(p->v->g, "profile"), 0, NULL);
    size_t n = json_array_size(json_object_get(profile, "parts"));
    json_decref(profile);
    return n > 1 && n <= PARTS_MAX;
}

void paper_parts(const paper *p, sheet *s)
{
    json_t *profile = json_loads(gather_fact(p->v->g, "profile"), 0, NULL);
    parts t = {.p = p,
               .s = s,
               .profile = profile,
               .n = json_array_size(json_object_get(profile, "parts"))};
    find_roles(&t);
    add_head(&t);
    add_rows(&t);
    json_decref(profile);
}
