/* arms_text: texts within the note budget, by the study's rule.
 *
 *   head, tail, head+tail   the first, the last, both
 *   sections                the sections whose headings are listed, the dearest first, while they
 *                           fit; the first that does not fit is cut at its end. In the order of the
 *                           text. One without any such heading is cut as head+tail
 *   chunks                  pieces that overlap, each within the budget; nothing is left out
 *
 * A heading stands at the beginning of a line, in any case, before ":", "]", ")", "." or the end of
 * the line. A section goes on to the next line with a heading of the list or of our own. */
#include "study/arms_in.h"

#include <assert.h>

enum { SECTIONS_MAX = 400 };

static const char *const own_headings[] = {
    "Impression",
    "Conclusion",
    "Conclusions",
    "Assessment",
    "Assessment and plan",
    "Diagnosis",
    "Final diagnosis",
    "결론",
    "판독 결론",
    "인상",
    "진단",
    "진단명",
    "Findings",
    "판독 소견",
    "소견",
    "Chief complaint",
    "C.C",
    "C.C.",
    "CC",
    "주소",
    "주호소",
    "주증상",
    "History of present illness",
    "Present illness",
    "HPI",
    "P.I",
    "P.I.",
    "현병력",
    "Hospital course",
    "경과",
    "경과 기록",
    "Plan",
    "계획",
    "치료 계획",
    "Past medical history",
    "PMH",
    "과거력",
    "Medications",
    "투약",
    "약물력",
    "Allergies",
    "알레르기",
    "Physical examination",
    "Physical exam",
    "신체검진",
    "신체 검진",
    "Review of systems",
    "계통 문진",
    "Social history",
    "사회력",
    "Family history",
    "가족력",
    "Laboratory",
    "Labs",
    "Lab",
    "검사 결과",
    "검사",
    "Technique",
    "Comparison",
    "Indication",
    "Results",
    "결과",
};

/* ---- pieces of tokens ---- */

bool arms_count_tokens(const tokenizer *t, str text, token_list *ids, err *e)
{
    ids->n = 0;
    return token_encode(t, text, (token_options){0}, ids, e);
}

/* The first (or last) bytes of s that are whole characters and hold at most `size` bytes. */
static str whole_characters(str s, bool first)
{
    if (first) {
        size_t n = s.size;
        while (n > 0 && ((unsigned char)s.data[n - 1] & 0xC0) == 0x80) n--;
        if (n > 0 &&
            ((unsigned char)s.data[n - 1] & 0x80)) { /* a lead byte: is its character whole? */
            unsigned char lead = (unsigned char)s.data[n - 1];
            size_t need = lead >= 0xF0 ? 4 : lead >= 0xE0 ? 3 : 2;
            return str_part(s, 0, s.size - (n - 1) == need ? s.size : n - 1);
        }
        return s;
    }
    size_t at = 0;
    while (at < s.size && ((unsigned char)s.data[at] & 0xC0) == 0x80) at++;
    return str_part(s, at, s.size - at);
}

static void add_piece(const tokenizer *t, const int32_t *id, int64_t n, bool first, buf *out)
{
    buf piece = buf_up_to(ARMS_TEXT_BYTES_MAX);
    token_decode(t, id, n, true, &piece);
    buf_add_str(out, str_trim_unicode(whole_characters(buf_view(&piece), first)));
    buf_close(&piece);
}

/* ---- sections ---- */

static bool ends_heading(str rest)
{
    if (rest.size == 0) return true;
    if (str_starts(rest, "：")) return true;
    return strchr(":])./\n\r", rest.data[0]) != NULL;
}

static bool same_letters(str a, str b)
{
    for (size_t i = 0; i < b.size; i++) {
        unsigned char x = (unsigned char)a.data[i], y = (unsigned char)b.data[i];
        if (x >= 'A' && x <= 'Z') x = (unsigned char)(x + 32);
        if (y >= 'A' && y <= 'Z') y = (unsigned char)(y + 32);
        if (x != y) return false;
    }
    return true;
}

static bool is_heading(str line, str heading)
{
    while (line.size && strchr(" \t#*[<(-", line.data[0])) line = str_part(line, 1, line.size - 1);
    if (line.size < heading.size || !same_letters(line, heading)) return false;
    str rest = str_part(line, heading.size, line.size - heading.size);
    while (rest.size && strchr(" \t*", rest.data[0])) rest = str_part(rest, 1, rest.size - 1);
    return ends_heading(rest);
}

/* The place of the line's heading in the list that is kept; n of it: a heading that is not kept;
 * -1: no heading. */
static int32_t heading_of(const spec *s, str line)
{
    int32_t n_own = (int32_t)countof(own_headings), n = s->sections.n;
    for (int32_t i = 0; i < n; i++) {
        if (is_heading(line, str_trim(s->sections.item[i].text))) return i;
    }
    for (int32_t i = 0; i < n_own; i++) {
        if (is_heading(line, str_of(own_headings[i]))) return n ? n : i;
    }
    return -1;
}

