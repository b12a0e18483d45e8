/* profile: see profile.h. */
#include "data/profile.h"

#include "data/names.h"
#include "stats/stat.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

typedef struct profile {
    const rows *r;
    const spec *s;
    const table *t;
    names part;     /* those that are there, at most PROFILE_PARTS, then the rest as one */
    int32_t *of;    /* [n_row] part of each row with a text and a class; -1: none */
    int32_t *class; /* [n_row] */
    double *value;  /* [n_row] scratch */
    arena *a;
    buf *out;
    err *e;
} profile;

static str cell(const profile *p, int32_t row, spec_text column)
{
    int32_t c = table_find_column(p->t, str_trim(column.text));
    return c < 0 ? STR("") : str_trim(table_cell(p->t, row, c));
}

static int32_t part_of(profile *p, int32_t row)
{
    if (!p->r->part) return 0;
    str name = p->r->part[row];
    int32_t at = names_find(&p->part, name);
    if (at < 0 && p->part.n < PROFILE_PARTS) at = names_add(&p->part, name, NULL);
    return at < 0 ? PROFILE_PARTS - 1 : at;
}

static const char *role_of(const profile *p, str name)
{
    const spec_data *d = &p->s->data;
    if (!p->r->part || str_equal(name, str_trim(d->use.text))) return "use";
    if (str_equal(name, str_trim(d->train.text))) return "train";
    return str_equal(name, str_trim(d->tune.text)) ? "tune" : "other";
}

/* Parts in the order train, tune, use, then as met. */
static bool find_parts(profile *p, int32_t *n_all)
{
    const spec_data *d = &p->s->data;
    const str known[] = {d->train.text, d->tune.text, d->use.text};
    if (!names_make(&p->part, PROFILE_PARTS, p->a, p->e)) return false;
    if (!p->r->part) names_add(&p->part, STR("all rows"), NULL);
    for (size_t i = 0; p->r->part && i < countof(known); i++) {
        for (int32_t row = 0; row < p->r->n_read; row++) {
            if (!str_equal(p->r->part[row], str_trim(known[i]))) continue;
            names_add(&p->part, p->r->part[row], NULL);
            break;
        }
    }
    for (int32_t row = 0; row < p->r->n_read; row++) n_all[part_of(p, row)]++;
    return true;
}

static bool has_text(const profile *p, int32_t row)
{
    for (int32_t i = 0; i < p->s->data.text.n; i++) {
        if (cell(p, row, p->s->data.text.item[i]).size > 0) return true;
    }
    return false;
}

static void find_texts(profile *p)
{
    for (int32_t row = 0; row < p->r->n_read; row++) {
        str label = cell(p, row, p->s->data.label);
        p->class[row] = label.size ? rows_class_of(p->s, label) : -1;
        p->of[row] = p->class[row] >= 0 && has_text(p, row) ? part_of(p, row) : -1;
    }
}

/* Characters, and the share of Hangul syllables (EA B0 80 .. ED 9E A3) among those that are not
 * white space or ASCII signs. */
static double hangul_share(str s, double *characters)
{
    int64_t hangul = 0, letters = 0, n = 0;
    for (size_t i = 0; i < s.size; i++) {
        unsigned char c = (unsigned char)s.data[i];
        if ((c & 0xC0) == 0x80) continue;
        n++;
        bool ascii = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9');
        letters += ascii || c >= 0x80;
        if (c < 0xEA || c > 0xED || i + 2 >= s.size) continue;
        int32_t code = (c & 0x0F) << 12 | ((unsigned char)s.data[i + 1] & 0x3F) << 6 |
                       ((unsigned char)s.data[i + 2] & 0x3F);
        hangul += code >= 0xAC00 && code <= 0xD7A3;
    }
    *characters += (double)n;
    return letters ? (double)hangul / (double)letters : 0;
}

/* {"n", "mean", "sd", "q1", "median", "q3"} of value[n], which is sorted. */
static void write_moments(profile *p, const char *name, int64_t n)
{
    if (name) buf_printf(p->out, "\"%s\": ", name);
    buf_printf(p->out, "{\"n\": %lld", (long long)n);
    if (n > 0 && stat_sort(p->value, n, p->a, p->e)) {
        double sd = n > 1 ? sqrt(stat_covariance(p->value, p->value, n)) : 0;
        buf_printf(p->out,
                   ", \"mean\": %.10g, \"sd\": %.10g, \"q1\": %.10g, \"median\": %.10g, \"q3\": "
                   "%.10g",
                   stat_mean(p->value, n), sd, stat_quantile(p->value, n, 0.25),
                   stat_quantile(p->value, n, 0.5), stat_quantile(p->value, n, 0.75));
    }
    buf_add_char(p->out, '}');
}

