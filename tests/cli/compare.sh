# caseload compare: arms of a study from its store; the same numbers as judge makes of scores.csv.
. tests/cli/common.inc
make_study 60
run_study a || { cat "$work/stderr"; fail "the study did not run"; }
mv "$work/model" "$work/gone"
"$CASELOAD" compare "$work/a" zero-shot two-shot --json > "$work/compare.json" || fail "compare"
"$CASELOAD" compare "$work/a" zero-shot two-shot --group site > "$work/compare.txt" || fail "compare --group"
grep -q "paired difference" "$work/compare.txt" || fail "no paired difference"
grep -q "by patient" "$work/compare.txt" || fail "not by patient"
grep -q "subgroup clinic" "$work/compare.txt" || fail "no subgroups"

# id, label, score of each arm side by side, patients from the table.
rows() { grep "^$1," "$work/a/scores.csv" | cut -d, -f2-4 | sort; }
rows zero-shot > "$work/zero"; rows two-shot > "$work/two"
cut -d, -f1,2 "$work/notes.csv" | grep -v '^id,' | sort > "$work/patients"
{ echo id,y,a,b,patient
  join -t, "$work/zero" "$work/two" | cut -d, -f1-3,5 | join -t, - "$work/patients"; } > "$work/both.csv"
"$CASELOAD" judge "$work/both.csv" --label y --positive serious --score a --score b --patient patient --threshold 0 \
    --json > "$work/judge.json" || fail "judge"
number() { grep -o "\"$2\":[-0-9.e]*" "$1" | head -n "$3" | tail -n 1; }
for key in auroc auroc_var auroc_low auroc_cluster_var auprc sens spec diff low high p cluster_p mcnemar_p; do
    for k in 1 2; do
        a=$(number "$work/compare.json" $key $k); b=$(number "$work/judge.json" $key $k)
        [ -n "$a" ] && [ "$a" = "$b" ] || fail "$key: compare says $a, judge says $b"
    done
done

want 2 "its arms are zero-shot, two-shot" "$CASELOAD" compare "$work/a" zero-shot three-shot
want 2 "named twice" "$CASELOAD" compare "$work/a" zero-shot zero-shot
want 2 "no subgroup column" "$CASELOAD" compare "$work/a" zero-shot two-shot --group nowhere
want 2 "no results" "$CASELOAD" compare "$work" zero-shot two-shot
