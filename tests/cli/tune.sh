# Training an adapter on a tiny model: what is written, resumed after kill -9 and Ctrl-C bit for bit, for any number of
# threads; scored inside a study; and what goes wrong, in one sentence with the best adapter kept.
. tests/cli/common.inc
make_study 100
sed -i '/^arms:/,/^limits/c\
limits: {max_tokens: 1500, cut: head+tail}\
baselines: none\
arms:\
  - {name: zero-shot}\
  - {name: tuned, lora: {rank: 4, learning_rate: 2e-3, epochs: 3, batch: 4, evaluate: 1, early_stop: 0}}' "$work/study.yaml"
sed -i 's/split: split}/split_file: splits.csv}/; s/^limits/splits: {train: 50, tune: 25, test: 25}\n&/' "$work/study.yaml"
"$CASELOAD" split "$work/study.yaml" >/dev/null || fail "no split"

tune() { # OUT [options]
    out=$1
    shift
    "$CASELOAD" tune "$work/study.yaml" --out "$work/$out" --quiet "$@" >"$work/stdout" 2>"$work/stderr"
}
hash_of() { sha256sum < "$work/$1/adapters/${2:-tuned}/adapter_model.safetensors"; }

# What it will take is told by both commands, and nothing is written.
for command in tune run; do
    "$CASELOAD" $command "$work/study.yaml" --plan >"$work/stdout" 2>/dev/null || fail "$command --plan failed"
    grep -q '^adapter .* updates ' "$work/stdout" || fail "$command --plan does not tell what the training takes"
done
[ ! -e adapters ] || fail "a plan writes a folder"

# Whole, with one thread; nothing of it is text of a row.
tune whole --threads 1 || { cat "$work/stderr"; fail "no training"; }
folder=$work/whole/adapters/tuned
grep -q '^  memory: planned .* measured peak [0-9]' "$work/stdout" || fail "planned and measured memory are not printed"
for f in adapter_config.json adapter_model.safetensors README.md tune.json log.jsonl events.out.tfevents.caseload; do
    [ -s "$folder/$f" ] || fail "no $f"
    ! grep -aqE "ambulance|hospitalised|중환자실" "$folder/$f" || fail "$f holds text of a row"
done
[ ! -e "$folder/checkpoint.bin" ] || fail "the checkpoint of a finished training stays"
grep -aq 'contains-patient-derived-data' "$folder/adapter_model.safetensors" || fail "the adapter is not stamped"
grep -q 'contains-patient-derived-data' "$folder/README.md" || fail "the folder is not stamped"
updates=$(grep -c '"rate"' "$folder/log.jsonl")
grep -q "\"updates_done\": $updates," "$folder/tune.json" || fail "tune.json and log.jsonl disagree"
[ "$(grep -c '"tune_auroc"' "$folder/log.jsonl")" -ge 2 ] || fail "no evaluation in the log"

# The certificate: the same in every form, and no form left behind.
tune whole --certify || { cat "$work/stderr"; fail "no certificate"; }
grep -q '"passed": true' "$folder/certificate.json" || fail "the adapter is not certified"
grep -q '"form": "merged GGUF"' "$folder/certificate.json" || fail "a form is missing"
[ "$(ls "$folder" | grep -c certificate)" = 1 ] || fail "forms were left behind"

# Once more: nothing is done again.
before=$(stat -c %Y.%i "$folder/adapter_model.safetensors")
tune whole || fail "the second call failed"
[ "$before" = "$(stat -c %Y.%i "$folder/adapter_model.safetensors")" ] || fail "a finished adapter was trained again"

# kill -9 at moments nobody chose, then on with two threads.
kills=0
for n in 1 2 3 4; do
    wait=$(od -An -N1 -tu1 /dev/urandom | awk '{printf "%.3f", 0.02 + $1 / 1000}')
    "$CASELOAD" tune "$work/study.yaml" --out "$work/cut" --quiet --threads 1 --checkpoint 1 >/dev/null 2>&1 &
    pid=$!
    while [ ! -e "$work/cut/adapters/tuned/log.jsonl" ] && kill -0 $pid 2>/dev/null; do sleep 0.02; done
    sleep "$wait"
    kill -9 $pid 2>/dev/null && kills=$((kills + 1))
    wait $pid 2>/dev/null
done
[ $kills -gt 0 ] || fail "the training was too quick to be killed"
tune cut --threads 2 || { cat "$work/stderr"; fail "the killed training does not go on"; }
[ "$(hash_of whole)" = "$(hash_of cut)" ] || fail "an adapter that was killed on the way differs ($kills kills)"
for out in whole cut; do
    grep '"rate"' "$work/$out/adapters/tuned/log.jsonl" | cut -d, -f1-6 > "$work/$out.losses"
    grep '"tune_auroc"' "$work/$out/adapters/tuned/log.jsonl" | cut -d, -f1-4 >> "$work/$out.losses"
done
diff "$work/whole.losses" "$work/cut.losses"; same "$work/whole.losses" "$work/cut.losses"

