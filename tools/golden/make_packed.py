#!/usr/bin/env python3
"""tests/golden/packed: matrices of the tiny models' formula, packed by bitsandbytes itself (NF4 with
and without double quantisation, int8), with SHA-256 of the float32 values they stand for; and
tests/broken/packed: the same with one thing wrong each.

    python3 tools/golden/make_packed.py

The values are those of the published definition; where bitsandbytes' CPU kernel can be asked (rows
that are a multiple of the block: others it reads wrongly), it must give the same bits.
"""
import hashlib
import json
import os
import shutil

import bitsandbytes
import bitsandbytes.functional as F
import numpy as np
import torch
from safetensors.torch import save_file

import make_models as mm

CONFIG = {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_size": 64,
          "intermediate_size": 96, "num_hidden_layers": 1, "num_attention_heads": 4,
          "num_key_value_heads": 2, "vocab_size": 320, "max_position_embeddings": 64,
          "rms_norm_eps": 1e-6, "tie_word_embeddings": True,
          "quantization_config": {"quant_method": "bitsandbytes", "load_in_4bit": True}}
SHAPES = {"self_attn.q_proj": (64, 64), "self_attn.k_proj": (32, 64), "self_attn.v_proj": (32, 64),
          "self_attn.o_proj": (64, 64), "mlp.gate_proj": (96, 64), "mlp.up_proj": (96, 64),
          "mlp.down_proj": (64, 96)}
PREFIX = "model.layers.0."


def matrix(name):
    w = mm.weight(mm.SEED, PREFIX + name + ".weight", SHAPES[name], "matrix", 24, 1.0)
    return torch.from_numpy(np.array(w)).reshape(SHAPES[name])


def digest(x):
    return hashlib.sha256(x.contiguous().numpy().tobytes()).hexdigest()


def nf4(name, nested, out):
    w = matrix(name)
    q, state = F.quantize_4bit(w, blocksize=64, compress_statistics=nested, quant_type="nf4")
    key = PREFIX + name + ".weight"
    out[key] = q
    for k, v in state.as_dict(packed=True).items():
        out[f"{key}.{k}"] = v
    absmax = state.absmax
    if nested:
        absmax = state.state2.code[absmax.long()] * state.state2.absmax.repeat_interleave(256)[
            :absmax.numel()] + state.offset
    codes = torch.stack([q.flatten() >> 4, q.flatten() & 15], 1).flatten()
    values = (state.code[codes.long()] * absmax.repeat_interleave(64)[:w.numel()]).view_as(w)
    if w.shape[1] % 64 == 0:
        assert torch.equal(values, F.dequantize_4bit(q, state))
    return {"name": key, "values": digest(values), "codes": digest(q.flatten())}


def int8(name, out):
    w = matrix(name)
    q, scale, _ = F.int8_vectorwise_quant(w.half())
    scale = scale.float()
    out[PREFIX + name + ".weight"] = q
    out[PREFIX + name + ".SCB"] = scale
    out[PREFIX + name + ".weight_format"] = torch.tensor(0, dtype=torch.uint8)
    values = q.float() * (scale / 127)[:, None]
    theirs = F.int8_vectorwise_dequant(q, scale)
    assert (values - theirs).abs().max() <= 1.2e-7 * values.abs().max()
    return {"name": PREFIX + name + ".weight", "values": digest(values), "codes": digest(q)}


def write(folder, tensors, config=CONFIG):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    json.dump(config, open(folder + "/config.json", "w"), indent=1)
    save_file({k: v.contiguous() for k, v in tensors.items()}, folder + "/model.safetensors",
              metadata={"format": "pt"})


def plain():
    return {"model.embed_tokens.weight": torch.zeros(320, 64), "model.norm.weight": torch.ones(64),
            PREFIX + "input_layernorm.weight": torch.ones(64),
            PREFIX + "post_attention_layernorm.weight": torch.ones(64)}


def text(s):
    return torch.tensor(list(s.encode()), dtype=torch.uint8)


def state_with(tensors, key, **changes):
    at = key + ".quant_state.bitsandbytes__nf4"
    old = json.loads(bytes(tensors[at].tolist()))
    return {at: text(json.dumps({k: v for k, v in (old | changes).items() if v is not None}))}


