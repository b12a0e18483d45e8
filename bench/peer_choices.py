#!/usr/bin/env python3
"""Multiple choice as lm-evaluation-harness scores it, on transformers, beside caseload: same rows, same prompts.

    python3 bench/peer_choices.py CASELOAD MODEL.gguf DATA SET [--rows N] [--threads N]

SET is pubmedqa, medqa-us or kormedmcqa (DATA/SET/questions.jsonl). The study file is written here, run by the
program CASELOAD, and its class log-probabilities are read from study.db. The peer builds the same prompt from
the same line of the table and scores each answer as the harness does: context and continuation are encoded
together, the continuation's tokens are those behind the length of the encoded context (trailing blanks of the
context moved into the continuation), their log-probabilities are summed, and the largest sum is the choice.
Weights are the same file, dequantised by transformers to float32.

Printed: accuracy of both, rows with the same choice, and for every other row the gap between the two choices
as each of the two programs sees it, with the largest difference of log-probabilities over all rows.
"""
import argparse
import json
import os
import sqlite3
import subprocess
import tempfile

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
        text += "data: {%s, options: options}\nframing: options\n" % data
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
            logits = model(torch.tensor([ids + rest[:-1]])).logits[0].float()
            logprob = torch.log_softmax(logits[len(ids) - 1:], dim=-1)
            start, last = ids, logprob[0]
            out.append(sum(float(logprob[i, t]) for i, t in enumerate(rest)))
    return out


def run_caseload(program, how, rows, model, folder, threads):
    table = os.path.join(folder, "rows.jsonl")
    with open(table, "w") as f:
        for r in rows:
            f.write(json.dumps(r, ensure_ascii=False) + "\n")
    study = os.path.join(folder, "study.yaml")
    open(study, "w").write(study_of(how, "rows.jsonl", os.path.abspath(model)))
    command = [program, "run", study, "--out", os.path.join(folder, "out"), "--quiet", "--no-paper"]
    if threads:
        command += ["--threads", str(threads)]
    subprocess.run(command, check=True)
    db = sqlite3.connect(os.path.join(folder, "out", "study.db"))
    query = "select r.id, s.class_logprob from asked a join row r on r.row = a.row join score s on s.key = a.key"
    return {i: z for i, z in db.execute(query)}


def numbers(blob):
    if isinstance(blob, str):
        return [float("-inf") if x is None else x for x in json.loads(blob)]
    import struct
    return list(struct.unpack("<%dd" % (len(blob) // 8), blob))


def main():
    p = argparse.ArgumentParser()
    p.add_argument("caseload"), p.add_argument("model"), p.add_argument("data"), p.add_argument("set", choices=SETS)
    p.add_argument("--rows", type=int, default=200)
    p.add_argument("--threads", type=int, default=0)
    o = p.parse_args()
    how = SETS[o.set]
    rows = [json.loads(x) for x in open(os.path.join(o.data, o.set, "questions.jsonl"))][:o.rows]
    if o.threads:
        torch.set_num_threads(o.threads)
    with tempfile.TemporaryDirectory() as folder:
        ours = run_caseload(o.caseload, how, rows, o.model, folder, o.threads)
    folder, name = os.path.split(os.path.abspath(o.model))
    tokens = transformers.AutoTokenizer.from_pretrained(folder, gguf_file=name)
    model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, torch_dtype=torch.float32).eval()
    same = right_ours = right_peer = 0
    largest = 0.0
    apart = []
    for n, r in enumerate(rows):
        a = numbers(ours[r["id"]])
        answers = how.get("words") or list(LETTERS[:len(r["options"])])
        b = score_peer(model, tokens, prompt_of(r, how), answers)
        a = a[:len(b)]
        x, y = a.index(max(a)), b.index(max(b))
        largest = max([largest] + [abs(u - v) for u, v in zip(a, b)])
        same += x == y
        right_ours += x == r["answer"]
        right_peer += y == r["answer"]
        if x != y:
            apart.append({"row": r["id"], "gap_caseload": a[x] - a[y], "gap_peer": b[y] - b[x]})
    print(json.dumps({"set": o.set, "model": name, "rows": len(rows), "accuracy_caseload": right_ours / len(rows),
                      "accuracy_peer": right_peer / len(rows), "same_choice": same / len(rows),
                      "largest_difference": largest, "apart": apart,
                      "peer": "transformers %s, torch %s" % (transformers.__version__, torch.__version__)}))


main()