# In pieces by --steps, and stopped by a signal; where the training was over before the signal, again with a shorter wait.
stopped=0
for wait in 0.3 0.15 0.08 0.04 0.02; do
    rm -rf "$work/pieces"
    tune pieces --steps 3 || fail "--steps failed"
    grep -q 'goes on' "$work/stdout" || fail "--steps does not say that it goes on"
    [ -s "$work/pieces/adapters/tuned/checkpoint.bin" ] || fail "no checkpoint after --steps"
    "$CASELOAD" tune "$work/study.yaml" --out "$work/pieces" --quiet --threads 1 >/dev/null 2>"$work/stderr" &
    pid=$!
    sleep "$wait"
    kill -INT $pid 2>/dev/null
    wait $pid
    stopped=$?
    [ $stopped = 0 ] || break
done
[ $stopped = 6 ] || { cat "$work/stderr"; fail "Ctrl-C ends with $stopped, not 6"; }
tune pieces --rows 64 --batch 1 || fail "the stopped training does not go on"
[ "$(hash_of whole)" = "$(hash_of pieces)" ] || fail "an adapter trained in pieces differs"

# Layers forwarded again change no bit; another order of the table neither.
sed 's/early_stop: 0/early_stop: 0, rerun_layers: 2/' "$work/study.yaml" > "$work/rerun.yaml"
"$CASELOAD" tune "$work/rerun.yaml" --out "$work/rerun" --quiet >/dev/null || fail "rerun_layers failed"
[ "$(hash_of whole)" = "$(hash_of rerun)" ] || fail "layers forwarded again change the adapter"
(head -1 "$work/notes.csv"; tail -n +2 "$work/notes.csv" | sort -t, -k1,1r) > "$work/turned.csv"
if [ "$(wc -l < "$work/notes.csv")" = "$(grep -c '^[A-Za-z0-9-]*,' "$work/notes.csv")" ]; then
    sed 's/notes.csv/turned.csv/' "$work/study.yaml" > "$work/turned.yaml"
    "$CASELOAD" tune "$work/turned.yaml" --out "$work/turned" --quiet >/dev/null || fail "the turned table failed"
    [ "$(hash_of whole)" = "$(hash_of turned)" ] || fail "the order of the table changes the adapter"
fi

# Inside a study: trained if absent, scored, and better than before on what it learned.
run_study whole --no-paper || { cat "$work/stderr"; fail "the study with an adapter failed"; }
[ "$before" = "$(stat -c %Y.%i "$folder/adapter_model.safetensors")" ] || fail "run trained a finished adapter again"
grep -q '^tuned,' "$work/whole/scores.csv" || fail "the tuned arm has no scores"
run_study fresh --no-paper || fail "run does not train"
[ "$(hash_of whole)" = "$(hash_of fresh)" ] || fail "run trains another adapter than tune"
same "$work/whole/scores.csv" "$work/fresh/scores.csv"

# A damaged checkpoint is refused by name; a checkpoint of other settings is passed over.
tune broken --steps 2 || fail "--steps failed"
printf 'x' | dd of="$work/broken/adapters/tuned/checkpoint.bin" bs=1 seek=400 conv=notrunc 2>/dev/null
want 3 "checkpoint.bin is damaged" "$CASELOAD" tune "$work/study.yaml" --out "$work/broken" --quiet
truncate -s 100 "$work/broken/adapters/tuned/checkpoint.bin"
want 3 "checkpoint.bin is damaged" "$CASELOAD" tune "$work/study.yaml" --out "$work/broken" --quiet
tune other --steps 2 || fail "--steps failed"
sed 's/rank: 4/rank: 2/' "$work/study.yaml" > "$work/other.yaml"
"$CASELOAD" tune "$work/other.yaml" --out "$work/other" --quiet >/dev/null || fail "other settings are not trained anew"
grep -q '"rank": 2' "$work/other/adapters/tuned/tune.json" || fail "the old checkpoint was used"

# What goes wrong.
bad() { # CODE WORDS SED
    sed "$3" "$work/study.yaml" > "$work/bad.yaml"
    want "$1" "$2" "$CASELOAD" tune "$work/bad.yaml" --out "$work/bad" --quiet
}
bad 2 "is a whole number from 1 to 4096" 's/rank: 4/rank: 0/'
bad 2 "choose one from 1 to" 's/rank: 4/rank: 4000/'
bad 3 "no row to train arm 'tuned' on" 's/splits.csv}/splits.csv, train: nothing}/'
sed "s/, lora: .*}/}/" "$work/study.yaml" > "$work/bad.yaml"
want 2 "has no arm with" "$CASELOAD" tune "$work/bad.yaml" --out "$work/bare"
[ ! -e "$work/bare" ] || fail "a study without an arm to train leaves a folder"
grep -q "hashing\|tokenising" "$work/stderr" && fail "a study without an arm to train is refused late"
bad 2 "'rerun_layers: 900'" 's/rank: 4/rerun_layers: 900/'
bad 2 "no column 'reason'" 's/rank: 4/learn: {column: reason}/'
bad 2 "usable" 's/rank: 4/sizes: 5000/'
want 2 "has no arm 'nobody'" "$CASELOAD" tune "$work/study.yaml" --out "$work/none" --arm nobody
[ ! -e "$work/none" ] || fail "an arm that is not there leaves a folder"
awk -F, '$2 == "train" {print "/^" $1 ",/s/,not-serious,/,serious,/"}' "$work/splits.csv" > "$work/lacking.sed"
sed -f "$work/lacking.sed" "$work/notes.csv" > "$work/lacking.csv"
bad 3 "an adapter cannot learn a label that no row has" 's/notes.csv/lacking.csv/'
bad 2 "a sweep is chosen by the tune rows, but 'evaluate' is 0" 's/evaluate: 1/evaluate: 0, sweep: {rank: [2, 4]}/'

