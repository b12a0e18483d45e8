#!/usr/bin/env python3
"""Reference readings of every weight format, by the gguf package's numpy code (which follows ggml).

    python3 tools/golden/make_dtype.py tests/golden/dtype.json

Blocks are no real weights but bytes of a formula, so that every bit of every scale and code is used:
byte i of type number k is the top byte of mix((k << 32) + i + 1) with mix the finaliser of SplitMix64
(Steele, Lea and Flood 2014) over the golden-ratio step. The upper byte of each f16 field is and-ed with
0xFB, which keeps infinities and NaN out. Kept: the SHA-256 of the float32 values read back, and four of them.
"""
import hashlib
import importlib.metadata
import json
import platform
import sys

import gguf
import numpy as np

M64 = (1 << 64) - 1
# name -> places of the f16 fields in a block
F16_FIELDS = dict(F16=[0], Q4_0=[0], Q4_1=[0, 2], Q5_0=[0], Q5_1=[0, 2], Q8_0=[0], Q2_K=[80, 82], Q3_K=[108],
                  Q4_K=[0, 2], Q5_K=[0, 2], Q6_K=[208], IQ4_NL=[0], IQ4_XS=[0])
BLOCKS = 64


def mix(z):
    z = (z * 0x9E3779B97F4A7C15) & M64
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def main():
    rows = []
    for name, fields in F16_FIELDS.items():
        kind = gguf.GGMLQuantizationType[name]
        size, n_bytes = gguf.GGML_QUANT_SIZES[kind]
        data = np.array([mix((int(kind) << 32) + i + 1) >> 56 for i in range(BLOCKS * n_bytes)], dtype=np.uint8)
        blocks = data.reshape(BLOCKS, n_bytes)
        for at in fields:
            blocks[:, at + 1] &= 0xFB
        values = gguf.quants.dequantize(data, kind).astype("<f4").reshape(-1)
        assert len(values) == BLOCKS * size and np.isfinite(values).all()
        rows.append(dict(type=name, blocks=BLOCKS, f16_fields=fields, sha256=hashlib.sha256(values.tobytes()).hexdigest(),
                         first=[float(v) for v in values[:4]]))
    json.dump(dict(script="tools/golden/make_dtype.py", gguf=importlib.metadata.version("gguf"),
                   numpy=np.__version__, python=platform.python_version(), rows=rows), open(sys.argv[1], "w"), indent=1)


main()
