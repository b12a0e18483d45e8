/* parse: see parse.h. A rule is a row of a table: what part of the text it looks at, and how. */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "text/parse.h"

#include <assert.h>
#include <jansson.h>
#include <pcre2.h>

/* ---- words ---- */

static unsigned char lower(char c) { return (unsigned char)(c >= 'A' && c <= 'Z' ? c + 32 : c); }

static bool same_at(str text, size_t at, str word)
{
    if (word.size == 0 || text.size - at < word.size) return false;
    for (size_t i = 0; i < word.size; i++) {
        if (lower(text.data[at + i]) != lower(word.data[i])) return false;
    }
    return true;
}

static bool is_ascii_word(char c)
{
    return (c >= '0' && c <= '9') || (lower(c) >= 'a' && lower(c) <= 'z') || c == '_';
}

/* Letters beyond ASCII: accented, Hangul, Han; not punctuation (U+2000 to U+206F, U+3000 ..). */
static bool is_far_letter(str s, size_t at)
{
    unsigned char c = (unsigned char)s.data[at];
    if (c < 0x80) return false;
    str rest = str_part(s, at, s.size - at);
    return !str_starts(rest, "\xE2\x80") && !str_starts(rest, "\xE3\x80") &&
           !str_starts(rest, "\xC2") && !str_starts(rest, "\xEF\xBC");
}

static bool begins_word(str text, size_t at)
{
    if (at == 0) return true;
    size_t before = at - 1;
    while (before > 0 && ((unsigned char)text.data[before] & 0xC0) == 0x80) before--;
    return !is_ascii_word(text.data[before]) && !is_far_letter(text, before);
}

/* What may follow a Korean answer. */
static const char *const endings[] = {"입니다", "이다", "이며", "이고", "임", "요",
                                      "로",     "으로", "은",   "는",   "가", "이"};

static bool ends_word(str text, size_t at)
{
    if (at == text.size) return true;
    if (is_ascii_word(text.data[at])) return false;
    if (!is_far_letter(text, at)) return true;
    for (size_t i = 0; i < countof(endings); i++) {
        str rest = str_part(text, at, text.size - at);
        size_t n = strlen(endings[i]);
        if (str_starts(rest, endings[i]) && (rest.size == n || !is_far_letter(rest, n)))
            return true;
    }
    return false;
}

/* Without blanks, quotes, brackets, stars and stops at both ends. */
static str bare(str s)
{
    static const char ends[] = " \t\r\n\"'`*.,:;!()[]{}";
    s = str_trim_unicode(s);
    while (s.size && strchr(ends, s.data[0])) s = str_part(s, 1, s.size - 1);
    while (s.size && strchr(ends, s.data[s.size - 1])) s.size--;
    return s;
}

/* ---- rules ---- */

static int32_t find_exact(const parse_answers *all, str text)
{
    str b = bare(text);
    for (int32_t i = 0; i < all->n; i++) {
        str answer = bare(all->text[i]);
        if (answer.size == b.size && same_at(b, 0, answer)) return all->class[i];
    }
    return PARSE_NOTHING;
}

/* "B", "(B)", "B.", "B)", "B:" or a letter that ends the text or a line; the first of them. */
static int32_t find_letter(const parse_answers *all, str text)
{
    for (size_t i = 0; i < text.size; i++) {
        char c = text.data[i];
        if (c < 'A' || c >= 'A' + all->n_letter || !begins_word(text, i)) continue;
        char next = i + 1 < text.size ? text.data[i + 1] : '\n';
        bool alone = strchr(".):]*,;\n\r", next) != NULL;
        if (alone) return all->letter_class[c - 'A'];
    }
    return PARSE_NOTHING;
}

/* The answer at a place: the longest that is a whole word there. */
static int32_t answer_at(const parse_answers *all, str text, size_t at)
{
    int32_t found = PARSE_NOTHING;
    size_t longest = 0;
    if (!begins_word(text, at)) return PARSE_NOTHING;
    for (int32_t i = 0; i < all->n; i++) {
        str answer = bare(all->text[i]);
        if (answer.size <= longest || !same_at(text, at, answer)) continue;
        if (!ends_word(text, at + answer.size)) continue;
        longest = answer.size;
        found = all->class[i];
    }
    return found;
}

static int32_t find_word(const parse_answers *all, str text, bool last)
{
    int32_t found = PARSE_NOTHING;
    for (size_t i = 0; i < text.size && (last || found < 0); i++) {
        int32_t here = answer_at(all, text, i);
        if (here >= 0) found = here;
        for (int32_t k = 0; here >= 0 && k < all->n; k++) { /* over the whole of what was read */
            str answer = bare(all->text[k]);
            if (all->class[k] == here && same_at(text, i, answer)) {
                i += answer.size - 1;
                break;
            }
        }
    }
    return found;
}

