# Questions with several right options (`data: several: each`): one row an option, the same numbers as a table that
# has these rows already; exact sets counted by hand; what is wrong is said.
. tests/cli/common.inc
"$BUILD/tests/t_golden" write smollm2 "$work/model" || fail "no tiny model"
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 2048/' "$work/model/config.json"
cat > "$work/questions.csv" <<'END'
id,stem,o1,o2,o3,o4,key
q1,Which of these lower blood pressure?,amlodipine,salt,losartan,,A;C
q2,"Which are symptoms of anaemia, if any?",pallor,fatigue,dyspnoea,polydipsia,"A, B, C"
q3,Which of these is an antibiotic?,ibuprofen,paracetamol,,,
q4,Which of these is a vitamin?,iron,thiamine,zinc,,b
q5,Which of these are bones?,ulna,femur,,,A;B
END
cat > "$work/rows.csv" <<'END'
id,stem,option,key,of
q1/A,Which of these lower blood pressure?,amlodipine,right,q1
q1/B,Which of these lower blood pressure?,salt,wrong,q1
q1/C,Which of these lower blood pressure?,losartan,right,q1
q2/A,"Which are symptoms of anaemia, if any?",pallor,right,q2
q2/B,"Which are symptoms of anaemia, if any?",fatigue,right,q2
q2/C,"Which are symptoms of anaemia, if any?",dyspnoea,right,q2
q2/D,"Which are symptoms of anaemia, if any?",polydipsia,wrong,q2
q4/A,Which of these is a vitamin?,iron,wrong,q4
q4/B,Which of these is a vitamin?,thiamine,right,q4
q4/C,Which of these is a vitamin?,zinc,wrong,q4
q5/A,Which of these are bones?,ulna,right,q5
q5/B,Which of these are bones?,femur,right,q5
END
study() { # NAME DATA MORE
    printf 'study: s\nmodel: model\nbaselines: none\ndata: {%s}\n%s\nquestion: Is the option right?\narms: [{name: a}, {name: b, question: Is it true?}]\n' \
        "$2" "$3" > "$work/$1.yaml"
}
study each "file: questions.csv, id: id, text: stem, options: [o1, o2, o3, o4], label: key, several: each" ""
study rows "file: rows.csv, id: id, text: [stem, option], label: key, patient: of" "classes: {right: [Yes], wrong: [No]}
positive: right"
for s in each rows; do
    want 0 "" "$CASELOAD" run "$work/$s.yaml" --out "$work/$s" --quiet --no-paper
done
same "$work/each/scores.csv" "$work/rows/scores.csv"
grep -q "empty label" "$work/each/report.html" || fail "the question without a key is not counted"
# How many questions have all options decided right, from scores.csv by hand
exact=$(tail -n +2 "$work/each/scores.csv" | tr -d '\r' | awk -F, '$1 == "a" {split($2, q, "/"); seen[q[1]] = 1
    if (($7 >= 0.5) != ($3 == "right")) bad[q[1]] = 1}
    END {for (k in seen) {n++; if (!(k in bad)) x++}; printf "%d %.3f", n, x / n}')
grep -o "Whole questions.*" "$work/each/report.html" | head -n 1 > /dev/null || fail "no table of whole questions"
sed -n '/Questions with several right options/,/<\/table>/p' "$work/each/report.html" | sed 's/<[^>]*>/ /g' | tr '\n' ' ' > "$work/table"
set -- $exact
grep -qE " a +$1 +$2 " "$work/table" || { cat "$work/table"; fail "the exact sets are not $exact"; }
want 0 "" "$CASELOAD" report "$work/each" --paper
grep -q "^\"a\",\"$1\",\"$2 (" "$work/each/paper/tables/S7.csv" || fail "table S7 has not the exact sets"
grep -q "\"questions\":{\"n\":$1,\"every_option_right\":{\"value\":" "$work/each/results.json" || fail "results.json has no questions"
! grep -q "Whole questions" "$work/rows/report.html" || fail "a table of questions where there are none"

# The same as JSON lists, of numbers from 0 and of texts.
printf '%s\n' '{"id": "q1", "stem": "Which of these lower blood pressure?", "options": ["amlodipine", "salt", "losartan"], "key": [0, 2]}' \
    '{"id": "q2", "stem": "Which are symptoms of anaemia, if any?", "options": ["pallor", "fatigue", "dyspnoea", "polydipsia"], "key": [2, 0, 1]}' \
    '{"id": "q4", "stem": "Which of these is a vitamin?", "options": ["iron", "thiamine", "zinc"], "key": 1}' \
    '{"id": "q5", "stem": "Which of these are bones?", "options": ["ulna", "femur"], "key": [0, 1]}' > "$work/lists.jsonl"
study lists "file: lists.jsonl, id: id, text: stem, options: options, label: key, several: each" ""
want 0 "" "$CASELOAD" run "$work/lists.yaml" --out "$work/lists" --quiet --no-paper
same "$work/lists/scores.csv" "$work/rows/scores.csv"

refused() { # "words" CODE DATA MORE
    study bad "$3" "$4"
    want "$2" "$1" "$CASELOAD" run "$work/bad.yaml" --plan
}
all="file: lists.jsonl, id: id, text: stem, options: options, label: key"
refused "\`several: each\` under \`data\` asks about each option by itself" 3 "$all" ""
refused "'several: each' needs 'options'" 2 "file: lists.jsonl, id: id, text: stem, label: key, several: each" ""
refused "two classes" 2 "$all, several: each" "classes: {a: [x], b: [y], c: [z]}"
refused "two classes" 2 "$all, several: each" "classes: {a: [x], b: [y]}"
refused "an item of its label names none of its options" 3 "$all, several: each, label_is: letter" ""
sed -i 's/\[0, 2\]/[0, 9]/' "$work/lists.jsonl"
refused "row 'q1' (line 1): an item of its label names none of its options" 3 "$all, several: each" ""
sed -i 's/\[0, 9\]/[1, 2]/; s/\[2, 0, 1\]/[2, 1]/; s/\[0, 1\]/[1]/' "$work/lists.jsonl"
refused "every label is both a number from 0 and a number from 1" 2 "$all, several: each" ""
sed -i 's/\[1, 2\]/[{}]/' "$work/lists.jsonl"
refused "row 'q1' (line 1): its label is a list of neither texts nor whole numbers" 3 "$all, several: each" ""
