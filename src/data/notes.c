/* notes: see notes.h. Everything random is drawn from (seed, patient or row, purpose), in a fixed
 * order, so a note never depends on how many others there are. */
#include "data/notes.h"

#include "base/rng.h"
#include "data/notes_in.h"

#include <assert.h>
#include <stdlib.h>

enum { DRAW_PATIENT = 1, DRAW_NOTE = 2, DRAW_LABEL = 3 };
enum { TRAIN_PERCENT = 25, FIRST_YEAR = 2019, N_YEAR = 4 };

static const double default_share = 0.4, default_noise = 0.05, default_hard = 0.4;

typedef struct patient {
    int64_t number, n_note;
    int32_t age, year; /* at the first note */
    bool woman, train;
    const notes_style *style;
} patient;

typedef struct note_words { /* what fills the braces of one note */
    const patient *who;
    const char *severe, *mild, *drug, *other;
    int32_t age, days, hours, year;
} note_words;

static const char *pick(rng *r, const char *const *list)
{
    uint64_t n = 0;
    while (list[n]) n++;
    assert(n > 0);
    return list[rng_below(r, n)];
}

static double fraction(double stated, double otherwise)
{
    if (stated == 0) return otherwise;
    return stated < 0 ? 0 : stated;
}

double notes_best_auroc(double share, double noise)
{
    assert(share >= 0 && share <= 1 && noise >= 0 && noise <= 1);
    double hit = share * (1 - noise), false_label = (1 - share) * noise;
    double missed = share * noise, clear = (1 - share) * (1 - noise);
    if (hit + false_label == 0 || missed + clear == 0) return 0.5;
    return (1 + hit / (hit + false_label) - missed / (missed + clear)) / 2;
}

double notes_best_auroc_of(const notes_options *o)
{
    return notes_best_auroc(fraction(o->share, default_share), fraction(o->noise, default_noise));
}

bool notes_language_from(const char *word, notes_language *out)
{
    static const char *const words[] = {"en", "ko", "mixed"};
    for (size_t i = 0; i < countof(words); i++) {
        if (strcmp(word, words[i]) != 0) continue;
        *out = (notes_language)i;
        return true;
    }
    return false;
}

static patient draw_patient(const notes_options *o, int64_t number)
{
    rng r = rng_for(o->seed, (uint64_t)number, DRAW_PATIENT);
    patient p = {.number = number};
    p.n_note = 1 + (int64_t)(rng_below(&r, 10) > 5) + (int64_t)(rng_below(&r, 10) > 7);
    p.age = 18 + (int32_t)rng_below(&r, 70);
    p.year = FIRST_YEAR + (int32_t)rng_below(&r, N_YEAR);
    p.woman = rng_below(&r, 2) == 1;
    p.train = rng_below(&r, 100) < TRAIN_PERCENT;
    size_t site = rng_below(&r, 2), korean = rng_below(&r, 2);
    if (o->language != NOTES_MIXED) korean = o->language == NOTES_KOREAN;
    p.style = &notes_styles[2 * korean + site];
    return p;
}

/* The filling of {key}; numbers are printed into `number`. NULL: no such key. */
static const char *filling(const note_words *w, str key, char number[16])
{
    const bool woman = w->who->woman;
    const struct {
        const char *key, *text;
        int32_t number;
    } table[] = {
        {"severe", w->severe, 0},
        {"mild", w->mild, 0},
        {"drug", w->drug, 0},
        {"other", w->other, 0},
        {"man", woman ? w->who->style->woman : w->who->style->man, 0},
        {"sex", woman ? "F" : "M", 0},
        {"He", woman ? "She" : "He", 0},
        {"he", woman ? "she" : "he", 0},
        {"His", woman ? "Her" : "His", 0},
        {"his", woman ? "her" : "his", 0},
        {"age", NULL, w->age},
        {"days", NULL, w->days},
        {"hours", NULL, w->hours},
        {"year", NULL, w->year},
    };
    for (size_t i = 0; i < countof(table); i++) {
        if (!str_is(key, table[i].key)) continue;
        if (table[i].text) return table[i].text;
        int32_t v = table[i].number, n = 0;
        char back[16];
        for (; v > 0 || n == 0; v /= 10) back[n++] = (char)('0' + v % 10);
        for (int32_t k = 0; k < n; k++) number[k] = back[n - 1 - k];
        number[n] = 0;
        return number;
    }
    return NULL;
}

