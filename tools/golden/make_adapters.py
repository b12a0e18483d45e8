#!/usr/bin/env python3
"""Adapters on disk: one saved by PEFT itself, hand-broken ones, and the fuzzer's seeds.

    python3 tools/golden/make_adapters.py

tests/golden/lora/peft       PEFT's own save_pretrained of a rank 2 adapter (q, v, down) of the tiny model
                             "smollm2" (make_models.py), values weight(seed, "<layer>.<module>.<A or B>",
                             "matrix", 24 bits)
tests/broken/adapter/<name>  for the model of tests/t_adapter.c: 2 layers, width 4, 2 heads of 2, 1 K/V head,
                             feed-forward 6; with EXPECT
fuzz/corpus/adapter          the same, in the form of fuzz/f_adapter.c
"""
import json
import os
import struct

import numpy as np

GOOD = dict(peft_type="LORA", task_type="CAUSAL_LM", r=1, lora_alpha=2, bias="none", target_modules=["q_proj", "down_proj"])
SHAPES = {"self_attn.q_proj": (4, 4), "self_attn.k_proj": (2, 4), "self_attn.v_proj": (2, 4), "self_attn.o_proj": (4, 4),
          "mlp.gate_proj": (6, 4), "mlp.up_proj": (6, 4), "mlp.down_proj": (4, 6)}


def name(layer, module, ab):
    return f"base_model.model.model.layers.{layer}.{module}.lora_{ab}.weight"


def tensors(modules=("self_attn.q_proj", "mlp.down_proj"), rank=1, layers=2):
    out = {}
    for i in range(layers):
        for m in modules:
            rows, columns = SHAPES[m]
            out[name(i, m, "A")] = np.arange(rank * columns, dtype=np.float32).reshape(rank, columns) / 8
            out[name(i, m, "B")] = np.ones((rows, rank), np.float32)
    return out


def pack(t, dtype="F32"):
    at, header, data = 0, {"__metadata__": {"format": "pt"}}, b""
    for k, v in t.items():
        raw = v.astype(np.float32).tobytes()
        header[k] = dict(dtype=dtype, shape=list(v.shape), data_offsets=[at, at + len(raw)])
        at += len(raw)
        data += raw
    h = json.dumps(header).encode()
    h += b" " * (-len(h) % 8)
    return struct.pack("<Q", len(h)) + h + data


def without(t, key):
    return {k: v for k, v in t.items() if k != key}


def cases():
    good, t = json.dumps(GOOD), tensors()
    change = lambda **kw: json.dumps({**GOOD, **kw})
    yield "config-empty", "", pack(t), "not valid JSON"
    yield "config-cut", good[:30], pack(t), "not valid JSON"
    yield "config-list", "[]", pack(t), "no JSON object"
    yield "config-key-twice", '{"r":1,"r":2}', pack(t), "not valid JSON"
    yield "other-kind", change(peft_type="IA3"), pack(t), "its peft_type is not LORA"
    yield "no-kind", json.dumps({k: v for k, v in GOOD.items() if k != "peft_type"}), pack(t), "its peft_type is not LORA"
    yield "rank-0", change(r=0), pack(t), "its rank `r` is no number"
    yield "rank-word", change(r="four"), pack(t), "its rank `r` is no number"
    yield "rank-endless", change(r=10**12), pack(t), "its rank `r` is no number"
    yield "rank-over-width", change(r=5), pack(t), "a LoRA rank of 5; choose one from 1 to 4"
    yield "rank-other", change(r=2), pack(t), "is not 2 x 4 as this model and rank 2 ask"
    yield "alpha-0", change(lora_alpha=0), pack(t), "its `lora_alpha` is no number above 0"
    yield "alpha-missing", json.dumps({k: v for k, v in GOOD.items() if k != "lora_alpha"}), pack(t), "its `lora_alpha`"
    yield "dora", change(use_dora=True), pack(t), "`use_dora` is on"
    yield "whole-modules", change(modules_to_save=["lm_head"]), pack(t), "`modules_to_save` is set"
    yield "ranks-differ", change(rank_pattern={"q_proj": 8}), pack(t), "`rank_pattern` is set"
    yield "some-layers", change(layers_to_transform=[0]), pack(t), "`layers_to_transform` is set"
    yield "biases", change(bias="all"), pack(t), "it trained biases too"
    yield "tensors-empty", good, b"", "it is no safetensors file"
    yield "tensors-cut", good, pack(t)[:-8], "download may be incomplete"
    yield "tensors-none", good, pack({}), "no tensor in it"
    yield "layer-3", good, pack(tensors(layers=3)), "belongs to no adapted matrix of this llama model with 2 layers"
    yield "layer-minus", good, pack({name(-1, "mlp.down_proj", "A"): np.zeros((1, 6))}), "belongs to no adapted matrix"
    yield "embedding", good, pack({**t, "base_model.model.model.embed_tokens.weight": np.zeros((2, 2))}), "belongs to no adapted"
    yield "fused-name", good, pack({name(0, "self_attn.qkv_proj", "A"): np.zeros((1, 4))}), "belongs to no adapted matrix"
    yield "no-b", good, pack(without(t, name(1, "mlp.down_proj", "B"))), "layer 1 has no lora_B of mlp.down_proj"
    yield "no-a", good, pack(without(t, name(0, "self_attn.q_proj", "A"))), "layer 0 has no lora_A of self_attn.q_proj"
    yield "twice", good, pack({**t, name(0, "self_attn.q_proj", "A").replace("lora_A", "lora_A.default"): np.zeros((1, 4))}), \
        "more than one lora_A"
    yield "other-width", good, pack({**t, name(0, "self_attn.q_proj", "A"): np.zeros((1, 5))}), "an adapter of another base"
    yield "a-vector", good, pack({**t, name(0, "self_attn.q_proj", "A"): np.zeros(4)}), "is not 1 x 4"
    yield "not-a-number", good, pack({**t, name(1, "mlp.down_proj", "A"): np.full((1, 6), np.nan)}), "values that are no numbers"


