/* png: see png.h. */
#include "view/png.h"

#include <math.h>
#include <string.h>

enum {
    AGAIN = 3,      /* how far back a run looks: a pixel */
    RUN_MOST = 258, /* of DEFLATE */
    RUN_LEAST = 3,
    ADLER = 65521,
    ADLER_BYTES = 5552 /* after so many bytes at most its sums are brought back */
};

/* --- DEFLATE --- */

typedef struct bits { /* lowest bit first */
    buf *to;
    uint64_t waiting;
    int n;
} bits;

static void add_bits(bits *b, uint32_t value, int n)
{
    b->waiting |= (uint64_t)value << b->n;
    b->n += n;
    for (; b->n >= 8; b->n -= 8, b->waiting >>= 8) buf_add_char(b->to, (char)(b->waiting & 0xff));
}

/* A code, whose highest bit goes first. */
static void add_code(bits *b, uint32_t code, int n)
{
    uint32_t turned = 0;
    for (int i = 0; i < n; i++) turned |= (code >> i & 1) << (n - 1 - i);
    add_bits(b, turned, n);
}

static void add_symbol(bits *b, uint32_t symbol) /* the fixed codes: RFC 1951, 3.2.6 */
{
    if (symbol < 144) add_code(b, 0x30 + symbol, 8);
    else if (symbol < 256) add_code(b, 0x190 + symbol - 144, 9);
    else if (symbol < 280) add_code(b, symbol - 256, 7);
    else add_code(b, 0xC0 + symbol - 280, 8);
}

/* n bytes again, from AGAIN bytes back; RUN_LEAST <= n <= RUN_MOST. */
static void add_run(bits *b, uint32_t n)
{
    if (n == RUN_MOST) {
        add_symbol(b, 285);
    } else if (n <= 10) {
        add_symbol(b, 254 + n);
    } else { /* groups of four symbols, each with one more bit behind it: RFC 1951, 3.2.5 */
        int extra = 1;
        while (n - 3 >= 8u << extra) extra++;
        const uint32_t beyond = n - 3 - (4u << extra);
        add_symbol(b, 261 + 4 * (uint32_t)extra + (beyond >> extra));
        add_bits(b, beyond & ((1u << extra) - 1), extra);
    }
    add_code(b, 2, 5); /* the distance 3 */
}

static void add_bytes(bits *b, const unsigned char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        size_t run = 0;
        while (i >= AGAIN && i + run < n && run < RUN_MOST && p[i + run] == p[i + run - AGAIN])
            run++;
        if (run < RUN_LEAST) {
            add_symbol(b, p[i++]);
        } else {
            add_run(b, (uint32_t)run);
            i += run;
        }
    }
}

typedef struct adler {
    uint32_t a, b;
} adler;

static void sum_bytes(adler *s, const unsigned char *p, size_t n)
{
    while (n > 0) {
        const size_t some = n < ADLER_BYTES ? n : ADLER_BYTES;
        for (size_t i = 0; i < some; i++) s->a += p[i], s->b += s->a;
        s->a %= ADLER, s->b %= ADLER;
        p += some, n -= some;
    }
}

/* --- chunks --- */

static void add_number(buf *b, uint32_t x)
{
    const unsigned char bytes[4] = {(unsigned char)(x >> 24), (unsigned char)(x >> 16),
                                    (unsigned char)(x >> 8), (unsigned char)x};
    buf_add(b, bytes, sizeof bytes);
}

/* CRC-32 of PNG (ISO 3309). */
static uint32_t crc_of(str s)
{
    uint32_t c = 0xFFFFFFFFu;
    for (size_t i = 0; i < s.size; i++) {
        c ^= (unsigned char)s.data[i];
        for (int k = 0; k < 8; k++) c = c & 1 ? 0xEDB88320u ^ (c >> 1) : c >> 1;
    }
    return ~c;
}

/* length, type, data, CRC over type and data; closes `typed` */
static void end_chunk(buf *out, buf *typed)
{
    if (typed->failed) out->failed = true;
    else {
        add_number(out, (uint32_t)typed->size - 4);
        buf_add_str(out, buf_view(typed));
        add_number(out, crc_of(buf_view(typed)));
    }
    buf_close(typed);
}

static buf begin_chunk(const char *type)
{
    buf typed = buf_up_to(1 << 30);
    buf_add_text(&typed, type);
    return typed;
}

static void add_header(buf *out, const png_image *image)
{
    buf typed = begin_chunk("IHDR");
    add_number(&typed, (uint32_t)image->width);
    add_number(&typed, (uint32_t)image->height);
    buf_add(&typed, "\10\2\0\0\0", 5); /* 8 bits; red, green, blue; the only methods there are */
    end_chunk(out, &typed);
    const uint32_t per_metre = (uint32_t)lround(image->dots_per_inch / 0.0254);
    typed = begin_chunk("pHYs");
    add_number(&typed, per_metre);
    add_number(&typed, per_metre);
    buf_add(&typed, "\1", 1); /* per metre */
    end_chunk(out, &typed);
}

static void add_text(buf *out, const char *keyword, const char *text)
{
    buf typed = begin_chunk("iTXt");
    buf_add(&typed, keyword, strlen(keyword) + 1);
    buf_add(&typed, "\0\0\0\0", 4); /* not compressed; no language, no translated keyword */
    buf_add_text(&typed, text);
    end_chunk(out, &typed);
}

/* Row y as differences from the row above it: to [1 + 3 width], its first byte the filter. */
static void filter_row(unsigned char *to, const png_image *image, int32_t y)
{
    const unsigned char *row = image->pixels + (size_t)y * (size_t)image->stride;
    const unsigned char *above = row - (y > 0 ? image->stride : 0);
    *to++ = 2; /* "up" */
    for (int32_t x = 0; x < image->width; x++) {
        uint32_t pixel, before = 0;
        memcpy(&pixel, row + 4 * (size_t)x, 4);
        if (y > 0) memcpy(&before, above + 4 * (size_t)x, 4);
        for (int shift = 16; shift >= 0; shift -= 8)
            *to++ = (unsigned char)((pixel >> shift) - (before >> shift));
    }
}

static void add_pixels(buf *out, const png_image *image)
{
    buf typed = begin_chunk("IDAT"), row = buf_up_to(1 << 20);
    bits b = {.to = &typed};
    adler sum = {.a = 1};
    const size_t n = 1 + 3 * (size_t)image->width;
    buf_add(&typed, "\x78\1", 2); /* zlib (RFC 1950), fast */
    add_bits(&b, 1, 1);           /* one block, the last */
    add_bits(&b, 1, 2);           /* with the fixed codes */
    for (size_t i = 0; i < n; i++) buf_add_char(&row, 0);
    unsigned char *filtered = (unsigned char *)row.data;
    for (int32_t y = 0; !row.failed && y < image->height; y++) {
        filter_row(filtered, image, y);
        sum_bytes(&sum, filtered, n);
        add_bytes(&b, filtered, n);
    }
    add_symbol(&b, 256);
    add_bits(&b, 0, 7); /* to the end of a byte */
    add_number(&typed, sum.b << 16 | sum.a);
    typed.failed |= row.failed;
    buf_close(&row);
    end_chunk(out, &typed);
}

void png_write(buf *out, const png_image *image)
{
    buf_add(out, "\x89PNG\r\n\x1a\n", 8);
    add_header(out, image);
    add_text(out, "Title", image->title);
    add_text(out, "Description", image->description);
    add_pixels(out, image);
    buf end = begin_chunk("IEND");
    end_chunk(out, &end);
}
