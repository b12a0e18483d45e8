#!/usr/bin/env python3
"""Losses of 30 updates by PEFT on real models, for tests/t_tune.c (`t_tune models`).

    make all bench
    python3 tools/golden/make_tune_losses.py tests/golden/tune_losses.json models/A.gguf [models/B.gguf ..]

Our program writes 40 synthetic notes and the study below; b_tune_ids writes the prompts and targets as token ids, the order
and the adapter before the first update; bench/peer_peft.py trains on them in float32 on the base that transformers
dequantises from the same GGUF file. The file keeps, for each model, the losses and the versions.
"""
import json
import os
import subprocess
import sys
import tempfile

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
NOTES = ["--rows", "80", "--seed", "11", "--language", "en"]
STUDY = """study: losses
model: {model}
data: {{file: notes.csv, id: id, text: text, label: label, patient: patient, split: split}}
classes: {{serious: ["Yes"], not-serious: ["No"]}}
positive: serious
question: Was the event serious? Answer Yes or No.
limits: {{max_tokens: 1024, cut: head+tail}}
baselines: none
arms:
  - {{name: tuned, lora: {{rank: 8, learning_rate: {rate}, warmup: 0.1, weight_decay: 0.01, batch: {batch}, steps: 30, evaluate: 0}}}}
"""


# At 1e-3 the larger model's losses jump between 0.02 and 6: rounding grows tenfold every few updates, and no two programs agree.
SETTINGS = {"qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf": dict(rate="1e-4", batch=1)}


def settings(model):
    return SETTINGS.get(os.path.basename(model), dict(rate="1e-3", batch=2))


def losses(model):
    work = tempfile.mkdtemp()
    caseload = os.path.join(ROOT, "build", "caseload")
    subprocess.run([caseload, "notes", "--out", os.path.join(work, "notes.csv")] + NOTES, check=True, stdout=subprocess.DEVNULL)
    study = os.path.join(work, "study.yaml")
    with open(study, "w") as f:
        f.write(STUDY.format(model=os.path.abspath(model), **settings(model)))
    subprocess.run([os.path.join(ROOT, "build", "bench", "b_tune_ids"), study, "tuned", os.path.join(work, "ids")], check=True)
    out = os.path.join(work, "peer.json")
    subprocess.run([sys.executable, os.path.join(ROOT, "bench", "peer_peft.py"), model, os.path.join(work, "ids"), "--out", out], check=True)
    with open(out) as f:
        return json.load(f)


def main():
    path = sys.argv[1]
    kept = json.load(open(path)) if os.path.exists(path) else {}
    kept["made_by"] = "tools/golden/make_tune_losses.py"
    for model in sys.argv[2:]:
        got = losses(model)
        kept[os.path.basename(model)] = dict(made_with=got["versions"], **settings(model), tokens=got["tokens"], losses=[float(f"{x:.8g}") for x in got["losses"]])
        with open(path, "w") as f:
            f.write(json.dumps(kept).replace('}, "', '},\n"') + "\n")


if __name__ == "__main__":
    main()
