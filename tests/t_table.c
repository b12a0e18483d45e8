/* Tests of data/table and data/encoding. */
#include "data/table.h"

#include "broken.h"

#include <iconv.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <time.h>

#include <cmocka.h>

typedef struct place {
    arena a;
    err e;
    table t;
} place;

static int set_up(void **state)
{
    static place p;
    p = (place){0};
    *state = &p;
    return arena_open(&p.a, (size_t)1 << 36, "test", &p.e) ? 0 : 1;
}

static int tear_down(void **state)
{
    arena_close(&((place *)*state)->a);
    return 0;
}

static bool parse_as(place *p, str bytes, const char *name, table_options o)
{
    p->e = (err){0};
    arena_reset(&p->a, 0);
    return table_parse(&p->t, bytes, name, o, &p->a, &p->e);
}

static bool parse(place *p, const char *bytes, const char *name)
{
    return parse_as(p, str_of(bytes), name, (table_options){0});
}

static void check_cell(const place *p, int32_t row, int32_t column, const char *text)
{
    str s = table_cell(&p->t, row, column);
    if (!str_is(s, text))
        fail_msg("row %d column %d: got '%.*s' not '%s'", row, column, (int)s.size, s.data, text);
}

static void test_csv(void **state)
{
    place *p = *state;
    assert_true(parse(p,
                      "id,text,label\r\n"
                      "1,plain,a\r\n"
                      "2,\"with \"\"quotes\"\", commas\r\nand lines\",b\r\n"
                      "3, spaces stay ,\r\n"
                      "\"4\",5'6\" tall,\"\"\r\n",
                      "t.csv"));
    assert_int_equal(p->t.n_row, 4);
    assert_int_equal(p->t.n_column, 3);
    assert_string_equal(p->t.column_name[1].data, "text");
    check_cell(p, 0, 1, "plain");
    check_cell(p, 1, 1, "with \"quotes\", commas\r\nand lines");
    check_cell(p, 2, 1, " spaces stay ");
    check_cell(p, 2, 2, "");
    check_cell(p, 3, 0, "4");
    check_cell(p, 3, 1, "5'6\" tall");
    check_cell(p, 3, 2, "");
    assert_int_equal(p->t.row_line[1], 3);
    assert_int_equal(p->t.row_line[2], 5);
    assert_string_equal(table_format_name(&p->t.record), "CSV, comma");
    assert_int_equal(p->t.record.encoding, ENCODING_UTF8);
    assert_int_equal(table_find_column(&p->t, STR("label")), 2);
    assert_int_equal(table_find_column(&p->t, STR("Label")), -1);
}

static void test_line_ends(void **state)
{
    place *p = *state;
    static const char *const text[] = {"a,b\n1,2\n3,4",           "a,b\r1,2\r3,4\r",
                                       "a,b\r\n1,2\r\n3,4\r\n",   "a,b\n1,2\n3,4\n\n\n\r\n",
                                       "a,b\n1,2\n\"3\",\"4\"\n", "a,b\n1,2\n3,4\n,\n,\n"};
    for (size_t i = 0; i < countof(text); i++) {
        assert_true(parse(p, text[i], "t.csv"));
        assert_int_equal(p->t.n_row, 2);
        check_cell(p, 1, 1, "4");
        assert_int_equal(p->t.row_line[1], 3);
        assert_int_equal(p->t.record.n_blank_end, i == 5 ? 2 : 0);
    }
}

static void test_delimiters(void **state)
{
    place *p = *state;
    assert_true(parse(p, "id;text;x,y\n1;a,b;2\n", "t.csv"));
    assert_int_equal(p->t.n_column, 3);
    assert_string_equal(table_format_name(&p->t.record), "CSV, semicolon");
    assert_true(parse(p, "id\ttext\n1\ta,b;c\n", "t.csv"));
    assert_string_equal(table_format_name(&p->t.record), "TSV");
    check_cell(p, 0, 1, "a,b;c");
    assert_true(parse(p, "\"a;b;c\",d\n1,2\n", "t.csv"));
    assert_int_equal(p->t.n_column, 2);
    assert_true(parse(p, "sep=;\r\na;b\r\n1;2\r\n", "t.csv"));
    assert_int_equal(p->t.n_column, 2);
    assert_int_equal(p->t.row_line[0], 3);
    assert_true(parse(p, "a,b\tc\n1,2\t3\n", "t.tsv"));
    assert_int_equal(p->t.n_column, 2);
    assert_true(parse_as(p, STR("a|b\n1|2\n"), "t.txt", (table_options){.delimiter = '|'}));
    check_cell(p, 0, 1, "2");
    assert_true(parse(p, "only\none\n\ntwo\n", "t.csv"));
    assert_int_equal(p->t.n_row, 3);
}

