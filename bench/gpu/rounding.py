#!/usr/bin/env python3
"""What each rounding of a GPU's bf16 arithmetic does to the scores of a small model.

    rounding.py MODEL.gguf REFERENCE.json [--longest 300] [--threads 1]

A Llama model (GGUF, weights dequantised) runs in float32 on the processor with numbers rounded at one place at a time, then
at all; printed is the difference from the reference answers (transformers in float32): largest and root mean square over the
answers, largest over the ten likeliest next tokens. torch, numpy and gguf are needed.
"""
import argparse
import json

import gguf
import numpy as np
import torch

ask = argparse.ArgumentParser()
ask.add_argument("model")
ask.add_argument("reference")
ask.add_argument("--longest", type=int, default=300, help="prompts of more tokens are left out")
ask.add_argument("--threads", type=int, default=1)
a = ask.parse_args()
torch.set_num_threads(a.threads)

reader = gguf.GGUFReader(a.model)
W = {t.name: torch.tensor(np.array(gguf.quants.dequantize(t.data, t.tensor_type), dtype=np.float32))
     for t in reader.tensors}


def field(name):
    f = reader.fields["llama." + name]
    return f.parts[f.data[0]][0]


LAYERS, HEADS = int(field("block_count")), int(field("attention.head_count"))
GROUPS = int(field("attention.head_count_kv"))
EPS, THETA = float(field("attention.layer_norm_rms_epsilon")), float(field("rope.freq_base"))
WIDTH = W["token_embd.weight"].shape[1]
HEAD = WIDTH // HEADS


def to(kind):
    return lambda x: x.to(kind).float()


BF16, F16 = to(torch.bfloat16), to(torch.float16)
PLACES = ["weights", "head weights", "rows of products", "q, k, v", "q, k after rotation", "softmax", "attended", "gate, up",
          "act(gate) up", "rows of the head"]


class Rounding(dict):
    def __missing__(self, place):
        return lambda x: x


def rotate(x, cos, sin):
    x = x.view(*x.shape[:2], HEAD // 2, 2)
    first, second = x[..., 0] * cos - x[..., 1] * sin, x[..., 0] * sin + x[..., 1] * cos
    return torch.stack([first, second], -1).reshape(*x.shape[:2], HEAD)


def norm(x, w):
    return x * torch.rsqrt((x * x).mean(-1, keepdim=True) + EPS) * w


def forward(ids, r):
    n = len(ids)
    angle = torch.arange(n).double()[:, None] * THETA ** (-torch.arange(HEAD // 2).double() * 2 / HEAD)
    cos, sin = angle.cos().float()[:, None], angle.sin().float()[:, None]
    mask = torch.full((n, n), float("-inf")).triu(1)

    def product(x, name, place="weights"):
        return x @ r[place](W[name]).T

    x = W["token_embd.weight"][ids]
    for layer in range(LAYERS):
        b = f"blk.{layer}."
        h = r["rows of products"](norm(x, W[b + "attn_norm.weight"]))
        q, k, v = (r["q, k, v"](product(h, b + f"attn_{p}.weight")).view(n, -1, HEAD) for p in "qkv")
        q, k = (r["q, k after rotation"](rotate(t, cos, sin)) for t in (q, k))
        k, v = (t.repeat_interleave(HEADS // GROUPS, 1) for t in (k, v))
        s = torch.einsum("ihd,jhd->hij", q, k) / HEAD ** 0.5 + mask
        p = (s - s.max(-1, keepdim=True).values).exp()
        o = torch.einsum("hij,jhd->ihd", r["softmax"](p), v) / p.sum(-1).T[:, :, None]
        x = x + product(r["attended"](o.reshape(n, WIDTH)), b + "attn_output.weight")
        h = r["rows of products"](norm(x, W[b + "ffn_norm.weight"]))
        gate, up = (r["gate, up"](product(h, b + f"ffn_{p}.weight")) for p in ("gate", "up"))
        x = x + product(r["act(gate) up"](torch.nn.functional.silu(gate) * up), b + "ffn_down.weight")
    h = r["rows of the head"](norm(x, W["output_norm.weight"]))
    return product(h, "output.weight" if "output.weight" in W else "token_embd.weight", "head weights").log_softmax(-1)


def difference(r, cases):
    answers, top = [], 0
    for case in cases:
        ids, last = case["ids"], None
        for answer in sorted(case["answers"].values(), key=lambda x: -len(x["ids"])):
            if last is None or len(answer["ids"]) > 1:
                rows = forward(torch.tensor(ids + answer["ids"][:-1]), r)[len(ids) - 1:]
                last = rows[0]
            got = sum((last if j == 0 else rows[j])[i].item() for j, i in enumerate(answer["ids"]))
            answers.append(got - answer["logprob"])
        top = max([top] + [abs(last[i].item() - w) for i, w in zip(case["top_ids"], case["top_logprob"])])
    answers = np.abs(answers)
    return answers.max(), np.sqrt((answers ** 2).mean()), top


with open(a.reference) as f, torch.inference_mode():
    cases = [c for c in json.load(f)["cases"] if len(c["ids"]) <= a.longest]
    rounds = [("nothing", {})] + [(place, {place: BF16}) for place in PLACES]
    rounds += [("all in bf16", dict.fromkeys(PLACES, BF16)), ("all in f16", dict.fromkeys(PLACES, F16))]
    for name, places in rounds:
        print("%-22s answers %.5f, rms %.5f; top ten %.5f" % ((name,) + difference(Rounding(places), cases)), flush=True)
