# A whole study on a tiny model: what is written, that nothing is computed twice, that no text leaks.
. tests/cli/common.inc
make_study
run_study a || { cat "$work/stderr"; fail "the study did not run"; }
for f in study.db scores.csv results.json report.html; do [ -s "$work/a/$f" ] || fail "no $f"; done
tested=$(grep -c ',test$' "$work/notes.csv")
[ "$(grep -c '^zero-shot,' "$work/a/scores.csv")" = "$tested" ] || fail "scores.csv does not have $tested rows an arm"
[ "$(grep -c '^two-shot,' "$work/a/scores.csv")" = "$tested" ] || fail "scores.csv does not have $tested rows an arm"
grep -q '"auroc"' "$work/a/results.json" || fail "results.json has no auroc"
grep -q 'zero-shot' "$work/stdout" || fail "no table of arms on the terminal"

# No text of a row in anything that is written or printed, no address to load anything from.
for word in ambulance hospitalised "119 이송" 중환자실 emergency; do
    for f in results.json report.html scores.csv; do
        ! grep -q "$word" "$work/a/$f" || fail "$f holds text of a row ('$word')"
    done
    ! grep -aq "$word" "$work/stdout" "$work/stderr" || fail "the terminal shows text of a row ('$word')"
done
! grep -Eq '(src|href)="?(https?:)?//' "$work/a/report.html" || fail "report.html loads something from elsewhere"
! grep -q '<script' "$work/a/report.html" || fail "report.html holds a script"

# Once more: the same bytes, and no score is made again (the model may even be gone).
cp "$work/a/scores.csv" "$work/first.csv"
run_study a || fail "the second run failed"
same "$work/a/scores.csv" "$work/first.csv"

# Drawn again from the store alone.
mv "$work/model" "$work/elsewhere"
rm "$work/a/scores.csv" "$work/a/report.html"
want 0 "" "$CASELOAD" report "$work/a"
same "$work/a/scores.csv" "$work/first.csv"
[ -s "$work/a/report.html" ] || fail "report does not draw report.html"
mv "$work/elsewhere" "$work/model"

# A changed question is another score.
sed -i 's/Was the event serious/Was this event serious/' "$work/study.yaml"
run_study a || fail "the changed study did not run"
! cmp -s "$work/a/scores.csv" "$work/first.csv" || fail "a changed question kept old scores"
