/* events: a TensorBoard event file: scalars by step, appended one by one.
 *
 *   record   u64 n | u32 masked CRC of those 8 bytes | n bytes | u32 masked CRC of them
 *   bytes    a protocol-buffer Event: 1 wall time (double), 2 step (varint), 3 file version (text,
 *            the first record: "brain.Event:2"), 5 Summary { 1 Value { 1 tag, 2 number (float) } }
 *   masked   (crc >> 15 | crc << 17) + 0xa282ead8, CRC-32C (Castagnoli)
 *
 * Little-endian, as TFRecord files are (tensorflow/core/lib/io/record_writer, event.proto).
 */
#ifndef CASELOAD_STUDY_EVENTS_H
#define CASELOAD_STUDY_EVENTS_H

#include "base/str.h"

typedef struct event_value {
    const char *tag; /* "loss/train" */
    double number;
} event_value;

uint32_t events_crc32c(const void *data, size_t size);

/* Appends the record that opens a file / one of several scalars at a step. `time` in seconds since
 * 1970. */
void events_add_opening(buf *out, double time);
void events_add_scalars(buf *out, double time, int64_t step, const event_value *value, int n);

#endif