static void test_names(void **state)
{
    place *p = *state;
    assert_true(parse(p, ",\" id \",\n0,1,2\n", "t.csv"));
    assert_string_equal(p->t.column_name[0].data, "column 1");
    assert_string_equal(p->t.column_name[1].data, "id");
    assert_string_equal(p->t.column_name[2].data, "column 3");
    buf list = buf_up_to(1000);
    assert_true(parse(p, "id,text,label\n0,1,2\n", "t.csv"));
    table_list_columns(&p->t, STR("texte"), &list);
    assert_string_equal(list.data, "its columns are: id, text, label; did you mean 'text'?");
    buf_close(&list);
}

/* A first row in the place of the names is not shown: it may be a patient's. */
static void test_names_that_are_a_row(void **state)
{
    static const char *const headless[] = {
        "1,rash on both arms,mild\n2,well again,mild\n",
        "{\"text\": \"rash on both arms\"}\n{\"text\": \"well\"}\n",
        "id,a rash on both arms that came three days after the second dose of it\n1,2\n"};
    place *p = *state;
    for (size_t i = 0; i < countof(headless); i++) {
        assert_true(parse(p, headless[i], "t.csv"));
        assert_int_equal(table_need_column(&p->t, STR("text"), &p->e), -1);
        assert_int_equal(p->e.code, ERR_USAGE);
        assert_non_null(strstr(p->e.text, "its first line looks like a row"));
        assert_null(strstr(p->e.text, "rash"));
        p->e = (err){0};
    }
}

static void test_jsonl(void **state)
{
    place *p = *state;
    assert_true(parse(p,
                      "{\"id\": 1.50, \"text\": \"a\\n\\u00e9\\ud83d\\ude00\\\"\", \"ok\": true}\n"
                      "\n"
                      "{\"text\": null, \"later\": -0.0e+5, \"id\": 12345678901234567890123}\n"
                      "{\"nest\": [1, {\"a\": \"}]\\\"\"}], \"ok\": false}",
                      "t.jsonl"));
    assert_int_equal(p->t.n_row, 3);
    assert_int_equal(p->t.n_column, 5);
    check_cell(p, 0, 0, "1.50");
    check_cell(p, 0, 1, "a\né😀\"");
    check_cell(p, 0, 2, "true");
    check_cell(p, 0, 3, "");
    check_cell(p, 1, 0, "12345678901234567890123");
    check_cell(p, 1, 1, "");
    check_cell(p, 1, 3, "-0.0e+5");
    check_cell(p, 2, 2, "false");
    check_cell(p, 2, 4, "[1, {\"a\": \"}]\\\"\"}]");
    assert_int_equal(p->t.row_line[1], 3);
    assert_true(table_check_flat(&p->t, 1, &p->e));
    assert_false(table_check_flat(&p->t, 4, &p->e));
    assert_string_equal(p->e.text, "t.jsonl: row 3 (line 4), column 'nest': a list or object where "
                                   "one value is needed");
    assert_true(parse(p, "[ {\"a\": 1},\n {\"a\": 2} ]\n", "t.json"));
    assert_int_equal(p->t.n_row, 2);
    assert_true(parse(p, "{\"a\": 1}", "data"));
    assert_int_equal(p->t.record.format, TABLE_JSONL);
}

/* --- encodings --- */

static void test_cp949(void **state)
{
    place *p = *state;
    /* 폐렴, and 똠, which EUC-KR lacks (8C 63) */
    static const char text[] = "id,text\n1,\xC6\xF3\xB7\xC5 \x8C\x63\n";
    assert_true(parse(p, text, "t.csv"));
    check_cell(p, 0, 1, "폐렴 똠");
    assert_int_equal(p->t.record.encoding, ENCODING_CP949);
    assert_true(parse_as(p, STR(text), "t.csv", (table_options){.encoding = ENCODING_CP949}));
    check_cell(p, 0, 1, "폐렴 똠");
    assert_false(parse_as(p, STR(text), "t.csv", (table_options){.encoding = ENCODING_UTF8}));
    assert_non_null(
        strstr(p->e.text, "row 1 (line 2), column 'text': byte C6 at offset 10 is not UTF-8"));
    assert_true(parse(p, "id,text\n1,\x8C\x63\n", "t.csv")); /* alone it is still read */
    check_cell(p, 0, 1, "똠");
}

