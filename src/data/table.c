/* table: see table.h. Reads the whole file once: bytes -> UTF-8 (encoding) -> cells in reading
 * order (table_csv, table_jsonl) -> columns. The steps before the last use growing buffers with a
 * maximum; what is kept lies in the caller's arena. */
#include "data/table.h"

#include "base/file.h"
#include "data/table_in.h"

#include <assert.h>
#include <limits.h>
#include <stdio.h>

static const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

void table_where(const table_builder *b, char out[400])
{
    int n = 0;
    if (b->row == 0) n = snprintf(out, 400, "%.200s: header", b->path);
    else n = snprintf(out, 400, "%.200s: row %d (line %lld)", b->path, b->row, (long long)b->line);
    assert(n > 0 && n < 400);
    size_t used = (size_t)n;
    if (b->row > 0 && b->column < b->n_column) {
        str name = table_name_in(b, b->column);
        if (name.size <= 100)
            snprintf(out + used, 400 - used, ", column '%.*s'", (int)name.size, name.data);
        else snprintf(out + used, 400 - used, ", column %d", b->column + 1);
    } else if (b->row == 0) {
        snprintf(out + used, 400 - used, ", column %d", b->column + 1);
    }
}

str table_name_in(const table_builder *b, int32_t column)
{
    assert(column >= 0 && column < b->n_column);
    const table_cell_in *names = (const table_cell_in *)(const void *)b->names.data;
    return (str){b->bytes.data + names[column].start, (size_t)names[column].size};
}

static bool add_bytes(table_builder *b, str s, encoding_count *count, table_cell_in *cell, err *e)
{
    cell->start = (int64_t)b->bytes.size;
    if (s.size >= INT32_MAX / 4)
        return err_set(e, ERR_DATA, "%s: row %d (line %lld): a cell of %zu bytes is too long",
                       b->path, b->row, (long long)b->line, s.size);
    encoding_add_nfc(&b->bytes, s, count);
    if (!buf_check(&b->bytes, "the table's text", e)) return false;
    cell->size = (int32_t)(b->bytes.size - (size_t)cell->start);
    return true;
}

bool table_add_name(table_builder *b, str name, err *e)
{
    char unnamed[32];
    name = str_trim(name);
    if (name.size == 0) { /* pandas writes its index under an empty name */
        snprintf(unnamed, sizeof unnamed, "column %d", b->n_column + 1);
        name = str_of(unnamed);
    }
    if (b->n_column == TABLE_COLUMNS_MAX)
        return err_set(e, ERR_DATA, "%s: more than %d columns", b->path, TABLE_COLUMNS_MAX);
    table_cell_in cell = {.column = b->n_column};
    if (!add_bytes(b, name, &b->count_names, &cell, e)) return false;
    str made = {b->bytes.data + cell.start, (size_t)cell.size};
    for (int32_t k = 0; k < b->n_column; k++) {
        if (!str_equal(table_name_in(b, k), made)) continue;
        return err_set(e, ERR_DATA, /* the name may be a text: see header_is_row */
                       "%s: columns %d and %d have the same name; rename one, or put a line with "
                       "the columns' names first if there is none",
                       b->path, k + 1, b->n_column + 1);
    }
    buf_add(&b->names, &cell, sizeof cell);
    b->n_column++;
    return buf_check(&b->names, "the table's columns", e);
}

bool table_start_row(table_builder *b, err *e)
{
    if (b->n_row == TABLE_ROWS_MAX)
        return err_set(e, ERR_DATA, "%s: more than %d rows", b->path, TABLE_ROWS_MAX);
    int64_t first = (int64_t)(b->cells.size / sizeof(table_cell_in));
    buf_add(&b->row_first, &first, sizeof first);
    buf_add(&b->row_line, &b->line, sizeof b->line);
    b->n_row++;
    return buf_check(&b->row_first, "the table's rows", e) &&
           buf_check(&b->row_line, "the table's rows", e);
}

