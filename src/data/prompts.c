/* prompts: see prompts.h. */
#include "data/prompts.h"

#include "base/file.h"
#include "data/encoding.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

static const struct {
    const char *key;
    size_t offset;
} head_keys[] = {
    {"author", offsetof(prompt_version, author)},
    {"parent", offsetof(prompt_version, parent)},
    {"date", offsetof(prompt_version, date)},
    {"why", offsetof(prompt_version, why)},
};

static bool is_name(str name)
{
    bool ok = name.size > 0 && name.size <= PROMPTS_NAME_MAX && name.data[0] != '.' &&
              name.data[0] != '-';
    for (size_t i = 0; i < name.size && ok; i++) {
        char c = name.data[i];
        ok = (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
             c == '.' || c == '_' || c == '-';
    }
    return ok;
}

const char *prompts_folder(const char *study_folder, arena *a, err *e)
{
    buf path = buf_up_to(1 << 16);
    if (strcmp(study_folder, ".") != 0) buf_printf(&path, "%s/", study_folder);
    buf_add_text(&path, "prompts");
    const char *kept = buf_check(&path, "a path", e) ? str_keep(a, buf_view(&path), e).data : NULL;
    buf_close(&path);
    return kept;
}

/* --- one file --- */

static bool fail_line(const char *path, int32_t line, err *e, const char *what)
{
    return err_set(e, ERR_USAGE, "%s: line %d: %s", path, line, what);
}

static bool read_head_line(prompt_version *v, str line, int32_t number, const char *path, err *e)
{
    int64_t colon = str_find(line, STR(":"));
    str key = str_trim(str_part(line, 0, colon < 0 ? line.size : (size_t)colon));
    for (size_t i = 0; colon > 0 && i < countof(head_keys); i++) {
        if (!str_is(key, head_keys[i].key)) continue;
        str *to = (str *)(void *)((char *)v + head_keys[i].offset);
        if (to->data) return fail_line(path, number, e, "the key is there twice");
        *to = str_trim(str_part(line, (size_t)colon + 1, line.size - (size_t)colon - 1));
        return to->size > 0 || fail_line(path, number, e, "the key has no value");
    }
    return fail_line(path, number, e,
                     "a version begins with lines `author: ..` (and parent, date, why), then one "
                     "empty line, then the question");
}

static bool read_head(prompt_version *v, str *rest, const char *path, err *e)
{
    for (int32_t number = 1; rest->size; number++) {
        int64_t end = str_find(*rest, STR("\n"));
        str line = str_part(*rest, 0, end < 0 ? rest->size : (size_t)end);
        size_t step = end < 0 ? rest->size : (size_t)end + 1;
        *rest = str_part(*rest, step, rest->size - step);
        if (str_trim(line).size == 0) return true;
        if (!read_head_line(v, line, number, path, e)) return false;
    }
    return true;
}

static str name_of(const char *path)
{
    const char *slash = strrchr(path, '/');
    str name = str_of(slash ? slash + 1 : path);
    if (str_ends(name, ".txt")) name.size -= 4;
    return name;
}

bool prompts_parse(prompt_version *v, str bytes, const char *path, arena *a, err *e)
{
    *v = (prompt_version){.parent_at = -1};
    if (bytes.size > PROMPTS_BYTES_MAX)
        return err_set(e, ERR_USAGE, "%s: a version of a question has at most %d bytes", path,
                       PROMPTS_BYTES_MAX);
    if (encoding_utf8_valid(bytes) >= 0 || str_find(bytes, STR("\0")) >= 0)
        return err_set(e, ERR_USAGE, "%s: not UTF-8 text; save it as UTF-8", path);
    if (str_starts(bytes, "\xEF\xBB\xBF")) bytes = str_part(bytes, 3, bytes.size - 3);
    buf composed = buf_up_to(4 * PROMPTS_BYTES_MAX);
    encoding_count unused = {0};
    encoding_add_nfc(&composed, bytes, &unused);
    bool ok = buf_check(&composed, "a question", e);
    str rest = ok ? str_keep(a, buf_view(&composed), e) : STR("");
    buf_close(&composed);
    if (!ok || e->code || !read_head(v, &rest, path, e)) return false;
    v->name = str_keep(a, name_of(path), e);
    str question = str_trim_unicode(rest);
    v->question = str_keep(a, question, e);
    v->hash = hash_of(question.data, question.size);
    if (!v->author.data)
        return err_set(e, ERR_USAGE, "%s: no author; begin the file with `author: NAME`", path);
    if (question.size == 0)
        return err_set(e, ERR_USAGE, "%s: no question after the empty line", path);
    for (size_t i = 0; i < countof(head_keys); i++) {
        str *at = (str *)(void *)((char *)v + head_keys[i].offset);
        *at = at->data ? str_keep(a, *at, e) : STR("");
    }
    return e->code == ERR_NONE;
}

/* --- a folder --- */

/* Numbers within names as numbers: q2 before q10. */
static int by_name(const void *a, const void *b)
{
    const prompt_version *x = a, *y = b;
    return strverscmp(x->name.data, y->name.data);
}

static int32_t find_at(const prompt_list *l, str name)
{
    for (int32_t i = 0; i < l->n; i++) {
        if (str_equal(l->version[i].name, name)) return i;
    }
    return -1;
}

/* Length of the line of parents; -1: a circle. */
static int32_t depth_of(const prompt_list *l, int32_t i)
{
    int32_t depth = 0;
    for (; i >= 0 && depth <= l->n; i = l->version[i].parent_at) depth++;
    return depth > l->n ? -1 : depth;
}

static bool find_parents(prompt_list *l, err *e)
{
    for (int32_t i = 0; i < l->n; i++) {
        prompt_version *v = &l->version[i];
        if (v->parent.size == 0) continue;
        v->parent_at = find_at(l, v->parent);
        if (v->parent_at >= 0) continue;
        str shown = encoding_cut(v->parent, 60);
        return err_set(e, ERR_USAGE, "%s/%s.txt: its parent '%.*s' is not in the folder", l->folder,
                       v->name.data, (int)shown.size, shown.data);
    }
    for (int32_t i = 0; i < l->n; i++) {
        if (depth_of(l, i) < 0)
            return err_set(e, ERR_USAGE, "%s/%s.txt: its parents go in a circle", l->folder,
                           l->version[i].name.data);
    }
    return true;
}

static bool read_one(prompt_list *l, const char *name, arena *a, err *e)
{
    char path[4096];
    file_map m;
    int n = snprintf(path, sizeof path, "%s/%s", l->folder, name);
    if (n < 0 || (size_t)n >= sizeof path)
        return err_set(e, ERR_USAGE, "a version's path in the prompts folder is too long");
    if (!is_name(name_of(name)))
        return err_set(e, ERR_USAGE,
                       "%s: a version's name has at most 64 letters, digits, '.', '_' or '-'",
                       l->folder);
    if (!file_map_open(&m, path, ERR_USAGE, e)) return false;
    bool ok = prompts_parse(&l->version[l->n], (str){(const char *)m.data, m.size}, path, a, e);
    file_map_close(&m);
    l->n += ok;
    return ok;
}

bool prompts_read(prompt_list *l, const char *folder, arena *a, err *e)
{
    *l = (prompt_list){.folder = folder};
    DIR *dir = opendir(folder);
    if (!dir && errno == ENOENT) return true;
    if (!dir) return err_set(e, ERR_USAGE, "%s: cannot be opened: %s", folder, strerror(errno));
    l->version = arena_take(a, PROMPTS_MAX, sizeof *l->version, e);
    for (struct dirent *d = readdir(dir); d && e->code == ERR_NONE; d = readdir(dir)) {
        if (d->d_name[0] == '.' || !str_ends(str_of(d->d_name), ".txt")) continue;
        if (l->n == PROMPTS_MAX)
            err_set(e, ERR_USAGE, "%s: more than %d versions", folder, PROMPTS_MAX);
        else read_one(l, d->d_name, a, e);
    }
    closedir(dir);
    if (e->code) return false;
    qsort(l->version, (size_t)l->n, sizeof *l->version, by_name);
    return find_parents(l, e);
}

const prompt_version *prompts_find(const prompt_list *l, str name)
{
    int32_t i = find_at(l, name);
    return i < 0 ? NULL : &l->version[i];
}

const prompt_version *prompts_newest(const prompt_list *l)
{
    int32_t best = -1;
    for (int32_t i = 0; i < l->n; i++) {
        if (best < 0 || depth_of(l, i) >= depth_of(l, best)) best = i;
    }
    return best < 0 ? NULL : &l->version[best];
}

/* --- writing --- */

static bool choose_name(const char *folder, prompt_version *v, arena *a, err *e)
{
    char path[4200], name[32];
    if (v->name.size) {
        snprintf(path, sizeof path, "%s/%.64s.txt", folder, v->name.data);
        if (!is_name(v->name))
            return err_set(e, ERR_USAGE,
                           "a version's name has at most 64 letters, digits, '.', '_' or '-'");
        return !file_exists(path) ||
               err_set(e, ERR_USAGE,
                       "%s is there already: versions are not changed; take another "
                       "name",
                       path);
    }
    for (int i = 1; i <= PROMPTS_MAX; i++) {
        snprintf(name, sizeof name, "q%d", i);
        snprintf(path, sizeof path, "%s/%s.txt", folder, name);
        if (file_exists(path)) continue;
        v->name = str_keep(a, str_of(name), e);
        return e->code == ERR_NONE;
    }
    return err_set(e, ERR_USAGE, "%s: more than %d versions", folder, PROMPTS_MAX);
}

bool prompts_write(const char *folder, prompt_version *v, arena *a, err *e)
{
    char path[4200];
    assert(v->author.size > 0);
    if (strlen(folder) > 4000)
        return err_set(e, ERR_USAGE, "the prompts folder's name is too long");
    if (!file_make_folder(folder, e) || !choose_name(folder, v, a, e)) return false;
    buf out = buf_up_to(2 * PROMPTS_BYTES_MAX);
    for (size_t i = 0; i < countof(head_keys); i++) {
        str *value = (str *)(void *)((char *)v + head_keys[i].offset);
        if (value->size == 0) continue;
        buf_printf(&out, "%s: ", head_keys[i].key);
        for (size_t k = 0; k < value->size; k++) /* one line */
            buf_add_char(&out, (unsigned char)value->data[k] < 0x20 ? ' ' : value->data[k]);
        buf_add_char(&out, '\n');
    }
    buf_add_char(&out, '\n');
    buf_add_str(&out, str_trim_unicode(v->question));
    buf_add_char(&out, '\n');
    prompt_version again;
    snprintf(path, sizeof path, "%s/%.64s.txt", folder, v->name.data);
    bool ok = buf_check(&out, "a question", e) &&
              prompts_parse(&again, buf_view(&out), path, a, e) &&
              file_write_atomic(path, buf_view(&out), e);
    if (ok) v->hash = again.hash;
    buf_close(&out);
    return ok;
}

/* --- showing --- */

static void show_one(const prompt_list *l, int32_t i, int32_t depth, buf *out)
{
    const prompt_version *v = &l->version[i];
    int pad = 18 - 2 * depth - (int)v->name.size;
    buf_printf(out, "%*s%s%*s  %-22.22s %-10s %.12s  %s\n", 2 * depth, "", v->name.data,
               pad > 0 ? pad : 0, "", v->author.data, v->date.size ? v->date.data : "-",
               v->hash.hex, v->why.data);
    for (int32_t k = 0; k < l->n; k++) {
        if (l->version[k].parent_at == i) show_one(l, k, depth + 1, out);
    }
}

void prompts_show(const prompt_list *l, buf *out)
{
    if (l->n == 0) {
        buf_printf(out,
                   "%s has no versions yet: `caseload refine STUDY --arm NAME` proposes some, and "
                   "a file NAME.txt there is one\n",
                   l->folder);
        return;
    }
    buf_printf(out, "%-18s  %-22s %-10s %-12s  %s\n", "version", "author", "date", "sha256", "why");
    for (int32_t i = 0; i < l->n; i++) {
        if (l->version[i].parent_at < 0) show_one(l, i, 0, out);
    }
}

/* --- differences --- */

typedef struct words { /* words and the blanks before each */
    int32_t n;
    str *word, *blank;
} words;

static bool split_words(str text, words *w, arena *a, err *e)
{
    w->word = arena_take(a, text.size + 1, sizeof(str), e);
    w->blank = arena_take(a, text.size + 1, sizeof(str), e);
    w->n = 0;
    if (e->code) return false;
    for (size_t at = 0; at < text.size;) {
        size_t from = at;
        while (at < text.size && (unsigned char)text.data[at] <= ' ') at++;
        size_t start = at;
        while (at < text.size && (unsigned char)text.data[at] > ' ') at++;
        if (at == start) break;
        w->blank[w->n] = str_part(text, from, start - from);
        w->word[w->n++] = str_part(text, start, at - start);
    }
    return true;
}

static void mark_word(buf *out, char sign, str blank, str word, bool colour)
{
    buf_add_str(out, blank);
    if (colour) buf_add_text(out, sign == '-' ? "\033[31m" : "\033[32m");
    buf_add_text(out, sign == '-' ? "[-" : "{+");
    buf_add_str(out, word);
    buf_add_text(out, sign == '-' ? "-]" : "+}");
    if (colour) buf_add_text(out, "\033[0m");
}

/* Longest common subsequence of words, from the end; then one walk from the start. */
static void walk_words(const words *x, const words *y, const uint16_t *same, bool colour, buf *out)
{
    size_t row = (size_t)y->n + 1;
    for (int32_t i = 0, k = 0; i < x->n || k < y->n;) {
        const uint16_t *here = same + (size_t)i * row + (size_t)k;
        if (i < x->n && k < y->n && str_equal(x->word[i], y->word[k])) {
            buf_add_str(out, y->blank[k]);
            buf_add_str(out, y->word[k]);
            i++;
            k++;
        } else if (k == y->n || (i < x->n && here[row] >= here[1])) {
            mark_word(out, '-', x->blank[i], x->word[i], colour);
            i++;
        } else {
            mark_word(out, '+', y->blank[k], y->word[k], colour);
            k++;
        }
    }
    buf_add_char(out, '\n');
}

bool prompts_diff(const prompt_version *a, const prompt_version *b, bool colour, arena *scratch,
                  buf *out, err *e)
{
    words x, y;
    size_t mark = arena_mark(scratch);
    if (!split_words(a->question, &x, scratch, e) || !split_words(b->question, &y, scratch, e))
        return false;
    size_t row = (size_t)y.n + 1;
    uint16_t *same = arena_take_zero(scratch, ((size_t)x.n + 1) * row, sizeof *same, e);
    for (int32_t i = x.n - 1; same && i >= 0; i--) {
        for (int32_t k = y.n - 1; k >= 0; k--) {
            uint16_t *here = same + (size_t)i * row + (size_t)k;
            uint16_t skip = here[row] > here[1] ? here[row] : here[1];
            *here = str_equal(x.word[i], y.word[k]) ? (uint16_t)(here[row + 1] + 1) : skip;
        }
    }
    if (same) {
        buf_printf(out, "%s (%s) to %s (%s): [-went-] {+came+}\n\n", a->name.data, a->author.data,
                   b->name.data, b->author.data);
        walk_words(&x, &y, same, colour, out);
    }
    arena_reset(scratch, mark);
    return same && buf_check(out, "the difference", e);
}
