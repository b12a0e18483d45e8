/* device: see device.h. */
#include "compute/device.h"

#include <assert.h>
#include <string.h>

bool device_open_beside(backend *b, const backend *other, err *e)
{
    if (other->device) return other->device->beside(b, other, e);
    *b = *other;
    b->workspace = b->train_space = NULL;
    return true;
}

void device_enter(const backend *b)
{
    if (b->device && b->device->enter) b->device->enter(b);
}

bool device_is_apart(const backend *b) { return b->device != NULL; }

void device_measure(backend *b)
{
    if (b->device && !arena_measures(&b->memory)) b->device->release(b);
    b->memory = ARENA_MEASURE;
    b->beside = 0;
}

size_t device_planned(const backend *b) { return b->device ? b->memory.peak + b->beside : 0; }

size_t device_used(const backend *b) { return b->device ? b->memory.used + b->beside : 0; }

size_t device_mark(const backend *b, const arena *a)
{
    return b->device ? device_used(b) : arena_mark(a);
}

int64_t device_room(const backend *b)
{
    return b->device && b->device->room ? b->device->room(b) : -1;
}

bool device_reserve(backend *b, size_t bytes, err *e)
{
    assert(bytes >= b->beside);
    const bool ok = !b->device || b->device->reserve(b, bytes - b->beside, e);
    b->beside = 0; /* until it is laid out again */
    return ok;
}

void *device_take(backend *b, arena *a, size_t count, size_t each, err *e)
{
    if (!b->device) return arena_take(a, count, each, e);
    assert(arena_measures(a) == arena_measures(&b->memory)); /* reserve, then lay out for real */
    return arena_take(&b->memory, count, each, e);
}

void *device_mirror(backend *b, void *host, size_t count, size_t each, err *e)
{
    return b->device ? arena_take(&b->memory, count, each, e) : host;
}

void device_write(backend *b, void *to, const void *from, size_t bytes)
{
    assert(to && from);
    if (to == from || bytes == 0) return;
    if (b->device) b->device->write(b, to, from, bytes);
    else memcpy(to, from, bytes);
}

void device_pass(backend *from, const void *source, backend *to, void *place, size_t bytes)
{
    assert(source && place && from->device == to->device);
    if (source == place || bytes == 0) return;
    if (!from->device) memcpy(place, source, bytes);
    else from->device->pass(from, source, to, place, bytes);
    const err *failed = &from->failure;
    if (failed->code != ERR_NONE) err_set(&to->failure, failed->code, "%s", failed->text);
}

void device_read(backend *b, void *to, const void *from, size_t bytes)
{
    assert(to && from);
    if (to == from || bytes == 0) return;
    if (b->device) b->device->read(b, to, from, bytes);
    else memcpy(to, from, bytes);
}
