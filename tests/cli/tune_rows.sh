# A study that chooses its threshold and fits its probabilities on tune rows: they are scored too, and in no result.
. tests/cli/common.inc
make_study 160
sed -e 's/, split: split}/, split_file: parts.csv}/' "$work/study.yaml" > "$work/tuned.yaml"
cat >> "$work/tuned.yaml" <<'END'
splits: {by: random, train: 30, tune: 35, test: 35}
operating_point: youden
recalibrate: platt
primary: {compare: [baseline-tfidf, baseline-keywords], margin: 0.05}
END
"$CASELOAD" split "$work/tuned.yaml" > /dev/null || fail "split"
"$CASELOAD" run "$work/tuned.yaml" --out "$work/tuned" > /dev/null 2> "$work/e" || { cat "$work/e"; fail "run"; }
json=$(cat "$work/tuned/results.json")
case $json in *'"operating_point":{"rule":"youden","target":null,"chosen_on":"tune"}'*) ;; *) fail "rule" ;; esac
case $json in *'"primary":{"a":"baseline-tfidf","b":"baseline-keywords"'*'"margin":0.05'*) ;; *) fail "primary" ;; esac
case $json in *'"recalibration":{"method":"platt"'*) ;; *) fail "recalibration" ;; esac
case $json in *nan*|*NaN*) fail "nan in results.json" ;; esac
grep -q "Chosen on tune texts" "$work/tuned/report.html" || fail "the report says nothing of tune texts"
grep -q "Primary comparison" "$work/tuned/report.html" || fail "the report has no primary comparison"
grep -q '"tune"' "$work/tuned/paper/tables/T1.csv" || fail "T1 has no column for the tune part"
# The judged rows' scores are those of the same study without tune rows.
sed -e '/^operating_point/d; /^recalibrate/d; /^primary/d' "$work/tuned.yaml" > "$work/plain.yaml"
"$CASELOAD" run "$work/plain.yaml" --out "$work/plain" > /dev/null 2>&1 || fail "plain run"
cut -d, -f1-4 "$work/plain/scores.csv" > "$work/a"
cut -d, -f1-4 "$work/tuned/scores.csv" > "$work/b"
same "$work/a" "$work/b"
for n in threshold/baseline-tfidf recalibration/baseline-tfidf interaction/baseline-tfidf brier_own/baseline-tfidf; do
    "$CASELOAD" report "$work/tuned" --explain $n > "$work/x" || fail "explain $n"
    grep -q "formula" "$work/x" || fail "explain $n says no formula"
done
"$CASELOAD" report "$work/tuned" --explain threshold/baseline-tfidf | grep -q "tune texts" || fail "threshold's origin"
"$CASELOAD" compare "$work/tuned" baseline-keywords baseline-tfidf --draws 100 | grep -q "Primary comparison, declared" ||
    fail "compare does not know the primary comparison"
sed -e 's/split_file: parts.csv/split: site/' "$work/tuned.yaml" | grep -v "^splits" > "$work/none.yaml"
want 2 "" "$CASELOAD" run "$work/none.yaml" --out "$work/none"
