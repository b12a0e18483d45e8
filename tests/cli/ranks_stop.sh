# A training by several ranks that is killed, and one that is interrupted, wherever it is: Ctrl-C ends it at once with a sentence and
# exit code 6, and whoever goes on ends with the same adapter bytes. ONE and SEVERAL: the devices, by default ranks on the processor;
# `make CUDA=1 gpu-test` gives the GPUs, and more epochs.
. tests/cli/common.inc
: "${ONE:=--threads 1}" "${SEVERAL:=--ranks 2}" "${EPOCHS:=10}"
make_study 120
cat > "$work/study.yaml" <<END
study: tiny
model: model
data: {file: notes.csv, id: id, text: text, label: label, patient: patient, split: split}
classes: {serious: [Yes], not-serious: [No]}
positive: serious
baselines: none
question: Was the event serious? Answer Yes or No.
arms:
  - {name: tuned, lora: {epochs: $EPOCHS, batch: 12, micro_tokens: 400, learning_rate: 0.01, evaluate: 5}}
limits: {max_tokens: 1500, cut: head+tail}
END
start() { # OUT [options]
    out=$1
    shift
    "$CASELOAD" tune "$work/study.yaml" --out "$work/$out" --quiet --checkpoint 1 "$@" >/dev/null 2>"$work/stderr" &
    pid=$!
}
log=$work/cut/adapters/tuned/log.jsonl
lines() { [ -s "$log" ] && wc -l <"$log" || echo 0; }
reach() { # LINES: until the training under way has logged so many more; false where it ended before
    most=$(($(lines) + $1))
    while [ "$(lines)" -lt $most ]; do
        kill -0 $pid 2>/dev/null || return 1
        sleep 0.01
    done
}
# shellcheck disable=SC2086 # several words
{
start one $ONE
wait $pid || { cat "$work/stderr"; fail "the training by one did not run"; }
for more in 1 3; do
    start cut $SEVERAL
    reach $more || { cat "$work/stderr"; fail "no $more updates before the end"; }
    kill -9 $pid
    wait $pid 2>/dev/null
done
start cut $SEVERAL
reach 2 || { cat "$work/stderr"; fail "no 2 updates before the end"; }
from=$(date +%s%N)
kill -INT $pid
wait $pid
code=$?
took=$((($(date +%s%N) - from) / 1000000))
[ $code -eq 6 ] || { cat "$work/stderr"; fail "exit code $code after SIGINT, not 6"; }
[ -s "$work/stderr" ] || fail "nothing is said about the interruption"
[ $took -lt 10000 ] || fail "it took $took ms to end after SIGINT"
start cut $SEVERAL
wait $pid || { cat "$work/stderr"; fail "it does not go on"; }
same "$work/one/adapters/tuned/adapter_model.safetensors" "$work/cut/adapters/tuned/adapter_model.safetensors"
}
echo "killed twice, interrupted (ended in $took ms), gone on, $(lines) lines of log: the same adapter"
