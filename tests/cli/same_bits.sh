# A score belongs to its text: the same bytes for any batch, rows a step, number of threads, with and without sharing,
# and with the rows of the table in another order; of arms asked once, in several ways and through generated texts, and of
# two models in one study. On tiny models; determinism.sh does it on a real one.
. tests/cli/common.inc
make_study 60
"$BUILD/tests/t_golden" write gemma3 "$work/other" || fail "no tiny model"
sed -i 's/"max_position_embeddings": 256/"max_position_embeddings": 2048/' "$work/other/config.json"
sed -i 's/^limits:/  - {name: ways, wordings: {questions: [Serious?, "{text} -- was that serious, would you say?"]}}\
  - {name: texts, method: [cot], think: {samples: 3, temperature: 0.9, max_tokens: 8}}\
  - {name: form, framing: text, constrain: {choice: labels}}\
  - {name: other, model: other}\
&/' "$work/study.yaml"
run_study base --threads 1 || { cat "$work/stderr"; fail "the study did not run"; }
try() {
    name=$1
    shift
    run_study "$name" "$@" || { cat "$work/stderr"; fail "the study did not run with $*"; }
    same "$work/base/scores.csv" "$work/$name/scores.csv"
}
try batch1 --threads 1 --batch 1
try batch2 --threads 2 --batch 2
try batch7 --threads 1 --batch 7
try batch32 --threads 2 --batch 32
try rows100 --threads 1 --rows 100
try alone --threads 2 --unshared

{ head -n 1 "$work/notes.csv"; tail -n +2 "$work/notes.csv" | sort -t, -k8; } > "$work/shuffled.csv"
sed 's/notes.csv/shuffled.csv/' "$work/study.yaml" > "$work/other.yaml"
"$CASELOAD" run "$work/other.yaml" --out "$work/shuffled" --quiet >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "shuffled"; }
sort "$work/base/scores.csv" > "$work/a"
sort "$work/shuffled/scores.csv" > "$work/b"
same "$work/a" "$work/b"