bool table_add_cell(table_builder *b, int32_t column, str cell, err *e)
{
    assert(column >= 0 && column < b->n_column);
    table_cell_in in = {.column = column};
    if (!add_bytes(b, cell, &b->count, &in, e)) return false;
    buf_add(&b->cells, &in, sizeof in);
    return buf_check(&b->cells, "the table's cells", e);
}

/* --- what it is --- */

static bool refuse_foreign(const char *path, str bytes, err *e)
{
    static const struct {
        const char *mark;
        size_t size;
        const char *what;
    } kinds[] = {
        {"PK\x03\x04", 4, "an Excel workbook or zip file; in Excel, save it as \"CSV UTF-8\""},
        {"\xD0\xCF\x11\xE0", 4, "an old Excel or Hangul file; open it and save the table as CSV"},
        {"\xFD"
         "7zXZ",
         5, "compressed with xz; unpack it first (xz -dk FILE)"},
        {"\x1F\x8B", 2, "compressed with gzip; unpack it first (gunzip -k FILE)"},
        {"BZh", 3, "compressed with bzip2; unpack it first (bunzip2 -k FILE)"},
        {"\x28\xB5\x2F\xFD", 4, "compressed with zstd; unpack it first (unzstd -k FILE)"},
        {"PAR1", 4, "a Parquet file; save the table as CSV"},
        {"%PDF", 4, "a PDF; a table as CSV, TSV or JSONL is needed"},
        {"SQLite format 3", 15, "an SQLite database; save the table as CSV"},
    };
    for (size_t i = 0; i < countof(kinds); i++) {
        if (bytes.size >= kinds[i].size && !memcmp(bytes.data, kinds[i].mark, kinds[i].size))
            return err_set(e, ERR_DATA, "%s is %s", path, kinds[i].what);
    }
    return true;
}

static table_format find_format(const char *path, str text)
{
    str name = str_of(path);
    if (str_ends(name, ".jsonl") || str_ends(name, ".ndjson") || str_ends(name, ".json"))
        return TABLE_JSONL;
    if (str_ends(name, ".tsv") || str_ends(name, ".tab")) return TABLE_TSV;
    if (str_ends(name, ".csv")) return TABLE_CSV;
    str start = str_trim(str_part(text, 0, text.size < 4096 ? text.size : 4096));
    bool object = start.size && start.data[0] == '{';
    bool array = start.size > 1 && start.data[0] == '[' &&
                 str_starts(str_trim(str_part(start, 1, start.size - 1)), "{");
    return object || array ? TABLE_JSONL : TABLE_CSV;
}

const char *table_format_name(const table_record *r)
{
    if (r->format == TABLE_JSONL) return "JSONL";
    switch (r->delimiter) {
    case ',': return "CSV, comma";
    case ';': return "CSV, semicolon";
    case '\t': return "TSV";
    default: return "CSV";
    }
}

static bool read_cells(table_builder *b, table_record *r, str text, table_options o, err *e)
{
    r->format = o.format != TABLE_AUTO ? o.format : find_format(b->path, text);
    b->line = 1;
    if (r->format == TABLE_JSONL) return table_jsonl_read(b, text, e);
    str rest;
    char found = table_csv_delimiter(text, &rest);
    if (rest.size < text.size) b->line++;
    r->delimiter = o.delimiter ? o.delimiter : r->format == TABLE_TSV ? '\t' : found;
    return table_csv_read(b, rest, r->delimiter, e);
}