/* All 11,172 syllables there and back. */
static void test_cp949_every_syllable(void **state)
{
    place *p = *state;
    buf utf8 = buf_up_to(1 << 20);
    char cp949[40000], *out = cp949;
    buf_add_text(&utf8, "text\n");
    for (unsigned c = 0xAC00; c <= 0xD7A3; c++) {
        char s[3] = {(char)(0xE0 | c >> 12), (char)(0x80 | (c >> 6 & 0x3F)),
                     (char)(0x80 | (c & 0x3F))};
        buf_add(&utf8, s, 3);
        if (c % 100 == 99) buf_add_char(&utf8, '\n');
    }
    char *in = utf8.data;
    size_t left = utf8.size, room = sizeof cp949;
    iconv_t cd = iconv_open("CP949", "UTF-8");
    assert_true(cd != (iconv_t)-1);
    assert_int_equal(iconv(cd, &in, &left, &out, &room), 0);
    iconv_close(cd);
    table_options o = {.encoding = ENCODING_CP949};
    assert_true(parse_as(p, (str){cp949, (size_t)(out - cp949)}, "t.csv", o));
    size_t at = 5;
    for (int32_t r = 0; r < p->t.n_row; r++) {
        str s = table_cell(&p->t, r, 0);
        assert_memory_equal(s.data, utf8.data + at, s.size);
        at += s.size + 1;
    }
    assert_true(at + 1 >= utf8.size);
    buf_close(&utf8);
}

static void test_marks(void **state)
{
    place *p = *state;
    static const char little[] = "\xFF\xFEi\0d\0,\0t\0\n\0"
                                 "1\0,\0\xD0\xD3\n\0";
    static const char big[] = "\xFE\xFF\0i\0d\0,\0t\0\n\0"
                              "1\0,\xD3\xD0\0\n";
    assert_true(parse(p, "\xEF\xBB\xBFid,t\n1,폐\n", "t.csv"));
    assert_string_equal(p->t.column_name[0].data, "id");
    assert_true(p->t.record.has_mark);
    assert_true(parse_as(p, (str){little, sizeof little - 1}, "t.csv", (table_options){0}));
    check_cell(p, 0, 1, "폐");
    assert_int_equal(p->t.record.encoding, ENCODING_UTF16LE);
    assert_true(parse_as(p, (str){big, sizeof big - 1}, "t.csv", (table_options){0}));
    check_cell(p, 0, 1, "폐");
    assert_int_equal(p->t.record.encoding, ENCODING_UTF16BE);
    table_options o = {.encoding = ENCODING_UTF16LE}; /* no mark, but told */
    assert_true(parse_as(p, (str){little + 2, sizeof little - 3}, "t.csv", o));
    check_cell(p, 0, 1, "폐");
}

static void test_other_encodings(void **state)
{
    place *p = *state;
    static const struct {
        const char *name, *bytes, *text;
    } cases[] = {{"windows-1252", "patient\x92s caf\xE9", "patient’s café"},
                 {"Shift_JIS", "\x94\x78\x89\x8A", "肺炎"},
                 {"gb18030", "\xB7\xCE\xD1\xD7", "肺炎"},
                 {"Big5", "\xAA\xCD\xAA\xA2", "肺炎"},
                 {"EUC-KR", "\xC6\xF3\xB7\xC5", "폐렴"}};
    for (size_t i = 0; i < countof(cases); i++) {
        char text[200];
        table_options o = {0};
        assert_true(encoding_find(str_of(cases[i].name), &o.encoding));
        int n = snprintf(text, sizeof text, "id,text\n1,%s\n", cases[i].bytes);
        assert_true(parse_as(p, (str){text, (size_t)n}, "t.csv", o));
        check_cell(p, 0, 1, cases[i].text);
    }
    encoding k;
    assert_false(encoding_find(STR("utf"), &k));
    assert_false(encoding_find(STR(""), &k));
    assert_false(encoding_find(STR("utf8 cp949"), &k));
    for (int i = 0; i < ENCODING_COUNT; i++) {
        assert_true(encoding_find(str_of(encoding_name((encoding)i)), &k));
        assert_int_equal(k, i);
    }
}

static str nfc(buf *out, const char *s, encoding_count *count)
{
    buf_clear(out);
    encoding_add_nfc(out, str_of(s), count);
    return buf_view(out);
}