/* Lengths of the texts of a part, or their Hangul shares. */
static void write_texts(profile *p, int32_t part, bool hangul)
{
    int64_t n = 0;
    for (int32_t row = 0; row < p->r->n_read; row++) {
        if (p->of[row] != part) continue;
        double characters = 0, share = 0, most = 0;
        for (int32_t i = 0; i < p->s->data.text.n; i++) {
            double before = characters;
            double one = hangul_share(cell(p, row, p->s->data.text.item[i]), &characters);
            if (characters - before < most) continue;
            most = characters - before; /* the longest column speaks for the row's language */
            share = one;
        }
        p->value[n++] = hangul ? share : characters;
    }
    write_moments(p, hangul ? "hangul" : "characters", n);
}

/* The first four digits in a row: the year of 2019-03-01, 01.03.2019, 20190301. */
static str year_of(str date)
{
    size_t run = 0;
    for (size_t i = 0; i < date.size; i++) {
        run = date.data[i] >= '0' && date.data[i] <= '9' ? run + 1 : 0;
        if (run == 4) return str_part(date, i - 3, 4);
    }
    return STR("");
}

static void write_dates(profile *p, int32_t part)
{
    str first = STR(""), last = STR("");
    if (!p->s->splits.date.text.data) return;
    for (int32_t row = 0; row < p->r->n_read; row++) {
        str year = p->of[row] == part ? year_of(cell(p, row, p->s->splits.date)) : STR("");
        if (year.size == 0) continue;
        if (first.size == 0 || str_order(year, first) < 0) first = year;
        if (last.size == 0 || str_order(year, last) > 0) last = year;
    }
    if (first.size == 0) return;
    buf_printf(p->out, ", \"first_date\": \"%.4s\", \"last_date\": \"%.4s\"", first.data,
               last.data);
}

/* Distinct patients of a part; a row without one is a patient of its own. -1: no column. */
static int64_t count_patients(profile *p, int32_t part)
{
    names who;
    int64_t alone = 0, n = -1;
    size_t mark = arena_mark(p->a);
    if (!p->s->data.patient.text.data) return -1;
    if (names_make(&who, p->r->n_read, p->a, p->e)) {
        for (int32_t row = 0; row < p->r->n_read; row++) {
            if (p->of[row] != part) continue;
            str name = cell(p, row, p->s->data.patient);
            if (name.size) names_add(&who, name, NULL);
            else alone++;
        }
        n = who.n + alone;
    }
    arena_reset(p->a, mark);
    return n;
}

static void write_part(profile *p, int32_t part, int32_t n_all)
{
    int64_t n = 0, patients = count_patients(p, part);
    int64_t *of_class = arena_take_zero(p->a, (size_t)p->s->n_class, sizeof *of_class, p->e);
    for (int32_t row = 0; of_class && row < p->r->n_read; row++) {
        if (p->of[row] != part) continue;
        of_class[p->class[row]]++;
        n++;
    }
    buf_add_text(p->out, part ? ", {\"name\": \"" : "{\"name\": \"");
    buf_add_json(p->out, p->part.name[part].size ? p->part.name[part] : STR("(no part)"));
    buf_printf(p->out, "\", \"role\": \"%s\", \"n\": %d, \"texts\": %lld, \"classes\": [",
               role_of(p, p->part.name[part]), n_all, (long long)n);
    for (int32_t c = 0; of_class && c < p->s->n_class; c++)
        buf_printf(p->out, "%s%lld", c ? ", " : "", (long long)of_class[c]);
    buf_add_text(p->out, "], ");
    if (patients >= 0) buf_printf(p->out, "\"patients\": %lld, ", (long long)patients);
    write_texts(p, part, false);
    buf_add_text(p->out, ", ");
    write_texts(p, part, true);
    write_dates(p, part);
    buf_add_char(p->out, '}');
}

/* --- subgroup columns --- */

static int by_text(const void *a, const void *b)
{
    return str_order(*(const str *)a, *(const str *)b);
}

