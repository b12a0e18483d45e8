# kill -9 in the middle of self-consistency: the next run goes on with the samples that are there, and at the end every
# sample and score is the same as without. On a tiny model; `kill_samples.sh real` takes models/SmolLM2 instead.
. tests/cli/common.inc
command -v sqlite3 >/dev/null || skip "sqlite3 is not there"
if [ "${1:-}" = real ]; then
    model=models/SmolLM2-135M-Instruct.Q4_1.gguf
    [ -f "$model" ] || skip "$model is not there"
    make_study 40
    how="--model $model" tokens=24 waits="30 45 60"
else
    make_study 300
    how="" tokens=12 waits="0.3 0.5 0.8 1.1"
fi
sed -i "s/^arms:/arms:\\n  - {name: votes, method: [cot, self-consistency], think: {samples: 5, temperature: 0.8, max_tokens: $tokens}}/; /two-shot/d" "$work/study.yaml"
run_study whole --threads 1 $how || { cat "$work/stderr"; fail "the study did not run"; }
samples() { sqlite3 "$work/$1/study.db" "select a.arm, r.id, s.number, hex(s.text), s.n_token, s.\"end\", s.class, s.class_logprob from asked_part a join sample s on s.key = a.key join row r on r.row = a.row order by 1, 2, 3" ; }
kills=0 inside=0
for wait in $waits; do
    "$CASELOAD" run "$work/study.yaml" --out "$work/cut" --quiet --threads 1 --batch 2 $how >/dev/null 2>&1 &
    pid=$!
    sleep "$wait"
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
    n=$(sqlite3 "$work/cut/study.db" "select count(*) from sample" 2>/dev/null || echo 0)
    [ "${n:-0}" -gt 0 ] && inside=$((inside + 1))
done
[ $kills -gt 0 ] || fail "the study was too quick to be killed"
[ $inside -gt 0 ] || echo "note: no kill came after the first sample"
run_study cut --threads 2 $how || { cat "$work/stderr"; fail "the killed study does not go on"; }
samples whole > "$work/a"
samples cut > "$work/b"
[ "$(wc -l < "$work/a")" -ge 20 ] || fail "no samples in study.db"
same "$work/a" "$work/b"
same "$work/whole/scores.csv" "$work/cut/scores.csv"
echo "$kills kills, $inside with samples in the store, $(wc -l < "$work/a") lines of samples the same"