typedef struct cutter { /* one text and one model's tokens of it */
    const arms *arms;
    const tokenizer *tokens;
    str text;
    token_list ids;
} cutter;

typedef struct section {
    size_t from, to;
    int32_t rank; /* 0: the dearest; -1: in front of any heading */
    int64_t keep; /* tokens, 0: left out, -1: whole */
} section;

static int32_t find_sections(const spec *s, str text, section *part)
{
    int32_t n = 0;
    for (size_t at = 0; at < text.size;) {
        const char *end = memchr(text.data + at, '\n', text.size - at);
        size_t next = end ? (size_t)(end - text.data) + 1 : text.size;
        int32_t rank = heading_of(s, str_part(text, at, next - at));
        if ((rank >= 0 || n == 0) && n < SECTIONS_MAX)
            part[n++] = (section){.from = at, .rank = rank};
        part[n - 1].to = next;
        at = next;
    }
    return n;
}

/* Sections by rank while they fit; false: the text has none that is kept. */
static bool choose_sections(const cutter *c, section *part, int32_t n, int64_t keep, err *e)
{
    int32_t own = (int32_t)countof(own_headings), listed = c->arms->spec->sections.n;
    token_list ids = {0};
    bool any = false;
    int64_t left = keep;
    for (int32_t rank = 0; rank < (listed ? listed : own) && left > 0; rank++) {
        for (int32_t i = 0; i < n && left > 0; i++) {
            if (part[i].rank != rank) continue;
            str body = str_part(c->text, part[i].from, part[i].to - part[i].from);
            if (!arms_count_tokens(c->tokens, body, &ids, e)) break;
            any = true;
            part[i].keep = ids.n <= left ? -1 : left;
            left -= ids.n;
        }
    }
    token_list_close(&ids);
    return any;
}

/* False: no heading was found. */
static bool write_sections(const cutter *c, int64_t keep, buf *out, err *e)
{
    section part[SECTIONS_MAX];
    int32_t n = find_sections(c->arms->spec, c->text, part), last = -1;
    if (!choose_sections(c, part, n, keep, e)) return false;
    token_list ids = {0};
    for (int32_t i = 0; i < n && e->code == ERR_NONE; i++) {
        if (part[i].keep == 0) continue;
        str body = str_part(c->text, part[i].from, part[i].to - part[i].from);
        if (last != i - 1) buf_add_text(out, out->size ? "\n[...]\n" : "[...]\n");
        last = i;
        if (part[i].keep < 0) buf_add_str(out, body);
        else if (arms_count_tokens(c->tokens, body, &ids, e)) {
            add_piece(c->tokens, ids.id, part[i].keep, true, out);
            last = -2;
        }
    }
    if (last != n - 1) buf_add_text(out, "\n[...]");
    token_list_close(&ids);
    return true;
}

/* ---- one text ---- */

/* Keeps `keep` of the text's tokens by the rule. */
static void write_cut(const cutter *c, int64_t keep, buf *out, err *e)
{
    spec_cut rule = c->arms->spec->cut;
    if (rule == SPEC_CUT_SECTIONS && write_sections(c, keep, out, e)) return;
    int64_t head = rule == SPEC_CUT_HEAD ? keep : rule == SPEC_CUT_TAIL ? 0 : (keep + 1) / 2;
    int64_t tail = keep - head;
    if (head > 0) add_piece(c->tokens, c->ids.id, head, true, out);
    buf_add_text(out, ARMS_GAP);
    if (tail > 0) add_piece(c->tokens, c->ids.id + c->ids.n - tail, tail, false, out);
}

/* Without the gap's outer blank: templates may strip what stands at a message's ends. */
static str cut_view(const buf *out) { return str_trim_unicode(buf_view(out)); }

/* `text` within `budget` tokens of a tokenizer by the study's rule. */
static bool fit_tokens(const arms *a, const tokenizer *t, str text, int32_t budget,
                       arms_fit *out_fit, err *e)
{
    spec_cut rule = a->spec->cut;
    cutter c = {.arms = a, .tokens = t, .text = text};
    token_list again = {0};
    buf out = buf_up_to(ARMS_TEXT_BYTES_MAX);
    *out_fit = (arms_fit){.text = text};
    bool ok = arms_count_tokens(t, text, &c.ids, e);
    int64_t keep = budget - ARMS_SLACK_TOKENS;
    while (ok && c.ids.n > budget && rule != SPEC_CUT_REFUSE) {
        if (keep < 1) {
            ok = err_set(e, ERR_USAGE, "`limits: max_tokens` leaves %d tokens for a text: too few",
                         budget);
            break;
        }
        buf_clear(&out);
        write_cut(&c, keep, &out, e);
        ok = e->code == ERR_NONE && buf_check(&out, "a text", e) &&
             arms_count_tokens(t, cut_view(&out), &again, e);
        int64_t kept = rule == SPEC_CUT_SECTIONS ? again.n : keep;
        out_fit->n_cut = (int32_t)(c.ids.n > kept ? c.ids.n - kept : 1);
        if (ok && again.n <= budget) break;
        keep -= again.n - budget > 0 ? again.n - budget : 1;
    }
    if (ok && out_fit->n_cut > 0) out_fit->text = str_keep(a->memory, cut_view(&out), e);
    if (ok && rule == SPEC_CUT_REFUSE && c.ids.n > budget)
        out_fit->n_cut = (int32_t)(c.ids.n - budget);
    buf_close(&out);
    token_list_close(&c.ids);
    token_list_close(&again);
    return ok && e->code == ERR_NONE;
}

