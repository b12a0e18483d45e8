# `caseload fit` and what `run` refuses: sizes without weights, cards, bad asks, the way out of too little memory.
. tests/cli/common.inc
fit() { "$CASELOAD" fit "$@" >"$work/stdout" 2>"$work/stderr"; }

make_study 30
# A published shape on a card: a table, no colour into a pipe, and JSON whose parts add up.
fit --shape 7b-llama2 --card a6000 || fail "no table"
grep -q "6,738,415,616 parameters" "$work/stdout" || fail "wrong number of parameters"
grep -q "^Q4_K_M *QLoRA" "$work/stdout" || fail "no line for QLoRA in Q4_K_M"
grep -q "rule of thumb" "$work/stdout" || fail "no rule of thumb"
grep -q "not yet measured" "$work/stdout" || fail "a card's figures are not said to be planned"
! grep -q "$(printf '\033')" "$work/stdout" || fail "colour into a pipe"
fit --shape 7b-llama2 --card a6000 --json || fail "no JSON"
if command -v python3 >/dev/null; then
    python3 - "$work/stdout" <<'END' || fail "the parts do not add up"
import json, sys
plan = json.load(open(sys.argv[1]))["plan"]
assert len(plan) == 36
for line in plan:
    b = line["bytes"]
    assert sum(v for k, v in b.items() if k != "total") == b["total"], line
    assert line["fits"] == (line["largest"] > 0)
END
fi
# The same from a folder with config.json alone, offline, as from the whole model.
mkdir "$work/bare"
cp "$work/model/config.json" "$work/bare"
fit "$work/model" --memory 1GB --json && mv "$work/stdout" "$work/whole" || fail "no plan for a folder"
fit "$work/bare" --memory 1GB --json || { cat "$work/stderr"; fail "no plan for config.json alone"; }
whole=$(tr '{' '\n' < "$work/whole" | grep -c '"numbers": *"f32"')
[ "$whole" = 4 ] || fail "f32 has $whole lines, not 4"
fit "$work/bare" || fail "no plan for this computer"
grep -q "on this computer" "$work/stdout" || fail "this computer is not named"
# Several cards.
fit --shape 70b-llama2 --card rtx4090 --cards 4 || fail "no plan for four cards"
grep -q "^Layers split over cards" "$work/stdout" || fail "no split"
fit --shape 7b-llama2 --card h100 --cards 2 || fail "no plan for two cards"
grep -q "2 copies" "$work/stdout" || fail "no copies"
fit --list || fail "no lists"
grep -q "27b-medgemma" "$work/stdout" && grep -q "rtx5090" "$work/stdout" || fail "the lists lack names"

# A study: every arm, and the peak is what a run plans, to the byte.
fit "$work/study.yaml" || { cat "$work/stderr"; fail "no plan of a study"; }
grep -q "^zero-shot" "$work/stdout" && grep -q "^Peak over the study" "$work/stdout" || fail "no arms of the study"
grep -q "measured here in" "$work/stdout" || fail "this computer's speed is not measured"
fit "$work/study.yaml" --json || fail "no JSON of a study"
mv "$work/stdout" "$work/plan.json"
"$CASELOAD" run "$work/study.yaml" --plan > "$work/plan.txt" || fail "no plan of the run"
session=$(sed -n 's/.*planned to the byte: \([0-9]*\)).*/\1/p' "$work/plan.txt")
if command -v python3 >/dev/null; then
    python3 - "$work/plan.json" "$session" <<'END' || fail "the study's plan is not the run's"