/* Adds one sentence, with a space before it unless it is the first, and a capital at its start. */
static void add_sentence(buf *text, const char *sentence, const note_words *w)
{
    if (text->size > 0) buf_add_char(text, ' ');
    size_t start = text->size;
    for (const char *at = sentence; *at;) {
        const char *close = *at == '{' ? strchr(at, '}') : NULL;
        if (!close) {
            buf_add_char(text, *at++);
            continue;
        }
        char number[16];
        const char *fill = filling(w, (str){at + 1, (size_t)(close - at) - 1}, number);
        assert(fill);
        buf_add_text(text, fill);
        at = close + 1;
    }
    if (text->failed) return;
    char *first = &text->data[start];
    if (*first >= 'a' && *first <= 'z') *first = (char)(*first - 'a' + 'A');
}

static void write_text(buf *text, rng *r, note_words *w, bool serious, bool against)
{
    const notes_style *s = w->who->style;
    w->severe = pick(r, s->severe);
    w->other = pick(r, s->severe);
    w->mild = pick(r, s->mild);
    w->drug = pick(r, s->drug);
    bool early = rng_below(r, 2) == 0, tail = rng_below(r, 2) == 0;
    const char *course = pick(r, serious ? s->course_serious : s->course_mild);
    const char *outcome = pick(r, serious ? s->outcome_serious : s->outcome_mild);
    const char *other_way = pick(r, serious ? s->against_mild : s->against_serious);
    add_sentence(text, pick(r, s->opening), w);
    if (tail && early) add_sentence(text, pick(r, s->tail), w);
    if (against && early) add_sentence(text, other_way, w);
    add_sentence(text, course, w);
    if (against && !early) add_sentence(text, other_way, w);
    add_sentence(text, outcome, w);
    if (tail && !early) add_sentence(text, pick(r, s->tail), w);
}

static void write_row(const notes_options *o, const patient *p, int64_t row, int64_t visit,
                      buf *csv)
{
    double share = fraction(o->share, default_share), noise = fraction(o->noise, default_noise),
           hard = fraction(o->hard, default_hard);
    rng r = rng_for(o->seed, (uint64_t)row, DRAW_NOTE),
        label_r = rng_for(o->seed, (uint64_t)row, DRAW_LABEL);
    bool serious = rng_unit(&r) < share, against = rng_unit(&r) < hard;
    bool label = (rng_unit(&label_r) < noise) != serious;
    int32_t year = p->year + (int32_t)visit;
    int32_t month = 1 + (int32_t)rng_below(&r, 12), day = 1 + (int32_t)rng_below(&r, 28);
    note_words w = {.who = p,
                    .age = p->age + (int32_t)visit,
                    .days = 2 + (int32_t)rng_below(&r, 12)};
    w.hours = 2 + (int32_t)rng_below(&r, 30);
    w.year = year - 3 - (int32_t)rng_below(&r, 12);
    buf text = buf_up_to(1 << 14);
    write_text(&text, &r, &w, serious, against);
    buf_printf(csv, "n%06lld,p%06lld,%s,%d-%02d-%02d,%d,%s,%s,\"", (long long)row,
               (long long)p->number, p->style->site, year, month, day, w.age, p->woman ? "F" : "M",
               p->style->language);
    buf_add_str(csv, buf_view(&text)); /* our sentences hold no quotation mark */
    assert(text.failed || !strchr(text.data, '"'));
    buf_printf(csv, "\",%s,%s,%s\n", label ? "serious" : "not-serious",
               serious ? "serious" : "not-serious", p->train ? "train" : "test");
    csv->failed |= text.failed;
    buf_close(&text);
}

bool notes_write(const notes_options *o, buf *csv, err *e)
{
    assert(o && csv);
    if (o->n_row < 1 || o->n_row > NOTES_ROWS_MAX)
        return err_set(e, ERR_USAGE, "rows must be 1 to %d, not %lld", NOTES_ROWS_MAX,
                       (long long)o->n_row);
    if (!(o->share <= 1) || !(o->hard <= 1))
        return err_set(e, ERR_USAGE, "the shares of serious and of hard notes must be at most 1");
    if (!(o->noise <= 0.5))
        return err_set(e, ERR_USAGE,
                       "label noise must be at most 0.5: at more the labels mean their opposite");
    buf_add_text(csv, "id,patient,site,date,age,sex,language,text,label,truth,split\n");
    int64_t row = 0;
    for (int64_t number = 1; row < o->n_row; number++) {
        patient p = draw_patient(o, number);
        for (int64_t visit = 0; visit < p.n_note && row < o->n_row; visit++)
            write_row(o, &p, ++row, visit, csv);
    }
    return buf_check(csv, "the notes", e);
}
