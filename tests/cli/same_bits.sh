# A score belongs to its text: the same bytes for any batch, rows a step, number of threads, with and without sharing,
# and with the rows of the table in another order. On a tiny model; determinism.sh does it on a real one.
. tests/cli/common.inc
make_study 90
run_study base --threads 1 || { cat "$work/stderr"; fail "the study did not run"; }
try() {
    name=$1
    shift
    run_study "$name" "$@" || { cat "$work/stderr"; fail "the study did not run with $*"; }
    same "$work/base/scores.csv" "$work/$name/scores.csv"
}
try batch1 --threads 1 --batch 1
try batch2 --threads 2 --batch 2
try batch7 --threads 1 --batch 7
try batch32 --threads 2 --batch 32
try rows100 --threads 1 --rows 100
try alone --threads 2 --unshared

{ head -n 1 "$work/notes.csv"; tail -n +2 "$work/notes.csv" | sort -t, -k8; } > "$work/shuffled.csv"
sed 's/notes.csv/shuffled.csv/' "$work/study.yaml" > "$work/other.yaml"
"$CASELOAD" run "$work/other.yaml" --out "$work/shuffled" --quiet >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "shuffled"; }
sort "$work/base/scores.csv" > "$work/a"
sort "$work/shuffled/scores.csv" > "$work/b"
same "$work/a" "$work/b"