/* The column's distinct values, sorted; false: too many. */
static bool list_levels(const profile *p, spec_text column, str level[PROFILE_LEVELS], int32_t *n)
{
    *n = 0;
    for (int32_t row = 0; row < p->r->n_read; row++) {
        str value = cell(p, row, column);
        int32_t k = 0;
        if (p->of[row] < 0) continue;
        while (k < *n && !str_equal(level[k], value)) k++;
        if (k < *n) continue;
        if (*n == PROFILE_LEVELS) return false;
        level[(*n)++] = value;
    }
    if (*n > 1) qsort(level, (size_t)*n, sizeof *level, by_text);
    return true;
}

static bool are_numbers(const profile *p, spec_text column)
{
    int64_t n = 0;
    for (int32_t row = 0; row < p->r->n_read; row++) {
        double x;
        str value = cell(p, row, column);
        if (p->of[row] < 0 || value.size == 0) continue;
        if (!str_to_double(value, &x)) return false;
        n++;
    }
    return n > 0;
}

static void write_levels(profile *p, spec_text column, const str *level, int32_t n_level)
{
    buf_add_text(p->out, ", \"levels\": [");
    for (int32_t k = 0; k < n_level; k++) {
        buf_add_text(p->out, k ? ", \"" : "\"");
        buf_add_json(p->out, level[k].size ? level[k] : STR("(empty)"));
        buf_add_char(p->out, '"');
    }
    buf_add_text(p->out, "], \"n\": [");
    for (int32_t part = 0; part < p->part.n; part++) {
        int64_t n[PROFILE_LEVELS] = {0};
        for (int32_t row = 0; row < p->r->n_read; row++) {
            if (p->of[row] != part) continue;
            str value = cell(p, row, column);
            for (int32_t k = 0; k < n_level; k++) n[k] += str_equal(value, level[k]);
        }
        buf_add_text(p->out, part ? ", [" : "[");
        for (int32_t k = 0; k < n_level; k++)
            buf_printf(p->out, "%s%lld", k ? ", " : "", (long long)n[k]);
        buf_add_char(p->out, ']');
    }
    buf_add_char(p->out, ']');
}

static void write_numbers(profile *p, spec_text column)
{
    buf_add_text(p->out, ", \"numbers\": [");
    for (int32_t part = 0; part < p->part.n; part++) {
        int64_t n = 0;
        for (int32_t row = 0; row < p->r->n_read; row++) {
            if (p->of[row] == part && str_to_double(cell(p, row, column), &p->value[n])) n++;
        }
        buf_add_text(p->out, part ? ", " : "");
        write_moments(p, NULL, n);
    }
    buf_add_char(p->out, ']');
}

static void write_groups(profile *p)
{
    const spec_list *group = &p->s->data.group;
    for (int32_t g = 0; g < group->n; g++) {
        str level[PROFILE_LEVELS];
        int32_t n_level = 0;
        buf_add_text(p->out, g ? ", {\"name\": \"" : "{\"name\": \"");
        buf_add_json(p->out, str_trim(group->item[g].text));
        buf_add_char(p->out, '"');
        if (list_levels(p, group->item[g], level, &n_level))
            write_levels(p, group->item[g], level, n_level);
        else if (are_numbers(p, group->item[g])) write_numbers(p, group->item[g]);
        buf_add_char(p->out, '}');
    }
}

bool profile_write(const rows *r, const spec *s, const table *t, arena *scratch, buf *json, err *e)
{
    size_t mark = arena_mark(scratch), n = (size_t)r->n_read;
    int32_t n_all[PROFILE_PARTS] = {0};
    assert(r && s && t && json);
    profile p = {.r = r, .s = s, .t = t, .a = scratch, .out = json, .e = e};
    p.of = arena_take(scratch, n, sizeof *p.of, e);
    p.class = arena_take(scratch, n, sizeof *p.class, e);
    p.value = arena_take(scratch, n, sizeof *p.value, e);
    if (!p.of || !p.class || !p.value || !find_parts(&p, n_all)) return false;
    find_texts(&p);
    buf_add_text(json, "{\"parts\": [");
    for (int32_t part = 0; part < p.part.n; part++) write_part(&p, part, n_all[part]);
    buf_add_text(json, "], \"groups\": [");
    write_groups(&p);
    buf_add_text(json, "]}");
    arena_reset(scratch, mark);
    return e->code == ERR_NONE && buf_check(json, "the parts of the table", e);
}
