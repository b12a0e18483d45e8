#!/bin/sh
# convert, merge, certify: between containers and number types, an adapter in every form, a form that
# lies, a full disk, signals: nothing half-written, the right exit code.
. tests/cli/common.inc
make_study 60
m=$work/model

# Folder -> GGUF -> folder: the same answers; bytes do not depend on threads.
"$CASELOAD" convert "$m" "$work/x.gguf" >"$work/report" || fail "no GGUF file"
grep -q "exact" "$work/report" || fail "no word about exactness"
"$CASELOAD" convert "$work/x.gguf" "$work/back" >/dev/null || fail "no folder"
"$CASELOAD" convert "$m" "$work/y.gguf" --threads 1 >/dev/null
same "$work/x.gguf" "$work/y.gguf"
ask='{"id": 1, "prompt": "The patient has", "answers": [" fever", " pain"]}'
echo "$ask" | "$CASELOAD" score "$m" >"$work/a1" || fail "no score"
echo "$ask" | "$CASELOAD" score "$work/back" >"$work/a2" || fail "no score of the converted"
same "$work/a1" "$work/a2"

want 2 "--force" "$CASELOAD" convert "$m" "$work/x.gguf"
want 2 "not for a folder" "$CASELOAD" convert "$m" "$work/q" --type q4_0
want 2 "unknown number type 'q3'" "$CASELOAD" convert "$m" "$work/q.gguf" --type q3
want 0 "" "$CASELOAD" convert "$m" "$work/nf4" --type int8
echo "$ask" | "$CASELOAD" score "$work/nf4" >/dev/null || fail "int8 cannot be scored"

# An adapter: trained by nobody, but an adapter.
"$BUILD/tests/t_convert" adapter "$m" "$work/lora" || fail "no adapter"
want 0 "" "$CASELOAD" convert "$work/lora" "$work/lora.gguf" --base "$m"
want 0 "" "$CASELOAD" convert "$work/lora.gguf" "$work/lora2" --base "$work/x.gguf"
same "$work/lora/adapter_model.safetensors" "$work/lora2/adapter_model.safetensors"
want 4 "another base" "$CASELOAD" merge "$m" tests/broken/adapter-gguf/other-base.gguf "$work/z.gguf"
[ ! -e "$work/z.gguf" ] && [ ! -e "$work/z.gguf.part" ] || fail "half a merged model was left"

want 0 "" "$CASELOAD" certify "$m" "$work/lora" --study "$work/study.yaml"
grep -q '"passed": true' "$work/lora/certificate.json" || fail "no certificate"
[ "$(ls "$work/lora" | grep -c certificate)" = 1 ] || fail "forms were left behind"
want 0 "" "$CASELOAD" merge "$m" "$work/lora" "$work/merged" --type f16 --certify "$work/study.yaml"
grep -q "F16" "$work/stdout" || fail "the merged form is not certified"

# A merge that lies: the base itself passes for the merged model.
want 4 "more than the" "$CASELOAD" certify "$m" "$work/lora" --study "$work/study.yaml" --merged "$m"
grep -q '"passed": false' "$work/lora/certificate.json" || fail "a lie was certified"
want 2 "has no arm 'none'" "$CASELOAD" certify "$m" "$work/lora" --study "$work/study.yaml" --arm none

# A full disk.
if mkdir "$work/small" && mount -t tmpfs -o size=100k none "$work/small" 2>/dev/null; then
    mounted=$work/small
    want 5 "" "$CASELOAD" convert "$m" "$work/small/x.gguf"
    want 5 "" "$CASELOAD" convert "$m" "$work/small/folder"
    [ -z "$(ls "$work/small")" ] || fail "a full disk kept half a model"
else
    echo "no tmpfs here: the full disk is not tested"
fi

# Ctrl-C, a hang-up, a polite end: exit code 6, nothing half-written. A model large enough to be caught at work.
large=models/SmolLM2-135M-Instruct.Q4_1.gguf
[ -f $large ] || { echo "skip: $large is not there: signals are not tested"; exit 0; }
for signal in INT HUP TERM; do
    code=0
    for wait in 0.5 0.25 0.1; do # over before the signal: again with a shorter wait
        "$CASELOAD" convert $large "$work/big.gguf" --type q4_k --threads 1 --force >/dev/null 2>"$work/stderr" &
        pid=$!
        sleep $wait
        kill -$signal $pid 2>/dev/null
        wait $pid
        code=$?
        [ $code = 0 ] || break
        rm "$work/big.gguf"
    done
    [ $code = 6 ] || { cat "$work/stderr"; fail "convert ends with $code on SIG$signal, not 6"; }
    [ -s "$work/stderr" ] || fail "nothing is said about SIG$signal"
    [ -z "$(ls "$work" | grep '^big')" ] || fail "SIG$signal leaves half a model"
done
