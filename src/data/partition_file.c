/* partition_file: see partition.h. Reads a split file and holds it against its seal. */
#include "data/partition.h"

#include "base/file.h"

#include <assert.h>

static const char head[] = "# caseload split 1, sha256 ";

hash_text partition_seal(str rule, str body)
{
    hash_state h;
    hash_start(&h);
    hash_add(&h, rule.data, rule.size);
    hash_add(&h, "\n", 1);
    hash_add(&h, body.data, body.size);
    return hash_finish(&h);
}

static bool fail(const char *path, err *e, const char *what)
{
    return err_set(e, ERR_DATA,
                   "%s: %s; a split is made once by `caseload split` and not edited: restore the "
                   "file, or delete it and make it again",
                   path, what);
}

/* Windows editors and Excel change line ends: those are taken back before the seal is checked. */
static void without_returns(str bytes, buf *out)
{
    for (size_t i = 0; i < bytes.size; i++) {
        if (bytes.data[i] != '\r' || i + 1 == bytes.size || bytes.data[i + 1] != '\n')
            buf_add_char(out, bytes.data[i]);
    }
}

static bool check_seal(partition *p, str all, str *body, arena *a, err *e)
{
    size_t n_head = sizeof head - 1;
    int64_t end = str_find(all, STR("\n"));
    if (!str_starts(all, head) || end < 0 || (size_t)end < n_head + 64 + 2 ||
        all.data[n_head + 64] != ',')
        return fail(p->path, e, "not a split file: it does not begin with its seal");
    str rule = str_part(all, n_head + 66, (size_t)end - n_head - 66);
    *body = str_part(all, (size_t)end + 1, all.size - (size_t)end - 1);
    p->hash = partition_seal(rule, *body);
    p->rule = str_keep(a, rule, e);
    if (!str_equal(str_part(all, n_head, 64), (str){p->hash.hex, 64}))
        return fail(p->path, e, "it was changed after it was made (its SHA-256 does not fit)");
    return e->code == ERR_NONE;
}

static bool read_parts(partition *p, const table *t, arena *a, err *e)
{
    int32_t id = table_find_column(t, STR("id")), split = table_find_column(t, STR("split"));
    int32_t fold = table_find_column(t, STR("fold"));
    if (id < 0 || split < 0 || fold < 0)
        return fail(p->path, e, "it lacks a column: id, split, fold");
    p->part = arena_take(a, (size_t)t->n_row, sizeof *p->part, e);
    p->fold = arena_take(a, (size_t)t->n_row, sizeof *p->fold, e);
    if (!p->part || !p->fold || !names_make(&p->id, t->n_row, a, e)) return false;
    for (int32_t i = 0; i < t->n_row; i++) {
        bool is_new = false;
        int64_t number = 0;
        str of_fold = str_trim(table_cell(t, i, fold));
        names_add(&p->id, str_trim(table_cell(t, i, id)), &is_new);
        if (!is_new) return fail(p->path, e, "an id is there twice");
        if (of_fold.size && (!str_to_int(of_fold, &number) || number < 1 || number > 100))
            return fail(p->path, e, "a fold is no number from 1 to 100");
        p->part[i] = str_trim(table_cell(t, i, split));
        p->fold[i] = (int32_t)number;
    }
    return true;
}

bool partition_parse(partition *p, str bytes, const char *path, arena *a, err *e)
{
    table t;
    str body;
    *p = (partition){.path = path};
    buf all = buf_up_to(BUF_MAX);
    without_returns(bytes, &all);
    bool ok = buf_check(&all, "the split file", e);
    str text = ok ? str_keep(a, buf_view(&all), e) : STR("");
    buf_close(&all);
    return ok && e->code == ERR_NONE && check_seal(p, text, &body, a, e) &&
           table_parse(&t, body, path,
                       (table_options){.format = TABLE_CSV,
                                       .delimiter = ',',
                                       .encoding = ENCODING_UTF8},
                       a, e) &&
           read_parts(p, &t, a, e);
}

bool partition_read(partition *p, const char *path, arena *a, err *e)
{
    file_map m;
    if (!file_exists(path))
        return err_set(e, ERR_USAGE,
                       "%s is not there yet: `caseload split` makes it from the study file", path);
    if (!file_map_open(&m, path, ERR_DATA, e)) return false;
    bool ok = partition_parse(p, (str){(const char *)m.data, m.size}, path, a, e);
    file_map_close(&m);
    return ok;
}
