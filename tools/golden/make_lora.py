#!/usr/bin/env python3
"""Twenty steps of LoRA by PEFT on the tiny random models of make_models.py, in float32 on the CPU.

    python3 tools/golden/make_lora.py tests/golden/lora

The adapter's start is a formula, as the weights are (make_models.py): A and B of a module are
weight(seed, "<layer>.<module>.A" or ".B", kind "matrix"), B times 1/4; modules as PEFT names them (q_proj,
.., phi3: qkv_proj, gate_up_proj). Rank 4, alpha 8, dropout 0, every linear layer of a block.

Three prompts with answers share a head of 11 tokens; the loss is the mean over all answer tokens of the
three. AdamW: rate 2e-3, decay 0.1, clipping at 1, 4 steps of warm-up, cosine to step 20.

Kept for each variant: the loss and the gradient norm of each step; for each tensor at the first step
(gradient) and after the last (value): its norm, three sums with signs (bit 63, 62, 61 of word(i) of the
formula with name "signs"), and its first six numbers.
"""
import json
import math
import os
import platform
import sys

import numpy as np
import peft
import torch
import transformers

import make_models as mm

RANK, ALPHA, RATE, DECAY, CLIP, WARMUP, STEPS = 4, 8, 2e-3, 0.1, 1.0, 4, 20
HEAD, CASES, ANSWERS = 11, (7, 19, 13), (2, 1, 3)
VARIANTS = ["llama3.1", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"]


def signs(n):
    with np.errstate(over="ignore"):
        key = mm.mix_int(mm.mix_int((mm.SEED + mm.GOLDEN) & mm.M64) ^ mm.fnv1a64("signs"))
        z = np.uint64(key) + np.arange(1, n + 1, dtype=np.uint64) * np.uint64(mm.GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    return [1.0 - 2.0 * ((z >> np.uint64(63 - k)) & np.uint64(1)).astype(np.float64) for k in range(3)]


def digest(x):
    x = x.detach().double().numpy().ravel()
    return [float(f"{v:.9g}") for v in [math.sqrt((x * x).sum())] + [(x * s).sum() for s in signs(x.size)] + list(x[:6])]


def rows(name):
    head = mm.prompt_ids("lora head " + name, HEAD)
    for c, a in zip(CASES, ANSWERS):
        yield head, mm.prompt_ids(f"lora case {name}", c), mm.prompt_ids(f"lora answer {name}", a)


def build(name):
    v = mm.VARIANTS[name]
    config = json.loads(json.dumps(v["config"]))
    cls = getattr(transformers, config["architectures"][0])
    hf = cls.config_class.from_dict(config)
    hf._attn_implementation = "eager"
    model = cls(hf).float().eval()
    offset = 0.0 if config["architectures"][0].startswith("Gemma") else 1.0
    for n, p in model.named_parameters():
        p.data = torch.from_numpy(mm.weight(mm.SEED, n, tuple(p.shape), mm.kind_of(n), v.get("bits", 24), offset))
    model.tie_weights()
    targets = "all-linear"
    model = peft.get_peft_model(model, peft.LoraConfig(r=RANK, lora_alpha=ALPHA, lora_dropout=0.0, target_modules=targets,
                                                       task_type="CAUSAL_LM"))
    adapters = {}
    for n, p in model.named_parameters():
        if "lora_" not in n:
            continue
        part = n.split(".")
        layer, module, ab = part[part.index("layers") + 1], part[-4], part[-3][-1]
        key = f"{layer}.{module}.{ab}"
        start = mm.weight(mm.SEED, key, tuple(p.shape), "matrix", 24, 0.0)
        p.data = torch.from_numpy(start * np.float32(0.25) if ab == "B" else start)
        adapters[key] = p
    return model, adapters


def loss_of(model, name, n_answer):
    total = 0.0
    for head, case, answer in rows(name):
        ids = head + case + answer
        logits = model(torch.tensor([ids])).logits[0]
        at = len(head) + len(case) - 1
        logp = torch.log_softmax(logits.float(), -1)
        total = total - sum(logp[at + i, t] for i, t in enumerate(answer))
    return total / n_answer


def make(folder, name):
    model, adapters = build(name)
    params = list(adapters.values())
    optim = torch.optim.AdamW(params, lr=RATE, weight_decay=DECAY)
    schedule = transformers.get_cosine_schedule_with_warmup(optim, WARMUP, STEPS)
    losses, norms, grads = [], [], {}
    for step in range(STEPS):
        optim.zero_grad()
        loss = loss_of(model, name, sum(ANSWERS))
        loss.backward()
        if step == 0:
            grads = {k: digest(p.grad) for k, p in adapters.items()}
        norms.append(float(f"{float(torch.nn.utils.clip_grad_norm_(params, CLIP)):.9g}"))
        losses.append(float(f"{float(loss):.9g}"))
        optim.step()
        schedule.step()
    out = dict(made_by="tools/golden/make_lora.py",
               made_with=dict(peft=peft.__version__, transformers=transformers.__version__, torch=torch.__version__,
                              numpy=np.__version__, python=platform.python_version()),
               seed=mm.SEED, rank=RANK, alpha=ALPHA, rate=RATE, decay=DECAY, clip=CLIP, warmup=WARMUP, steps=STEPS,
               rows=[dict(zip(("head", "case", "answer"), r)) for r in rows(name)], loss=losses, grad_norm=norms,
               tensors={k: dict(shape=list(p.shape), grad=grads[k], value=digest(p)) for k, p in adapters.items()})
    text = json.dumps(out).replace('}, "', '},\n"').replace('"tensors"', '\n"tensors"')
    with open(os.path.join(folder, name + ".json"), "w") as f:
        f.write(text + "\n")
    print(f"{name:10} {len(adapters)} tensors, loss {losses[0]:.4f} to {losses[-1]:.4f}")


def main():
    os.makedirs(sys.argv[1], exist_ok=True)
    torch.set_num_threads(1)
    for name in VARIANTS:
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            make(sys.argv[1], name)


if __name__ == "__main__":
    main()
