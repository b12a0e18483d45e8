/* encoding: see encoding.h. Tables in other encodings go through iconv; UTF-8 is checked here and
 * used in place. A byte order mark wins over what was asked for: it is part of the file. */
#include "data/encoding.h"

#include <assert.h>
#include <errno.h>
#include <iconv.h>
#include <string.h>
#include <utf8proc.h>

static const struct encoding_row {
    const char *name, *iconv_name;
    const char *spellings; /* lower case, between spaces, without - and _ */
} rows_of_encoding[ENCODING_COUNT] = {
    [ENCODING_AUTO] = {"auto", NULL, " auto "},
    [ENCODING_UTF8] = {"UTF-8", NULL, " utf8 utf8sig utf8bom "},
    [ENCODING_UTF16LE] = {"UTF-16LE", "UTF-16LE", " utf16 utf16le unicode "},
    [ENCODING_UTF16BE] = {"UTF-16BE", "UTF-16BE", " utf16be "},
    [ENCODING_CP949] = {"CP949", "CP949", " cp949 euckr uhc ms949 windows949 ksc5601 ksx1001 "},
    [ENCODING_WINDOWS1252] = {"Windows-1252", "CP1252",
                              " windows1252 cp1252 latin1 iso88591 ansi "},
    [ENCODING_SHIFT_JIS] = {"Shift_JIS", "CP932", " shiftjis sjis cp932 windows31j "},
    [ENCODING_GB18030] = {"GB18030", "GB18030", " gb18030 gbk gb2312 cp936 "},
    [ENCODING_BIG5] = {"Big5", "BIG5", " big5 cp950 "},
};

const char *encoding_name(encoding k)
{
    assert(k < ENCODING_COUNT);
    return rows_of_encoding[k].name;
}

const char *encoding_names(void)
{
    return "utf-8, utf-16, cp949, windows-1252, shift_jis, gb18030 or big5";
}

bool encoding_find(str name, encoding *out)
{
    char word[34] = " "; /* " name " */
    size_t n = 1;
    name = str_trim(name);
    for (size_t i = 0; i < name.size; i++) {
        char c = name.data[i];
        if (c == '-' || c == '_' || c == '.') continue;
        if (c == ' ' || c == 0 || n + 2 >= sizeof word) return false;
        word[n++] = c >= 'A' && c <= 'Z' ? (char)(c + 32) : c;
    }
    if (n == 1) return false;
    word[n++] = ' ';
    word[n] = 0;
    for (int k = 0; k < ENCODING_COUNT; k++) {
        if (strstr(rows_of_encoding[k].spellings, word)) return *out = (encoding)k, true;
    }
    return false;
}

/* Bytes of the character at s[i] if it is well-formed (Unicode 15, table 3-7), else 0. */
static size_t utf8_step(const unsigned char *s, size_t left)
{
    unsigned c = s[0];
    if (c < 0x80) return 1;
    if (c < 0xC2 || c > 0xF4) return 0;
    size_t n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    if (left < n) return 0;
    unsigned low = 0x80, high = 0xBF;
    if (c == 0xE0) low = 0xA0;
    if (c == 0xED) high = 0x9F;
    if (c == 0xF0) low = 0x90;
    if (c == 0xF4) high = 0x8F;
    if (s[1] < low || s[1] > high) return 0;
    for (size_t i = 2; i < n; i++) {
        if ((s[i] & 0xC0) != 0x80) return 0;
    }
    return n;
}

static size_t ascii_run(const unsigned char *s, size_t left)
{
    size_t i = 0;
    for (; i + 8 <= left; i += 8) {
        uint64_t word;
        memcpy(&word, s + i, 8);
        if (word & 0x8080808080808080u) break;
    }
    while (i < left && s[i] < 0x80) i++;
    return i;
}

int64_t encoding_utf8_valid(str text)
{
    const unsigned char *s = (const unsigned char *)text.data;
    size_t i = 0;
    while (i < text.size) {
        i += ascii_run(s + i, text.size - i);
        if (i == text.size) break;
        size_t n = utf8_step(s + i, text.size - i);
        if (n == 0) return (int64_t)i;
        i += n;
    }
    return -1;
}

