# tools/tidy finds each thing that STYLE.md forbids, and nothing in a clean file.
tidy=$BUILD/tools/tidy
[ -x "$tidy" ] || { echo "skip: $tidy is not built"; exit 77; }
root=$(mktemp -d); trap 'rm -rf "$root"' EXIT
failed=0

# bad FILE EXPECTED [bare]: the file (from stdin, after an opening comment) must give that finding.
bad() {
    rm -rf "$root/tree"; mkdir -p "$root/tree/$(dirname "$1")"
    { [ "${3:-}" = bare ] || echo "/* a file */"; cat; } > "$root/tree/$1"
    "$tidy" "$root/tree" > "$root/out"; rc=$?
    if [ $rc -ne 1 ] || ! grep -q "^$1:[0-9]*: .*$2" "$root/out"; then
        echo "not found: '$2' in $1 (exit $rc)"; cat "$root/out"; failed=1
    fi
}
# good FILE: nothing may be found in it.
good() {
    rm -rf "$root/tree"; mkdir -p "$root/tree/$(dirname "$1")"
    { echo "/* a file */"; cat; } > "$root/tree/$1"
    "$tidy" "$root/tree" > "$root/out" || { echo "found in a clean $1:"; cat "$root/out"; failed=1; }
}
# As a pipe ends in a subshell, what repeats goes through a file.
many=$root/many
repeat() { i=0; while [ $i -lt "$1" ]; do echo "$2"; i=$((i + 1)); done; }

# lines and files
bad src/base/a.c '104 characters' <<E
/* $(printf '%098d' 0) */
E
printf 'int a(void)\t;\n' > "$many"; bad src/base/a.c 'a tab' < "$many"
printf 'int a(void); \n' > "$many"; bad src/base/a.c 'white space at the end' < "$many"
repeat 1200 'int a(void);' > "$many"; bad src/base/a.c '1201 lines, more than 1200' < "$many"
repeat 150 'int a(void);' > "$many"; bad src/base/a.h '151 lines, more than 150' < "$many"
repeat 200 'int a(void);' > "$many"; good include/caseload.h < "$many"
repeat 300 'int a(void);' > "$many"; bad include/caseload.h '301 lines, more than 300' < "$many"
bad src/base/a.c 'does not begin with a comment' bare <<E
int a(void);
E

# functions
function() { echo 'int a(void)'; echo '{'; repeat "$1" '    a();'; echo '}'; }
function 68 > "$many"; bad src/base/a.c 'a has 71 lines, more than 70' < "$many"
function 67 > "$many"; good src/base/a.c < "$many"
{ echo '/* long: one table */'; function 90; } > "$many"; good src/base/a.c < "$many"
bad src/base/a.c 'put has 7 parameters' <<E
static void put(int a, int b, int c, int d, int e, int f, int g) { (void)a; }
E
bad src/base/a.h 'put has 7 parameters' <<E
void put(int a, int b, int c, int d, int (*e)(int, int), int f, int g) PRINTF(1, 2);
E
good src/base/a.h <<E
void put(int a, int b, int c, int d, int (*e)(int, int), int f) PRINTF(1, 2);
E
good src/compute/cpu/a.c <<E
static void gemm(int a, int b, int c, int d, int e, int f, int g) { (void)a; }
E
bad src/base/a.c 'nested deeper than 4' <<E
void a(int x)
{
    if (x) {
        for (;;) {
            while (x) {
                switch (x) {
                case 1: {
                    x--;
                }
                }
            }
        }
    }
}
E
good src/base/a.c <<E
void a(int x)
{
    if (x) {
        for (;;) {
            while (x) {
                if (x) {
                    b((struct c){.d = {{{{1}}}}});
                }
            }
        }
    }
}
E
bad src/base/a.c 'goto elsewhere' <<E
void a(void)
{
    goto again;
again:
    a();
}
E
bad src/base/a.c 'condition of the preprocessor inside' <<E
void a(void)
{
#ifdef B
    a();
#endif
}
E

