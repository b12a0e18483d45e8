/* sheet: see sheet.h. */
#include "view/sheet.h"

#include "base/file.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xlsxwriter.h>

enum { CELLS_BYTES_MAX = 64 << 20 };

void sheet_open(sheet *s, const char *id, const char *caption)
{
    *s = (sheet){0};
    snprintf(s->id, sizeof s->id, "%s", id);
    snprintf(s->caption, sizeof s->caption, "%s", caption);
    s->cells = s->notes = buf_up_to(CELLS_BYTES_MAX);
}

void sheet_close(sheet *s)
{
    buf_close(&s->cells);
    buf_close(&s->notes);
}

void sheet_column(sheet *s, const char *name, bool number)
{
    assert(s->n_column < SHEET_COLUMNS_MAX && s->n_cell == 0);
    snprintf(s->column[s->n_column], sizeof s->column[0], "%s", name);
    s->number[s->n_column++] = number;
}

void sheet_add(sheet *s, str cell)
{
    for (size_t i = 0; i < cell.size; i++) /* a 0 byte would end the cell */
        buf_add_char(&s->cells, cell.data[i] ? cell.data[i] : ' ');
    buf_add(&s->cells, "", 1);
    s->n_cell++;
}

static void add_formatted(buf *to, const char *format, va_list rest) PRINTF(2, 0);

static void add_formatted(buf *to, const char *format, va_list rest)
{
    char text[2000];
    int n = vsnprintf(text, sizeof text, format, rest);
    assert(n >= 0);
    buf_add(to, text, strlen(text) + 1);
}

void sheet_printf(sheet *s, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    add_formatted(&s->cells, format, rest);
    va_end(rest);
    s->n_cell++;
}

void sheet_note(sheet *s, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    add_formatted(&s->notes, format, rest);
    va_end(rest);
}

/* --- walking --- */

typedef struct walk {
    const char *at, *end;
} walk;

static walk walk_of(const buf *b)
{
    str all = buf_view(b);
    return (walk){all.data, all.data + all.size};
}

static bool next(walk *w, str *out)
{
    if (w->at >= w->end) return false;
    *out = str_of(w->at);
    w->at += out->size + 1;
    return true;
}

/* --- CSV --- */

static void add_csv(buf *out, str cell)
{
    bool formula = cell.size && strchr("=+@-", cell.data[0]);
    buf_add_char(out, '"');
    if (formula) buf_add_char(out, '\'');
    for (size_t i = 0; i < cell.size; i++) {
        if (cell.data[i] == '"') buf_add_char(out, '"');
        buf_add_char(out, cell.data[i]);
    }
    buf_add_char(out, '"');
}

void sheet_csv(const sheet *s, buf *out)
{
    str cell;
    assert(s->n_column > 0 && s->n_cell % s->n_column == 0);
    buf_add_text(out, "\xEF\xBB\xBF");
    for (int32_t i = 0; i < s->n_column; i++) {
        if (i) buf_add_char(out, ',');
        add_csv(out, str_of(s->column[i]));
    }
    walk w = walk_of(&s->cells);
    for (int64_t i = 0; next(&w, &cell); i++) {
        buf_add_text(out, i % s->n_column ? "," : "\r\n");
        add_csv(out, cell);
    }
    buf_add_text(out, "\r\n");
}

/* --- HTML --- */

void sheet_html(const sheet *s, buf *out)
{
    str cell;
    buf_printf(out, "<table class=\"sheet\">\n<caption><b>%s.</b> ", s->id);
    buf_add_html(out, str_of(s->caption));
    buf_add_text(out, "</caption>\n<thead><tr>");
    for (int32_t i = 0; i < s->n_column; i++) {
        buf_printf(out, "<th scope=\"col\"%s>", s->number[i] ? " class=\"n\"" : "");
        buf_add_html(out, str_of(s->column[i]));
        buf_add_text(out, "</th>");
    }
    buf_add_text(out, "</tr></thead>\n<tbody>\n");
    walk w = walk_of(&s->cells);
    for (int64_t i = 0; next(&w, &cell); i++) {
        int64_t column = i % s->n_column;
        if (column == 0) buf_add_text(out, i ? "</tr>\n<tr>" : "<tr>");
        if (column == 0) buf_add_text(out, "<th scope=\"row\">");
        else buf_add_text(out, s->number[column] ? "<td class=\"n\">" : "<td>");
        buf_add_html(out, cell);
        buf_add_text(out, column == 0 ? "</th>" : "</td>");
    }
    buf_add_text(out, s->n_cell ? "</tr>\n</tbody>\n" : "</tbody>\n");
    w = walk_of(&s->notes);
    if (s->notes.size) {
        buf_printf(out, "<tfoot><tr><td colspan=\"%d\"><div>", (int)s->n_column);
        for (int i = 0; next(&w, &cell); i++) {
            if (i) buf_add_text(out, "<br/>");
            buf_add_html(out, cell);
        }
        buf_add_text(out, "</div></td></tr></tfoot>\n");
    }
    buf_add_text(out, "</table>\n");
}

