/* room: how much memory this process may still take, and what says so.
 *
 *   MemAvailable    of /proc/meminfo: free pages and those that can be dropped (file caches)
 *   control group   memory.max less what the group holds, its file cache not counted; v2 and v1,
 *                   and every group above this one
 *   ulimit -v, -d   address space or data less what is mapped already
 *   a limit         that the caller states
 *
 * The least of them counts. What cannot be read (no /proc) limits nothing. */
#ifndef CASELOAD_BASE_ROOM_H
#define CASELOAD_BASE_ROOM_H

#include "base/str.h"

typedef struct room {
    int64_t bytes;         /* that may still be taken */
    const char *bound;     /* who says so, before the number: "this computer has free only" */
    int64_t bytes_mapping; /* that may still be reserved as address space; INT64_MAX: no limit */
} room;

/* Resident memory of this process: now, and its peak since room_start_peak (where the kernel cannot
 * count anew, since birth). 0: not said. */
void room_start_peak(void);
int64_t room_bytes_resident(void);
int64_t room_bytes_peak(void);

/* `limit`: bytes this process may take in all; 0: none. */
room room_now(int64_t limit);

/* The parts that read, for tests: texts as the kernel writes them. */
int64_t room_of_meminfo(str meminfo); /* -1: not said */
/* Room in a group from the texts of its files; -1: no limit. `key`: what memory.stat calls its file
 * cache ("file" in v2, "total_cache" in v1). */
int64_t room_of_group(str max, str current, str stat, const char *key);

#endif
