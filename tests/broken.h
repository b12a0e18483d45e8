/* broken: runs a reader over tests/broken/<kind>/: each file must give the code and the words of
 * EXPECT, and every file of the folder must be listed there. Lines: file <TAB> exit code <TAB> part
 * of message. */
#ifndef CASELOAD_TESTS_BROKEN_H
#define CASELOAD_TESTS_BROKEN_H

#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads `path`; must fail. */
typedef void broken_reader(const char *path, err *e);

static inline int broken_count_files(const char *folder)
{
    int n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *f; d && (f = readdir(d));) n += f->d_name[0] != '.';
    if (d) closedir(d);
    return n;
}

/* The number of files that did not behave; prints each. `least`: how many files there must be. */
static inline int broken_run(const char *kind, int least, broken_reader *read)
{
    char folder[200], path[700], line[2000];
    int n_bad = 0, n = 0;
    snprintf(folder, sizeof folder, "tests/broken/%s", kind);
    snprintf(path, sizeof path, "%s/EXPECT", folder);
    FILE *list = fopen(path, "r");
    if (!list) return printf("no %s\n", path), 1;
    while (fgets(line, sizeof line, list)) {
        line[strcspn(line, "\n")] = 0;
        char *code = strchr(line, '\t'), *words = code ? strchr(code + 1, '\t') : NULL;
        if (!words) return printf("bad line in %s: %s\n", path, line), 1;
        *code++ = 0;
        *words++ = 0;
        char file[2400];
        snprintf(file, sizeof file, "%s/%s", folder, line);
        err e = {0};
        read(file, &e);
        n++;
        if ((int)e.code == atoi(code) && strstr(e.text, words)) continue;
        printf("%s: expected %s \"%s\"\n  got %d \"%s\"\n", file, code, words, (int)e.code, e.text);
        n_bad++;
    }
    fclose(list);
    if (broken_count_files(folder) != n + 1)
        n_bad += printf("%s: a file is not in EXPECT\n", folder) > 0;
    if (n < least) n_bad += printf("%s: only %d files\n", folder, n) > 0;
    return n_bad;
}

#endif