int64_t encoding_count_characters(str utf8)
{
    int64_t n = 0;
    for (size_t i = 0; i < utf8.size; i++) n += ((unsigned char)utf8.data[i] & 0xC0) != 0x80;
    return n;
}

str encoding_cut(str utf8, size_t bytes_max)
{
    if (utf8.size <= bytes_max) return utf8;
    while (bytes_max > 0 && ((unsigned char)utf8.data[bytes_max] & 0xC0) == 0x80) bytes_max--;
    return str_part(utf8, 0, bytes_max);
}

/* Everything through iconv into r->store; failed_at is where it stopped, or -1. */
static bool decode_iconv(encoding_result *r, str bytes, encoding from, err *e)
{
    iconv_t cd = iconv_open("UTF-8", rows_of_encoding[from].iconv_name);
    if (cd == (iconv_t)-1) {
        return err_set(e, ERR_RESOURCE,
                       "this system's iconv does not know %s (%s); save the table as UTF-8",
                       encoding_name(from), strerror(errno));
    }
    char chunk[1 << 14];
    char *in = (char *)(uintptr_t)bytes.data; /* iconv's type; it does not write there */
    size_t left = bytes.size;
    buf_clear(&r->store);
    r->used = from;
    r->failed_at = -1;
    while (left > 0 && r->failed_at < 0) {
        char *out = chunk;
        size_t room = sizeof chunk;
        size_t rc = iconv(cd, &in, &left, &out, &room);
        buf_add(&r->store, chunk, sizeof chunk - room);
        if (rc == (size_t)-1 && errno != E2BIG) r->failed_at = (int64_t)(bytes.size - left);
    }
    iconv_close(cd);
    r->text = buf_view(&r->store);
    return buf_check(&r->store, "the decoded table", e);
}

/* CP949's first half, KS X 1001, holds what Korean is written with; its extension (a lead or trail
 * byte below A1) holds 8,822 syllables that are seldom met: a few in a thousand. In Windows-1252
 * text a curly quote or a degree sign before a letter looks like nothing but the extension. */
static bool looks_western(str s)
{
    int64_t pairs = 0, seldom = 0;
    for (size_t i = 0; i + 1 < s.size; i++) {
        unsigned char lead = (unsigned char)s.data[i], trail = (unsigned char)s.data[i + 1];
        if (lead < 0x81) continue;
        pairs++;
        seldom += lead < 0xA1 || trail < 0xA1;
        i++;
    }
    return seldom >= 8 && seldom > pairs / 2;
}

static bool decode_utf8(encoding_result *r, str bytes)
{
    r->used = ENCODING_UTF8;
    r->failed_at = encoding_utf8_valid(bytes);
    r->text = r->failed_at < 0 ? bytes : str_part(bytes, 0, (size_t)r->failed_at);
    return true;
}

static bool decode_guess(encoding_result *r, str bytes, err *e)
{
    decode_utf8(r, bytes);
    if (r->failed_at < 0) return true;
    encoding_result other = {.store = buf_up_to(r->store.max)};
    if (!decode_iconv(&other, bytes, ENCODING_CP949, e)) {
        buf_close(&other.store);
        return false;
    }
    r->looks_western = other.failed_at < 0 && looks_western(bytes);
    bool further = other.failed_at < 0 || other.failed_at > r->failed_at;
    if (further && !r->looks_western) *r = other;
    else buf_close(&other.store);
    return true;
}

