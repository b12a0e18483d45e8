# Little address space, as batch systems give it: the same scores, or exit code 5 and a sentence. And a whole
# scoring under valgrind, where that is installed.
. tests/cli/common.inc
make_study 30
! grep -qa __asan_init "$CASELOAD" || skip "AddressSanitizer needs all address space"
run_study whole --threads 2 || { cat "$work/stderr"; fail "the study did not run"; }
(ulimit -v 4000000 && run_study little --threads 2) || { cat "$work/stderr"; fail "does not run in 4 GB of address space"; }
same "$work/whole/scores.csv" "$work/little/scores.csv"
(ulimit -v 120000 && run_study none --threads 1)
[ $? = 5 ] || fail "no exit code 5 in 120 MB of address space"
[ "$(grep -c '^caseload: ' "$work/stderr")" = 1 ] || fail "not one sentence"
want 5 "the session" sh -c 'ulimit -v 4000000; "$0" run "$1/study.yaml" --out "$1/rows" --quiet --rows 90000000' "$CASELOAD" "$work"

command -v valgrind >/dev/null || skip "valgrind is not installed"
echo '{"id": 1, "prompt": "Was it bad?", "answers": ["Yes", "No, not at all"]}' > "$work/line.jsonl"
want 0 "" sh -c 'valgrind -q --error-exitcode=9 --leak-check=full "$0" score "$1" --device cpu:avx2 --threads 2 < "$2"' "$CASELOAD" "$work/model" "$work/line.jsonl"