/* The bytes stop decoding: reads what came before, to say where that is. */
static bool fail_decode(table_builder *b, const encoding_result *d, str bytes, table_options o,
                        err *e)
{
    char where[400];
    table_record ignored = {0};
    err ignored_error = {0};
    read_cells(b, &ignored, d->text, o, &ignored_error);
    if (ignored.format != TABLE_JSONL && ignored_error.code == ERR_NONE) {
        b->column = b->open_end ? b->column : 0;
        b->row -= b->open_end;
    }
    table_where(b, where);
    unsigned byte = (unsigned char)bytes.data[d->failed_at];
    const char *save = "in Excel, save as \"CSV UTF-8\", or name the encoding in the study file "
                       "(data: encoding:";
    if (d->looks_western) {
        return err_set(
            e, ERR_DATA,
            "%s: byte %02X at offset %lld is not UTF-8, and read as CP949 the file is hardly "
            "Korean: it may be Windows-1252; %s windows-1252 or cp949)",
            where, byte, (long long)d->failed_at, save);
    }
    if (o.encoding != ENCODING_AUTO || d->has_mark) {
        return err_set(e, ERR_DATA, "%s: byte %02X at offset %lld is not %s; %s %s)", where, byte,
                       (long long)d->failed_at, encoding_name(d->used), save, encoding_names());
    }
    return err_set(e, ERR_DATA, "%s: byte %02X at offset %lld is neither UTF-8 nor CP949; %s %s)",
                   where, byte, (long long)d->failed_at, save, encoding_names());
}

static bool refuse_nul(const table_builder *b, str text, err *e)
{
    const char *nul = text.size ? memchr(text.data, 0, text.size) : NULL;
    if (!nul) return true;
    int64_t line = 1;
    for (const char *p = text.data; p < nul; p++) line += *p == '\n';
    return err_set(
        e, ERR_DATA,
        "%s: line %lld holds a NUL byte; a text table has none (if it is UTF-16 without a "
        "mark, say data: encoding: utf-16)",
        b->path, (long long)line);
}

/* --- cells to columns --- */

static bool lay_out(table *t, const table_builder *b, arena *a, err *e)
{
    const table_cell_in *cells = (const table_cell_in *)(const void *)b->cells.data;
    const int64_t *row_first = (const int64_t *)(const void *)b->row_first.data;
    int64_t n_cell = (int64_t)(b->cells.size / sizeof *cells);
    size_t n_row = (size_t)b->n_row, n_column = (size_t)b->n_column, n_start = 0;
    if (!size_multiply(n_column, n_row + 1, &n_start)) n_start = SIZE_MAX;
    t->n_row = b->n_row;
    t->n_column = b->n_column;
    t->column_name = arena_take(a, n_column, sizeof(str), e);
    t->nested_row = arena_take(a, n_column, sizeof(int32_t), e);
    t->cell_start = arena_take_zero(a, n_start, sizeof(int64_t), e);
    t->row_line = arena_take(a, n_row, sizeof(int64_t), e);
    t->bytes = arena_take(a, b->bytes.size + 1, 1, e);
    if (e->code) return false;
    for (int32_t c = 0; c < t->n_column; c++) {
        t->column_name[c] = str_keep(a, table_name_in(b, c), e);
        bool known = (size_t)c < b->nested_row.size / sizeof(int32_t);
        t->nested_row[c] = known ? ((const int32_t *)(const void *)b->nested_row.data)[c] : -1;
    }
    if (n_row) memcpy(t->row_line, b->row_line.data, n_row * sizeof(int64_t));
    for (int32_t r = 0; r < t->n_row; r++) { /* sizes first, each one place late .. */
        int64_t end = r + 1 < t->n_row ? row_first[r + 1] : n_cell;
        for (int64_t i = row_first[r]; i < end; i++)
            t->cell_start[(size_t)cells[i].column * (n_row + 1) + (size_t)r + 1] = cells[i].size;
    }
    int64_t at = 0;
    for (size_t i = 0; i < n_start; i++)
        t->cell_start[i] = at += t->cell_start[i]; /* .. then sums */
    for (int32_t r = 0; r < t->n_row; r++) {
        int64_t end = r + 1 < t->n_row ? row_first[r + 1] : n_cell;
        for (int64_t i = row_first[r]; i < end; i++) {
            size_t to = (size_t)cells[i].column * (n_row + 1) + (size_t)r;
            if (cells[i].size)
                memcpy(t->bytes + t->cell_start[to], b->bytes.data + cells[i].start,
                       (size_t)cells[i].size);
        }
    }
    return e->code == ERR_NONE;
}

