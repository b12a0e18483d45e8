#!/usr/bin/env python3
"""A random adapter of a real model, seen by three programs: llama.cpp loads the GGUF adapter that
`caseload convert` writes, transformers and PEFT load the folder, and both are compared with the
model that `caseload merge` writes. Prints mean log-probabilities and the worst differences.

    python3 tools/golden/check_gguf_adapter.py build/caseload models/SmolLM2-135M-Instruct.Q4_1.gguf
"""
import json
import os
import subprocess
import sys
import tempfile

import numpy as np
import peft
import torch
import transformers
from llama_cpp import Llama
from safetensors.numpy import save_file

TEXT = "The patient has had a fever and a cough for three days. 환자는 열이 났다."
caseload, model = sys.argv[1:3]


def run(*arguments):
    subprocess.run([caseload, *arguments], check=True)


def log_softmax(x):
    x = x.astype(np.float64)
    top = x.max(1, keepdims=True)
    return x - top - np.log(np.exp(x - top).sum(1, keepdims=True))


def llama(path, adapter=None):
    m = Llama(path, n_ctx=256, logits_all=True, verbose=False, n_threads=2, lora_path=adapter)
    ids = m.tokenize(TEXT.encode(), add_bos=True, special=True)
    m.eval(ids)
    return log_softmax(np.array(m.scores[:len(ids)]))


def torch_logits(folder, adapter=None):
    m = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    if adapter:
        m = peft.PeftModel.from_pretrained(m, adapter)
    tokens = transformers.AutoTokenizer.from_pretrained(folder)
    with torch.no_grad():
        return log_softmax(m.eval()(tokens(TEXT, return_tensors="pt").input_ids).logits[0].numpy())


def make_adapter(base, folder, rank=8):
    c = json.load(open(os.path.join(base, "config.json")))
    d, f, hd = c["hidden_size"], c["intermediate_size"], c["head_dim"]
    q, kv = hd * c["num_attention_heads"], hd * c["num_key_value_heads"]
    shapes = {"self_attn.q_proj": (q, d), "self_attn.k_proj": (kv, d), "self_attn.v_proj": (kv, d),
              "self_attn.o_proj": (d, q), "mlp.gate_proj": (f, d), "mlp.up_proj": (f, d),
              "mlp.down_proj": (d, f)}
    rng, out = np.random.default_rng(3), {}
    for i in range(c["num_hidden_layers"]):
        for name, (rows, columns) in shapes.items():
            key = f"base_model.model.model.layers.{i}.{name}.lora_"
            out[key + "A.weight"] = (rng.standard_normal((rank, columns)) / columns**0.5).astype("f")
            out[key + "B.weight"] = (0.03 * rng.standard_normal((rows, rank))).astype("f")
    os.makedirs(folder)
    save_file(out, os.path.join(folder, "adapter_model.safetensors"))
    json.dump({"peft_type": "LORA", "task_type": "CAUSAL_LM", "r": rank, "lora_alpha": 16,
               "base_model_name_or_path": base, "bias": "none", "lora_dropout": 0.0,
               "target_modules": [n.split(".")[1] for n in shapes]},
              open(os.path.join(folder, "adapter_config.json"), "w"))


def worst(what, a, b):
    print(f"{what}: worst {np.abs(a - b).max():.2e}, mean {np.abs(a - b).mean():.2e}")


with tempfile.TemporaryDirectory() as t:
    base, base32, adapter = t + "/base", t + "/base.gguf", t + "/adapter"
    run("convert", model, base, "--type", "f32")
    run("convert", base, base32)
    make_adapter(base, adapter)
    run("convert", adapter, t + "/adapter.gguf", "--base", base)
    run("convert", t + "/adapter.gguf", t + "/back", "--base", base32)
    run("merge", base, adapter, t + "/merged")
    run("merge", base32, t + "/adapter.gguf", t + "/merged.gguf")
    plain = torch_logits(base)
    with_adapter, merged = torch_logits(base, adapter), torch_logits(t + "/merged")
    back = torch_logits(base, t + "/back")
    beside, inside = llama(base32, t + "/adapter.gguf"), llama(t + "/merged.gguf")
    worst("the adapter's own effect        ", with_adapter, plain)
    worst("PEFT beside - merged folder     ", with_adapter, merged)
    worst("PEFT beside - through GGUF, back", with_adapter, back)
    worst("llama.cpp beside - merged GGUF  ", beside, inside)
    worst("llama.cpp beside - PEFT beside  ", beside, with_adapter)
    worst("llama.cpp plain  - torch plain  ", llama(base32), plain)
