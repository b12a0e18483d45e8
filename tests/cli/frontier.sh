# Size against quality: one model in three number types in one study gives table T4 and its figure, from the records alone.
. tests/cli/common.inc
make_study 60
for t in q8_0 q4_0; do
    "$CASELOAD" convert "$work/model" "$work/model.$t.gguf" --type $t >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "no $t"; }
done
cat > "$work/study.yaml" <<'END'
study: number-formats
model: model
data: {file: notes.csv, id: id, text: text, label: label, patient: patient, split: split}
classes: {serious: [Yes, " Yes"], not-serious: [No, " No"]}
positive: serious
question: Was the event serious? Answer Yes or No.
arms:
  - {name: full}
  - {name: eight, model: model.q8_0.gguf}
  - {name: four, model: model.q4_0.gguf}
primary: {compare: [four, full], margin: 0.1}
limits: {max_tokens: 1500, cut: head+tail}
END
run_study out || { cat "$work/stderr"; fail "the study did not run"; }
t4=$work/out/paper/tables/T4.csv
[ -f "$t4" ] || fail "no table T4"
[ "$(grep -c . "$t4")" -ge 4 ] || fail "T4 has too few rows"
grep -q '^"full",.*F32).*"reference"' "$t4" || fail "the arm in most bits is no reference"
grep -q '^"eight",' "$t4" || fail "no row of eight bits"
grep '^"four",' "$t4" | grep -q ',"full",' || fail "four bits are not compared with the full model"
grep '^"four",' "$t4" | grep -Eq '"(yes|not shown)"' || fail "the margin is not judged"
grep '^"full",' "$t4" | grep -Eq ',"0\.[0-9]+","0\.[0-9]+","[0-9]+",' || fail "no planned and measured memory, no speed"
for f in svg pdf png csv; do [ -s "$work/out/paper/figures/frontier.$f" ] || fail "no figure frontier.$f"; done
[ "$(grep -c . "$work/out/paper/figures/frontier.csv")" = 4 ] || fail "the figure's points are not three"
# One model: no table, and the page says why.
sed -i '/eight\|four/d' "$work/study.yaml"
run_study one || { cat "$work/stderr"; fail "the small study did not run"; }
[ ! -e "$work/one/paper/tables/T4.csv" ] || fail "T4 of one model"
grep -q "the study has one model" "$work/one/paper/index.html" || fail "the missing table is not explained"
