/* arms_record: how an arm asks, as JSON for the store and the report. No text of a row. */
#include "study/arms_in.h"

static void add_text(buf *out, const char *key, str value)
{
    buf_printf(out, "\"%s\": \"", key);
    if (value.size) buf_add_json(out, value);
    buf_add_text(out, "\"");
}

static void add_parts(const spec_ask *ask, buf *out)
{
    bool any = false;
    buf_add_text(out, ", \"method\": [");
    for (int p = 0; p < SPEC_METHODS; p++) {
        if (!(ask->methods >> p & 1)) continue;
        buf_printf(out, "%s\"%s\"", any ? ", " : "", spec_part_name((spec_part)p));
        any = true;
    }
    buf_add_text(out, "], \"parts\": {");
    any = false;
    for (int p = 0; p < SPEC_PART_COUNT; p++) {
        if (ask->part[p].text.size == 0) continue;
        if (any) buf_add_text(out, ", ");
        add_text(out, spec_part_name((spec_part)p), ask->part[p].text);
        any = true;
    }
    buf_add_char(out, '}');
}

static void add_ways(const arm *m, buf *out)
{
    const spec_ask *ask = &m->spec->ask;
    buf_add_text(out, ", \"wordings\": [");
    for (int32_t i = 0; i < ask->n_question; i++) {
        buf_add_text(out, i ? ", {" : "{");
        add_text(out, "question", ask->question[i].text.text);
        buf_add_text(out, ", ");
        add_text(out, "version", ask->question[i].version.text);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "], \"ways\": [");
    for (int32_t w = 0; w < m->n_way; w++) {
        const arms_way *way = &m->way[w];
        buf_printf(out,
                   "%s{\"wording\": %d, \"labels\": %d, \"reversed\": %s, \"by\": \"%s\", "
                   "\"draw\": %d, \"order\": %d}",
                   w ? ", " : "", way->question, way->words, way->reversed ? "true" : "false",
                   way->by_text ? "text" : "letter", way->draw, way->order);
    }
    buf_add_char(out, ']');
}

static void add_think(const spec_think *t, buf *out)
{
    buf_printf(out,
               ", \"think\": {\"samples\": %d, \"max_tokens\": %d, \"temperature\": %.9g, "
               "\"top_k\": %d, \"top_p\": %.9g, \"min_p\": %.9g, \"repetition_penalty\": %.9g, "
               "\"parse\": [",
               t->samples, t->max_tokens, t->temperature, t->top_k, t->top_p, t->min_p,
               t->repetition_penalty);
    for (int32_t i = 0; i < t->n_parse; i++) {
        buf_printf(out, "%s{\"rule\": \"%s\", ", i ? ", " : "", spec_parse_name(t->parse[i].kind));
        add_text(out, "text", t->parse[i].text.text);
        buf_add_char(out, '}');
    }
    buf_add_text(out, "]}");
}

void arms_write_record(const arms *a, int32_t which, buf *out)
{
    const arm *m = &a->arm[which];
    const spec_ask *ask = &m->spec->ask;
    buf_printf(out,
               "{\"framing\": \"%s\", \"score\": \"%s\", \"position\": \"%s\", \"calibrate\": "
               "\"%s\", \"language\": \"%s\", \"pick\": \"%s\", \"draws\": %d, \"orders\": %d",
               spec_framing_name(ask->framing), spec_by_name(ask->by),
               spec_position_name(ask->position), spec_calibrate_name(ask->calibrate),
               ask->language == SPEC_KOREAN ? "ko" : "en", spec_pick_name(ask->pick), ask->draws,
               ask->orders);
    if (a->piece) buf_printf(out, ", \"combine\": \"%s\"", spec_combine_name(a->spec->combine));
    add_parts(ask, out);
    add_ways(m, out);
    if (ask->think.samples > 0) add_think(&ask->think, out);
    buf_add_char(out, '}');
}
