#!/usr/bin/env python3
"""Multiple choice as lm-evaluation-harness scores it, on transformers, beside caseload: same rows, same prompts.

    python3 bench/peer_choices.py CASELOAD MODEL.gguf DATA SET [--rows N] [--first N] [--threads N] --work DIR
    ... [--device cuda:0:fp32] [--peer-device cuda] [--chunk N]

SET is pubmedqa, medqa-us or kormedmcqa (DATA/SET/questions.jsonl). The study file is written here, run by the
program CASELOAD, and its class log-probabilities are read from study.db. The peer builds the same prompt from
the same line of the table and scores each answer as the harness does: context and continuation are encoded
together, the continuation's tokens are those behind the length of the encoded context (trailing blanks of the
context moved into the continuation), their log-probabilities are summed, and the largest sum is the choice.
Weights are the same file, dequantised by transformers to float32. --device is caseload's (cuda:0:fp32 and
cuda:0:bf16x3 are made for comparisons); --peer-device is torch's, where float32 is kept whole: no TF32, and
attention without fused kernels.

Rows are taken in the table's order from --first on, --chunk at a time (10; 500 on a GPU): caseload runs a chunk,
then the peer reads it, one forward pass a row where all answers are single tokens. Each row's result is appended
to DIR/SET.jsonl before the next begins, and rows that stand there are not read again: stopped at any time, the
file is a valid figure over the rows that it holds (--summary prints it and computes nothing).

Printed: accuracy of both, rows with the same choice, and for every other row the gap between the two choices
as each of the two programs sees it, with the largest difference of log-probabilities over all rows.
"""
import argparse
import json
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import time

import torch
import transformers

LETTERS = "ABCDEFGHIJ"
SETS = {
    "medqa-us": {"question": "Question: {text}\n{options}", "end": "Answer:", "text": ["question"]},
    "kormedmcqa": {"question": "{text}\n{options}", "end": "정답:", "text": ["question"]},
    "pubmedqa": {"question": "{text}", "end": "Answer:", "text": ["question", "context"],
                 "words": ["yes", "no", "maybe"]},
}


def prompt_of(row, how):
    if len(how["text"]) == 1:
        text = row[how["text"][0]].strip()
    else:
        text = "\n\n".join(f"{k}:\n{row[k]}" for k in how["text"]).strip()
    options = "\n".join(f"{LETTERS[i]}. {o.strip()}" for i, o in enumerate(row["options"]))
    return how["question"].replace("{text}", text).replace("{options}", options) + "\n" + how["end"]


def study_of(how, table, model):
    question = json.dumps(how["question"], ensure_ascii=False)
    text = "study: choices\nmodel: %s\n" % model
    text += "template: plain\nbaselines: none\nquestion: %s\nparts: {answer: %s}\n" % (question, json.dumps(how["end"], ensure_ascii=False))
    data = "file: %s, id: id, text: [%s], label: answer" % (table, ", ".join(how["text"]))
    if "words" in how:
        labels = ", ".join(f"{w}: [{i}]" for i, w in enumerate(how["words"]))
        text += "data: {%s, labels: {%s}}\nclasses: {%s}\n" % (data, labels, ", ".join(f"{w}: [{w}]" for w in how["words"]))
    else:
        text += "data: {%s, options: options, label_is: number}\nframing: options\n" % data
    return text


def encode_pair(tokens, context, continuation):
    blanks = len(context) - len(context.rstrip())
    if blanks:
        continuation = context[-blanks:] + continuation
        context = context[:-blanks]
    whole = tokens(context + continuation).input_ids
    start = tokens(context).input_ids
    return start, whole[len(start):]


def score_peer(model, tokens, context, answers):
    out = []
    start, last = None, None
    with torch.no_grad():
        for answer in answers:
            ids, rest = encode_pair(tokens, context, " " + answer)
            if len(rest) == 1 and ids == start:
                out.append(float(last[rest[0]]))
                continue
            logits = model(torch.tensor([ids + rest[:-1]], device=model.device), logits_to_keep=len(rest)).logits[0].float()
            logprob = torch.log_softmax(logits, dim=-1).cpu()
            start, last = ids, logprob[0]
            out.append(sum(float(logprob[i, t]) for i, t in enumerate(rest)))
    return out, len(start)