import json, sys
s = json.load(open(sys.argv[1]))["study"]
weights = s["arms"][0]["bytes"]["weights"]
assert s["bytes_peak"] - weights == int(sys.argv[2]), (s["bytes_peak"], weights, sys.argv[2])
assert max(a["bytes"]["total"] for a in s["arms"]) <= s["bytes_peak"]
assert all(a["tokens_shared"] < a["tokens_alone"] and a["seconds"] > 0 for a in s["arms"])
END
fi
cp "$work/model/tokenizer.json" "$work/model/tokenizer_config.json" "$work/bare"
fit "$work/bare" "$work/study.yaml" --card h100 || { cat "$work/stderr"; fail "no plan of a study without weights"; }
grep -q "^Speed: measured on one H100" "$work/stdout" || fail "a measured card's speed is not said to be measured"
fit "$work/bare" "$work/study.yaml" --card rtx4090 || fail "no plan on another card"
grep -q "^Speed: assumed, not measured: 40 % of the 165" "$work/stdout" || fail "a card's speed is not said to be assumed"
fit --list || fail "no lists"
grep -q "^  h100 .*; measured: " "$work/stdout" || fail "the list does not say what was measured"
# Trainings: apart, with their own memory and time; what is there takes none.
sed 's/- {name: two-shot.*/- {name: tuned, lora: {rank: 4, epochs: 2, batch: 4, seeds: [1, 2], evaluate: 0}}/' "$work/study.yaml" > "$work/lora.yaml"
sed -i "s/^\(data: .*\)split: split}/\1split: split, use: test}/" "$work/lora.yaml"
for card in "" "--card a6000"; do
    fit "$work/lora.yaml" $card || { cat "$work/stderr"; fail "no plan of a training"; }
    [ "$(grep -c '^tuned/seed-. .*/' "$work/stdout")" -ge 2 ] || fail "a seed's training is not told"
    grep -q "^Peak over the study.*of it training" "$work/stdout" || fail "training's time is not told apart"
    fit "$work/lora.yaml" $card --json || fail "no JSON of a training"
    command -v python3 >/dev/null || continue
    python3 - "$work/stdout" <<'END' || fail "the trainings do not add up"
import json, math, sys
s = json.load(open(sys.argv[1]))["study"]
assert len(s["trainings"]) == 2
for t in s["trainings"]:
    b = t["bytes"]
    assert sum(v for k, v in b.items() if k != "total") == b["total"], b
    assert t["tokens"] <= t["tokens_alone"] and t["updates"] > 0 and t["seconds"] > 0 and not t["done"]
assert math.isclose(s["seconds_training"], sum(t["seconds"] for t in s["trainings"]))
assert math.isclose(s["seconds"], s["seconds_training"] + sum(p["seconds"] for p in s["passes"]))
END
done
fit "$work/bare" "$work/study.yaml" || { cat "$work/stderr"; fail "no speed without weights"; }
grep -q "random weights" "$work/stdout" || fail "random weights are not said to be"
want 2 "tokenizer" "$CASELOAD" fit --shape 7b-llama2 "$work/study.yaml"

# Bad asks: one sentence each.
want 2 "write it like 48GB" "$CASELOAD" fit --shape 7b-llama2 --memory lots
want 2 "did you mean" "$CASELOAD" fit --shape 7b-lama2
want 2 "no card is called" "$CASELOAD" fit --shape 7b-llama2 --card voodoo
want 2 "of which" "$CASELOAD" fit --shape 7b-llama2 --cards 4
want 2 "give a model" "$CASELOAD" fit
want 4 "no config.json" "$CASELOAD" fit "$work"
sed -i '/"hidden_size"/d' "$work/bare/config.json"
want 4 'no `hidden_size`' "$CASELOAD" fit "$work/bare"
sed 's/LlamaForCausalLM/MambaForCausalLM/' "$work/model/config.json" > "$work/bare/config.json"
want 4 "MambaForCausalLM" "$CASELOAD" fit "$work/bare"
fit --shape 405b-llama3.1 --card t4 || fail "a model larger than the card is no error"
grep -q "Nothing fits" "$work/stdout" || fail "a model larger than the card is not said to be"

# A run that does not fit does not start, and says what to change; what it says works.
want 5 "changes no score" "$CASELOAD" run "$work/study.yaml" --out "$work/no" --quiet --rows 60000 --memory-limit 100MB
rows=$(sed -n 's/.*--rows \([0-9]*\) fits.*/\1/p' "$work/stderr")
[ -n "$rows" ] || fail "no row budget is named"
run_study yes --rows "$rows" --memory-limit 100MB || { cat "$work/stderr"; fail "what was advised does not run"; }
grep -q "^memory: planned .* measured peak" "$work/stdout" || fail "planned and measured are not printed"
want 5 "leaves only" "$CASELOAD" run "$work/study.yaml" --out "$work/no" --quiet --memory-limit 1MB
want 2 "write it like 48GB" "$CASELOAD" run "$work/study.yaml" --out "$work/no" --memory-limit much
