#!/usr/bin/env python3
"""tests/broken/adapter-gguf: hand-broken GGUF adapters of a llama model of 2 layers (width 4, 2
heads of 2, 1 K/V head, feed-forward 6), each with the error it must give.

    python3 tools/golden/make_broken_gguf_adapters.py
"""
import os
import struct

OUT = "tests/broken/adapter-gguf"
U32, F32, TEXT = 4, 6, 8
SHAPES = {"attn_q": (4, 4), "attn_v": (2, 4), "ffn_down": (4, 6)}


def text(s):
    b = s.encode()
    return struct.pack("<Q", len(b)) + b


def pair(key, kind, value):
    body = text(value) if kind == TEXT else struct.pack("<f" if kind == F32 else "<I", value)
    return text(key) + struct.pack("<I", kind) + body


KEYS = {"general.architecture": (TEXT, "llama"), "general.type": (TEXT, "adapter"),
        "adapter.type": (TEXT, "lora"), "adapter.lora.alpha": (F32, 4.0)}


def tensors(rank=2):
    out = {}
    for layer in range(2):
        for name, (rows, columns) in SHAPES.items():
            out[f"blk.{layer}.{name}.weight.lora_a"] = (rank, columns)
            out[f"blk.{layer}.{name}.weight.lora_b"] = (rows, rank)
    return out


def write(file, keys, shapes, values=None, kind=0, cut=None):
    head, data = b"", b""
    for name, (rows, columns) in shapes.items():
        head += text(name) + struct.pack("<IQQIQ", 2, columns, rows, kind, len(data))
        n = rows * columns
        raw = struct.pack(f"<{n}f", *(values or [0.5] * n)[:n] if values is None or len(values) >= n
                          else values * n)
        data += raw + bytes(-len(raw) % 32)
    body = b"GGUF" + struct.pack("<IQQ", 3, len(shapes), len(keys))
    body += b"".join(pair(k, *v) for k, v in keys.items()) + head
    body += bytes(-len(body) % 32) + data
    with open(os.path.join(OUT, file), "wb") as f:
        f.write(body[:cut])


def without(d, *names):
    return {k: v for k, v in d.items() if k not in names}


def main():
    os.makedirs(OUT, exist_ok=True)
    t = tensors()
    q_a, q_b = "blk.0.attn_q.weight.lora_a", "blk.0.attn_q.weight.lora_b"
    cases = [
        ("model.gguf", "holds no LoRA adapter", without(KEYS, "general.type"), t, {}),
        ("control-vector.gguf", "holds no LoRA adapter",
         KEYS | {"adapter.type": (TEXT, "controlvector")}, t, {}),
        ("type-number.gguf", "holds no LoRA adapter", KEYS | {"adapter.type": (U32, 1)}, t, {}),
        ("other-base.gguf", "another base", KEYS | {"general.architecture": (TEXT, "qwen2")}, t, {}),
        ("no-architecture.gguf", "another base", without(KEYS, "general.architecture"), t, {}),
        ("no-alpha.gguf", "adapter.lora.alpha", without(KEYS, "adapter.lora.alpha"), t, {}),
        ("alpha-0.gguf", "adapter.lora.alpha", KEYS | {"adapter.lora.alpha": (F32, 0.0)}, t, {}),
        ("alpha-nan.gguf", "adapter.lora.alpha",
         KEYS | {"adapter.lora.alpha": (F32, float("nan"))}, t, {}),
        ("alpha-text.gguf", "adapter.lora.alpha", KEYS | {"adapter.lora.alpha": (TEXT, "4")}, t, {}),
        ("no-tensors.gguf", "no tensor in it", KEYS, {}, {}),
        ("no-a.gguf", "no lora_A", KEYS, without(t, q_a), {}),
        ("no-b.gguf", "no lora_B", KEYS, without(t, q_b), {}),
        ("embedding.gguf", "belongs to no adapted matrix", KEYS,
         t | {"token_embd.weight.lora_a": (2, 4)}, {}),
        ("layer-2.gguf", "belongs to no adapted matrix", KEYS,
         t | {"blk.2.attn_q.weight.lora_a": (2, 4)}, {}),
        ("layer-none.gguf", "belongs to no adapted matrix", KEYS,
         t | {"blk..attn_q.weight.lora_a": (2, 4)}, {}),
        ("layer-endless.gguf", "belongs to no adapted matrix", KEYS,
         t | {"blk.99999999999999999999.attn_q.weight.lora_a": (2, 4)}, {}),
        ("fused.gguf", "belongs to no adapted matrix", KEYS,
         t | {"blk.0.attn_qkv.weight.lora_a": (2, 4)}, {}),
        ("norm.gguf", "belongs to no adapted matrix", KEYS,
         t | {"blk.0.attn_norm.weight": (1, 4)}, {}),
        ("ranks-differ.gguf", "is not", KEYS, t | {q_a: (3, 4), q_b: (4, 3)}, {}),
        ("rank-over-width.gguf", "rank of 5", KEYS, tensors(5), {}),
        ("other-width.gguf", "is not", KEYS, t | {q_a: (2, 8)}, {}),
        ("turned.gguf", "is not", KEYS, t | {q_b: (2, 4)}, {}),
        ("not-a-number.gguf", "no numbers", KEYS, t, {"values": [float("inf")]}),
        ("indices.gguf", "holds indices", KEYS, t, {"kind": 26}),
        ("cut.gguf", "beyond the file", KEYS, t, {"cut": -40}),
        ("cut-in-keys.gguf", "needs", KEYS, t, {"cut": 480}),
        ("empty.gguf", "is empty", KEYS, t, {"cut": 0}),
        ("no-gguf.gguf", "no GGUF file", None, None, None),
    ]
    with open(os.path.join(OUT, "EXPECT"), "w") as expect:
        for file, says, keys, shapes, how in cases:
            if keys is None:
                with open(os.path.join(OUT, file), "wb") as f:
                    f.write(b"PK\3\4" + bytes(60))
            else:
                write(file, keys, shapes, **how)
            expect.write(f"{file}\t4\t{says}\n")


main()
