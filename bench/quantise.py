#!/usr/bin/env python3
"""Our quantisers beside llama.cpp's own (llama_model_quantize of llama-cpp-python) on a real model:
the root of the mean squared error of every matrix, the time, and what the scores lose.

    python3 bench/quantise.py build/caseload MODEL [TYPE ...] > bench/results/quantise.csv

MODEL is first written as F32. Weights that were quantised before lie on a grid that favours their
own type, so each matrix gets back what rounding took: a uniform number within half a step (seeded).
Only tensors that both programs store in the same type are compared.
"""
import csv
import ctypes
import os
import subprocess
import sys
import tempfile
import time

import gguf
import llama_cpp
import numpy as np
from gguf import quants

FTYPES = {"f16": 1, "bf16": 32, "q8_0": 7, "q6_k": 18, "q5_k": 16, "q4_k": 14, "q4_1": 3, "q4_0": 2}


def values(tensor):
    return quants.dequantize(tensor.data, tensor.tensor_type).reshape(-1)


def read(path):
    return {t.name: t for t in gguf.GGUFReader(path).tensors}


def blur(path):
    """Spreads a matrix's numbers over the grid they lie on, in place."""
    rng = np.random.default_rng(1)
    for t in gguf.GGUFReader(path, "r+").tensors:
        if len(t.shape) < 2:
            continue
        flat = t.data.reshape(-1)
        step = np.abs(flat.reshape(-1, 32)).max(1, keepdims=True) / 8
        noise = (rng.random((flat.size // 32, 32), dtype=np.float32) - 0.5) * step
        flat[:] = (flat.reshape(-1, 32) + noise).reshape(-1)


def theirs(source, out, ftype):
    p = llama_cpp.llama_model_quantize_default_params()
    p.ftype, p.nthread, p.pure = ftype, 2, True
    start = time.time()
    code = llama_cpp.llama_model_quantize(source.encode(), out.encode(), ctypes.byref(p))
    assert code == 0
    return time.time() - start


def ours(caseload, source, out, kind):
    start = time.time()
    subprocess.run([caseload, "convert", source, out, "--type", kind, "--threads", "2", "--force"], check=True,
                   stdout=subprocess.DEVNULL)
    return time.time() - start


def main():
    caseload, model, *kinds = sys.argv[1:]
    out = csv.writer(sys.stdout)
    out.writerow(["model", "type", "stored", "tensors", "rmse_ours", "rmse_llama.cpp", "ratio",
                  "worst_ratio", "seconds_ours", "seconds_llama.cpp"])
    with tempfile.TemporaryDirectory() as t:
        folder, base = t + "/folder", t + "/base.gguf"
        subprocess.run([caseload, "convert", model, folder, "--type", "f32"], check=True,
                       stdout=subprocess.DEVNULL)
        subprocess.run([caseload, "convert", folder, base], check=True, stdout=subprocess.DEVNULL)
        blur(base)
        source = read(base)
        for kind in kinds or FTYPES:
            seconds = ours(caseload, base, t + "/ours.gguf", kind), theirs(base, t + "/theirs.gguf",
                                                                           FTYPES[kind])
            a, b, sums = read(t + "/ours.gguf"), read(t + "/theirs.gguf"), {}
            for name, x in source.items():
                if len(x.shape) < 2 or a[name].tensor_type != b[name].tensor_type:
                    continue
                w = values(x).astype(np.float64)
                e = [float(((values(y[name]) - w) ** 2).sum()) for y in (a, b)]
                s = sums.setdefault(a[name].tensor_type.name, [0, 0, 0, 0, 0])
                s[0] += 1
                s[1] += e[0]
                s[2] += e[1]
                s[3] += w.size
                s[4] = max(s[4], (e[0] / e[1]) ** 0.5 if e[1] else 1)
            for stored, (n, mine, other, size, worst) in sums.items():
                out.writerow([os.path.basename(model), kind, stored, n, f"{(mine / size) ** 0.5:.6g}",
                              f"{(other / size) ** 0.5:.6g}", f"{(mine / other) ** 0.5:.4f}",
                              f"{worst:.4f}", f"{seconds[0]:.1f}", f"{seconds[1]:.1f}"])
                sys.stdout.flush()


main()
