/* events: see events.h. */
#include "study/events.h"

#include <assert.h>

enum { EVENT_BYTES_MAX = 1 << 16 };

uint32_t events_crc32c(const void *data, size_t size)
{
    const unsigned char *byte = data;
    uint32_t crc = ~0u;
    for (size_t i = 0; i < size; i++) {
        crc ^= byte[i];
        for (int k = 0; k < 8; k++) crc = crc >> 1 ^ (crc & 1 ? 0x82F63B78u : 0);
    }
    return ~crc;
}

static void add_little(buf *out, uint64_t x, int bytes)
{
    for (int i = 0; i < bytes; i++) buf_add_char(out, (char)(x >> 8 * i & 0xFF));
}

static void add_varint(buf *out, uint64_t x)
{
    for (; x >= 0x80; x >>= 7) buf_add_char(out, (char)((x & 0x7F) | 0x80));
    buf_add_char(out, (char)x);
}

enum { WIRE_VARINT = 0, WIRE_8_BYTES = 1, WIRE_BYTES = 2, WIRE_4_BYTES = 5 };

static void add_key(buf *out, int field, int wire)
{
    add_varint(out, (uint64_t)(field << 3 | wire));
}

static void add_bytes(buf *out, int field, str bytes)
{
    add_key(out, field, WIRE_BYTES);
    add_varint(out, bytes.size);
    buf_add_str(out, bytes);
}

static void add_double(buf *out, int field, double x)
{
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    add_key(out, field, WIRE_8_BYTES);
    add_little(out, bits, 8);
}

static uint32_t masked(const void *data, size_t size)
{
    uint32_t crc = events_crc32c(data, size);
    return (crc >> 15 | crc << 17) + 0xa282ead8u;
}

static void add_record(buf *out, str event)
{
    size_t at = out->size;
    add_little(out, event.size, 8);
    if (out->failed) return;
    add_little(out, masked(out->data + at, 8), 4);
    buf_add_str(out, event);
    add_little(out, masked(event.data, event.size), 4);
}

void events_add_opening(buf *out, double time)
{
    buf event = buf_up_to(EVENT_BYTES_MAX);
    add_double(&event, 1, time);
    add_bytes(&event, 3, STR("brain.Event:2"));
    add_record(out, buf_view(&event));
    buf_close(&event);
}

void events_add_scalars(buf *out, double time, int64_t step, const event_value *value, int n)
{
    assert(step >= 0);
    buf event = buf_up_to(EVENT_BYTES_MAX), summary = buf_up_to(EVENT_BYTES_MAX);
    buf one = buf_up_to(EVENT_BYTES_MAX);
    for (int i = 0; i < n; i++) {
        float number = (float)value[i].number;
        uint32_t bits;
        memcpy(&bits, &number, sizeof bits);
        buf_clear(&one);
        add_bytes(&one, 1, str_of(value[i].tag));
        add_key(&one, 2, WIRE_4_BYTES);
        add_little(&one, bits, 4);
        add_bytes(&summary, 1, buf_view(&one));
    }
    add_double(&event, 1, time);
    add_key(&event, 2, WIRE_VARINT);
    add_varint(&event, (uint64_t)step);
    add_bytes(&event, 5, buf_view(&summary));
    add_record(out, buf_view(&event));
    buf_close(&one);
    buf_close(&summary);
    buf_close(&event);
}