def run_caseload(o, how, rows, folder):
    os.makedirs(folder, exist_ok=True)
    rows = list(rows)
    if len({r["answer"] for r in rows}) == 1:  # a study needs two classes: one row more, which is not compared
        rows.append(dict(rows[0], id="another", answer=(rows[0]["answer"] + 1) % 2))
    with open(os.path.join(folder, "rows.jsonl"), "w") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")
    study = os.path.join(folder, "study.yaml")
    open(study, "w").write(study_of(how, "rows.jsonl", os.path.abspath(o.model)))
    command = [o.caseload, "run", study, "--out", os.path.join(folder, "out"), "--quiet", "--no-paper"]
    if o.threads:
        command += ["--threads", str(o.threads)]
    if o.device:
        command += ["--device", o.device]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    db = sqlite3.connect(os.path.join(folder, "out", "study.db"))
    query = "select r.id, s.class_logprob from asked a join row r on r.row = a.row join score s on s.key = a.key"
    return {i: numbers(z) for i, z in db.execute(query)}


def numbers(blob):
    if isinstance(blob, str):
        return [float("-inf") if x is None else x for x in json.loads(blob)]
    return list(struct.unpack("<%dd" % (len(blob) // 8), blob))


def compare_row(row, ours, peer):
    ours = ours[:len(peer)]
    x, y = ours.index(max(ours)), peer.index(max(peer))
    return {"row": row["id"], "same": x == y, "right_caseload": x == row["answer"], "right_peer": y == row["answer"],
            "largest_difference": max(abs(u - v) for u, v in zip(ours, peer)),
            "gap_caseload": ours[x] - ours[y], "gap_peer": peer[y] - peer[x],
            "gap_first_second": sorted(peer)[-1] - sorted(peer)[-2]}


def open_peer(o):
    """The model and tokenizer on torch's device, in float32 throughout."""
    torch.set_float32_matmul_precision("highest")
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    if o.threads:
        torch.set_num_threads(o.threads)
    folder, name = os.path.split(os.path.abspath(o.model))
    how = {"attn_implementation": "eager"} if o.peer_device != "cpu" else {}
    tokens = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32, **how)
    return model.to(o.peer_device).eval(), tokens


def summary(o, done):
    n = len(done)
    return {"set": o.set, "model": os.path.basename(o.model), "rows": n,
            "accuracy_caseload": sum(d["right_caseload"] for d in done) / n,
            "accuracy_peer": sum(d["right_peer"] for d in done) / n,
            "same_choice": sum(d["same"] for d in done),
            "largest_difference": max(d["largest_difference"] for d in done),
            "smallest_gap": min(d["gap_first_second"] for d in done),
            "tokens_mean": sum(d["tokens"] for d in done) / n,
            "apart": [{k: d[k] for k in ("row", "gap_caseload", "gap_peer")} for d in done if not d["same"]],
            "devices": sorted({d.get("devices", "cpu, cpu") for d in done}),
            "peer": "transformers %s, torch %s" % (transformers.__version__, torch.__version__)}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("caseload"), p.add_argument("model"), p.add_argument("data"), p.add_argument("set", choices=SETS)
    p.add_argument("--rows", type=int, default=200)
    p.add_argument("--first", type=int, default=0)
    p.add_argument("--threads", type=int, default=0)
    p.add_argument("--device", default="", help="caseload's device, as its --device")
    p.add_argument("--peer-device", default="cpu", help="torch's device: cpu, cuda, cuda:1")
    p.add_argument("--chunk", type=int, default=0, help="rows a run of caseload")
    p.add_argument("--work", required=True)
    p.add_argument("--summary", action="store_true")
    o = p.parse_args()
    how = SETS[o.set]
    os.makedirs(o.work, exist_ok=True)
    path = os.path.join(o.work, o.set + ".jsonl")
    done = [json.loads(x) for x in open(path)] if os.path.exists(path) else []
    if not o.summary:
        rows = [json.loads(x) for x in open(os.path.join(o.data, o.set, "questions.jsonl"))][o.first:o.first + o.rows]
        have = {d["row"] for d in done}
        rows = [r for r in rows if r["id"] not in have]
        chunk = o.chunk or (10 if o.peer_device == "cpu" else 500)
        model, tokens = open_peer(o)
        for at in range(0, len(rows), chunk):
            part = rows[at:at + chunk]
            start = time.perf_counter()
            with tempfile.TemporaryDirectory() as place:
                ours = run_caseload(o, how, part, place)
            middle = time.perf_counter()
            for r in part:
                answers = how.get("words") or list(LETTERS[:len(r["options"])])
                peer, n = score_peer(model, tokens, prompt_of(r, how), answers)
                devices = "%s, %s" % (o.device or "cpu", o.peer_device)
                done.append(dict(compare_row(r, ours[r["id"]], peer), tokens=n, devices=devices))
                with open(path, "a") as f:
                    f.write(json.dumps(done[-1]) + "\n")
            print("%s: %d of %d rows (the last %d: caseload %.0f s, the peer %.0f s)" % (
                o.set, at + len(part), len(rows), len(part), middle - start, time.perf_counter() - middle),
                file=sys.stderr, flush=True)
    print(json.dumps(summary(o, done)))


main()
