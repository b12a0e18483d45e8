/* png: see png.h. */
#include "view/png.h"

#include <math.h>
#include <png.h>
#include <setjmp.h>
#include <string.h>
#include <zlib.h>

static void take_bytes(png_structp png, png_bytep data, size_t size)
{
    buf_add(png_get_io_ptr(png), data, size);
}

static void flush_nothing(png_structp png) { (void)png; }

/* libpng ends a call that fails by a jump; what failed is said by the buffer. */
static void fail(png_structp png, png_const_charp why)
{
    (void)why;
    png_longjmp(png, 1);
}

static void ignore(png_structp png, png_const_charp why) { (void)png, (void)why; }

static void add_texts(png_structp png, png_infop info, const picture *image)
{
    png_text text[2] = {{.key = (png_charp)(uintptr_t)"Title",
                         .text = (png_charp)(uintptr_t)image->title},
                        {.key = (png_charp)(uintptr_t)"Description",
                         .text = (png_charp)(uintptr_t)image->description}};
    for (int i = 0; i < 2; i++) {
        text[i].compression = PNG_ITXT_COMPRESSION_NONE;
        text[i].itxt_length = strlen(text[i].text);
    }
    png_set_text(png, info, text, 2);
}

/* False when libpng gave up: it came back by the jump. */
static bool write_all(png_structp png, png_infop info, const picture *image)
{
    if (setjmp(png_jmpbuf(png))) return false;
    const png_uint_32 per_metre = (png_uint_32)lround(image->dots_per_inch / 0.0254);
    png_set_user_limits(png, 0x7fffffff, 0x7fffffff);
    png_set_compression_level(png, 1);
    png_set_compression_strategy(png, Z_RLE);
    png_set_filter(png, PNG_FILTER_TYPE_BASE, PNG_FILTER_UP);
    png_set_IHDR(png, info, (png_uint_32)image->width, (png_uint_32)image->height, 8,
                 PNG_COLOR_TYPE_RGB, PNG_INTERLACE_NONE, PNG_COMPRESSION_TYPE_DEFAULT,
                 PNG_FILTER_TYPE_DEFAULT);
    png_set_pHYs(png, info, per_metre, per_metre, PNG_RESOLUTION_METER);
    add_texts(png, info, image);
    png_write_info(png, info);
    png_set_bgr(png); /* the low byte of a pixel is blue, and first */
    png_set_filler(png, 0, PNG_FILLER_AFTER);
    for (int32_t y = 0; y < image->height; y++)
        png_write_row(png, image->pixels + (size_t)y * (size_t)image->stride);
    png_write_end(png, info);
    return true;
}

void png_write(buf *out, const picture *image)
{
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, fail, ignore);
    png_infop info = png ? png_create_info_struct(png) : NULL;
    if (info) png_set_write_fn(png, out, take_bytes, flush_nothing);
    if (!info || !write_all(png, info, image)) out->failed = true;
    png_destroy_write_struct(png ? &png : NULL, info ? &info : NULL);
}
