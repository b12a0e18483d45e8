#!/usr/bin/env python3
"""The same training by PEFT: token ids, order, settings and start from b_tune_ids; float32, no dropout.

    peer_peft.py MODEL FOLDER [--steps N] [--threads N] [--micro N] [--test N] [--device cpu] [--out FILE]

MODEL is a .gguf file (dequantised to float32 by transformers) or a Hugging Face folder. FOLDER is b_tune_ids's. A batch is
padded on the right to its longest prompt, as the usual collators do; `--micro` rows go forward and backward at once (0:
the whole batch, what most scripts do). Writes one JSON object: the loss of each update, seconds of training alone,
tokens (of all prompts, without padding), peak resident memory (on a GPU: of the allocator), test scores by log-probability
of the answers. Loading and scoring are not in the seconds.
"""
import argparse
import json
import math
import os
import resource
import sys
import time

import torch
import transformers
from peft import PeftModel


def load(path, device):
    """GGUF through transformers (needs the gguf package), in float32."""
    if os.path.isfile(path):
        folder, name = os.path.split(os.path.abspath(path))
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, torch_dtype=torch.float32)
    else:
        model = transformers.AutoModelForCausalLM.from_pretrained(path, torch_dtype=torch.float32)
    return model.to(device)


def loss_of(model, rows, sum_w, device):
    """Sum over the targets' tokens of weight x -log p, over sum_w."""
    width = max(len(r["ids"]) for r in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask = torch.zeros(len(rows), width, dtype=torch.long)
    labels = torch.full((len(rows), width), -100)
    for i, r in enumerate(rows):
        n = len(r["ids"])
        ids[i, :n] = torch.tensor(r["ids"])
        mask[i, :n] = 1
        labels[i, r["n_prompt"]:n] = ids[i, r["n_prompt"]:n]
    logits = model(input_ids=ids.to(device), attention_mask=mask.to(device)).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.float().transpose(1, 2), labels[:, 1:].to(device), reduction="none")
    weights = torch.tensor([r["weight"] for r in rows], device=device)
    return (losses * weights[:, None]).sum() / sum_w


def train(model, settings, updates, a):
    params = [p for p in model.parameters() if p.requires_grad]
    optim = torch.optim.AdamW(params, lr=settings["rate"], weight_decay=settings["decay"])
    if settings["schedule"] == "cosine":
        schedule = transformers.get_cosine_schedule_with_warmup(optim, settings["warmup"], settings["updates"])
    else:
        schedule = transformers.get_constant_schedule_with_warmup(optim, settings["warmup"])
    losses, tokens, rows, each, start = [], 0, 0, [], time.perf_counter()
    for u in updates:
        begin, batch, total = time.perf_counter(), u["rows"], 0.0
        optim.zero_grad()
        sum_w = sum(r["weight"] * (len(r["ids"]) - r["n_prompt"]) for r in batch)
        micro = a.micro or len(batch)
        for i in range(0, len(batch), micro):
            loss = loss_of(model, batch[i:i + micro], sum_w, a.device)
            loss.backward()
            total += float(loss.detach())
        if settings["clip"] > 0:
            torch.nn.utils.clip_grad_norm_(params, settings["clip"])
        optim.step()
        schedule.step()
        losses.append(total)
        tokens += sum(len(r["ids"]) for r in batch)
        rows += len(batch)
        each.append(time.perf_counter() - begin)
        if len(losses) % 10 == 0 or len(losses) == len(updates):
            print(f"update {len(losses)} of {len(updates)}: loss {total:.4f}, {tokens / (time.perf_counter() - start):.1f} tokens/s",
                  file=sys.stderr, flush=True)
    return dict(losses=losses, tokens=tokens, rows=rows, seconds=sum(each), seconds_update=each)


@torch.no_grad()
def score(model, tests, device):
    """log p of class 0's answers less that of the others', a test row; its answers in one batch, padded on the right."""
    scores = []
    for t in tests:
        logp, n = [], len(t["ids"])
        width = max(map(len, t["answers"]))
        ids = torch.tensor([t["ids"] + answer + [0] * (width - len(answer)) for answer in t["answers"]], device=device)
        out = torch.log_softmax(model(input_ids=ids).logits[:, n - 1:-1].float(), -1)
        for i, answer in enumerate(t["answers"]):
            logp.append(float(out[i, range(len(answer)), answer].sum()))
        z = {c: torch.logsumexp(torch.tensor([x for x, k in zip(logp, t["classes"]) if k == c]), 0).item() for c in set(t["classes"])}
        rest = torch.logsumexp(torch.tensor([v for c, v in z.items() if c]), 0).item()
        scores.append(z[0] - rest)
    return scores


def main():
    a = argparse.ArgumentParser()
    a.add_argument("model")
    a.add_argument("folder")
    a.add_argument("--steps", type=int, default=0)
    a.add_argument("--threads", type=int, default=0)
    a.add_argument("--micro", type=int, default=0)
    a.add_argument("--test", type=int, default=0, help="score so many test rows; 0: none")
    a.add_argument("--device", default="cpu")
    a.add_argument("--out", default="-")
    a = a.parse_args()
    if a.threads:
        torch.set_num_threads(a.threads)
    torch.backends.cuda.matmul.allow_tf32 = False
    transformers.utils.logging.disable_progress_bar()
    transformers.utils.logging.set_verbosity_error()
    settings, updates, tests = None, [], []
    with open(os.path.join(a.folder, "ids.jsonl")) as f:
        for line in f:
            x = json.loads(line)
            if "settings" in x:
                settings = x["settings"]
            elif "update" in x:
                updates.append(x)
            else:
                tests.append(x)
    updates = updates[:a.steps] if a.steps else updates
    model = PeftModel.from_pretrained(load(a.model, a.device), os.path.join(a.folder, "start"), is_trainable=True)
    model.train()
    got = train(model, settings, updates, a)
    got["bytes_peak"] = (torch.cuda.max_memory_allocated() if a.device.startswith("cuda")
                         else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024)
    model.eval()
    tests = tests[:a.test]
    got["test"] = [dict(id=t["test"], label=t["label"], score=s) for t, s in zip(tests, score(model, tests, a.device))]
    import peft
    got["versions"] = dict(torch=torch.__version__, transformers=transformers.__version__, peft=peft.__version__)
    got["threads"], got["device"] = torch.get_num_threads(), a.device
    assert all(math.isfinite(x) for x in got["losses"])
    text = json.dumps(got)
    if a.out == "-":
        print(text)
    else:
        with open(a.out, "w") as f:
            f.write(text + "\n")


if __name__ == "__main__":
    main()
