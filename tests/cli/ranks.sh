# Several ranks of one study: the same bytes as one; killed with two and gone on with three; devices that are not there, or that
# compute otherwise, are refused in words; the plan names every rank.
. tests/cli/common.inc
make_study 120
sed -i 's/^limits:/  - {name: texts, method: [cot], think: {samples: 2, temperature: 0.9, max_tokens: 6}}\
&/' "$work/study.yaml"
run_study whole --threads 1 || { cat "$work/stderr"; fail "the study did not run"; }
run_study two --device cpu --ranks 2 --batch 3 || { cat "$work/stderr"; fail "the study did not run with two ranks"; }
same "$work/whole/scores.csv" "$work/two/scores.csv"

kills=0
for wait in 0.2 0.4 0.6; do
    "$CASELOAD" run "$work/study.yaml" --out "$work/cut" --quiet --device cpu,cpu --batch 2 >/dev/null 2>&1 &
    pid=$!
    sleep $wait
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
[ $kills -gt 0 ] || fail "the study was too quick to be killed"
run_study cut --ranks 3 --threads 3 || { cat "$work/stderr"; fail "the killed study does not go on"; }
same "$work/whole/scores.csv" "$work/cut/scores.csv"

run_study layers --device cpu,cpu --split layers || { cat "$work/stderr"; fail "the study did not run with layers split"; }
same "$work/whole/scores.csv" "$work/layers/scores.csv"

"$CASELOAD" run "$work/study.yaml" --plan --device cpu,cpu --split layers >"$work/plan" 2>/dev/null || fail "no plan for split layers"
grep -q '2 ranks share the layers: cpu layers 1-2 .* MB, cpu layers 3-3 .* MB; 2 batches take turns' "$work/plan" || { cat "$work/plan"; fail "the plan does not name the layers"; }
"$CASELOAD" run "$work/study.yaml" --plan --device cpu,cpu >"$work/plan" 2>/dev/null || fail "no plan for two ranks"
grep -q '2 ranks share the texts: cpu .* MB, cpu .* MB' "$work/plan" || { cat "$work/plan"; fail "the plan does not name the ranks"; }
want 2 "do not compute the same bits" "$CASELOAD" run "$work/study.yaml" --out "$work/no" --device cpu,ref
want 2 "2 devices" "$CASELOAD" run "$work/study.yaml" --out "$work/no" --device cpu,cpu --ranks 1
want 2 'unknown device "tpu"' "$CASELOAD" run "$work/study.yaml" --out "$work/no" --device cpu,tpu
want 5 "" "$CASELOAD" run "$work/study.yaml" --out "$work/no" --device cuda:0,99
echo '{"id": "a", "prompt": "Well"}' | want 2 "one --device" "$CASELOAD" score "$work/model" --device cpu,cpu

# An adapter: killed with two ranks, gone on with three, as by one.
cat > "$work/study.yaml" <<'END'
study: tiny
model: model
data: {file: notes.csv, id: id, text: text, label: label, patient: patient, split: split}
classes: {serious: [Yes], not-serious: [No]}
positive: serious
baselines: none
question: Was the event serious? Answer Yes or No.
arms:
  - {name: tuned, lora: {epochs: 2, batch: 12, micro_tokens: 400, learning_rate: 0.01, evaluate: 0.5}}
limits: {max_tokens: 1500, cut: head+tail}
END
"$CASELOAD" tune "$work/study.yaml" --out "$work/one" --quiet --threads 1 >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "tune by one"; }
for wait in 0.5 0.9; do
    "$CASELOAD" tune "$work/study.yaml" --out "$work/several" --quiet --ranks 2 --checkpoint 1 >/dev/null 2>&1 &
    pid=$!
    sleep $wait
    kill -9 $pid 2>/dev/null
    wait $pid 2>/dev/null
done
"$CASELOAD" tune "$work/study.yaml" --out "$work/several" --quiet --ranks 3 >/dev/null 2>"$work/stderr" || { cat "$work/stderr"; fail "tune goes on by three"; }
same "$work/one/adapters/tuned/adapter_model.safetensors" "$work/several/adapters/tuned/adapter_model.safetensors"