/* Rows at the end whose cells are all empty: Excel writes them for cells that were once touched. */
static int32_t drop_blank_end(table_builder *b)
{
    const table_cell_in *cells = (const table_cell_in *)(const void *)b->cells.data;
    const int64_t *row_first = (const int64_t *)(const void *)b->row_first.data;
    int32_t dropped = 0;
    for (; b->n_row > 0; dropped++) {
        int64_t first = row_first[b->n_row - 1];
        int64_t n_cell = (int64_t)(b->cells.size / sizeof *cells), i = first;
        while (i < n_cell && cells[i].size == 0) i++;
        if (i < n_cell) break;
        b->cells.size = (size_t)first * sizeof *cells;
        b->n_row--;
        b->row_first.size -= sizeof *row_first;
    }
    return dropped;
}

static void builder_close(table_builder *b)
{
    buf_close(&b->bytes);
    buf_close(&b->cells);
    buf_close(&b->row_first);
    buf_close(&b->row_line);
    buf_close(&b->names);
    buf_close(&b->nested_row);
}

static bool build(table *t, table_builder *b, const encoding_result *d, table_options o, arena *a,
                  err *e)
{
    if (!refuse_nul(b, d->text, e) || !read_cells(b, &t->record, d->text, o, e)) return false;
    t->record.n_blank_end = drop_blank_end(b);
    t->record.count = b->count;
    if (b->n_column == 0 || (b->n_column == 1 && b->n_row == 0))
        return err_set(e, ERR_DATA,
                       "%s: no table in it: a header line with the columns' names, then rows",
                       b->path);
    if (b->n_row == 0) return err_set(e, ERR_DATA, "%s: a header, but no rows", b->path);
    return buf_check(&b->nested_row, "the table's columns", e) && lay_out(t, b, a, e);
}

bool table_parse(table *t, str bytes, const char *path, table_options o, arena *a, err *e)
{
    assert(t && path && !arena_measures(a));
    *t = (table){.path = arena_copy_text(a, path, strlen(path), e)};
    if (!t->path || !refuse_foreign(path, bytes, e)) return false;
    if (bytes.size > TABLE_BYTES_MAX)
        return err_set(e, ERR_DATA, "%s: %.1f GB; a table has at most 4 GB", path,
                       (double)bytes.size / 1e9);
    t->record = (table_record){.file = base_name(t->path),
                               .hash = hash_of(bytes.data, bytes.size),
                               .bytes = (int64_t)bytes.size};
    encoding_result d;
    if (!encoding_decode(&d, bytes, o.encoding, e)) {
        buf_close(&d.store);
        return err_in(e, "%s", path);
    }
    t->record.encoding = d.used;
    t->record.has_mark = d.has_mark;
    const size_t most = 2 * TABLE_BYTES_MAX, most_rows = (TABLE_ROWS_MAX + 1) * sizeof(int64_t);
    table_builder b = {.path = t->path,
                       .bytes = buf_up_to(most),
                       .cells = buf_up_to((size_t)1 << 36),
                       .row_first = buf_up_to(most_rows),
                       .row_line = buf_up_to(most_rows),
                       .names = buf_up_to((TABLE_COLUMNS_MAX + 1) * sizeof(table_cell_in)),
                       .nested_row = buf_up_to((TABLE_COLUMNS_MAX + 1) * sizeof(int32_t))};
    bool ok = d.failed_at < 0 ? build(t, &b, &d, o, a, e) : fail_decode(&b, &d, bytes, o, e);
    builder_close(&b);
    buf_close(&d.store);
    return ok;
}

