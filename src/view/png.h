/* png: a picture as a PNG file (ISO/IEC 15948) by libpng: 8 bits of red, green and blue, with
 * resolution, title and description in it.
 *
 * For drawings, which are mostly flat: each row is kept as its difference from the row above, and
 * only runs are looked for. Files are larger than a searching compressor's, in a fraction of its
 * time. */
#ifndef CASELOAD_VIEW_PNG_H
#define CASELOAD_VIEW_PNG_H

#include "base/str.h"

#include <stdint.h>

typedef struct picture {
    const unsigned char *pixels; /* [height][stride] bytes, a pixel 32 bits 0xXXRRGGBB */
    int32_t width, height, stride;
    double dots_per_inch;
    const char *title, *description; /* UTF-8 */
} picture;

/* Appends the file to `out`, whose failure sticks; no memory for it is such a failure. */
void png_write(buf *out, const picture *image);

#endif