def broken(whole, whole8):
    key = PREFIX + "mlp.gate_proj.weight"
    scb = PREFIX + "mlp.gate_proj.SCB"
    state = key + ".quant_state.bitsandbytes__nf4"
    nan = torch.tensor([float("nan")])

    def f(part, value):
        x = whole[f"{key}.{part}"].clone()
        x[0] = value
        return {f"{key}.{part}": x}

    return [
        ("fp4", "fp4 is not read", state_with(whole, key, quant_type="fp4"), ()),
        ("no-type", "is no NF4", state_with(whole, key, quant_type=None), ()),
        ("blocksize-0", "blocksize makes no sense", state_with(whole, key, blocksize=0), ()),
        ("blocksize-24", "blocksize makes no sense", state_with(whole, key, blocksize=24), ()),
        ("blocksize-128", "of another type or length", state_with(whole, key, blocksize=128), ()),
        ("shape-other", "codes a byte", state_with(whole, key, shape=[96, 128]), ()),
        ("shape-of-3", "shape makes no sense", state_with(whole, key, shape=[96, 64, 1]), ()),
        ("shape-huge", "shape makes no sense", state_with(whole, key, shape=[1 << 40, 64]), ()),
        ("shape-negative", "shape makes no sense", state_with(whole, key, shape=[-96, -64]), ()),
        ("shape-text", "shape makes no sense", state_with(whole, key, shape="96 x 64"), ()),
        ("rows-of-8", "multiple of 16", state_with(whole, key, shape=[768, 8]), ()),
        ("offset-huge", "offset makes no sense", state_with(whole, key, nested_offset=1e300), ()),
        ("nested-blocksize-0", "nested_blocksize",
         state_with(whole, key, nested_blocksize=0), ()),
        ("state-no-json", "no JSON", {state: text("{quant_type: nf4}")}, ()),
        ("state-list", "no JSON", {state: text("[1, 2]")}, ()),
        ("state-float", "no short text", {state: torch.zeros(4)}, ()),
        ("no-map", "has no quant_map", {}, (key + ".quant_map",)),
        ("map-other", "another code book", f("quant_map", -0.9), ()),
        ("no-absmax", "has no absmax", {}, (key + ".absmax",)),
        ("absmax-short", "absmax of another type", {key + ".absmax": whole[key + ".absmax"][1:]},
         ()),
        ("absmax-floats", "absmax of another type",
         {key + ".absmax": whole[key + ".absmax"].float()}, ()),
        ("nested-absmax-nan", "no numbers", {key + ".nested_absmax": nan}, ()),
        ("no-nested-map", "has no nested_quant_map", {}, (key + ".nested_quant_map",)),
        ("nested-map-infinite", "no numbers", f("nested_quant_map", float("inf")), ()),
        ("bytes-alone", "dtype U8 is not read", {}, (state,)),
        ("int8-no-scales", "has no SCB", "int8", (scb,)),
        ("int8-scales-short", "SCB of another type", {scb: whole8[scb][1:]}, ()),
        ("int8-scales-nan", "no numbers", {scb: whole8[scb] * nan}, ()),
        ("int8-vector", "is no matrix", {scb[:-3] + "weight": whole8[scb[:-3] + "weight"][0]}, ()),
    ]


def main():
    rows, whole, whole8, single = [], plain(), plain(), plain()
    for name in SHAPES:
        rows.append({"folder": "nf4"} | nf4(name, True, whole))
        rows.append({"folder": "nf4-single"} | nf4(name, False, single))
        rows.append({"folder": "int8"} | int8(name, whole8))
    out = "tests/golden/packed"
    write(out + "/nf4", whole)
    write(out + "/nf4-single", single)
    write(out + "/int8", whole8)
    json.dump({"script": "tools/golden/make_packed.py", "bitsandbytes": bitsandbytes.__version__,
               "torch": torch.__version__, "nested_map": digest(F.create_dynamic_map()),
               "rows": rows}, open(out + "/values.json", "w"), indent=1)
    gate = PREFIX + "mlp.gate_proj."
    few = {k: v for k, v in whole.items() if k.startswith(gate)}
    few8 = {k: v for k, v in whole8.items() if k.startswith(gate)}
    shutil.rmtree("tests/broken/packed", ignore_errors=True)
    expect = []
    for name, says, changes, gone in broken(whole, whole8):
        eight = changes == "int8" or name.startswith("int8")
        tensors = dict(few8 if eight else few)
        tensors.update(changes if isinstance(changes, dict) else {})
        write("tests/broken/packed/" + name, {k: v for k, v in tensors.items() if k not in gone})
        expect.append(f"{name}\t4\t{says}\n")
    open("tests/broken/packed/EXPECT", "w").writelines(expect)
    os.makedirs("fuzz/corpus/packed", exist_ok=True)
    for name in ("fp4", "shape-other", "absmax-short", "int8-scales-nan", "bytes-alone"):
        shutil.copy(f"tests/broken/packed/{name}/model.safetensors", f"fuzz/corpus/packed/{name}")
    save_file(few, "fuzz/corpus/packed/nf4")
    save_file(few8, "fuzz/corpus/packed/int8")


main()