# the house
bad src/stats/a.c 'stats may not include "data/table.h"' <<E
#include "data/table.h"
E
bad src/model/a.c 'model may not include "study/run.h"' <<E
#include "study/run.h"
E
good src/view/a.c <<E
#include "base/err.h"
#include "study/run.h"
E
bad src/text/a.c 'not written as "folder/err.h"' <<E
#include "err.h"
E
bad src/text/a.c 'in no folder of the house' <<E
#include "other/err.h"
E
bad src/compute/cpu/a.c 'a device includes base/' <<E
#include "compute/ref/ref.h"
E
bad src/compute/ref/a.c 'a device includes base/' <<E
#include "data/table.h"
E
good src/compute/cpu/a.c <<E
#include "base/pool.h"
#include "compute/cpu/cpu_in.h"
#include "compute/tensor.h"
E
bad src/study/a.c 'private to its folder' <<E
#include "text/chat_in.h"
E
bad src/data/table.c '<sqlite3.h> is for src/data/store only' <<E
#include <sqlite3.h>
E
good src/data/store.c <<E
#include <sqlite3.h>
E
bad src/compute/cpu/a.c '<cuda_runtime.h> is for' <<E
#include <cuda_runtime.h>
E
bad src/study/a.c '<mpi.h> is for src/compute/comm' <<E
#include <mpi.h>
E
bad src/view/report.c '<microhttpd.h> is for src/view/web' <<E
#include <microhttpd.h>
E
bad src/view/report.c '<cairo.h> is for src/view/figure' <<E
#include <cairo.h>
E
bad cli/a.c 'includes "caseload.h" only' <<E
#include "study/run.h"
E
bad src/study/a.c '"caseload.h" is for' <<E
#include "caseload.h"
E
good cli/a.c <<E
#include "caseload.h"
#include "cli.h"
#include <stdio.h>
int main(void) { return puts("a") < 0; }
E

# state
bad src/base/a.c 'variable of the file that can change' <<E
static int count;
E
bad src/base/a.c 'variable of the file that can change' <<E
static const char *names[] = {"a", "b"};
E
bad src/base/a.c 'variable of the file that can change' <<E
struct point {
    int x;
} origin = {0};
E
bad src/base/a.c 'variable of the file that can change' <<E
static bool (*hook)(int) = NULL;
E
bad src/base/a.c 'variable that outlives its function' <<E
int a(void)
{
    static int count = 0;
    return ++count;
}
E
bad src/base/a.c 'a thread-local variable' <<E
static _Thread_local int count;
E
good src/base/a.c <<E
static const char *const names[] = {"a", "b"};
static const struct {
    int x;
} points[] = {{1}, {2}};
typedef struct point {
    int x;
} point;
struct later;
enum { A, B };
static_assert(sizeof(int) == 4, "int");
extern const int table[4];
static const int table_size = 4;
static bool (*const hook)(int) = NULL;
static point move(point p) { return (point){p.x + 1}; }
int a(void)
{
    static const int step = 1;
    return step;
}
E

good cli/a.c <<E
static volatile sig_atomic_t stopped;
E
bad src/base/a.c 'variable of the file that can change' <<E
static volatile sig_atomic_t stopped;
E

# calls
for call in strcpy strcat sprintf strtok atoi rand localtime system getenv malloc calloc realloc free \
    exit abort printf puts perror; do
    echo "void a(void) { $call(0); }" > "$many"
    bad src/study/a.c "$call is banned here" < "$many"
done
bad src/study/a.c 'stderr: the library does not print' <<E
void a(void) { fputs("a", stderr); }
E
bad tests/t_a.c 'strcpy is banned here' <<E
void a(void) { strcpy(x, y); }
E
bad cli/a.c 'getenv is banned here' <<E
void a(void) { getenv("HOME"); }
E
good src/study/a.c <<E
/* free(x); malloc(1); */
static const char text[] = "printf(1); exit(2)";
void a(struct b *b) { b->free(b), b->x.exit(1), my_free(b), (void)text; }
E
good src/base/a.c <<E
void a(void) { free(realloc(malloc(1), 2)); }
E
good src/base/pool.c <<E
void a(void) { getenv("OMP_NUM_THREADS"); }
E
good cli/a.c <<E
void a(void) { getenv("NO_COLOR"); }
E

# words and macros
bad src/base/a.c 'TODO without the number' <<E
/* TODO: later */
E
good src/base/a.c <<E
/* TODO #12: later */
E
bad src/base/a.c '#if 0' <<E
#if 0
#endif
E
bad src/base/a.c 'the macro MAX takes arguments' <<E
#define MAX(a, b) ((a) > (b) ? (a) : (b))
E
good src/base/a.c <<E
#define SIZE (1 + 2)
#define countof(a) (sizeof(a) / sizeof((a)[0]))
E

mkdir -p "$root/empty"
"$tidy" "$root/empty" > /dev/null && { echo "an empty tree passed"; failed=1; }
exit $failed
