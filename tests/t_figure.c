/* Tests of src/view/figure: four forms of one drawing: headers, sizes, density, embedded fonts,
 * words for who cannot see, the same bytes again, words that fit. */
#include "view/figure.h"
#include "view/png.h"

#include <cairo.h>

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const char title[] = "곡선 <1> & \"2\"", about[] = "A figure: 심각한 사례 <ROC> & more.";

static void draw(figure *f)
{
    err e = {0};
    if (!figure_open(f, figure_column, &e)) fail_msg("%s", e.text);
    f->height = 100;
    f->title = title;
    f->description = about;
    f->date = "2026-01-31";
    const double xy[] = {10, 10, 60, 80, 120, 20};
    figure_path(f, xy, 3, false, (figure_style){.ink = figure_series(1), .width = 1.2, .dash = 3});
    figure_path(f, xy, 3, true,
                (figure_style){.ink = figure_series(0), .fill = true, .opacity = 0.2});
    for (int32_t k = 0; k < 2 * FIGURE_MARKS; k++)
        figure_mark(f, 20 + 8 * k, 90, 5, k, figure_series(k));
    figure_text(f, (figure_words){.x = 120, .y = 50, .align = FIGURE_MIDDLE},
                STR("내원 기록 <A&B>"));
    figure_text(f, (figure_words){.x = 8, .y = 50, .upwards = true, .bold = true, .size = 9},
                STR("Sensitivity"));
}

static void ok(bool good, const err *e)
{
    if (!good) fail_msg("%s", e->text);
}

/* Tags closed in order, attributes quoted. */
static void check_xml(str s)
{
    static char open[200][40];
    int depth = 0, n_tag = 0;
    const char *at = s.data, *end = s.data + s.size;
    while ((at = memchr(at, '<', (size_t)(end - at)))) {
        const char *close = memchr(at, '>', (size_t)(end - at));
        assert_non_null(close);
        n_tag++;
        if (at[1] == '/') {
            assert_true(depth > 0);
            depth--;
            assert_memory_equal(at + 2, open[depth], strlen(open[depth]));
        } else if (at[1] != '?' && close[-1] != '/') {
            assert_true(depth < 200);
            snprintf(open[depth++], sizeof open[0], "%.*s", (int)strcspn(at + 1, " >\n"), at + 1);
        }
        at = close + 1;
    }
    assert_int_equal(depth, 0);
    assert_true(n_tag > 10);
}

static void test_svg(void **state)
{
    (void)state;
    figure f;
    err e = {0};
    buf b = buf_up_to(BUF_MAX);
    draw(&f);
    ok(figure_svg(&f, &b, &e), &e);
    check_xml(buf_view(&b));
    assert_memory_equal(b.data, "<?xml", 5);
    assert_non_null(
        strstr(b.data, "<title id=\"title\">곡선 &lt;1&gt; &amp; &quot;2&quot;</title>"));
    assert_non_null(strstr(b.data, "<desc id=\"desc\">A figure: 심각한 사례 &lt;ROC&gt;"));
    assert_non_null(strstr(b.data, "role=\"img\""));
    assert_non_null(strstr(b.data, "width=\"240.9")); /* 85 mm */
    assert_null(strstr(b.data, "nan"));
    assert_null(strstr(b.data, "font-family")); /* words are outlines: no font is needed */
    buf_close(&b);
    figure_close(&f);
}

static void test_pdf(void **state)
{
    (void)state;
    figure f;
    err e = {0};
    buf b = buf_up_to(BUF_MAX);
    draw(&f);
    ok(figure_pdf(&f, &b, &e), &e);
    assert_memory_equal(b.data, "%PDF-1.", 7);
    assert_non_null(memmem(b.data + b.size - 10, 10, "%%EOF", 5));
    assert_non_null(memmem(b.data, b.size, "/FontFile", 9)); /* embedded */
    assert_non_null(memmem(b.data, b.size, "20260131000000Z", 15));
    buf_close(&b);
    figure_close(&f);
}