def write(path, data):
    with open(path, "wb") as f:
        f.write(data.encode() if isinstance(data, str) else data)


def seed(config, data, fused=False):
    c = config.encode()
    return struct.pack("<H", len(c) | (0x8000 if fused else 0)) + c + data


def save_by_peft(folder):
    import peft
    import transformers

    import make_models as mm
    v = mm.VARIANTS["smollm2"]
    cls = getattr(transformers, v["config"]["architectures"][0])
    model = cls(cls.config_class.from_dict(json.loads(json.dumps(v["config"])))).float()
    model = peft.get_peft_model(model, peft.LoraConfig(r=2, lora_alpha=3, target_modules=["q_proj", "v_proj", "down_proj"],
                                                       task_type="CAUSAL_LM", base_model_name_or_path="smollm2"))
    import torch
    for n, p in model.named_parameters():
        if "lora_" in n:
            part = n.split(".")
            key = f"{part[part.index('layers') + 1]}.{part[-4]}.{part[-3][-1]}"
            p.data = torch.from_numpy(mm.weight(mm.SEED, key, tuple(p.shape), "matrix", 24, 0.0))
    model.save_pretrained(folder)
    readme = os.path.join(folder, "README.md")
    if os.path.exists(readme):
        os.remove(readme)
    path = os.path.join(folder, "adapter_config.json")
    config = json.load(open(path))
    config["made_by"] = f"tools/golden/make_adapters.py with peft {peft.__version__}"
    config["base_model_name_or_path"] = "smollm2"
    with open(path, "w") as f:
        json.dump(config, f, indent=1, sort_keys=True)
        f.write("\n")


def main():
    expect = []
    os.makedirs("fuzz/corpus/adapter", exist_ok=True)
    for n, config, data, words in cases():
        folder = f"tests/broken/adapter/{n}"
        os.makedirs(folder, exist_ok=True)
        write(folder + "/adapter_config.json", config)
        write(folder + "/adapter_model.safetensors", data)
        expect.append(f"{n}\t4\t{words}\n")
        write("fuzz/corpus/adapter/" + n, seed(config, data))
    os.makedirs("tests/broken/adapter/no-files", exist_ok=True)
    write("tests/broken/adapter/no-files/README", "No adapter_config.json here, on purpose.\n")
    expect.append("no-files\t4\tcannot open\n")
    write("tests/broken/adapter/EXPECT", "".join(expect))
    write("fuzz/corpus/adapter/good", seed(json.dumps(GOOD), pack(tensors())))
    write("fuzz/corpus/adapter/good-all", seed(json.dumps({**GOOD, "r": 2}), pack(tensors(SHAPES, 2))))
    fused = {name(i, m, ab): np.ones(s, np.float32) for i in range(2) for m, s2 in
             (("self_attn.qkv_proj", ((1, 4), (8, 1))), ("mlp.gate_up_proj", ((1, 4), (12, 1)))) for ab, s in zip("AB", s2)}
    write("fuzz/corpus/adapter/good-fused", seed(json.dumps(GOOD), pack(fused), True))
    save_by_peft("tests/golden/lora/peft")


if __name__ == "__main__":
    main()