/* Of a part that was found in the text. */
static int32_t read_part(const parse_answers *all, str part)
{
    int32_t found = find_exact(all, part);
    if (found < 0) found = find_letter(all, part);
    return found < 0 ? find_word(all, part, false) : found;
}

static int32_t read_after(const parse_answers *all, str text, str mark)
{
    for (size_t i = text.size; i-- > 0;) {
        if (!same_at(text, i, mark)) continue;
        size_t from = i + mark.size;
        return read_part(all, str_part(text, from, text.size - from));
    }
    return PARSE_NOTHING;
}

static int32_t read_json(const parse_answers *all, str text, str key)
{
    int64_t open = str_find(text, STR("{"));
    if (open < 0) return PARSE_NOTHING;
    json_error_t why;
    json_t *object = json_loadb(text.data + open, text.size - (size_t)open,
                                JSON_DISABLE_EOF_CHECK | JSON_DECODE_ANY, &why);
    json_t *value = NULL, *one = NULL;
    const char *name = NULL;
    json_object_foreach(object, name, one)
    {
        if (str_is(key, name)) value = one;
    }
    char number[32] = "";
    str part = STR("");
    if (json_is_string(value)) part = (str){json_string_value(value), json_string_length(value)};
    else if (json_is_boolean(value)) part = str_of(json_is_true(value) ? "true" : "false");
    else if (json_is_integer(value)) {
        snprintf(number, sizeof number, "%lld", (long long)json_integer_value(value));
        part = str_of(number);
    }
    int32_t found = part.size ? read_part(all, part) : PARSE_NOTHING;
    json_decref(object);
    return found;
}

static pcre2_code *compile(str pattern, int *number, size_t *at)
{
    return pcre2_compile((PCRE2_SPTR)pattern.data, pattern.size,
                         PCRE2_UTF | PCRE2_UCP | PCRE2_MULTILINE, number, at, NULL);
}

static int32_t read_pattern(const parse_answers *all, str text, str pattern)
{
    int number = 0, n = -1;
    size_t at = 0;
    pcre2_code *code = compile(pattern, &number, &at);
    assert(code); /* parse_check has seen it */
    pcre2_match_data *m = pcre2_match_data_create_from_pattern(code, NULL);
    pcre2_match_context *limits = pcre2_match_context_create(NULL);
    if (limits) pcre2_set_match_limit(limits, 1000 * 1000);
    if (m && limits) n = pcre2_match(code, (PCRE2_SPTR)text.data, text.size, 0, 0, m, limits);
    int32_t found = PARSE_NOTHING;
    if (n > 0) {
        const size_t *range = pcre2_get_ovector_pointer(m);
        int group = n > 1 && range[2] != PCRE2_UNSET ? 1 : 0;
        found = read_part(all, str_part(text, range[2 * group],
                                        range[2 * group + 1] - range[2 * group]));
    }
    pcre2_match_context_free(limits);
    pcre2_match_data_free(m);
    pcre2_code_free(code);
    return found;
}

/* ---- the door ---- */

bool parse_check(const spec *s, const spec_arm *arm, err *e)
{
    const spec_think *t = &arm->ask.think;
    for (int32_t i = 0; i < t->n_parse; i++) {
        if (t->parse[i].kind != SPEC_PARSE_PATTERN) continue;
        int number = 0;
        size_t at = 0;
        unsigned char why[200] = "";
        pcre2_code *code = compile(t->parse[i].text.text, &number, &at);
        if (code) {
            pcre2_code_free(code);
            continue;
        }
        pcre2_get_error_message(number, why, sizeof why);
        return spec_fail(s, t->parse[i].text.line, e,
                         "the pattern of 'parse' cannot be read at its character %zu: %s", at + 1,
                         (const char *)why);
    }
    return true;
}

int32_t parse_text(const spec_think *rules, const parse_answers *all, str text)
{
    int32_t found = PARSE_NOTHING;
    for (int32_t i = 0; i < rules->n_parse && found < 0; i++) {
        str what = rules->parse[i].text.text;
        switch (rules->parse[i].kind) {
        case SPEC_PARSE_EXACT: found = find_exact(all, text); break;
        case SPEC_PARSE_LETTER: found = find_letter(all, text); break;
        case SPEC_PARSE_FIRST: found = find_word(all, text, false); break;
        case SPEC_PARSE_LAST: found = find_word(all, text, true); break;
        case SPEC_PARSE_AFTER: found = read_after(all, text, what); break;
        case SPEC_PARSE_JSON: found = read_json(all, text, what); break;
        case SPEC_PARSE_PATTERN: found = read_pattern(all, text, what); break;
        }
    }
    return found;
}
