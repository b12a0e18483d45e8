#!/usr/bin/env python3
"""Greedy continuations of the four real models, by transformers in float32 on the weights dequantised from GGUF.

    python3 tools/golden/make_greedy_real.py models tests/golden/greedy_real.json [PART OF A NAME ..]

64 tokens a prompt, the likeliest one each time, with K/V kept from step to step as transformers' generate does.
The gap between the two likeliest logits is recorded with every token: where it is under 1e-3, another choice
would be rounding. Ids of prompts are llama.cpp's, whose pre-tokenizers follow the published ones. With names,
only these models are made again and the others stay as they are in the file.
"""
import hashlib
import json
import os
import platform
import sys

import llama_cpp
import torch
import transformers

TOKENS = 64
CHAT = "<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n"
NOTES = [
    "The patient is a 67-year-old man with fever, cough and confusion for three days. His oxygen saturation is 88 % on room air. "
    "Write a short assessment and plan.",
    "환자는 58세 여자로 2주 전부터 상복부 통증과 체중 감소가 있었다. 내시경에서 위체부에 궤양이 보였다. 다음에 할 검사를 차례로 설명하시오.",
    "List the side effects of a vaccine against influenza, from the most common to the rarest, with one sentence about each.",
    "Hb 7.9 g/dL, MCV 71 fL, ferritin 6 µg/L. Explain step by step what this means and which questions to ask next.",
]
PLAIN = [
    "Discharge summary\n\nThe patient was admitted with chest pain radiating to the left arm. On examination,",
    "흉부 CT 판독 소견: 우상엽에 약 2.3 cm 크기의 결절이 있으며,",
    "Question: A 4-year-old boy has had a barking cough and stridor since last night. What is the most likely diagnosis?\nAnswer:",
    "The most important causes of an acute rise of creatinine in hospital are:\n1.",
]
MODELS = [
    ("SmolLM2-135M-Instruct.Q4_1.gguf", [CHAT % t for t in NOTES] + PLAIN),
    ("gemma-3-270m.Q4_K_M.gguf", PLAIN + NOTES[:2]),
    ("qwen2.5-coder-0.5b-instruct.Q4_K_M.gguf", [CHAT % t for t in NOTES[:2]] + PLAIN[:3]),
    ("qwen2.5-coder-1.5b-instruct.Q4_K_M.gguf", [CHAT % NOTES[0], PLAIN[1], CHAT % NOTES[3]]),
]
ENDS = ["<|im_end|>", "<|endoftext|>", "<eos>", "<end_of_turn>"]


def ids_of(path, texts):
    with open(os.devnull, "w") as null:
        keep = os.dup(2)
        os.dup2(null.fileno(), 2)
        model = llama_cpp.Llama(model_path=path, vocab_only=True, verbose=False)
        os.dup2(keep, 2)
    bos = model.token_bos() if "gemma" in path else None
    out = [model.tokenize(t.encode(), add_bos=False, special=True) for t in texts]
    ends = [i for t in ENDS for i in [model.tokenize(t.encode(), add_bos=False, special=True)] if len(i) == 1]
    return [[bos] + i if bos is not None else i for i in out], sorted({i[0] for i in ends})


def continue_greedily(model, ids, ends):
    out, gaps, past, now = [], [], None, torch.tensor([ids])
    with torch.no_grad():
        for _ in range(TOKENS):
            got = model(now, past_key_values=past, use_cache=True, logits_to_keep=1)
            past = got.past_key_values
            logits = got.logits[0, -1].float()
            top = torch.topk(logits, 2).values
            best = int(torch.argmax(logits))
            gaps.append(round(float(top[0] - top[1]), 5))
            if best in ends:
                return out, gaps, True
            out.append(best)
            now = torch.tensor([[best]])
    return out, gaps, False


def main():
    folder, path, names = sys.argv[1], sys.argv[2], sys.argv[3:]
    old = json.load(open(path))["models"] if os.path.exists(path) else []
    out = {"made_by": "tools/golden/make_greedy_real.py",
           "made_with": {"transformers": transformers.__version__, "torch": torch.__version__,
                         "llama_cpp": llama_cpp.__version__, "python": platform.python_version()}, "models": []}
    for name, texts in MODELS:
        if names and not any(n in name for n in names):
            out["models"] += [m for m in old if m["file"] == name]
            continue
        file = os.path.join(folder, name)
        ids, ends = ids_of(file, texts)
        model = transformers.AutoModelForCausalLM.from_pretrained(folder, gguf_file=name, dtype=torch.float32).eval()
        one = {"file": name, "sha256": hashlib.sha256(open(file, "rb").read()).hexdigest(), "cases": []}
        for text, i in zip(texts, ids):
            greedy, gaps, ended = continue_greedily(model, i, ends)
            one["cases"].append({"text": text, "ids": i, "greedy": greedy, "gap": gaps, "ended": ended})
            print(name, len(i), len(greedy), ended, "smallest gap", min(gaps), file=sys.stderr)
        out["models"].append(one)
        with open(path, "w") as f:
            json.dump(out, f, ensure_ascii=False)
            f.write("\n")


main()
