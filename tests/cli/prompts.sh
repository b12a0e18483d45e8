# Versions of a question: the model proposes, nothing is overwritten, an arm asks one by its name.
. tests/cli/common.inc
make_study 60
"$CASELOAD" prompts "$work/study.yaml" | grep -q 'has no versions yet' || fail "an empty folder"
"$CASELOAD" refine "$work/study.yaml" --arm zero-shot --proposals 40 >"$work/said" 2>"$work/stderr" ||
    { cat "$work/stderr"; fail "refine"; }
[ -f "$work/prompts/q1.txt" ] || fail "the study's own question is no version"
grep -q '^author: study file' "$work/prompts/q1.txt" || fail "its author"
cp -r "$work/prompts" "$work/before"
"$CASELOAD" refine "$work/study.yaml" --proposals 40 --seed 2 >"$work/said2" 2>"$work/stderr" || { cat "$work/stderr"; fail "refine again"; }
for f in "$work/before"/*.txt; do same "$f" "$work/prompts/$(basename "$f")"; done
[ "$(grep -c '^wrote' "$work/said2")" -ge 1 ] || { cat -v "$work/said2"; fail "another seed proposes nothing new"; }
last=$(ls "$work/prompts" | tail -n 1)
grep -q '^parent: q1$' "$work/prompts/$last" || fail "a proposal's parent"

printf 'author: Dr Kim\nparent: q1\n\nWas the event medically serious? Answer Yes or No.\n' > "$work/prompts/kim.txt"
"$CASELOAD" prompts "$work/study.yaml" | grep -q '^  kim .*Dr Kim' || fail "the list"
"$CASELOAD" prompts "$work/study.yaml" q1 kim | grep -qF '{+medically+}' || fail "the difference"
"$CASELOAD" prompts diff "$work/prompts/q1.txt" "$work/prompts/kim.txt" | grep -qF '{+medically+}' || fail "the difference of files"
sed -i 's/- {name: two-shot.*/- {name: kim, question: {version: kim}}/' "$work/study.yaml"
"$CASELOAD" try "$work/study.yaml" --arm kim 2>/dev/null | grep -q 'medically serious' || fail "the version is not asked"

want 2 "has no version 'q99'" "$CASELOAD" prompts "$work/study.yaml" q1 q99
want 2 "cannot find the study file" "$CASELOAD" prompts "$work/nobody.yaml"
want 2 "give two versions" "$CASELOAD" prompts "$work/study.yaml" q1
want 2 "has no arm 'nobody'" "$CASELOAD" refine "$work/study.yaml" --arm nobody
printf 'Was it?\n' > "$work/prompts/bad.txt"
want 2 "bad.txt: line 1: a version begins with lines" "$CASELOAD" prompts "$work/study.yaml"