# A rate that explodes: it says so, and the best adapter so far is there.
sed 's/learning_rate: 2e-3, epochs: 3, batch: 4, evaluate: 1/learning_rate: 1, clip: 0, schedule: constant, warmup: 0, epochs: 40, batch: 2, evaluate: 20/' \
    "$work/study.yaml" > "$work/bad.yaml"
"$CASELOAD" tune "$work/bad.yaml" --out "$work/explodes" --quiet >/dev/null 2>"$work/stderr"
code=$?
if [ $code -ne 0 ]; then
    [ $code = 2 ] || { cat "$work/stderr"; fail "an exploding loss ends with $code"; }
    grep -q "not a number" "$work/stderr" || { cat "$work/stderr"; fail "an exploding loss is not named"; }
    grep -q "best adapter so far" "$work/stderr" || { cat "$work/stderr"; fail "the best adapter is not named"; }
    [ -s "$work/explodes/adapters/tuned/adapter_model.safetensors" ] || fail "the best adapter is gone"
else
    echo "note: the rate did not explode"
fi

# A full disk at a checkpoint: one sentence, 5, and what was there stays; then it goes on. (`ulimit -f` counts 512 bytes
# or 1,024, by the shell: three eighths or three quarters of a checkpoint.)
sed -i 's/rank: 4/rank: 16/' "$work/study.yaml"
tune large --checkpoint 1 || fail "a larger rank fails"
tune full --steps 4 --checkpoint 1 || fail "--steps failed"
size=$(stat -c %s "$work/full/adapters/tuned/checkpoint.bin")
(ulimit -f $((size * 3 / 4 / 1024)); trap '' XFSZ
 exec "$CASELOAD" tune "$work/study.yaml" --out "$work/full" --quiet --checkpoint 1) >/dev/null 2>"$work/stderr"
[ $? = 5 ] || { cat "$work/stderr"; fail "a full disk does not end with 5"; }
grep -q "checkpoint.bin" "$work/stderr" || { cat "$work/stderr"; fail "the full disk does not name the checkpoint"; }
[ "$(wc -l < "$work/stderr")" = 1 ] || fail "a full disk says more than one sentence"
tune full || fail "the training does not go on after the full disk"
[ "$(hash_of large)" = "$(hash_of full)" ] || fail "an adapter after a full disk differs"

# A training that does not fit is refused before it starts, with a setting that fits; and that one is true.
sed -i 's/epochs: 3, batch: 4/steps: 2, batch: 16, micro_tokens: 8192/' "$work/study.yaml"
advised() { # NAME "words": the refusal under the largest limit that refuses; $limit, in MB
    for limit in 60 50 40 30 26 22 19 17 15 13 11 9; do
        tune "$1" --plan --memory-limit ${limit}MB
        code=$?
        [ $code = 0 ] || break
    done
    [ $code = 5 ] && grep -q "$2" "$work/stderr" || { cat "$work/stderr"; fail "no refusal with '$2'"; }
}
advised no "\`micro_tokens: [0-9]*\`"
cp "$work/study.yaml" "$work/kept.yaml"
micro=$(sed -n 's/.*`micro_tokens: \([0-9]*\)`.*/\1/p' "$work/stderr")
rank=$(sed -n 's/.*and `rank: \([0-9]*\)`.*/\1/p' "$work/stderr")
sed -i "s/micro_tokens: 8192/micro_tokens: $micro/; s/rank: 16/rank: ${rank:-16}/" "$work/study.yaml"
tune fitted --memory-limit ${limit}MB || { cat "$work/stderr"; fail "what was advised does not fit"; }
sed 's/micro_tokens: 8192/&, rerun_layers: 0/' "$work/kept.yaml" > "$work/study.yaml"
advised no "without \`rerun_layers\`"
cp "$work/stderr" "$work/said"
if grep -q "without .rerun_layers. it fits" "$work/said"; then
    cp "$work/kept.yaml" "$work/study.yaml"
    tune fitted2 --memory-limit ${limit}MB || { cat "$work/stderr"; fail "without rerun_layers it does not fit"; }
fi
