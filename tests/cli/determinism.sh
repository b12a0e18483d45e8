#!/bin/sh
# A score belongs to its text: bit-equal scores with sharing on and off, for batch 1, 2, 7 and 32, for 1 and 2
# threads, other row budgets, shuffled rows, and after kill -9 and resume. On a real model.
set -eu
: "${CASELOAD:=build/caseload}"
case ${BUILD:-build} in *san) echo "skip: a real model under a sanitizer takes too long; same_bits.sh runs"; exit 77;; esac
model=$(ls "$PWD"/models/SmolLM2-135M-Instruct.Q4_1.gguf 2>/dev/null || true)
[ -n "$model" ] || { echo "skip: determinism needs models/SmolLM2-135M-Instruct.Q4_1.gguf"; exit 77; }
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT

awk 'BEGIN {
    print "id,text,label,split"
    srand(7)
    split("fever cough rash pain swelling dizziness vomiting headache fatigue redness", w, " ")
    for (i = 1; i <= 16; i++) {
        t = ""
        n = 3 + int(rand() * 24)
        for (j = 0; j < n; j++) t = t (j ? " " : "") w[1 + int(rand() * 10)]
        printf "r%d,\"Patient %d: %s. 환자 상태 %d.\",%s,%s\n", i, i, t, i % 5, i % 3 ? "no" : "yes", i <= 8 ? "train" : "test"
    }
}' > "$dir/texts.csv"
# the same rows in another order
{ head -n 1 "$dir/texts.csv"; tail -n +2 "$dir/texts.csv" | awk '{ print (NR * 7919) % 101, $0 }' | sort -n | cut -d' ' -f2-; } > "$dir/shuffled.csv"
study() { # study FILE TABLE
    cat > "$1" <<EOF
study: determinism
model: $model
data: {file: $2, id: id, text: text, label: label, split: split, use: test}
classes: {yes: [Yes, "yes, it was"], no: [No, not at all]}
positive: yes
question: Was it serious? Answer Yes or No.
arms:
  - name: zero-shot
  - {name: two-shot, shots: 2, seed: 3}
  - {name: texts, method: [cot], think: {samples: 2, temperature: 0.8, max_tokens: 5}}
  - {name: ways, wordings: {questions: [Serious?, "{text} -- would you call that serious? Answer Yes or No."]}}
limits: {max_tokens: 512, cut: head+tail}
baselines: none
EOF
}
study "$dir/study.yaml" texts.csv
study "$dir/shuffled.yaml" shuffled.csv
scores() { tail -n +2 "$1/scores.csv" | sort; }

"$CASELOAD" run "$dir/study.yaml" --out "$dir/ref" --threads 2 --quiet > /dev/null
scores "$dir/ref" > "$dir/want"
[ "$(wc -l < "$dir/want")" -eq 32 ] || { echo "expected 32 scores"; exit 1; }

same() { # same NAME OPTIONS..
    name=$1; file=$2; shift 2
    "$CASELOAD" run "$file" --out "$dir/$name" --quiet "$@" > /dev/null
    scores "$dir/$name" > "$dir/got"
    cmp -s "$dir/want" "$dir/got" || { echo "scores differ: $name"; diff "$dir/want" "$dir/got" | head -n 6; exit 1; }
    echo "bit-equal: $name"
}
same batch-1 "$dir/study.yaml" --batch 1
same batch-2 "$dir/study.yaml" --batch 2 --threads 1
same batch-7 "$dir/study.yaml" --batch 7
same batch-32 "$dir/study.yaml" --batch 32
same rows-64 "$dir/study.yaml" --rows 64
same unshared "$dir/study.yaml" --unshared
same one-thread "$dir/study.yaml" --threads 1
same shuffled "$dir/shuffled.yaml"

# kill -9 in the middle, twice, then finish
for wait in 0.7 1.0; do
    "$CASELOAD" run "$dir/study.yaml" --out "$dir/killed" --batch 2 --quiet > /dev/null 2>&1 & pid=$!
    sleep $wait; kill -9 $pid 2>/dev/null || true; wait $pid 2>/dev/null || true
done
same killed "$dir/study.yaml" --batch 2
