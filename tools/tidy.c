/* tidy: keeps what STYLE.md says of the sources, as a program.
 *
 *     tidy [FOLDER]        checks the tree at FOLDER (the current one when absent)
 *
 * How: each file is read into three copies of one layout: as it is (raw), with only its code
 * (comments, strings and characters blanked), and with only its comments. Statements at the
 * outermost level of the code are found by counting brackets; a function is one whose ')' is
 * followed by '{'. Prints "file:line: what" for each finding, then the count; exit status 1 when
 * there are any.
 *
 * Assumes: sources that compile and that clang-format laid out. Knows nothing of macros: a
 * statement that only a macro makes is not seen.
 */
#include <ctype.h>
#include <dirent.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define countof(array) (sizeof(array) / sizeof((array)[0]))

enum {
    LINE_MAX_CHARACTERS = 100,
    FILE_MAX_LINES = 1200,
    HEADER_MAX_LINES = 150,
    PUBLIC_MAX_LINES = 300, /* include/caseload.h */
    KERNEL_MAX_LINES = 400, /* src/compute/.._in.h: bodies that several instruction sets share */
    FUNCTION_MAX_LINES = 70,
    PARAMS_MAX = 6,
    NESTING_MAX = 4,
    WORD_MAX = 100,
};

typedef struct source {
    const char *path; /* from the root: "src/base/err.c" */
    char *raw, *code, *comments;
    size_t size;
    int *findings;
} source;

/* ---- tables ---- */

/* The line in which folders of src/ stand: a file includes its own folder and those before it. */
static const char *const layers[] = {"base",    "stats", "data",  "text",
                                     "compute", "model", "study", "view"};

static const struct { /* headers of others, and the only files that may see them */
    const char *header, *files;
} owners[] = {
    {"sqlite3.h", "src/data/store"}, {"cuda", "src/compute/cuda"}, {"cublas", "src/compute/cuda"},
    {"mpi.h", "src/compute/comm"},   {"nccl", "src/compute/comm"}, {"microhttpd.h", "src/view/web"},
    {"cairo", "src/view/figure"},    {"png.h", "src/view/"},       {"pango", "src/view/figure"},
    {"xlsxwriter.h", "src/view/sheet"},
    {"yaml.h", "src/data/"},
    {"csv.h", "src/data/"},          {"pcre2.h", "src/text/"},     {"utf8proc.h", "src/"},
    {"sys/mman.h", "src/base/"},     {"pthread.h", "src/base/"},
};

#define ALL "everywhere"

static const struct {
    const char *name, *use, *where; /* where: the folder in which it is allowed; ALL: in none, tests
                                       and tools included; "": in none of the product */
} banned[] = {
    {"strcpy", "a buf or snprintf", ALL},
    {"strcat", "a buf or snprintf", ALL},
    {"sprintf", "a buf or snprintf", ALL},
    {"vsprintf", "a buf or vsnprintf", ALL},
    {"gets", "fgets", ALL},
    {"strtok", "str_part", ALL},
    {"atoi", "str_to_int", ""},
    {"atof", "str_to_double", ""},
    {"rand", "rng_next", ""},
    {"srand", "rng_for", ""},
    {"localtime", "gmtime_r", ""},
    {"setlocale", "nothing: numbers are read and written as C does", ""},
    {"system", "nothing: the program starts no others", ""},
    {"popen", "nothing: the program starts no others", ""},
    {"getenv", "options", ""},
    {"malloc", "an arena or a buf", "src/base/"},
    {"calloc", "an arena or a buf", "src/base/"},
    {"realloc", "an arena or a buf", "src/base/"},
    {"free", "an arena or a buf", "src/base/"},
    {"strdup", "str_keep", "src/base/"},
    {"strndup", "str_keep", "src/base/"},
    {"exit", "an err", "cli/"},
    {"_exit", "an err", "cli/"},
    {"abort", "assert or an err", "cli/"},
    {"printf", "an err or a callback", "cli/"},
    {"vprintf", "an err or a callback", "cli/"},
    {"puts", "an err or a callback", "cli/"},
    {"putchar", "an err or a callback", "cli/"},
    {"perror", "an err", "cli/"},
};

