#!/usr/bin/env python3
"""PEFT loads an adapter that we wrote, and computes with it what it computes with its own.

    build/tests/t_adapter write /some/folder && python3 tools/golden/check_adapter.py /some/folder

The folder holds tests/golden/lora/peft read and written again; both are put on the tiny model "smollm2".
"""
import json
import sys

import peft
import torch
import transformers

import make_models as mm


def logits(folder):
    v = mm.VARIANTS["smollm2"]
    cls = getattr(transformers, v["config"]["architectures"][0])
    model = cls(cls.config_class.from_dict(json.loads(json.dumps(v["config"])))).float().eval()
    for n, p in model.named_parameters():
        p.data = torch.from_numpy(mm.weight(mm.SEED, n, tuple(p.shape), mm.kind_of(n), 24, 1.0))
    model.tie_weights()
    ids = torch.tensor([mm.prompt_ids("adapter", 20)])
    with torch.no_grad():
        plain = model(ids).logits
        model = peft.PeftModel.from_pretrained(model, folder).eval()
        return plain, model(ids).logits


plain, ours = logits(sys.argv[1])
_, theirs = logits("tests/golden/lora/peft")
assert torch.equal(ours, theirs), (ours - theirs).abs().max()
assert (ours - plain).abs().max() > 0.1
print("the same bits, with peft", peft.__version__)