static uint32_t number_at(const buf *b, size_t at)
{
    const unsigned char *p = (const unsigned char *)b->data + at;
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static uint32_t crc_of(const unsigned char *p, size_t n)
{
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < n; i++) {
        c ^= p[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    }
    return ~c;
}

static void test_png(void **state)
{
    (void)state;
    figure f;
    err e = {0};
    buf b = buf_up_to(BUF_MAX);
    draw(&f);
    ok(figure_png(&f, &b, &e), &e);
    assert_memory_equal(b.data, "\x89PNG\r\n\x1a\n", 8);
    bool density = false, described = false, ended = false;
    for (size_t at = 8; at < b.size && !ended;) { /* chunks: length, type, data, CRC */
        uint32_t size = number_at(&b, at);
        const char *type = b.data + at + 4;
        assert_true(at + 12 + size <= b.size);
        assert_int_equal(number_at(&b, at + 8 + size),
                         crc_of((const unsigned char *)type, (size_t)size + 4));
        if (!memcmp(type, "IHDR", 4)) {
            assert_int_equal(number_at(&b, at + 8), 2008); /* 85 mm at 600 dpi */
            assert_int_equal(number_at(&b, at + 12), 833); /* 100 points */
        }
        if (!memcmp(type, "pHYs", 4)) {
            assert_int_equal(number_at(&b, at + 8), 23622); /* per metre: 600 per inch */
            assert_int_equal(b.data[at + 16], 1);
            density = true;
        }
        if (!memcmp(type, "iTXt", 4) && memmem(type, (size_t)size + 4, about, strlen(about)))
            described = true;
        ended = !memcmp(type, "IEND", 4);
        at += 12 + size;
    }
    assert_true(density && described && ended);
    buf_close(&b);
    figure_close(&f);
}

typedef struct reading {
    const buf *file;
    size_t at;
} reading;

static cairo_status_t give_bytes(void *context, unsigned char *data, unsigned size)
{
    reading *r = context;
    if (size > r->file->size - r->at) return CAIRO_STATUS_READ_ERROR;
    memcpy(data, r->file->data + r->at, size);
    r->at += size;
    return CAIRO_STATUS_SUCCESS;
}

/* Another reader finds the same pixels: flat, noisy, repeating after three bytes, small. */
static void test_png_pixels(void **state)
{
    (void)state;
    static const int32_t sizes[][2] = {{1, 1},   {1, 9},  {2, 3},    {7, 5},
                                       {86, 40}, {87, 3}, {700, 300}};
    static uint32_t pixel[700 * 300 + 10];
    for (int kind = 0; kind < 4; kind++) {
        for (size_t k = 0; k < sizeof sizes / sizeof sizes[0]; k++) {
            const int32_t w = sizes[k][0], h = sizes[k][1], pad = 3;
            uint32_t seed = 1;
            if ((size_t)(w + pad) * (size_t)h > sizeof pixel / sizeof pixel[0]) continue;
            for (int32_t i = 0; i < (w + pad) * h; i++) {
                seed = seed * 1664525 + 1013904223;
                const uint32_t flat = i / 301 % 2 ? 0xffffff : 0x0072b2;
                pixel[i] = kind == 0   ? flat
                           : kind == 1 ? seed >> 8
                           : kind == 2 ? (seed >> 28 ? flat : seed >> 8)
                                       : 0x010101u * (uint32_t)(i % (w + pad) / 43);
            }
            buf b = buf_up_to(BUF_MAX);
            png_write(&b, &(picture){.pixels = (unsigned char *)pixel,
                                       .width = w,
                                       .height = h,
                                       .stride = 4 * (w + pad),
                                       .dots_per_inch = 600,
                                       .title = "t",
                                       .description = "d"});
            assert_false(b.failed);
            reading r = {.file = &b};
            cairo_surface_t *s = cairo_image_surface_create_from_png_stream(give_bytes, &r);
            assert_int_equal(cairo_surface_status(s), CAIRO_STATUS_SUCCESS);
            assert_int_equal(cairo_image_surface_get_width(s), w);
            assert_int_equal(cairo_image_surface_get_height(s), h);
            for (int32_t y = 0; y < h; y++) {
                const unsigned char *row =
                    cairo_image_surface_get_data(s) + y * cairo_image_surface_get_stride(s);
                for (int32_t x = 0; x < w; x++) {
                    uint32_t got;
                    memcpy(&got, row + 4 * x, 4);
                    assert_int_equal(got & 0xffffff, pixel[y * (w + pad) + x] & 0xffffff);
                }
            }
            cairo_surface_destroy(s);
            buf_close(&b);
        }
    }
}

static void test_inline(void **state)
{
    (void)state;
    figure f;
    buf b = buf_up_to(BUF_MAX);
    draw(&f);
    figure_inline(&f, &b);
    assert_false(b.failed);
    check_xml(buf_view(&b));
    assert_non_null(strstr(b.data, "내원 기록 &lt;A&amp;B&gt;</text>"));
    assert_non_null(strstr(b.data, "aria-label=\"A figure: 심각한 사례 &lt;ROC&gt; &amp; more.\""));
    assert_non_null(strstr(b.data, "var(--k1)"));
    assert_null(strstr(b.data, "http"));
    buf_close(&b);
    figure_close(&f);
}

static void test_same_bytes(void **state)
{
    (void)state;
    bool (*const forms[])(const figure *, buf *, err *) = {figure_svg, figure_pdf, figure_png};
    for (size_t i = 0; i < countof(forms); i++) {
        buf b[2];
        for (int k = 0; k < 2; k++) {
            figure f;
            err e = {0};
            b[k] = buf_up_to(BUF_MAX);
            draw(&f);
            ok(forms[i](&f, &b[k], &e), &e);
            figure_close(&f);
        }
        assert_int_equal(b[0].size, b[1].size);
        assert_memory_equal(b[0].data, b[1].data, b[0].size);
        buf_close(&b[0]);
        buf_close(&b[1]);
    }
}

static void test_words_fit(void **state)
{
    (void)state;
    figure f;
    err e = {0};
    str long_text = STR("내원 기록을 읽는 의사의 역할 and a long name");
    ok(figure_open(&f, 100, &e), &e);
    double whole = figure_text_width(&f, long_text, 8, false);
    assert_true(whole > 100);
    for (double room = 12; room < whole + 20; room += 7) {
        buf b = buf_up_to(1000);
        figure_text_fit(&f, long_text, 8, room, &b);
        assert_true(figure_text_width(&f, buf_view(&b), 8, false) <= room);
        for (size_t i = 0; i < b.size; i++) /* no character is cut in two */
            assert_true((unsigned char)b.data[i] < 0x80 || (unsigned char)b.data[i] >= 0xC0 ||
                        (unsigned char)b.data[i - 1] >= 0x80);
        assert_true(room < whole || str_equal(buf_view(&b), long_text));
        buf_close(&b);
    }
    figure_text(&f, (figure_words){.x = 1, .y = 10}, STR("plain"));
    assert_int_equal(figure_unknown(&f), 0);
    figure_text(&f, (figure_words){.x = 1, .y = 10},
                STR("\xF3\xB0\x80\x81")); /* U+F0001: private */
    assert_true(figure_unknown(&f) > 0);
    figure_close(&f);
}

static void test_too_large(void **state)
{
    (void)state;
    figure f;
    err e = {0};
    buf b = buf_up_to(BUF_MAX);
    ok(figure_open(&f, 100, &e), &e);
    f.height = 10000;
    assert_false(figure_png(&f, &b, &e));
    assert_int_equal(e.code, ERR_RESOURCE);
    buf_close(&b);
    figure_close(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_svg),        cmocka_unit_test(test_pdf),
        cmocka_unit_test(test_png),        cmocka_unit_test(test_inline),
        cmocka_unit_test(test_png_pixels), cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_words_fit),  cmocka_unit_test(test_too_large),
    };
    return cmocka_run_group_tests_name("figure", tests, NULL, NULL);
}
