#!/usr/bin/env python3
"""The peer of b_gpu's caseload: transformers on prompts whole, Llama-2 7B's shape, random weights.

    peer_prompts.py [--tokens 2503] [--batch 3] [--repeats 5]

Every prompt is forwarded whole in bfloat16 with SDPA; logits are computed for the last four positions only (the answer's),
which is kinder than what harnesses do. Prints seconds a prompt and what 1,024 prompts (256 texts x 4 options) would take.
"""
import argparse
import statistics
import time

import torch
import transformers

ask = argparse.ArgumentParser()
ask.add_argument("--tokens", type=int, default=2503)
ask.add_argument("--batch", type=int, default=3)
ask.add_argument("--repeats", type=int, default=5)
ask.add_argument("--layers", type=int, default=32)
a = ask.parse_args()

torch.set_default_device("cuda")
torch.set_default_dtype(torch.bfloat16)
config = transformers.LlamaConfig(
    vocab_size=32000, hidden_size=4096, intermediate_size=11008, num_hidden_layers=a.layers,
    num_attention_heads=32, num_key_value_heads=32, attn_implementation="sdpa")
model = transformers.AutoModelForCausalLM.from_config(config).eval()
ids = torch.randint(0, 32000, (a.batch, a.tokens))
took = []
with torch.inference_mode():
    for i in range(a.repeats + 2):
        torch.cuda.synchronize()
        start = time.perf_counter()
        model(ids, use_cache=False, logits_to_keep=4).logits.float().log_softmax(-1)
        torch.cuda.synchronize()
        if i >= 2:
            took.append(time.perf_counter() - start)
each = statistics.median(took) / a.batch
print(f"transformers {transformers.__version__}, torch {torch.__version__}, {torch.cuda.get_device_name()}")
print(f"{each:.4f} s a prompt of {a.tokens} tokens ({a.tokens / each:.0f} tokens/s); 1,024 prompts: {1024 * each:.1f} s")
