/* prompts: versions of a question, one file each in a folder beside the study (prompts/), so that
 * who asked what, when, and after which earlier wording can be told and never be overwritten.
 *
 *   prompts/q2.txt
 *     author: Dr Kim                    who wrote it: a person's name, or the model's
 *     parent: q1                        optional: the version it was made from
 *     date: 2026-03-02                  optional
 *     why: "history" excluded           optional, one line
 *                                       one empty line, then the question, to the end
 *     Was the event serious? ...
 *
 * A version is named by its file (letters, digits, . _ -) and known by the SHA-256 of its question.
 * Written files are never changed: a new wording is a new file.
 *
 * Refused (ERR_USAGE) with the file and line: no author, an unknown or repeated key, an empty
 * question, bytes that are not UTF-8, more than 64 KB; a parent that is not there, or in a
 * circle. */
#ifndef CASELOAD_DATA_PROMPTS_H
#define CASELOAD_DATA_PROMPTS_H

#include "base/hash.h"

enum { PROMPTS_BYTES_MAX = 64 << 10, PROMPTS_MAX = 4096, PROMPTS_NAME_MAX = 64 };

typedef struct prompt_version {
    str name, author, parent, date, why; /* parent, date, why: "" when not given */
    str question;                        /* in NFC, without blanks at its ends */
    hash_text hash;                      /* of the question */
    int32_t parent_at;                   /* in the list; -1: none */
} prompt_version;

typedef struct prompt_list {
    const char *folder;
    int32_t n;
    prompt_version *version; /* [n] by name, numbers in it as numbers: q2 before q10 */
} prompt_list;

/* The folder that serves a study: `prompts` beside the study file. */
const char *prompts_folder(const char *study_folder, arena *a, err *e);

/* All versions of a folder; a folder that is not there has none. */
bool prompts_read(prompt_list *l, const char *folder, arena *a, err *e);
bool prompts_parse(prompt_version *v, str bytes, const char *path, arena *a, err *e);

const prompt_version *prompts_find(const prompt_list *l, str name); /* NULL: none */
/* The last of the longest line of parents; among equals the last by name. NULL: none. */
const prompt_version *prompts_newest(const prompt_list *l);

/* Writes a new version as NAME.txt; an empty name becomes q1, q2 .. (the first that is free), which
 * is put into v->name. ERR_USAGE when the name is taken. */
bool prompts_write(const char *folder, prompt_version *v, arena *a, err *e);

/* Words that went (-) and came (+) from a to b, a line each; lines alike are indented. */
bool prompts_diff(const prompt_version *a, const prompt_version *b, bool colour, arena *scratch,
                  buf *out, err *e);
void prompts_show(const prompt_list *l, buf *out); /* as a table and a tree */

#endif
