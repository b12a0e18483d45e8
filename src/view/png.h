/* png: a picture as a PNG file (ISO/IEC 15948): 8 bits of red, green and blue, with resolution,
 * title and description in it.
 *
 * For drawings, which are mostly flat: each row is kept as its difference from the row above, and
 * runs of what repeats after three bytes are all that is compressed, with the fixed codes of
 * DEFLATE (RFC 1951). Files are twice to three times those of a compressor that searches, in a
 * fifth of its time; the same pixels are the same bytes whatever libraries are here. */
#ifndef CASELOAD_VIEW_PNG_H
#define CASELOAD_VIEW_PNG_H

#include "base/str.h"

#include <stdint.h>

typedef struct png_image {
    const unsigned char *pixels; /* [height][stride] bytes, a pixel 32 bits 0xXXRRGGBB */
    int32_t width, height, stride;
    double dots_per_inch;
    const char *title, *description; /* UTF-8 */
} png_image;

/* Appends the file to `out`, whose failure sticks. */
void png_write(buf *out, const png_image *image);

#endif
