#!/usr/bin/env python3
"""Greedy continuations of tiny models, by transformers' generate in float32 on the CPU.

    python3 tools/golden/make_greedy.py tests/golden/greedy.json

The models are those of make_models.py (weights from a formula). The gap between the two likeliest logits is
recorded with every token: where it is under 1e-3, another choice would be rounding.
"""
import json
import os
import platform
import sys

import torch
import transformers

import make_models as mm


def load(folder):
    config = json.load(open(os.path.join(folder, "config.json")))
    reference = json.load(open(os.path.join(folder, "reference.json")))
    cls = getattr(transformers, config["architectures"][0])
    hf_config = cls.config_class.from_dict(config)
    hf_config._attn_implementation = "eager"
    model = cls(hf_config).float().eval()
    for name, p in model.named_parameters():
        values = mm.weight(reference["seed"], name, tuple(p.shape), mm.kind_of(name), reference["bits"],
                           reference["norm_offset"])
        p.data = torch.from_numpy(values)
    model.tie_weights()
    return model


def main():
    out = {"made_by": "tools/golden/make_greedy.py",
           "made_with": {"transformers": transformers.__version__, "torch": torch.__version__,
                         "python": platform.python_version()}, "cases": []}
    folder = os.path.join(os.path.dirname(sys.argv[1]), "models")
    for name in ["llama2", "llama3.1", "mistral", "qwen2", "qwen3", "gemma2", "gemma3", "phi3"]:
        model = load(os.path.join(folder, name))
        for text_seed, n in [(1, 9), (2, 40)]:
            ids = mm.prompt_ids(f"greedy-{name}-{text_seed}", n)
            seq, gaps = list(ids), []
            with torch.no_grad():
                for _ in range(40):
                    logits = model(torch.tensor([seq])).logits[0, -1].float()
                    top = torch.topk(logits, 2).values
                    seq.append(int(torch.argmax(logits)))
                    gaps.append(round(float(top[0] - top[1]), 5))
            out["cases"].append({"model": name, "ids": ids, "greedy": seq[len(ids):], "gap": gaps})
    with open(sys.argv[1], "w") as f:
        json.dump(out, f)
        f.write("\n")


main()