static void test_nfc(void **state)
{
    place *p = *state;
    static const char nfd[] = "\xE1\x84\x91\xE1\x85\xA8\xE1\x84\x85\xE1\x85\xA7\xE1\x86\xB7";
    char text[100];
    assert_int_equal(strlen(nfd), 15);
    snprintf(text, sizeof text, "id,%s\n%s,cafe\xCC\x81\n2,plain\n", nfd, nfd);
    assert_true(parse(p, text, "t.csv"));
    check_cell(p, 0, 0, "폐렴");
    assert_int_equal(table_cell(&p->t, 0, 0).size, 6);
    check_cell(p, 0, 1, "café");
    assert_string_equal(p->t.column_name[1].data, "폐렴");
    assert_int_equal(p->t.record.count.n_changed, 2);

    buf out = buf_up_to(1 << 20);
    encoding_count c = {0};
    assert_true(
        str_is(nfc(&out, "\xE2\x84\xAB\xEF\xBF\xBD\xEE\x80\x80", &c), "Å\xEF\xBF\xBD\xEE\x80\x80"));
    assert_true(c.n_changed == 1 && c.n_replacement == 1 && c.n_private == 1);
    assert_true(str_is(nfc(&out, "가\xE1\x86\xA8", &c), "각")); /* syllable + final */
    assert_true(str_is(nfc(&out, "ㄱ ㅏ 漢 “Ａ”", &c), "ㄱ ㅏ 漢 “Ａ”"));
    assert_int_equal(c.n_changed, 2);
    buf many = buf_up_to(1 << 20); /* beyond the small buffer */
    for (int i = 0; i < 5000; i++) buf_add_text(&many, nfd);
    assert_int_equal(nfc(&out, many.data, &c).size, 30000);
    buf_close(&many);
    buf_close(&out);
}

static void test_utf8_is_strict(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int at;
    } cases[] = {{"abcdefghij폐렴", -1},
                 {"a\xC3", 1},
                 {"a\x80", 1},
                 {"\xC1\xBF", 0},
                 {"\xE0\x9F\xBF", 0},
                 {"\xED\xA0\x80", 0},
                 {"\xF4\x90\x80\x80", 0},
                 {"\xF0\x8F\xBF\xBF", 0},
                 {"\xF5\x80\x80\x80", 0},
                 {"\xF4\x8F\xBF\xBF", -1},
                 {"12345678\xFF", 8},
                 {"폐\xEB\xA0", 3}};
    for (size_t i = 0; i < countof(cases); i++)
        assert_int_equal(encoding_utf8_valid(str_of(cases[i].text)), cases[i].at);
    assert_int_equal(encoding_count_characters(STR("a폐😀")), 3);
    assert_int_equal(encoding_cut(STR("폐렴"), 5).size, 3);
    assert_int_equal(encoding_cut(STR("폐렴"), 6).size, 6);
}

/* The hash is of the bytes of the file, whatever the reading makes of them. */
static void test_record(void **state)
{
    place *p = *state;
    str bytes = STR("id,text\n1,\xC6\xF3\n");
    assert_true(parse_as(p, bytes, "some/folder/t.csv", (table_options){0}));
    assert_string_equal(p->t.record.hash.hex, hash_of(bytes.data, bytes.size).hex);
    assert_int_equal(p->t.record.bytes, bytes.size);
    assert_string_equal(p->t.record.file, "t.csv");
}

/* A cut anywhere gives a table or a sentence. */
static void test_every_prefix(void **state)
{
    place *p = *state;
    static const char csv[] = "\xEF\xBB\xBFid,text\r\n1,\"a \"\"b\"\"\n폐\"\r\n2,c\r\n";
    static const char json[] =
        "[{\"a\": \"\\ud83d\\ude00\", \"b\": [1, {\"c\": 2}]},\n{\"a\": -1.5e3}]";
    for (size_t n = 0; n < sizeof csv; n++) {
        bool ok = parse_as(p, (str){csv, n}, "t.csv", (table_options){0});
        assert_int_equal(ok, p->e.code == ERR_NONE);
    }
    for (size_t n = 0; n < sizeof json; n++) {
        bool ok = parse_as(p, (str){json, n}, "t.json", (table_options){0});
        assert_int_equal(ok, p->e.code == ERR_NONE);
    }
}

/* No cell's text in a message: the row below is in none of the errors it causes. */
static void test_errors_keep_texts_to_themselves(void **state)
{
    place *p = *state;
    static const char *const text[] = {"id,text\n1,SECRET\xFF\n",    "id,text\n1,SECRET,\n",
                                       "id,text\n1,\"SECRET\"x\n",   "id,text\n1,\"SECRET\n",
                                       "id,text\n1,SECRET\n2,a,b\n", "id,text\nSECRET\n"};
    for (size_t i = 0; i < countof(text); i++) {
        assert_false(parse(p, text[i], "t.csv"));
        assert_null(strstr(p->e.text, "SECRET"));
    }
    assert_false(
        parse(p, "a\x1B[2J,a\x1B[2J\n1,2\n", "t.csv")); /* nor does it steer the terminal */
    assert_string_equal(p->e.text,
                        "t.csv: columns 1 and 2 have the same name; rename one, or put a line with "
                        "the columns' names first if there is none");
    assert_false(parse(p, "1,SECRET,SECRET\n2,a,b\n", "t.csv")); /* no line of names */
    assert_null(strstr(p->e.text, "SECRET"));
    assert_false(parse(p, "{\"id\": \"SECRET\nx\"}", "t.jsonl"));
    assert_null(strstr(p->e.text, "SECRET"));
}

