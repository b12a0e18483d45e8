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
    [ ! -f $data/$s.jsonl ] || { # what init proposes runs as it is
        "$CASELOAD" init "$(realpath $data/$s.jsonl)" > "$work/init.yaml" || fail "init $s"
        grep -q '^  reference: reference' "$work/init.yaml" || fail "init does not see the references of $s"
        want 0 "" "$CASELOAD" run "$work/init.yaml" --model "$work/model" --plan --limit 5
    }
    plan "$(basename $s)" $s.jsonl "text: input, reference: reference" 'framing: text
question: Answer in one sentence.
arms: [{name: short, think: {max_tokens: 12}}, {name: long, think: {max_tokens: 20, samples: 2, temperature: 1}}]
limits: {cut: head+tail}'
    [ -f "$work/$(basename $s).yaml" ] || continue
    out=$work/$(basename $s)
    "$CASELOAD" run "$out.yaml" --limit 6 --out "$out" --quiet --no-paper >/dev/null 2>"$work/stderr" ||
        { cat "$work/stderr"; fail "$s"; }
    grep -q '"rougeL":{"value"' "$out/likeness.json" || fail "$s has no likeness"
    for part in "Likeness to the references" "Generated texts beside their references" "Differences in likeness between arms, on the same rows" \
        "Within the arms: ways" "Time and tokens" "Prompts to the letter"; do
        grep -q "$part" "$out/report.html" || fail "$s: the report lacks '$part'"
    done
    cp "$out/likeness.json" "$work/first.json"
    rm "$out/likeness.json" "$out/report.html"
    want 0 "" "$CASELOAD" report "$out" --paper
    for part in tables/S8.csv tables/S9.tex figures/likeness.pdf methods.ko.txt index.html; do
        [ -s "$out/paper/$part" ] || fail "$s: the paper lacks $part"
    done
    grep -q '"likeness":{"interval"' "$out/results.json" || fail "$s: results.json has no likeness"
    cmp -s "$out/likeness.json" "$work/first.json" || fail "$s: report does not draw the same likeness again"
    # neither a reference nor a conversation is shown
    head -n 6 "$data/$s.jsonl" | grep -o '"reference": "[^"\\]\{30,60\}' | cut -c15-50 > "$work/references"
    [ -s "$work/references" ] && grep -rqF -f "$work/references" "$out/report.html" "$out/likeness.json" "$out/results.json" "$out/paper" && fail "$s: a text is shown"
    want 2 "has no labels" "$CASELOAD" report "$out" --explain auroc
    want 2 "has no labels" "$CASELOAD" compare "$out" short long
done
if [ -d "$work/pairs" ] && command -v sqlite3 >/dev/null; then
    for broken in "x" "0 0 5" "9 0 5 1" "0 0 5 1 0 0 0 0 2 nan"; do
        sqlite3 "$work/pairs/study.db" "update meta set value = '$broken' where key = 'likeness'"
        want 3 "record of the likeness is damaged" "$CASELOAD" report "$work/pairs"
    done
    sqlite3 "$work/pairs/study.db" "delete from meta where key = 'likeness'"
    want 2 "its run has not ended" "$CASELOAD" report "$work/pairs"
fi
if [ -f $data/frenchmedmcqa/multi-answer.jsonl ]; then
    printf 'study: s\nmodel: model\ndata: {file: %s, id: id, text: question, options: options, label: answers}\nframing: options\nquestion: q\n' \
        "$(realpath $data/frenchmedmcqa/multi-answer.jsonl)" > "$work/multi.yaml"
    "$CASELOAD" init "$(realpath $data/frenchmedmcqa/multi-answer.jsonl)" > "$work/several.yaml" || fail "init of several right options"
    grep -q '^  several: each' "$work/several.yaml" || fail "init does not see that several options may be right"
    want 0 "" "$CASELOAD" run "$work/several.yaml" --model "$work/model" --plan --limit 20
    want 3 "a question with several right options has no one class" "$CASELOAD" run "$work/multi.yaml" --plan
fi
