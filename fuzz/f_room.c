/* Fuzzes the texts of the kernel that say how much memory may be taken. The first byte tells which;
 * a group's three files are separated by a zero byte. */
#include "base/room.h"

#include <assert.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    str part[3] = {{"", 0}, {"", 0}, {"", 0}};
    if (size == 0) return 0;
    const char *text = (const char *)data + 1;
    size_t at = 0;
    size--;
    if (data[0] % 2 == 0) {
        int64_t free = room_of_meminfo((str){text, size});
        assert(free >= -1);
        return 0;
    }
    for (int i = 0; i < 3 && at < size; i++) {
        const char *zero = memchr(text + at, 0, size - at);
        size_t n = zero && i < 2 ? (size_t)(zero - text) - at : size - at;
        part[i] = (str){text + at, n};
        at += n + 1;
    }
    assert(room_of_group(part[0], part[1], part[2], "file") >= -1);
    return 0;
}
