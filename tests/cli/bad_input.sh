# Every kind of bad input: its exit code, and a sentence that names the file and the place.
. tests/cli/common.inc
make_study 60
want 2 "" "$CASELOAD"
want 2 "frobnicate" "$CASELOAD" frobnicate
want 2 "--out" "$CASELOAD" run "$work/study.yaml"
want 2 "--speed" "$CASELOAD" run "$work/study.yaml" --out "$work/o" --speed 9
want 2 "none.yaml" "$CASELOAD" run "$work/none.yaml" --out "$work/o"
want 2 "at most 256" "$CASELOAD" run "$work/study.yaml" --out "$work/o" --threads 300
for n in 0 300 -1 many 2x; do
    want 2 "OMP_NUM_THREADS" env OMP_NUM_THREADS=$n "$CASELOAD" run "$work/study.yaml" --out "$work/o"
    want 2 "OMP_NUM_THREADS" env OMP_NUM_THREADS=$n "$CASELOAD" run "$work/study.yaml" --out "$work/o" --ranks 2
    want 0 "" env OMP_NUM_THREADS=$n "$CASELOAD" run "$work/study.yaml" --plan --threads 1
done
for n in "" 1 2,1; do
    want 0 "" env OMP_NUM_THREADS=$n "$CASELOAD" run "$work/study.yaml" --plan
done
for d in foo cpu:foo; do
    want 2 "cuda:N:bf16x3, cuda:N:fp32" "$CASELOAD" run "$work/study.yaml" --out "$work/o" --device $d
done

change() { sed "$1" "$work/study.yaml" > "$work/bad.yaml"; }
change 's/^question:/qestion:/'
want 2 "line 6: unknown key 'qestion'" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"
grep -q "'question'" "$work/stderr" || fail "the nearest key is not named"
change 's/positive: serious/positive: grave/'
want 2 "grave" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"
change 's/label: label/label: outcome/'
want 2 "outcome" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"

# Data
change 's/notes.csv/none.csv/'
want 3 "none.csv" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"
sed '5s/^n000004/n000003/' "$work/notes.csv" > "$work/twice.csv"
change 's/notes.csv/twice.csv/'
want 3 "n000003" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"
printf 'id,text,label,patient,site,split\n1,"never closed,serious,p,w,test\n' > "$work/open.csv"
change 's/notes.csv/open.csv/'
want 3 "open.csv" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"
! grep -q "never closed" "$work/stderr" || fail "the message shows the text of a row"

# Model
change 's/^model: model/model: nowhere.gguf/'
want 4 "no model at $work/nowhere.gguf" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"
head -c 3000 "$work/model/model-00001-of-00003.safetensors" > "$work/cut.safetensors"
cp -r "$work/model" "$work/broken"
cp "$work/cut.safetensors" "$work/broken/model-00001-of-00003.safetensors"
change 's/^model: model/model: broken/'
want 4 "model-00001-of-00003.safetensors" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"
want 4 "notes.csv" "$CASELOAD" inspect "$work/notes.csv"

# Texts that do not fit: refused by the row's name, or cut and counted.
change 's/max_tokens: 1500, cut: head+tail/max_tokens: 120/; /two-shot/d'
want 3 "n0000" "$CASELOAD" run "$work/bad.yaml" --out "$work/o"

# Requests
echo '{"id": 1, "prompt": "x", "answers": "Yes"}' > "$work/bad.jsonl"
want 3 "line 1" sh -c '"$1" score "$2" < "$3"' sh "$CASELOAD" "$work/model" "$work/bad.jsonl"

# Notes
want 2 "fr" "$CASELOAD" notes --out "$work/x.csv" --language fr
want 2 "rows" "$CASELOAD" notes --out "$work/x.csv" --rows 0
want 5 "no-such" "$CASELOAD" notes --out "$work/no-such/x.csv"
