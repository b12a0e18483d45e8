# A full disk and folders that cannot be written: exit code 5, one sentence, and with room again the run goes on.
. tests/cli/common.inc
make_study 200
run_study whole --threads 1 || { cat "$work/stderr"; fail "the study did not run"; }

# A file where the folder should be.
: > "$work/file"
want 5 "" "$CASELOAD" run "$work/study.yaml" --out "$work/file/out" --quiet
want 5 "" "$CASELOAD" run "$work/study.yaml" --out "$work/file" --quiet

# Files that may not grow: what `ulimit -f` forbids looks like a full disk to the program.
(
    ulimit -f 64 # blocks of 512 bytes
    trap '' XFSZ
    "$CASELOAD" run "$work/study.yaml" --out "$work/limited" --quiet --batch 4 >/dev/null 2>"$work/stderr"
)
code=$?
[ $code -eq 5 ] || { cat "$work/stderr"; fail "exit code $code with files that may not grow, not 5"; }
run_study limited || { cat "$work/stderr"; fail "does not go on after room is made"; }
same "$work/whole/scores.csv" "$work/limited/scores.csv"

if [ "$(id -u)" = 0 ]; then
    mkdir "$work/small"
    mount -t tmpfs -o size=200k tmpfs "$work/small" 2>/dev/null || { echo "skip: mounts are not allowed here"; exit 0; }
    mounted=$work/small
    want 5 "" "$CASELOAD" run "$work/study.yaml" --out "$work/small/out" --quiet --batch 4
    mount -o remount,size=20m "$work/small"
    "$CASELOAD" run "$work/study.yaml" --out "$work/small/out" --quiet >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "does not go on after room is made"; }
    same "$work/whole/scores.csv" "$work/small/out/scores.csv"
    mount -o remount,ro "$work/small"
    want 5 "" "$CASELOAD" run "$work/study.yaml" --out "$work/small/new" --quiet
else
    mkdir -m 500 "$work/locked"
    want 5 "" "$CASELOAD" run "$work/study.yaml" --out "$work/locked/out" --quiet
fi
