# Studies over the shared data sets are planned as they stand: questions with options, in three framings.
. tests/cli/common.inc
data=../shared/data
[ -d $data ] || skip "$data is not there"
"$BUILD/tests/t_golden" write smollm2 "$work/model" || fail "no tiny model"
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 8192/' "$work/model/config.json"
plan() { # NAME FILE KEYS
    [ -f "$data/$2" ] || { echo "skip: $data/$2 is not there"; return; }
    printf 'study: s\nmodel: model\ndata: {file: %s, id: id, %s}\n%s\n' "$(realpath "$data/$2")" "$3" "$4" > "$work/$1.yaml"
    "$CASELOAD" run "$work/$1.yaml" --plan --limit 5 >"$work/stdout" 2>"$work/stderr" || { cat "$work/stderr"; fail "$1"; }
}
grid='framing: options
limits: {cut: head+tail}
question: "{text}\n{options}"
matrix: {score: [letter, text], position: [as-is, cyclic]}'
for s in medqa-us medmcqa frenchmedmcqa kormedmcqa; do
    [ ! -f $data/$s/questions.jsonl ] || { # what init proposes runs as it is
        "$CASELOAD" init "$(realpath $data/$s/questions.jsonl)" > "$work/init.yaml" || fail "init $s"
        grep -q '^framing: options' "$work/init.yaml" || fail "init does not see the options of $s"
        want 0 "" "$CASELOAD" run "$work/init.yaml" --model "$work/model" --plan --limit 5
    }
    plan $s $s/questions.jsonl "text: question, options: options, label: answer" "$grid"
done
plan pubmedqa pubmedqa/questions.jsonl \
    "text: [question, context], label: answer, labels: {yes: [0], no: [1], maybe: [2]}, split: split" \
    'classes: {yes: [Yes, yes], no: [No, no], maybe: [Maybe, maybe]}
question: Does the abstract answer the question with yes, no or maybe?
limits: {cut: head+tail}
matrix: {framing: [labels, options, text], shots: [0, 2]}'
plan sections mts-dialog/texts.csv "text: text, label: label, split: split, use: dev" \
    'classes: [FAM/SOCHX, GENHX, PASTMEDICALHX, CC, PASTSURGICAL, ALLERGY, ROS, MEDICATIONS, ASSESSMENT, EXAM, DIAGNOSIS, DISPOSITION, PLAN, EDCOURSE, IMMUNIZATIONS, IMAGING, GYNHX, PROCEDURES, OTHER_HISTORY, LABS]
question: Which section of the note is this conversation for?
limits: {cut: head+tail}'
# Texts with references: written, compared, and gone on with.
for s in mts-dialog/notes meqsum/pairs medquad/qa; do
    plan "$(basename $s)" $s.jsonl "text: input, reference: reference" 'framing: text
question: Answer in one sentence.
think: {max_tokens: 20}
limits: {cut: head+tail}'
    [ -f "$work/$(basename $s).yaml" ] || continue
    "$CASELOAD" run "$work/$(basename $s).yaml" --limit 2 --out "$work/$(basename $s)" --quiet --no-paper >/dev/null 2>"$work/stderr" ||
        { cat "$work/stderr"; fail "$s"; }
    grep -q '"rougeL": {"value"' "$work/$(basename $s)/likeness.json" || fail "$s has no likeness"
    want 2 "there is no report" "$CASELOAD" report "$work/$(basename $s)"
done
if [ -f $data/frenchmedmcqa/multi-answer.jsonl ]; then
    printf 'study: s\nmodel: model\ndata: {file: %s, id: id, text: question, options: options, label: answers}\nframing: options\nquestion: q\n' \
        "$(realpath $data/frenchmedmcqa/multi-answer.jsonl)" > "$work/multi.yaml"
    want 3 "a question with several right options has no one class" "$CASELOAD" run "$work/multi.yaml" --plan
fi
