# kill -9 in the middle, several times: the next run goes on, and the end is the same bytes as without.
. tests/cli/common.inc
make_study 400
run_study whole --threads 1 || { cat "$work/stderr"; fail "the study did not run"; }
kills=0
for wait in 0.2 0.3 0.5 0.7; do
    "$CASELOAD" run "$work/study.yaml" --out "$work/cut" --quiet --threads 1 --batch 2 >/dev/null 2>&1 &
    pid=$!
    sleep $wait
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
[ $kills -gt 0 ] || fail "the study was too quick to be killed"
run_study cut --threads 2 || { cat "$work/stderr"; fail "the killed study does not go on"; }
same "$work/whole/scores.csv" "$work/cut/scores.csv"