/* --- LaTeX --- */

static void add_latex(buf *out, str text)
{
    static const struct {
        const char *from, *to;
    } marks[] = {{"\\", "\\textbackslash{}"},
                 {"{", "\\{"},
                 {"}", "\\}"},
                 {"$", "\\$"},
                 {"&", "\\&"},
                 {"#", "\\#"},
                 {"%", "\\%"},
                 {"_", "\\_"},
                 {"~", "\\textasciitilde{}"},
                 {"^", "\\textasciicircum{}"},
                 {"<", "\\textless{}"},
                 {">", "\\textgreater{}"},
                 {"\n", " "},
                 {"\r", ""},
                 {"−", "$-$"},
                 {"≥", "$\\geq$"},
                 {"±", "$\\pm$"}};
    for (size_t i = 0; i < text.size;) {
        size_t k = 0;
        str rest = str_part(text, i, text.size - i);
        while (k < countof(marks) && !str_starts(rest, marks[k].from)) k++;
        if (k < countof(marks)) {
            buf_add_text(out, marks[k].to);
            i += strlen(marks[k].from);
        } else {
            buf_add_char(out, text.data[i++]);
        }
    }
}

void sheet_latex(const sheet *s, buf *out)
{
    str cell;
    buf_add_text(out,
                 "% needs \\usepackage{booktabs}; Korean: XeLaTeX or LuaLaTeX with a Korean font\n"
                 "\\begin{table}\n\\caption{");
    add_latex(out, str_of(s->caption));
    buf_printf(out, "}\\label{tab:%s}\n\\begin{tabular}{", s->id);
    for (int32_t i = 0; i < s->n_column; i++) buf_add_char(out, s->number[i] ? 'r' : 'l');
    buf_add_text(out, "}\n\\toprule\n");
    for (int32_t i = 0; i < s->n_column; i++) {
        if (i) buf_add_text(out, " & ");
        add_latex(out, str_of(s->column[i]));
    }
    buf_add_text(out, " \\\\\n\\midrule\n");
    walk w = walk_of(&s->cells);
    for (int64_t i = 0; next(&w, &cell); i++) {
        if (i % s->n_column) buf_add_text(out, " & ");
        add_latex(out, cell);
        if ((i + 1) % s->n_column == 0) buf_add_text(out, " \\\\\n");
    }
    buf_add_text(out, "\\bottomrule\n\\end{tabular}\n");
    w = walk_of(&s->notes);
    while (next(&w, &cell)) {
        buf_add_text(out, "\\par\\footnotesize ");
        add_latex(out, cell);
        buf_add_char(out, '\n');
    }
    buf_add_text(out, "\\end{table}\n");
}

/* --- XLSX --- */

typedef struct book {
    lxw_workbook *book;
    lxw_format *head, *cell, *number, *note;
} book;

static double width_of(str s)
{
    size_t n = 0;
    for (size_t i = 0; i < s.size; i++) /* a letter beyond U+0800, such as Hangul, is two wide */
        n += ((unsigned char)s.data[i] & 0xC0) == 0x80 ? 0
             : (unsigned char)s.data[i] >= 0xE0        ? 2
                                                       : 1;
    return n < 8 ? 9 : n > 60 ? 61 : (double)n + 1;
}

/* The cell as a number when it is one as it stands. */
static bool is_number(str s, double *x)
{
    if (s.size == 0 || s.size > 20) return false;
    for (size_t i = 0; i < s.size; i++) {
        if (!strchr("0123456789.", s.data[i])) return false;
    }
    return str_to_double(s, x) && !(s.size > 1 && s.data[0] == '0' && s.data[1] != '.');
}

