# Ctrl-C: the step under way is finished and kept, exit code 6; the same command then goes on to the same bytes.
. tests/cli/common.inc
make_study 1500
"$CASELOAD" run "$work/study.yaml" --out "$work/cut" --quiet --threads 1 --batch 1 >/dev/null 2>"$work/stderr" &
pid=$!
sleep 1
kill -INT $pid 2>/dev/null || fail "the study was too quick to be interrupted"
wait $pid
code=$?
[ $code -eq 6 ] || { cat "$work/stderr"; fail "exit code $code after SIGINT, not 6"; }
[ -s "$work/stderr" ] || fail "nothing is said about the interruption"
"$CASELOAD" run "$work/study.yaml" --out "$work/hung" --quiet --threads 1 --batch 1 >/dev/null 2>"$work/stderr" &
pid=$!
sleep 1
kill -HUP $pid 2>/dev/null || fail "the study was too quick to be hung up on"
wait $pid
code=$?
[ $code -eq 6 ] || { cat "$work/stderr"; fail "exit code $code after SIGHUP, not 6"; }
"$CASELOAD" run "$work/study.yaml" --out "$work/cut" --quiet --limit 100 >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "does not go on"; }
"$CASELOAD" run "$work/study.yaml" --out "$work/whole" --quiet --limit 100 >/dev/null 2>&1 || fail "the uninterrupted study did not run"
same "$work/whole/scores.csv" "$work/cut/scores.csv"
