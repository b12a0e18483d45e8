/* utf8: see utf8.h. */
#include "text/utf8.h"

#include <assert.h>
#include <stdlib.h>
#include <utf8proc.h>

static bool is_tail(unsigned char c) { return (c & 0xC0) == 0x80; }

/* Bytes of the valid character at p, 0 when there is none. */
static size_t character_at(const unsigned char *p, size_t room)
{
    unsigned char c = p[0];
    if (c < 0x80) return 1;
    if (c < 0xC2) return 0; /* a tail, or a two-byte form of ASCII */
    if (c < 0xE0) return room >= 2 && is_tail(p[1]) ? 2 : 0;
    if (c < 0xF0) {
        if (room < 3 || !is_tail(p[1]) || !is_tail(p[2])) return 0;
        if (c == 0xE0 && p[1] < 0xA0) return 0; /* longer than needed */
        if (c == 0xED && p[1] > 0x9F) return 0; /* surrogates */
        return 3;
    }
    if (c > 0xF4 || room < 4 || !is_tail(p[1]) || !is_tail(p[2]) || !is_tail(p[3])) return 0;
    if (c == 0xF0 && p[1] < 0x90) return 0;
    if (c == 0xF4 && p[1] > 0x8F) return 0; /* over U+10FFFF */
    return 4;
}

int64_t utf8_check(str s)
{
    const unsigned char *p = (const unsigned char *)s.data;
    size_t i = 0;
    while (i < s.size) {
        uint64_t eight;
        if (s.size - i >= sizeof eight) {
            memcpy(&eight, p + i, sizeof eight);
            if (!(eight & 0x8080808080808080u)) {
                i += sizeof eight;
                continue;
            }
        }
        size_t n = character_at(p + i, s.size - i);
        if (n == 0) return (int64_t)i;
        i += n;
    }
    return -1;
}

/* Bytes at p that begin a character but do not end it: at least 1. */
static size_t broken_at(const unsigned char *p, size_t room)
{
    size_t n = 1;
    unsigned char c = p[0];
    if (c < 0xC2 || c > 0xF4 || room < 2) return 1;
    unsigned char least = c == 0xE0 ? 0xA0 : c == 0xF0 ? 0x90 : 0x80;
    unsigned char most = c == 0xED ? 0x9F : c == 0xF4 ? 0x8F : 0xBF;
    if (p[1] < least || p[1] > most) return 1;
    while (n < (size_t)utf8_size(c) && n < room && is_tail(p[n])) n++;
    return n;
}

void utf8_mend(str s, buf *out)
{
    while (s.size > 0) {
        int64_t bad = utf8_check(s);
        size_t good = bad < 0 ? s.size : (size_t)bad;
        buf_add(out, s.data, good);
        if (bad < 0) return;
        buf_add_text(out, "\xEF\xBF\xBD");
        good += broken_at((const unsigned char *)s.data + good, s.size - good);
        s = str_part(s, good, s.size - good);
    }
}

int32_t utf8_next(str s, size_t *at)
{
    assert(*at < s.size);
    const unsigned char *p = (const unsigned char *)s.data + *at;
    int n = utf8_size(p[0]);
    assert((size_t)n <= s.size - *at);
    *at += (size_t)n;
    switch (n) {
    case 1: return p[0];
    case 2: return (p[0] & 0x1F) << 6 | (p[1] & 0x3F);
    case 3: return (p[0] & 0x0F) << 12 | (p[1] & 0x3F) << 6 | (p[2] & 0x3F);
    default: return (p[0] & 0x07) << 18 | (p[1] & 0x3F) << 12 | (p[2] & 0x3F) << 6 | (p[3] & 0x3F);
    }
}

int utf8_put(char out[4], int32_t code)
{
    assert(code >= 0 && code <= 0x10FFFF);
    if (code < 0x80) {
        out[0] = (char)code;
        return 1;
    }
    int n = code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    for (int i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (code & 0x3F));
        code >>= 6;
    }
    out[0] = (char)((n == 2 ? 0xC0 : n == 3 ? 0xE0 : 0xF0) | code);
    return n;
}

bool utf8_is_space(int32_t code)
{
    if ((code >= 9 && code <= 13) || code == 0x85) return true;
    if (code < 0x80) return code == ' ';
    utf8proc_category_t c = utf8proc_category(code);
    return c == UTF8PROC_CATEGORY_ZS || c == UTF8PROC_CATEGORY_ZL || c == UTF8PROC_CATEGORY_ZP;
}

bool utf8_is_word(int32_t code)
{
    switch (utf8proc_category(code)) {
    case UTF8PROC_CATEGORY_LU:
    case UTF8PROC_CATEGORY_LL:
    case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_LO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL:
    case UTF8PROC_CATEGORY_PC: return true;
    default: return code == 0x200C || code == 0x200D; /* joiners */
    }
}

static bool add_code(buf *out, int32_t code)
{
    char bytes[4];
    if (code < 0 || code > 0x10FFFF) return false;
    buf_add(out, bytes, (size_t)utf8_put(bytes, code));
    return !out->failed;
}

bool utf8_normalize(str s, utf8_form form, buf *out)
{
    static const utf8proc_option_t of_form[] = {
        [UTF8_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [UTF8_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [UTF8_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [UTF8_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    assert((size_t)form < countof(of_form));
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)s.data;
    utf8proc_option_t option = of_form[form];
    utf8proc_ssize_t n = utf8proc_decompose(bytes, (utf8proc_ssize_t)s.size, NULL, 0, option);
    if (n < 0) return false;
    buf codes = buf_up_to((size_t)1 << 34); /* int32 a code point */
    utf8proc_int32_t zero = 0;
    for (utf8proc_ssize_t i = 0; i < n; i++) buf_add(&codes, &zero, sizeof zero);
    bool good = !codes.failed;
    if (good && n > 0) {
        utf8proc_int32_t *code = (utf8proc_int32_t *)(void *)codes.data;
        n = utf8proc_decompose(bytes, (utf8proc_ssize_t)s.size, code, n, option);
        n = n < 0 ? n : utf8proc_normalize_utf32(code, n, option);
        good = n >= 0;
        for (utf8proc_ssize_t i = 0; good && i < n; i++) good = add_code(out, code[i]);
    }
    buf_close(&codes);
    return good;
}

void utf8_lower(str s, buf *out)
{
    for (size_t i = 0; i < s.size;) {
        int32_t code = utf8_next(s, &i);
        if (code == 0x130)
            buf_add(out, "i\xCC\x87", 3); /* the one letter whose lower case is two */
        else add_code(out, utf8proc_tolower(code));
    }
}