static lxw_error add_page(const book *b, const sheet *s)
{
    lxw_error failed = LXW_NO_ERROR;
    lxw_worksheet *page = workbook_add_worksheet(b->book, s->id);
    if (!page) return LXW_ERROR_MEMORY_MALLOC_FAILED;
    double wide[SHEET_COLUMNS_MAX], x;
    worksheet_write_string(page, 0, 0, s->caption, b->note);
    for (int32_t i = 0; i < s->n_column; i++) {
        worksheet_write_string(page, 1, (lxw_col_t)i, s->column[i], b->head);
        wide[i] = width_of(str_of(s->column[i]));
    }
    walk w = walk_of(&s->cells);
    str cell;
    lxw_row_t row = 1;
    for (int64_t i = 0; next(&w, &cell); i++) {
        lxw_col_t column = (lxw_col_t)(i % s->n_column);
        if (column == 0) row++;
        lxw_error now = s->number[column] && is_number(cell, &x)
                            ? worksheet_write_number(page, row, column, x, b->number)
                            : worksheet_write_string(page, row, column, cell.data,
                                                     s->number[column] ? b->number : b->cell);
        if (now != LXW_NO_ERROR) failed = now;
        if (width_of(cell) > wide[column]) wide[column] = width_of(cell);
    }
    for (int32_t i = 0; i < s->n_column; i++)
        worksheet_set_column(page, (lxw_col_t)i, (lxw_col_t)i, wide[i], NULL);
    row++;
    w = walk_of(&s->notes);
    while (next(&w, &cell)) worksheet_write_string(page, row++, 0, cell.data, b->note);
    worksheet_freeze_panes(page, 2, 1);
    return failed;
}

static bool write_pages(const char *path, const sheet *const *s, int32_t n, const char *date,
                        err *e)
{
    char folder[4400];
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) *slash = 0; /* its temporary files stay in the study's folder */
    lxw_workbook_options how = {.tmpdir = slash ? folder : NULL};
    book b = {.book = workbook_new_opt(path, &how)};
    if (!b.book) return err_set(e, ERR_RESOURCE, "no memory for the workbook");
    char title[] = "Tables of the study", maker[] = "Made by caseload";
    lxw_doc_properties about = {.title = title, .comments = maker};
    struct tm day = {0};
    if (sscanf(date, "%4d-%2d-%2d", &day.tm_year, &day.tm_mon, &day.tm_mday) == 3) {
        day.tm_year -= 1900;
        day.tm_mon -= 1;
        about.created = timegm(&day);
    }
    workbook_set_properties(b.book, &about);
    b.head = workbook_add_format(b.book);
    b.cell = workbook_add_format(b.book);
    b.number = workbook_add_format(b.book);
    b.note = workbook_add_format(b.book);
    format_set_bold(b.head);
    format_set_bottom(b.head, LXW_BORDER_THIN);
    format_set_text_wrap(b.cell);
    format_set_align(b.cell, LXW_ALIGN_VERTICAL_TOP);
    format_set_align(b.number, LXW_ALIGN_RIGHT);
    format_set_align(b.number, LXW_ALIGN_VERTICAL_TOP);
    format_set_italic(b.note);
    lxw_error failed = LXW_NO_ERROR;
    for (int32_t i = 0; i < n; i++) {
        lxw_error now = add_page(&b, s[i]);
        if (now != LXW_NO_ERROR) failed = now;
    }
    lxw_error closed = workbook_close(b.book);
    if (failed == LXW_NO_ERROR) failed = closed;
    return failed == LXW_NO_ERROR ||
           err_set(e, ERR_RESOURCE, "%s: the workbook could not be written: %s", path,
                   lxw_strerror(failed));
}

bool sheet_workbook(const sheet *const *s, int32_t n, const char *path, const char *date, err *e)
{
    char part[4300];
    assert(n > 0);
    snprintf(part, sizeof part, "%s.part", path);
    if (!write_pages(part, s, n, date, e)) {
        unlink(part);
        return false;
    }
    if (chmod(part, 0600) == 0 && rename(part, path) == 0) return true;
    unlink(part);
    return err_set(e, ERR_RESOURCE, "%s: cannot be replaced", path);
}