/* Tokens that a text has too many for one of the models: the most. */
static bool find_excess(const arms *a, str text, const int32_t *budget, int32_t *excess, err *e)
{
    token_list ids = {0};
    bool ok = true;
    *excess = 0;
    for (int32_t i = 0; ok && i < a->n_model; i++) {
        ok = arms_count_tokens(a->model[i].rules.tokens, text, &ids, e);
        if (ids.n - budget[i] > *excess) *excess = (int32_t)(ids.n - budget[i]);
    }
    token_list_close(&ids);
    return ok;
}

bool arms_fit_text(const arms *a, str text, const int32_t *budget, arms_fit *out, err *e)
{
    int32_t by = 0, most = 0, excess = 0;
    if (!fit_tokens(a, a->model[0].rules.tokens, text, budget[0], out, e)) return false;
    most = out->n_cut;
    for (int32_t i = 1; i < a->n_model; i++) {
        arms_fit other;
        if (!fit_tokens(a, a->model[i].rules.tokens, text, budget[i], &other, e)) return false;
        if (other.n_cut > most) most = other.n_cut;
        if (other.text.size < out->text.size) *out = other, by = i;
    }
    int32_t room = budget[by];
    while (a->n_model > 1 && most > 0 && a->spec->cut != SPEC_CUT_REFUSE) {
        if (!find_excess(a, out->text, budget, &excess, e)) return false;
        if (excess == 0) break;
        room -= excess;
        if (!fit_tokens(a, a->model[by].rules.tokens, text, room, out, e)) return false;
        if (out->n_cut > most) most = out->n_cut;
    }
    out->n_cut = most;
    return true;
}

/* ---- chunks ---- */

/* Pieces of `size` tokens of the first model; *excess: tokens that one has too many for a model. */
static bool add_chunks(const cutter *c, int64_t size, const int32_t *budget, buf *pieces,
                       int32_t *excess, err *e)
{
    const arms *a = c->arms;
    const token_list *ids = &c->ids;
    int64_t step = size - size * a->spec->overlap / 100, from = 0;
    buf out = buf_up_to(ARMS_TEXT_BYTES_MAX);
    *excess = 0;
    for (int32_t n = 0; e->code == ERR_NONE; n++) {
        int64_t to = from + size < ids->n ? from + size : ids->n;
        if (n == ARMS_CHUNKS_MAX) {
            err_set(e, ERR_USAGE, "a text is more than %d chunks; raise `chunk_tokens`",
                    ARMS_CHUNKS_MAX);
            break;
        }
        buf piece = buf_up_to(ARMS_TEXT_BYTES_MAX);
        token_decode(c->tokens, ids->id + from, to - from, true, &piece);
        str whole = whole_characters(whole_characters(buf_view(&piece), from == 0), true);
        buf_clear(&out);
        buf_add_str(&out, str_trim_unicode(whole));
        buf_close(&piece);
        int32_t over = 0;
        str kept = buf_check(&out, "a text", e) ? str_keep(a->memory, buf_view(&out), e) : STR("");
        if (e->code == ERR_NONE && find_excess(a, kept, budget, &over, e) && over > *excess)
            *excess = over;
        buf_add(pieces, &kept, sizeof kept);
        if (to == ids->n) break;
        from += step > 0 ? step : 1;
    }
    buf_close(&out);
    return buf_check(pieces, "the chunks", e) && e->code == ERR_NONE;
}

bool arms_cut_chunks(const arms *a, str text, const int32_t *budget, buf *pieces, err *e)
{
    cutter c = {.arms = a, .tokens = a->model[0].rules.tokens, .text = text};
    int32_t excess = 0;
    size_t before = pieces->size;
    int64_t size = budget[0] - ARMS_SLACK_TOKENS;
    if (a->spec->chunk_tokens > 0 && a->spec->chunk_tokens < size) size = a->spec->chunk_tokens;
    bool ok =
        arms_count_tokens(c.tokens, text, &c.ids, e) && find_excess(a, text, budget, &excess, e);
    if (ok && excess == 0 && (a->spec->chunk_tokens == 0 || c.ids.n <= a->spec->chunk_tokens)) {
        buf_add(pieces, &text, sizeof text);
        ok = buf_check(pieces, "the chunks", e);
    } else if (ok) {
        do {
            pieces->size = before;
            ok = add_chunks(&c, size, budget, pieces, &excess, e);
            size -= excess;
            if (ok && size < 8)
                ok =
                    err_set(e, ERR_USAGE, "`limits: max_tokens` leaves too few tokens for a chunk");
        } while (ok && excess > 0);
    }
    token_list_close(&c.ids);
    return ok;
}