bool table_read(table *t, const char *path, table_options o, arena *a, err *e)
{
    file_map m;
    if (!file_map_open(&m, path, ERR_DATA, e)) return false;
    bool ok = table_parse(t, (str){(const char *)m.data, m.size}, path, o, a, e);
    file_map_close(&m);
    return ok;
}

/* --- asking --- */

int32_t table_find_column(const table *t, str name)
{
    for (int32_t c = 0; c < t->n_column; c++) {
        if (str_equal(t->column_name[c], name)) return c;
    }
    return -1;
}

str table_cell(const table *t, int32_t row, int32_t column)
{
    assert(row >= 0 && row < t->n_row);
    assert(column >= 0 && column < t->n_column);
    const int64_t *start = t->cell_start + (size_t)column * ((size_t)t->n_row + 1) + row;
    return (str){t->bytes + start[0], (size_t)(start[1] - start[0])};
}

bool table_check_flat(const table *t, int32_t column, err *e)
{
    assert(column >= 0 && column < t->n_column);
    int32_t row = t->nested_row[column];
    if (row < 0) return true;
    return err_set(
        e, ERR_DATA,
        "%s: row %d (line %lld), column '%s': a list or object where one value is needed", t->path,
        row + 1, (long long)t->row_line[row], t->column_name[column].data);
}

bool table_check_short(const table *t, int32_t column, err *e)
{
    enum { LONGEST = 60 };
    assert(column >= 0 && column < t->n_column);
    for (int32_t row = 0; row < t->n_row; row++) {
        str cell = str_trim(table_cell(t, row, column));
        if (cell.size <= LONGEST || encoding_count_characters(cell) <= LONGEST) continue;
        return err_set(
            e, ERR_DATA,
            "%s: row %d (line %lld), column '%.60s': a text of more than %d characters, and "
            "the names of subgroups are printed; name a column of short values",
            t->path, row + 1, (long long)t->row_line[row], t->column_name[column].data, LONGEST);
    }
    return true;
}

/* A table without a header: its first row stands where the names should, and must not be shown. It
 * is one when a name is long, is an object, or stands again as a cell of its own column. */
static bool header_is_row(const table *t)
{
    enum { LONG = 60, ROWS = 1000 };
    for (int32_t c = 0; c < t->n_column; c++) {
        str name = t->column_name[c];
        if (name.size > LONG || str_starts(name, "{")) return true;
        for (int32_t row = 0; row < t->n_row && row < ROWS; row++)
            if (str_equal(str_trim(table_cell(t, row, c)), name)) return true;
    }
    return false;
}

void table_list_columns(const table *t, str wanted, buf *out)
{
    enum { SHOWN = 20 };
    const char *names[TABLE_COLUMNS_MAX];
    if (header_is_row(t)) {
        buf_add_text(out, "its first line looks like a row; put a line with the columns' names "
                          "above it");
        return;
    }
    buf_add_text(out, "its columns are: ");
    for (int32_t c = 0; c < t->n_column; c++) {
        names[c] = t->column_name[c].data;
        if (c >= SHOWN) continue;
        buf_add_text(out, c ? ", " : "");
        buf_add_str(out, encoding_cut(t->column_name[c], 60));
    }
    if (t->n_column > SHOWN) buf_printf(out, " and %d more", t->n_column - SHOWN);
    const char *nearest = str_nearest(wanted, names, (size_t)t->n_column);
    if (!nearest) return;
    buf_add_text(out, "; did you mean '");
    buf_add_str(out, encoding_cut(str_of(nearest), 60));
    buf_add_text(out, "'?");
}

int32_t table_need_column(const table *t, str name, err *e)
{
    int32_t c = table_find_column(t, str_trim(name));
    if (c >= 0) return c;
    buf list = buf_up_to(4000);
    table_list_columns(t, name, &list);
    str shown = encoding_cut(name, 60);
    err_set(e, ERR_USAGE, "no column '%.*s' in %s; %s", (int)shown.size, shown.data, t->record.file,
            list.data ? list.data : "");
    buf_close(&list);
    return -1;
}
