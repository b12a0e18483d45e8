#!/usr/bin/env python3
"""tests/golden/quantise.json: the error of llama.cpp's own quantisers (ggml_quantize_chunk of
llama-cpp-python, no importance matrix) on numbers that tests/t_quantise.c makes again.

    python tools/golden/make_quantise.py > tests/golden/quantise.json
"""
import ctypes
import glob
import json
import os

import gguf
import llama_cpp
import numpy as np
from gguf import GGMLQuantizationType as Q, quants

N, SEED = 65536, 20260611
TYPES = {"F16": Q.F16, "BF16": Q.BF16, "Q8_0": Q.Q8_0, "Q6_K": Q.Q6_K, "Q5_K": Q.Q5_K,
         "Q4_K": Q.Q4_K, "Q5_1": Q.Q5_1, "Q5_0": Q.Q5_0, "Q4_1": Q.Q4_1, "Q4_0": Q.Q4_0}


def mix(z):
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def numbers(terms):
    """Sums of `terms` uniform numbers around 0: 1 is flat, 12 nearly normal."""
    at = np.arange(1, N * terms + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    word = mix(np.uint64(SEED) + at)
    unit = (word >> np.uint64(40)).astype(np.float64) / 16777216.0 - 0.5
    unit = unit.reshape(N, terms)
    total = np.zeros(N)
    for k in range(terms):
        total += unit[:, k]
    return (total * 0.125).astype(np.float32)


def main():
    np.seterr(over="ignore")
    here = os.path.join(os.path.dirname(llama_cpp.__file__), "lib", "libggml-base*")
    ggml = ctypes.CDLL(sorted(glob.glob(here))[0])
    chunk = ggml.ggml_quantize_chunk
    chunk.restype = ctypes.c_size_t
    chunk.argtypes = [ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64,
                      ctypes.c_int64, ctypes.c_int64, ctypes.c_void_p]
    rows = []
    for name, number in TYPES.items():
        block, size = gguf.GGML_QUANT_SIZES[number]
        for terms in (1, 3, 12):
            x = numbers(terms)
            out = np.zeros(N // block * size, np.uint8)
            chunk(int(number), x.ctypes.data, out.ctypes.data, 0, N // 1024, 1024, None)
            back = quants.dequantize(out.reshape(-1, size), number).reshape(-1).astype(np.float64)
            rmse = float(np.sqrt(np.mean((back - x) ** 2)))
            rows.append({"type": name, "terms": terms, "rmse": rmse})
    print(json.dumps({"script": "tools/golden/make_quantise.py",
                      "llama_cpp_python": llama_cpp.__version__, "numpy": np.__version__,
                      "n": N, "seed": SEED, "rows": rows}, indent=1))


main()
