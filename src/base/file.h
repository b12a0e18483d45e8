/* file: whole-file maps for reading, atomic writes for results.
 *
 * A result is written beside its place under a temporary name, synced, then renamed: a reader sees
 * the old file or the new one, never half of one. Files are created readable by their owner alone
 * (0600).
 */
#ifndef CASELOAD_BASE_FILE_H
#define CASELOAD_BASE_FILE_H

#include "base/str.h"

#include <stdio.h>

typedef struct file_map { /* a read-only map; data is NULL for an empty file */
    const unsigned char *data;
    size_t size;
    const char *path; /* borrowed from the caller of file_map_open */
} file_map;

/* `code` is the kind of error a failure is: ERR_DATA for a table, ERR_MODEL for a model file,
 * ... */
bool file_map_open(file_map *m, const char *path, err_code code, err *e);
void file_map_close(file_map *m);
/* Its pages leave this process until they are read again; the system's cache keeps them. */
void file_map_rest(const file_map *m);
void file_rest(const void *data, size_t size); /* of whole pages inside a part of a map */

/* Or might: in a folder we may not look into it does, so that opening it tells why not. */
bool file_exists(const char *path);
bool file_is_folder(const char *path);

/* Makes the folder (and its parents), 0700. */
bool file_make_folder(const char *path, err *e);

/* Removes a folder and the plain files in it, nothing below; absent is fine. */
bool file_drop_folder(const char *path, err *e);

bool file_drop(const char *path, err *e); /* a file, or a folder as above; absent is fine */

/* `part`, written whole, takes the place of `folder` in one step; the old one is dropped. */
bool file_swap_folder(const char *part, const char *folder, err *e);

/* Streamed atomic write: open, print to `stream`, then commit or abandon. While one program writes
 * a file, another that wants to is refused (ERR_RESOURCE). */
typedef struct file_out {
    FILE *stream;
    char path[4096], part[4096 + 16];
} file_out;

bool file_out_open(file_out *f, const char *path, err *e);
bool file_out_commit(file_out *f,
                     err *e);       /* flush, sync, rename; the part file is removed on failure */
void file_out_abandon(file_out *f); /* does nothing after a commit */

bool file_write_atomic(const char *path, str bytes, err *e);

#endif
