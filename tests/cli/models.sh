# Damaged models: truncated anywhere, weights that are not numbers, parts of another model. Never a score.
. tests/cli/common.inc
make_study 20
"$BUILD/tests/t_golden" write smollm2 "$work/model.gguf" || fail "no tiny GGUF"
size=$(wc -c < "$work/model.gguf")
echo '{"id": 1, "prompt": "Was it bad?", "answers": ["Yes", "No"]}' > "$work/line.jsonl"
ask() { # CODE "words" MODEL
    want "$1" "$2" sh -c '"$0" score "$1" < "$2"' "$CASELOAD" "$3" "$work/line.jsonl"
    [ "$1" = 0 ] || [ ! -s "$work/stdout" ] || fail "a damaged model gave answers"
}
ask 0 "" "$work/model.gguf"

# Truncated: at the header, in keys, directory and weights, and by one byte.
for at in 0 1 4 23 24 500 2000 5000 9000 12000 14000 20000 $((size / 2)) $((size - 1)); do
    head -c "$at" "$work/model.gguf" > "$work/cut.gguf"
    ask 4 "cut.gguf" "$work/cut.gguf"
done

# The last weights are NaN: the first answer is an error for every command, on every device.
cp "$work/model.gguf" "$work/nan.gguf"
head -c 64 /dev/zero | tr '\000' '\377' | dd of="$work/nan.gguf" bs=1 seek=$((size - 64)) conv=notrunc 2>/dev/null
sed 's/^model: model/model: nan.gguf/; s/max_tokens: 1500/max_tokens: 250/; /two-shot/d' "$work/study.yaml" > "$work/nan.yaml"
for device in cpu ref; do
    want 4 "nan.gguf: a log-probability is not a number" sh -c '"$0" score "$1" --device "$3" < "$2"' "$CASELOAD" "$work/nan.gguf" "$work/line.jsonl" $device
    want 4 "not a number" "$CASELOAD" try "$work/nan.yaml" --device $device
    want 4 "not a number" "$CASELOAD" run "$work/nan.yaml" --out "$work/nan$device" --quiet --device $device
    [ ! -e "$work/nan$device/scores.csv" ] || fail "scores of a damaged model were written"
done

# A folder without a tokenizer, with half of one, without a part of its weights.
broken() { rm -rf "$work/part" && cp -r "$work/model" "$work/part"; }
broken; rm "$work/part/tokenizer.json"
ask 4 "tokenizer" "$work/part"
broken; head -c 900 "$work/model/tokenizer.json" > "$work/part/tokenizer.json"
ask 4 "tokenizer.json" "$work/part"
broken; rm "$work/part/model-00002-of-00003.safetensors"
ask 4 "model-00002-of-00003.safetensors" "$work/part"
broken; : > "$work/part/config.json"
ask 4 "config.json" "$work/part"
broken; mkdir "$work/part/x" && mv "$work/part/config.json" "$work/part/x/"
ask 4 "config.json" "$work/part"