static const struct { /* calls that are allowed in one file, where its line holds `with` */
    const char *file, *name, *with, *why;
} allowed[] = {
    {"src/base/pool.c", "getenv", "OMP_NUM_THREADS", "the number of threads a cluster gives"},
    {"cli/", "getenv", "NO_COLOR", "the convention of terminals"},
    {"cli/", "malloc", "", "what it reads from standard input; it sees no arena"},
    {"cli/", "realloc", "", "the same"},
    {"cli/", "free", "", "the same"},
};

static const char *const macros[] = {"countof", "PRINTF", "CHECK", "RESTRICT", "STR"};

/* ---- findings ---- */

static int line_at(const source *s, size_t at)
{
    int line = 1;
    for (size_t i = 0; i < at; i++) line += s->raw[i] == '\n';
    return line;
}

static void report(const source *s, int line, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void report(const source *s, int line, const char *format, ...)
{
    va_list rest;
    va_start(rest, format);
    printf("%s:%d: ", s->path, line);
    vprintf(format, rest);
    printf("\n");
    va_end(rest);
    ++*s->findings;
}

static bool starts(const char *text, const char *with)
{
    return !strncmp(text, with, strlen(with));
}

static bool ends(const char *text, const char *with)
{
    size_t n = strlen(text), m = strlen(with);
    return n >= m && !strcmp(text + n - m, with);
}

static bool is_word(char c) { return isalnum((unsigned char)c) || c == '_'; }

/* ---- the three copies ---- */

/* Where the comment or string that begins at `at` ends (one past), or `at` when there is none. */
static size_t skip_quiet(const char *raw, size_t size, size_t at, bool *is_comment)
{
    size_t i = at + 1;
    *is_comment = raw[at] == '/';
    if (raw[at] == '/' && raw[i] == '/') {
        while (i < size && raw[i] != '\n') i++;
        return i;
    }
    if (raw[at] == '/' && raw[i] == '*') {
        const char *end = strstr(raw + i + 1, "*/");
        return end ? (size_t)(end - raw) + 2 : size;
    }
    if (raw[at] != '"' && raw[at] != '\'') return at;
    if (raw[at] == '\'' && at && isdigit((unsigned char)raw[at - 1])) return at; /* 1'000 of C++ */
    for (; i < size && raw[i] != raw[at] && raw[i] != '\n'; i++) i += raw[i] == '\\';
    return i < size ? i + 1 : size;
}

static void split(source *s)
{
    for (size_t at = 0; at < s->size;) {
        bool is_comment = false;
        size_t end = skip_quiet(s->raw, s->size, at, &is_comment);
        bool quiet = end > at;
        if (!quiet) end = at + 1;
        for (size_t i = at; i < end; i++) {
            char c = s->raw[i];
            s->code[i] = c == '\n' || !quiet ? c : ' ';
            s->comments[i] = c == '\n' || (quiet && is_comment) ? c : ' ';
        }
        if (quiet && !is_comment) s->code[at] = s->code[end - 1] = s->raw[at];
        at = end;
    }
}

static bool read_source(source *s, const char *root)
{
    char path[1000];
    snprintf(path, sizeof path, "%s/%s", root, s->path);
    FILE *f = fopen(path, "rb");
    if (!f || fseek(f, 0, SEEK_END)) return false;
    s->size = (size_t)ftell(f);
    rewind(f);
    s->raw = calloc(s->size + 3, 1);
    s->code = calloc(s->size + 3, 1);
    s->comments = calloc(s->size + 3, 1);
    bool good = s->raw && s->code && s->comments && fread(s->raw, 1, s->size, f) == s->size;
    fclose(f);
    if (good) split(s);
    return good;
}

/* ---- lines ---- */

static void check_line(const source *s, int line, const char *text, size_t size)
{
    size_t characters = 0;
    for (size_t i = 0; i < size; i++) characters += ((unsigned char)text[i] & 0xC0) != 0x80;
    if (characters > LINE_MAX_CHARACTERS)
        report(s, line, "%zu characters, more than %d", characters, LINE_MAX_CHARACTERS);
    if (memchr(text, '\t', size)) report(s, line, "a tab");
    if (size && text[size - 1] == ' ') report(s, line, "white space at the end");
}

static void check_lines(const source *s)
{
    int line = 1;
    int most = FILE_MAX_LINES;
    for (const char *at = s->raw; at < s->raw + s->size; line++) {
        const char *end = memchr(at, '\n', (size_t)(s->raw + s->size - at));
        if (!end) end = s->raw + s->size;
        check_line(s, line, at, (size_t)(end - at));
        at = end + 1;
    }
    if (ends(s->path, ".h") && starts(s->path, "src/")) most = HEADER_MAX_LINES;
    if (!strcmp(s->path, "include/caseload.h")) most = PUBLIC_MAX_LINES;
    if (starts(s->path, "src/compute/") && ends(s->path, "_in.h")) most = KERNEL_MAX_LINES;
    if (line - 1 > most) report(s, line - 1, "%d lines, more than %d", line - 1, most);
    if (!starts(s->raw, "/*"))
        report(s, 1, "the file does not begin with a comment that says what it does");
}

static void check_words(const source *s)
{
    static const char *const words[] = {"TODO", "FIXME", "XXX"};
    for (size_t w = 0; w < countof(words); w++) {
        const char *at = s->comments;
        for (; (at = strstr(at, words[w])); at += strlen(words[w])) {
            const char *end = strchr(at, '\n');
            const char *hash = strchr(at, '#');
            bool has_number = hash && (!end || hash < end) && isdigit((unsigned char)hash[1]);
            if (!has_number)
                report(s, line_at(s, (size_t)(at - s->comments)),
                       "%s without the number of an issue", words[w]);
        }
    }
}

/* ---- directives ---- */

static int layer_of(const char *folder, size_t size)
{
    for (size_t i = 0; i < countof(layers); i++) {
        if (strlen(layers[i]) == size && !strncmp(layers[i], folder, size)) return (int)i;
    }
    return -1;
}

/* The part of a compute path that is one device's: "cpu" of "compute/cpu/x.c", or "". */
static const char *device_of(const char *path)
{
    static const char *const devices[] = {"compute/ref/", "compute/cpu/", "compute/cuda/"};
    for (size_t i = 0; i < countof(devices); i++) {
        if (starts(path, devices[i])) return devices[i];
    }
    return "";
}

static void check_include_in_src(const source *s, int line, const char *header)
{
    const char *own = s->path + strlen("src/");
    const char *slash = strchr(own, '/'), *other = strchr(header, '/');
    if (!slash) return; /* src/caseload.c stands at the right end */
    if (!other) {
        report(s, line, "\"%s\" is not written as \"folder/%s\"", header, header);
        return;
    }
    int mine = layer_of(own, (size_t)(slash - own));
    int theirs = layer_of(header, (size_t)(other - header));
    if (mine < 0 || theirs < 0) {
        report(s, line, "\"%s\" is in no folder of the house", header);
        return;
    }
    if (theirs > mine) report(s, line, "%s may not include \"%s\"", layers[mine], header);
    const char *device = device_of(own);
    bool common = starts(header, "base/") || (starts(header, "compute/") && !*device_of(header));
    if (*device && !common && !starts(header, device))
        report(s, line, "a device includes base/, compute/*.h and its own headers, not \"%s\"",
               header);
}

static void check_private(const source *s, int line, const char *header)
{
    const char *own = starts(s->path, "src/") ? s->path + strlen("src/") : s->path;
    const char *slash = strrchr(header, '/');
    size_t folder = slash ? (size_t)(slash - header) + 1 : 0;
    if (!ends(header, "_in.h") || !starts(s->path, "src/")) return;
    if (strncmp(own, header, folder) || strchr(own + folder, '/'))
        report(s, line, "\"%s\" is private to its folder", header);
}

static void check_owner(const source *s, int line, const char *header)
{
    if (!starts(s->path, "src/") && !starts(s->path, "cli/")) return;
    for (size_t i = 0; i < countof(owners); i++) {
        if (starts(header, owners[i].header) && !starts(s->path, owners[i].files))
            report(s, line, "<%s> is for %s only", header, owners[i].files);
    }
}

static void check_include(const source *s, int line, const char *text)
{
    char header[WORD_MAX] = {0};
    bool quoted = *text == '"';
    size_t size = strcspn(text + 1, quoted ? "\"\n" : ">\n");
    if ((*text != '"' && *text != '<') || size >= sizeof header) return;
    memcpy(header, text + 1, size);
    check_owner(s, line, header);
    if (!quoted) return;
    check_private(s, line, header);
    if (starts(s->path, "src/") && strcmp(header, "caseload.h"))
        check_include_in_src(s, line, header);
    if (starts(s->path, "src/") && !strcmp(header, "caseload.h") &&
        strcmp(s->path, "src/caseload.c"))
        report(s, line, "\"caseload.h\" is for the command line and users");
    if (starts(s->path, "cli/") && strcmp(header, "caseload.h") && strchr(header, '/') &&
        !starts(header, "cli/"))
        report(s, line, "the command line includes \"caseload.h\" only, not \"%s\"", header);
}

static void check_define(const source *s, int line, const char *text)
{
    size_t size = 0;
    while (is_word(text[size])) size++;
    if (text[size] != '(' || starts(s->path, "tests/")) return; /* cmocka is macros itself */
    for (size_t i = 0; i < countof(macros); i++) {
        if (strlen(macros[i]) == size && !strncmp(macros[i], text, size)) return;
    }
    report(s, line, "the macro %.*s takes arguments", (int)size, text);
}

/* Reports what is wrong with directives and blanks them, so that they are no statements. */
static void check_directives(source *s)
{
    int line = 1, depth = 0;
    for (size_t at = 0; at < s->size; line++) {
        size_t end = at, i = at;
        while (end < s->size && s->code[end] != '\n') end++;
        while (i < end && s->code[i] == ' ') i++;
        if (s->code[i] != '#') {
            for (i = at; i < end; i++) depth += (s->code[i] == '{') - (s->code[i] == '}');
            at = end + 1;
            continue;
        }
        for (i++; i < end && s->code[i] == ' ';) i++;
        const char *word = s->raw + i;
        if (starts(word, "include")) check_include(s, line, word + 7 + strspn(word + 7, " "));
        if (starts(word, "define ")) check_define(s, line, word + 7 + strspn(word + 7, " "));
        if (starts(word, "if 0")) report(s, line, "#if 0");
        if (starts(word, "if") && depth > 0 && starts(s->path, "src/"))
            report(s, line, "a condition of the preprocessor inside a function or table");
        for (;;) { /* with its continued lines */
            bool more = end > at && s->code[end - 1] == '\\';
            memset(s->code + at, ' ', end - at);
            at = end + 1;
            if (!more || at >= s->size) break;
            line++;
            for (end = at; end < s->size && s->code[end] != '\n';) end++;
        }
    }
}

/* ---- calls ---- */

static bool is_allowed(const source *s, size_t at, const char *name)
{
    const char *line = s->raw + at;
    while (line > s->raw && line[-1] != '\n') line--;
    size_t size = strcspn(line, "\n");
    for (size_t i = 0; i < countof(allowed); i++) {
        const char *with = strstr(line, allowed[i].with);
        bool here = with && with + strlen(allowed[i].with) <= line + size;
        if (here && starts(s->path, allowed[i].file) && !strcmp(allowed[i].name, name)) return true;
    }
    return false;
}

/* Does the code at `at` (behind a name) call it, rather than declare or select a member? */
static bool is_call(const source *s, size_t begin, size_t end)
{
    while (s->code[end] == ' ') end++;
    if (s->code[end] != '(') return false;
    if (begin && (s->code[begin - 1] == '.' || is_word(s->code[begin - 1]))) return false;
    return !(begin > 1 && s->code[begin - 1] == '>' && s->code[begin - 2] == '-');
}

static void check_call(const source *s, size_t at, const char *name)
{
    bool product = starts(s->path, "src/") || starts(s->path, "cli/");
    for (size_t i = 0; i < countof(banned); i++) {
        const char *where = banned[i].where;
        bool everywhere = !strcmp(where, ALL);
        if (strcmp(banned[i].name, name) || !(product || everywhere)) continue;
        if (!everywhere && *where && starts(s->path, where)) return;
        if (is_allowed(s, at, name)) return;
        report(s, line_at(s, at), "%s is banned here; use %s", name, banned[i].use);
    }
}

static void check_streams(const source *s, size_t at, const char *name)
{
    bool quiet = starts(s->path, "src/");
    if (!quiet || (strcmp(name, "stderr") && strcmp(name, "stdout"))) return;
    report(s, line_at(s, at), "%s: the library does not print", name);
}

static void check_identifiers(const source *s)
{
    static const char *const locals[] = {"_Thread_local", "thread_local", "__thread"};
    for (size_t at = 0; at < s->size;) {
        size_t end = at;
        char name[WORD_MAX];
        while (end < s->size && is_word(s->code[end])) end++;
        if (end == at || end - at >= sizeof name) {
            at = end + (end == at);
            continue;
        }
        memcpy(name, s->code + at, end - at);
        name[end - at] = 0;
        for (size_t i = 0; i < countof(locals); i++) {
            if (!strcmp(name, locals[i])) report(s, line_at(s, at), "a thread-local variable");
        }
        if (!strcmp(name, "goto") && !starts(s->code + end, " out;"))
            report(s, line_at(s, at), "a goto elsewhere than to out:");
        if (is_call(s, at, end)) check_call(s, at, name);
        check_streams(s, at, name);
        at = end;
    }
}

/* ---- statements ---- */

static size_t skip_space(const source *s, size_t at, size_t end)
{
    while (at < end && isspace((unsigned char)s->code[at])) at++;
    return at;
}

/* One past the bracket that closes the one at `at`. */
static size_t closing(const source *s, size_t at, size_t end)
{
    int depth = 0;
    for (; at < end; at++) {
        depth += strchr("([{", s->code[at]) && s->code[at];
        depth -= strchr(")]}", s->code[at]) && s->code[at];
        if (depth == 0) return at + 1;
    }
    return end;
}

static bool has_word(const source *s, size_t at, size_t end, const char *word)
{
    size_t n = strlen(word);
    for (; at + n <= end; at++) {
        if (strncmp(s->code + at, word, n)) continue;
        if ((!at || !is_word(s->code[at - 1])) && !is_word(s->code[at + n])) return true;
    }
    return false;
}

/* The '(' of a function's parameters in [at, end), or end; *name gets where its name begins. */
static size_t params_of(const source *s, size_t at, size_t end, size_t *name)
{
    for (size_t i = at; i < end && s->code[i] != '='; i++) {
        if (s->code[i] != '(') continue;
        size_t last = i;
        while (last > at && s->code[last - 1] == ' ') last--;
        size_t first = last;
        while (first > at && is_word(s->code[first - 1])) first--;
        bool attribute = !strncmp(s->code + first, "__", 2) && last - first > 5;
        bool pointer = s->code[i + 1] == '*'; /* a variable that holds a function */
        if (last > first && !attribute && !pointer) return *name = first, i;
        if (pointer) return end;
        i = closing(s, i, end) - 1;
    }
    return end;
}

static void check_params(const source *s, size_t at, size_t end)
{
    size_t name = at, open = params_of(s, at, end, &name);
    if (open == end || starts(s->path, "src/compute/")) return;
    int count = 1;
    size_t close = closing(s, open, end) - 1;
    for (size_t i = open + 1; i < close; i++) {
        if (s->code[i] == '(' || s->code[i] == '[' || s->code[i] == '{') i = closing(s, i, end) - 1;
        else count += s->code[i] == ',';
    }
    if (count > PARAMS_MAX)
        report(s, line_at(s, name), "%.*s has %d parameters, more than %d",
               (int)strcspn(s->code + name, " ("), s->code + name, count, PARAMS_MAX);
}

/* Is the object declared in [at, end) one that nothing changes? */
static bool is_constant(const source *s, size_t at, size_t end)
{
    size_t last = at;
    for (size_t i = at; i < end && s->code[i] != '='; i++) {
        if (s->code[i] == '{') i = closing(s, i, end) - 1;
        else if (s->code[i] == '*') last = i;
    }
    size_t value = last;
    while (value < end && s->code[value] != '=') value++;
    return has_word(s, last, value, "const");
}

static bool is_product(const source *s)
{
    return starts(s->path, "src/") || starts(s->path, "cli/") || starts(s->path, "include/");
}

/* A declaration at the outermost level, without its ';'. */
static void check_declaration(const source *s, size_t at, size_t end)
{
    static const char *const others[] = {"typedef", "static_assert", "_Static_assert"};
    at = skip_space(s, at, end);
    if (at >= end) return;
    for (size_t i = 0; i < countof(others); i++) {
        if (starts(s->code + at, others[i])) return;
    }
    size_t body = at, name = at;
    while (body < end && s->code[body] != '{' && s->code[body] != '=') body++;
    if (params_of(s, at, body, &name) < body) {
        check_params(s, at, body);
        return;
    }
    if (body < end && s->code[body] == '{') { /* struct x { .. }: a variable if a name follows */
        size_t after = skip_space(s, closing(s, body, end), end);
        if (after >= end) return;
    } else if (starts(s->code + at, "struct ") || starts(s->code + at, "enum ")) {
        size_t words = 0;
        for (size_t i = at; i < body; i++) words += is_word(s->code[i]) && !is_word(s->code[i + 1]);
        if (words < 3) return; /* struct x; */
    }
    bool flag =
        starts(s->path, "cli/") && has_word(s, at, end, "sig_atomic_t"); /* set by a signal */
    if (is_product(s) && !flag && !is_constant(s, at, end))
        report(s, line_at(s, at), "a variable of the file that can change");
}

/* ---- functions ---- */

static size_t word_before(const source *s, size_t at, size_t least)
{
    while (at > least && isspace((unsigned char)s->code[at - 1])) at--;
    while (at > least && is_word(s->code[at - 1])) at--;
    return at;
}

/* Does the '{' at `at` open a block of statements (not an initialiser)? */
static bool opens_block(const source *s, size_t at, size_t least)
{
    static const char *const heads[] = {"if", "for", "while", "switch"};
    size_t last = at;
    while (last > least && isspace((unsigned char)s->code[last - 1])) last--;
    if (last == least) return true;
    char before = s->code[last - 1];
    if (strchr(";{}:", before)) return true;
    if (before != ')') {
        size_t word = word_before(s, last, least);
        return starts(s->code + word, "else") || starts(s->code + word, "do");
    }
    int depth = 0;
    size_t open = last;
    do {
        open--;
        depth += (s->code[open] == ')') - (s->code[open] == '(');
    } while (depth && open > least);
    size_t word = word_before(s, open, least);
    for (size_t i = 0; i < countof(heads); i++) {
        size_t n = strlen(heads[i]);
        if (!strncmp(s->code + word, heads[i], n) && !is_word(s->code[word + n])) return true;
    }
    return false;
}

static void check_statics(const source *s, size_t at, size_t end)
{
    for (size_t i = at; i + 7 < end; i++) {
        if (strncmp(s->code + i, "static ", 7) || is_word(s->code[i - 1])) continue;
        size_t stop = i;
        while (stop < end && s->code[stop] != ';') {
            bool bracket = s->code[stop] == '{' || s->code[stop] == '(';
            stop = bracket ? closing(s, stop, end) : stop + 1;
        }
        if (!is_constant(s, i, stop) && is_product(s))
            report(s, line_at(s, i), "a variable that outlives its function");
        i = stop;
    }
}

static void check_nesting(const source *s, size_t at, size_t end)
{
    bool block[200]; /* of statements, the function's own first; false for initialisers */
    int depth = 0, nested = -1;
    bool reported = false;
    for (size_t i = at; i < end; i++) {
        if (s->code[i] == '{' && depth < (int)countof(block)) {
            block[depth] = depth == 0 || (block[depth - 1] && opens_block(s, i, at));
            nested += block[depth++];
        } else if (s->code[i] == '}' && depth > 0) {
            nested -= block[--depth];
        }
        if (nested <= NESTING_MAX || reported) continue;
        reported = true;
        report(s, line_at(s, i), "blocks are nested deeper than %d", NESTING_MAX);
    }
}

/* Is a comment "long: why" on the line above the function or beside its head? */
static bool is_marked_long(const source *s, size_t begin, size_t body)
{
    int lines = 0;
    size_t at = begin;
    while (at > 0 && lines < 2) lines += s->raw[--at] == '\n';
    size_t end = body + strcspn(s->raw + body, "\n");
    for (const char *mark = s->comments + at; (mark = strstr(mark, "long: ")); mark++) {
        if (mark < s->comments + end) return true;
    }
    return false;
}

/* begin: the head; body: its '{'; end: one past its '}'. */
static void check_function(const source *s, size_t begin, size_t body, size_t end)
{
    int lines = line_at(s, end - 1) - line_at(s, begin) + 1;
    size_t name = begin;
    params_of(s, begin, body, &name);
    check_params(s, begin, body);
    if (lines > FUNCTION_MAX_LINES && !is_marked_long(s, begin, body))
        report(s, line_at(s, begin), "%.*s has %d lines, more than %d",
               (int)strcspn(s->code + name, " ("), s->code + name, lines, FUNCTION_MAX_LINES);
    check_nesting(s, body, end);
    check_statics(s, body, end);
}

static bool is_function_head(const source *s, size_t at, size_t body)
{
    size_t name = at, open = params_of(s, at, body, &name);
    return open < body && !starts(s->code + at, "typedef");
}

static void check_statements(const source *s)
{
    size_t begin = skip_space(s, 0, s->size);
    for (size_t at = begin; at < s->size;) {
        char c = s->code[at];
        if (c == '{') {
            bool external =
                !strncmp(s->code + begin, "extern \"", 8) && !has_word(s, begin, at, "static");
            size_t end = closing(s, at, s->size);
            bool function = is_function_head(s, begin, at);
            if (external) end = at + 1; /* extern "C" { */
            else if (function) check_function(s, begin, at, end);
            at = end;
            if (external || function) begin = skip_space(s, at, s->size);
        } else if (c == '(' || c == '[') {
            at = closing(s, at, s->size);
        } else {
            if (c == ';') check_declaration(s, begin, at);
            at++;
            if (c == ';' || c == '}') begin = skip_space(s, at, s->size);
        }
    }
}

/* ---- the tree ---- */

static void check_file(const char *root, const char *path, int *findings)
{
    source s = {.path = path, .findings = findings};
    if (read_source(&s, root)) {
        check_lines(&s);
        check_words(&s);
        check_directives(&s);
        check_identifiers(&s);
        check_statements(&s);
    } else {
        report(&s, 1, "cannot be read");
    }
    free(s.raw);
    free(s.code);
    free(s.comments);
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void check_folder(const char *root, const char *folder, int *files, int *findings)
{
    char path[1000];
    struct dirent **entry = NULL;
    snprintf(path, sizeof path, "%s/%s", root, folder);
    int n = scandir(path, &entry, NULL, by_name);
    for (int i = 0; i < n; i++) {
        const char *name = entry[i]->d_name;
        struct stat st;
        char inner[900];
        snprintf(inner, sizeof inner, "%s/%s", folder, name);
        snprintf(path, sizeof path, "%s/%s", root, inner);
        bool known = name[0] != '.' && !lstat(path, &st);
        if (known && S_ISDIR(st.st_mode)) {
            check_folder(root, inner, files, findings);
        } else if (known && (ends(name, ".c") || ends(name, ".h") || ends(name, ".cu"))) {
            ++*files;
            check_file(root, inner, findings);
        }
        free(entry[i]);
    }
    free(entry);
}

int main(int argc, char **argv)
{
    static const char *const folders[] = {"include", "src",   "cli",  "tests",
                                          "fuzz",    "bench", "tools"};
    int files = 0, findings = 0;
    if (argc > 2) {
        fprintf(stderr,
                "tidy [FOLDER]: checks the sources of the tree at FOLDER against STYLE.md\n");
        return 2;
    }
    for (size_t i = 0; i < countof(folders); i++)
        check_folder(argc > 1 ? argv[1] : ".", folders[i], &files, &findings);
    printf("tidy: %d files, %d findings\n", files, findings);
    return findings > 0 || files == 0;
}
