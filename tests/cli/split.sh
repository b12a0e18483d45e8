# caseload split, and baselines in a study: the file is made once, sealed, and used; a patient in two parts is
# refused; baselines are arms of scores.csv and results.json, judged on the same rows.
. tests/cli/common.inc
make_study 90
cat > "$work/split.yaml" <<'END2'
study: tiny
model: model
data: {file: notes.csv, id: id, text: text, label: label, patient: patient, group: [site], split_file: splits.csv}
splits: {train: 80, tune: 0, test: 20, folds: 3}
classes: {serious: [Yes], not-serious: [No]}
positive: serious
keywords: [intensive care, died, admitted, 입원, 중환자실]
question: Was the event serious? Answer Yes or No.
arms:
  - {name: zero-shot}
limits: {max_tokens: 1500, cut: head+tail}
END2
run() { "$CASELOAD" run "$work/split.yaml" --out "$work/$1" --quiet; }
want 2 "\`caseload split\` makes it" run a
want 0 "" "$CASELOAD" split "$work/split.yaml"
grep -q "warning: .* positive rows in test" "$work/stdout" || fail "no warning of few positives"
want 2 "made once" "$CASELOAD" split "$work/split.yaml"
cp "$work/splits.csv" "$work/kept.csv"
want 0 "" run a
[ "$(grep -c '^zero-shot,' "$work/a/scores.csv")" = "$(grep -c ',test,' "$work/splits.csv")" ] || fail "other rows than test"
for arm in baseline-prevalence baseline-keywords baseline-tfidf; do
    [ "$(grep -c "^$arm,.*,baseline" "$work/a/scores.csv")" = "$(grep -c ',test,' "$work/splits.csv")" ] || fail "$arm: rows"
    grep -q "\"name\":\"$arm\",\"kind\":\"baseline\"" "$work/a/results.json" || fail "$arm is not in results.json"
    grep -q "$arm" "$work/a/report.html" || fail "$arm is not in the report"
done
grep -q "<h2>What each part holds</h2>" "$work/a/report.html" || fail "no table of the parts"
grep -q "texts cut to fit" "$work/a/report.html" || fail "the report does not tell the share cut, by class"
grep -q "3 folds of the training rows" "$work/a/report.html" || fail "the folds of the split file are not used"
grep -q "random by patient, 80/0/20, stratified, seed 1, 3 folds" "$work/a/report.html" || fail "no rule in the report"
"$CASELOAD" compare "$work/a" zero-shot baseline-tfidf | grep -q "paired difference" || fail "no comparison"

# Again: nothing is made anew, the same bytes; a changed seal, a lost row, another split.
cp "$work/a/scores.csv" "$work/first.csv"
want 0 "" run a
same "$work/a/scores.csv" "$work/first.csv"
sed -i 's/,train,/,test,/' "$work/splits.csv"
want 3 "changed after it was made" run a
sed 's/$/\r/' "$work/kept.csv" > "$work/splits.csv"
want 0 "" run a
echo 'n999999,p999999,ward,2020-01-01,50,F,en,A new text.,serious,serious,test' >> "$work/notes.csv"
want 3 "row 'n999999' is not in the split file" run a
sed -i '$d' "$work/notes.csv"
rm "$work/splits.csv"
sed -i 's/folds: 3/seed: 2/' "$work/split.yaml"
want 0 "" "$CASELOAD" split "$work/split.yaml"
want 0 "" run a
grep -q "The split was changed after an earlier run" "$work/a/report.html" || fail "a changed split is not told"

# None, and a patient in two parts.
sed -i 's/^question/baselines: none\nquestion/' "$work/split.yaml"
want 0 "" run b
! grep -q baseline- "$work/b/scores.csv" || fail "baselines that were not asked for"
sed -i 's/, patient: patient/, patient: site/; s/, split_file: splits.csv/, split: split/' "$work/split.yaml"
want 3 "2 patients are in two parts of the split (first: '" run c
sed -i 's/, split: split/, split: split, patients_across_splits: {allowed: sites are no patients}/' "$work/split.yaml"
want 0 "" run c
grep -q "which the study allows: sites are no patients" "$work/c/report.html" || fail "the reason is not in the report"