bool encoding_decode(encoding_result *r, str bytes, encoding asked, err *e)
{
    assert(r && asked < ENCODING_COUNT);
    static const struct {
        const char *mark;
        size_t size;
        encoding means;
    } marks[] = {{"\xEF\xBB\xBF", 3, ENCODING_UTF8},
                 {"\xFF\xFE", 2, ENCODING_UTF16LE},
                 {"\xFE\xFF", 2, ENCODING_UTF16BE}};
    *r = (encoding_result){.failed_at = -1, .store = buf_up_to(BUF_MAX)};
    size_t skipped = 0;
    for (size_t i = 0; i < countof(marks) && !r->has_mark; i++) {
        if (bytes.size < marks[i].size || memcmp(bytes.data, marks[i].mark, marks[i].size))
            continue;
        r->has_mark = true;
        skipped = marks[i].size;
        asked = marks[i].means;
    }
    if (skipped) bytes = str_part(bytes, skipped, bytes.size - skipped);
    bool has_mark = r->has_mark, ok = true;
    if (asked == ENCODING_AUTO) ok = decode_guess(r, bytes, e);
    else if (asked == ENCODING_UTF8) ok = decode_utf8(r, bytes);
    else ok = decode_iconv(r, bytes, asked, e);
    r->has_mark = has_mark;
    if (r->failed_at >= 0) r->failed_at += (int64_t)skipped;
    return ok;
}

/* Characters that NFC leaves alone wherever they stand and that never join the one before them:
 * most of what Latin, Korean, Chinese and Japanese texts are made of. The rest asks utf8proc. */
static bool is_plain(uint32_t c)
{
    if (c < 0x300) return true;
    if (c >= 0xAC00 && c <= 0xD7A3) return true; /* Hangul syllables */
    if (c >= 0x4E00 && c <= 0x9FFF) return true;
    if (c >= 0x2010 && c <= 0x205E) return true;
    if (c >= 0x3001 && c <= 0x3029) return c != 0x302A;
    if (c >= 0x3131 && c <= 0x318E) return true; /* Hangul compatibility letters */
    return c >= 0xFF01 && c <= 0xFFEE;
}

static uint32_t utf8_next(const unsigned char *s, size_t *i)
{
    uint32_t c = s[*i];
    if (c < 0x80) return *i += 1, c;
    size_t n = c < 0xE0 ? 2 : c < 0xF0 ? 3 : 4;
    c &= 0xFFu >> (n + 1);
    for (size_t k = 1; k < n; k++) c = c << 6 | (s[*i + k] & 0x3Fu);
    *i += n;
    return c;
}

static bool scan_plain(str text, encoding_count *count)
{
    const unsigned char *s = (const unsigned char *)text.data;
    bool plain = true;
    for (size_t i = ascii_run(s, text.size); i < text.size;) {
        uint32_t c = utf8_next(s, &i);
        plain = plain && is_plain(c);
        count->n_replacement += c == 0xFFFD;
        count->n_private += (c >= 0xE000 && c <= 0xF8FF) || (c >= 0xF0000 && (c & 0xFFFF) < 0xFFFE);
    }
    return plain;
}

void encoding_add_nfc(buf *out, str s, encoding_count *count)
{
    assert(out && count);
    if (scan_plain(s, count)) {
        buf_add_str(out, s);
        return;
    }
    const utf8proc_option_t options = UTF8PROC_STABLE | UTF8PROC_COMPOSE;
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)s.data;
    utf8proc_int32_t few[1024];
    buf many = buf_up_to(BUF_MAX);
    utf8proc_int32_t *code = few;
    utf8proc_ssize_t room = countof(few) - 1; /* reencode writes one past the end */
    utf8proc_ssize_t n = utf8proc_decompose(bytes, (utf8proc_ssize_t)s.size, code, room, options);
    if (n > room) {
        for (room = 0; room < n; room += 1024) buf_add(&many, few, 1024 * sizeof few[0]);
        buf_add(&many, few, sizeof few[0]);
        code = many.failed ? NULL : (utf8proc_int32_t *)(void *)many.data;
        if (code) n = utf8proc_decompose(bytes, (utf8proc_ssize_t)s.size, code, room, options);
    }
    utf8proc_ssize_t size = code && n >= 0 ? utf8proc_reencode(code, n, options) : -1;
    if (size < 0) out->failed = true; /* memory: the callers' texts are valid UTF-8 */
    else {
        str composed = {(const char *)code, (size_t)size};
        count->n_changed += !str_equal(composed, s);
        buf_add_str(out, composed);
    }
    buf_close(&many);
}