static void read_broken(const char *path, err *e)
{
    arena a;
    table t;
    if (!arena_open(&a, (size_t)1 << 32, "test", e)) return;
    bool ok = table_read(&t, path, (table_options){0}, &a, e);
    assert_int_equal(ok, e->code == ERR_NONE);
    arena_close(&a);
}

static void test_broken_files(void **state)
{
    (void)state;
    assert_int_equal(broken_run("table", 30, read_broken), 0);
}

/* --- real tables, when they are there --- */

static void test_real_tables(void **state)
{
    place *p = *state;
    static const struct {
        const char *file;
        int32_t n_row, n_column;
    } real[] = {
        {"vaers-2003/texts.csv", 10000, 7},      {"tcga-pathology/texts.csv", 1034, 4},
        {"nsmc-10k/texts.csv", 10000, 5},        {"medical-abstracts/texts.csv", 2888, 4},
        {"mts-dialog/texts.csv", 1701, 4},       {"chatbot-ko/texts.csv", 11823, 5},
        {"klue-nli-dev/texts.csv", 3000, 5},     {"pubmedqa/questions.jsonl", 1000, 8},
        {"kormedmcqa/questions.jsonl", 1200, 4}, {"medmcqa/questions.jsonl", 4183, 6},
    };
    int n_read = 0;
    for (size_t i = 0; i < countof(real); i++) {
        char path[200];
        snprintf(path, sizeof path, "../shared/data/%s", real[i].file);
        if (!file_exists(path)) continue;
        arena_reset(&p->a, 0);
        if (!table_read(&p->t, path, (table_options){0}, &p->a, &p->e)) fail_msg("%s", p->e.text);
        assert_int_equal(p->t.n_row, real[i].n_row);
        assert_int_equal(p->t.n_column, real[i].n_column);
        n_read++;
    }
    if (n_read == 0) {
        printf("skip: no ../shared/data: real tables not read\n");
        skip();
    }
}

/* 10,000 rows of 400 characters, Korean as Macs write it in every tenth: well under a second. */
static void test_speed(void **state)
{
    place *p = *state;
    buf text = buf_up_to(1 << 28);
    buf_add_text(&text, "id,text,label\n");
    for (int i = 0; i < 10000; i++) {
        buf_printf(&text, "%d,\"", i);
        for (int k = 0; k < 10; k++)
            buf_add_text(&text,
                         i % 10 ? "The patient, \"\"well\"\" until Monday, came. "
                                : "\xE1\x84\x91\xE1\x85\xA8\xE1\x84\x85\xE1\x85\xA7\xE1\x86\xB7 ");
        buf_add_text(&text, "\",yes\n");
    }
    struct timespec from, to;
    clock_gettime(CLOCK_MONOTONIC, &from);
    assert_true(parse_as(p, buf_view(&text), "t.csv", (table_options){0}));
    clock_gettime(CLOCK_MONOTONIC, &to);
    double seconds = (double)(to.tv_sec - from.tv_sec) + 1e-9 * (double)(to.tv_nsec - from.tv_nsec);
    printf("10,000 rows, %.1f MB: %.3f s\n", (double)text.size / 1e6, seconds);
    assert_int_equal(p->t.n_row, 10000);
    assert_int_equal(p->t.record.count.n_changed, 1000);
    assert_true(seconds < 2.0); /* 0.05 s unsanitised on two busy cores */
    buf_close(&text);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_csv),
        TEST(test_line_ends),
        TEST(test_delimiters),
        TEST(test_names),
        TEST(test_names_that_are_a_row),
        TEST(test_jsonl),
        TEST(test_cp949),
        TEST(test_cp949_every_syllable),
        TEST(test_marks),
        TEST(test_other_encodings),
        TEST(test_nfc),
        TEST(test_utf8_is_strict),
        TEST(test_record),
        TEST(test_every_prefix),
        TEST(test_errors_keep_texts_to_themselves),
        TEST(test_broken_files),
        TEST(test_real_tables),
        TEST(test_speed),
    };
    return cmocka_run_group_tests_name("table", tests, NULL, NULL);
}
