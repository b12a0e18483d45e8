#!/usr/bin/env python3
"""Reference answers of tiny random models of every family, by transformers in float32 on the CPU.

    python3 tools/golden/make_models.py tests/golden/models

No weight is stored. A weight is a formula of (seed, tensor name, index), made again by tests/tiny.h:

    key   = mix(mix(seed + GOLDEN) ^ fnv1a64(name))
    word  = mix(key + (index + 1) * GOLDEN)               64 bits; index counts row-major over the tensor
    unit  = (int64(word >> (64 - bits)) - 2^(bits-1)) / 2^(bits-1)                          in [-1, 1)
    value = offset + amplitude * unit                     exact or once rounded in float32

with GOLDEN = 0x9E3779B97F4A7C15, mix = the finaliser of SplitMix64 (Steele, Lea and Flood 2014), all
modulo 2^64. kind: "matrix" amplitude 1/4, "embed" 1/2, "bias" 1/4, all offset 0 with the model's `bits`;
"norm" amplitude 1/4, offset 1 (0 where the family stores w - 1), with min(bits, 5) bits. With bits = 24
the values need all of float32; with 8 they are exact in F32, F16, BF16 and Q8_0 (scale 2^-9, embed 2^-8),
with 4 also in Q4_0 (scale 2^-5, embed 2^-4), so one reference serves every storage.

Each folder gets config.json (as a published model of the family has it) and reference.json (tensor list,
prompts, the log-probability of each next token, the ten likeliest tokens after the prompt, norm of the
hidden state of the last position after each layer, versions). tokenizer.json and tokenizer_config.json
beside them are common to all: byte-level BPE of 320 tokens, ChatML template, written by us.
"""
import json
import os
import platform
import sys

import numpy as np
import tokenizers
import torch
import transformers

M64 = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15
N_VOCAB = 320
SEED = 20031


def mix_int(z):
    z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & M64
    z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & M64
    return z ^ (z >> 31)


def fnv1a64(name):
    h = 0xCBF29CE484222325
    for b in name.encode():
        h = ((h ^ b) * 0x100000001B3) & M64
    return h


def weight(seed, name, dims, kind, bits, norm_offset):
    n = int(np.prod(dims))
    key = mix_int(mix_int((seed + GOLDEN) & M64) ^ fnv1a64(name))
    with np.errstate(over="ignore"):
        z = np.uint64(key) + (np.arange(1, n + 1, dtype=np.uint64)) * np.uint64(GOLDEN)
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z = z ^ (z >> np.uint64(31))
    b = min(bits, 5) if kind == "norm" else bits
    half = np.float32(1 << (b - 1))
    unit = ((z >> np.uint64(64 - b)).astype(np.int64) - (1 << (b - 1))).astype(np.float32) / half
    amplitude = np.float32({"matrix": 0.25, "embed": 0.5, "bias": 0.25, "norm": 0.25}[kind])
    offset = np.float32(norm_offset if kind == "norm" else 0.0)
    return (offset + amplitude * unit).astype(np.float32).reshape(dims)


def kind_of(name):
    if "norm" in name:
        return "norm"
    if name.endswith(".bias"):
        return "bias"
    return "embed" if "embed_tokens" in name or name.startswith("lm_head") else "matrix"


def base(arch, model_type, **more):
    c = dict(architectures=[arch], model_type=model_type, vocab_size=N_VOCAB, hidden_size=64,
             intermediate_size=96, num_hidden_layers=3, num_attention_heads=4, num_key_value_heads=2,
             max_position_embeddings=256, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
             tie_word_embeddings=False, bos_token_id=316, eos_token_id=318, torch_dtype="float32")
    c.update(more)
    return {k: v for k, v in c.items() if v is not None}


GEMMA = dict(hidden_act="gelu_pytorch_tanh", hidden_activation="gelu_pytorch_tanh", rms_norm_eps=1e-6,
             tie_word_embeddings=None, head_dim=32, attention_bias=False, attention_dropout=0.0)
LLAMA3 = dict(factor=8.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=64,
              rope_type="llama3")
SHORT = [1.0, 1.05, 1.1, 1.2, 1.35, 1.5, 1.75, 2.0]
LONG = [1.0, 1.3, 2.1, 3.3, 5.5, 8.0, 12.0, 16.0]

# gguf: "all": the GGUF form says the same; "window": it cannot name the window, so it is the same up to the
# window's length; "": the family's GGUF form has no key for what this variant changes.
VARIANTS = {
    "llama2": dict(config=base("LlamaForCausalLM", "llama"), gguf="all"),
    "llama3.1": dict(config=base("LlamaForCausalLM", "llama", rope_theta=500000.0, rope_scaling=LLAMA3), gguf="all"),
    "llama-coarse": dict(config=base("LlamaForCausalLM", "llama", torch_dtype="float16"), bits=4, dtype="F16", gguf="all"),
    "mistral": dict(config=base("MistralForCausalLM", "mistral", sliding_window=24), gguf="window"),
    "qwen2": dict(config=base("Qwen2ForCausalLM", "qwen2", rope_theta=1e6, rms_norm_eps=1e-6, use_sliding_window=False,
                              sliding_window=32768, max_window_layers=28), gguf="all"),
    "qwen2-bf16": dict(config=base("Qwen2ForCausalLM", "qwen2", rope_theta=1e6, rms_norm_eps=1e-6, torch_dtype="bfloat16",
                                   tie_word_embeddings=True), bits=8, dtype="BF16", gguf="all"),
    "qwen3": dict(config=base("Qwen3ForCausalLM", "qwen3", rope_theta=1e6, rms_norm_eps=1e-6, head_dim=24,
                              attention_bias=False, use_sliding_window=False, sliding_window=None,
                              tie_word_embeddings=True), gguf="all"),
    "gemma": dict(config=base("GemmaForCausalLM", "gemma", **{**GEMMA, "num_key_value_heads": 1, "hidden_size": 48}), gguf="all"),
    "gemma2": dict(config=base("Gemma2ForCausalLM", "gemma2", **GEMMA, num_hidden_layers=4, sliding_window=16,
                               query_pre_attn_scalar=32, attn_logit_softcapping=2.0, final_logit_softcapping=4.0), gguf="all"),
    "gemma2-scaled": dict(config=base("Gemma2ForCausalLM", "gemma2", **GEMMA, sliding_window=16, query_pre_attn_scalar=20,
                                      attn_logit_softcapping=50.0, final_logit_softcapping=30.0), gguf=""),
    "gemma3": dict(config=base("Gemma3ForCausalLM", "gemma3_text", **GEMMA, num_hidden_layers=7, sliding_window=16,
                               sliding_window_pattern=6, query_pre_attn_scalar=32, rope_theta=1e6,
                               rope_local_base_freq=10000.0), gguf="all"),
    "gemma3-linear": dict(config=base("Gemma3ForCausalLM", "gemma3_text", **GEMMA, num_hidden_layers=7, sliding_window=16,
                                      sliding_window_pattern=6, query_pre_attn_scalar=32, rope_theta=1e6,
                                      rope_local_base_freq=10000.0, rope_scaling=dict(factor=8.0, rope_type="linear")), gguf="all"),
    "phi3": dict(config=base("Phi3ForCausalLM", "phi3", sliding_window=24, original_max_position_embeddings=256,
                             pad_token_id=319), gguf="window"),
    "phi3-longrope": dict(config=base("Phi3ForCausalLM", "phi3", max_position_embeddings=256, sliding_window=300,
                                      original_max_position_embeddings=32, pad_token_id=319,
                                      rope_scaling=dict(type="longrope", short_factor=SHORT, long_factor=LONG)), gguf="all"),
    "phi3-partial": dict(config=base("Phi3ForCausalLM", "phi3", partial_rotary_factor=0.75, sliding_window=300,
                                     original_max_position_embeddings=256, pad_token_id=319, tie_word_embeddings=True), gguf="all"),
    "smollm2": dict(config=base("LlamaForCausalLM", "llama", hidden_size=48, num_attention_heads=3, num_key_value_heads=1,
                                rope_theta=100000.0, tie_word_embeddings=True), shards=3, gguf="all"),
}
# The same model said the way transformers 5 writes a config (rope_parameters, layer_types, dtype).
for name in ("llama3.1", "gemma3-linear"):
    VARIANTS[name + "-v5"] = dict(config=VARIANTS[name]["config"], v5=True, gguf="")


def byte_symbols():
    """GPT-2's printable stand-ins for the 256 bytes."""
    plain = list(range(33, 127)) + list(range(161, 173)) + list(range(174, 256))
    rest = [b for b in range(256) if b not in plain]
    return {**{b: chr(b) for b in plain}, **{b: chr(256 + i) for i, b in enumerate(rest)}}


MERGES = """e s|Y es|N o|Ġ Yes|Ġ No|t h|th e|Ġ the|i n|Ġ in|a n|an d|Ġ and|Ġ a|e r|o n|r e|Ġ o|Ġo f|a t|e d|o r|i t|
Ġ w|Ġw as|a s|Ġ p|Ġ s|Ġ c|Ġ f|Ġ n|Ġn o|Ġ d|i s|Ġ t|Ġt o|e n|a l|o u|in g|i c|i on|t ion|Ġp at|i ent|en t|Ġpat ient|
s e|Ġ m|r o|l e|v er|e l|a r|n o|y es|Ġ yes|Ġ h|i l|f ever|er i|o us|eri ous|Ġs erious|k g""".replace("\n", "").split("|")


def write_tokenizer(folder):
    vocab = {s: b for b, s in sorted(byte_symbols().items())}
    merges = []
    known = set(vocab)
    for m in MERGES:
        left, right = m.split(" ")
        if left in known and right in known and left + right not in vocab and len(vocab) < N_VOCAB - 4:
            merges.append(m)
            known.add(left + right)
            vocab[left + right] = len(vocab)
    for i in range(N_VOCAB - 4 - len(vocab)):
        left, right = "0123456789"[i // 10], "0123456789"[i % 10]
        merges.append(f"{left} {right}")
        vocab[left + right] = len(vocab)
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|pad|>"]
    added = [dict(id=N_VOCAB - 4 + i, content=s, single_word=False, lstrip=False, rstrip=False, normalized=False,
                  special=True) for i, s in enumerate(special)]
    assert len(vocab) == N_VOCAB - 4
    t = dict(version="1.0", truncation=None, padding=None, added_tokens=added, normalizer=None,
             pre_tokenizer=dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=True),
             post_processor=None, decoder=dict(type="ByteLevel", add_prefix_space=True, trim_offsets=True, use_regex=True),
             model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                        fuse_unk=False, byte_fallback=False, vocab=vocab, merges=merges))
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(t, f, ensure_ascii=False, indent=0)
        f.write("\n")
    template = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + "
                "'<|im_end|>' + '\\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}")
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump(dict(add_prefix_space=False, bos_token="<|endoftext|>", eos_token="<|im_end|>", pad_token="<|pad|>",
                       unk_token=None, add_bos_token=False, clean_up_tokenization_spaces=False, model_max_length=256,
                       tokenizer_class="GPT2Tokenizer", chat_template=template), f, indent=1)
        f.write("\n")
    return tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))


def prompt_ids(name, n):
    key = mix_int(fnv1a64(f"prompt {name} {n}"))
    return [mix_int((key + (i + 1) * GOLDEN) & M64) % 316 for i in range(n)]


TEXT = ("<|im_start|>user\nWas the event serious? Answer Yes or No.\nThe patient had fever 39.2 and a rash; 환자는 회복하였다."
        "<|im_end|>\n<|im_start|>assistant\n")


@torch.no_grad()
def forward(model, ids):
    out = model(torch.tensor([ids]), output_hidden_states=True, use_cache=False)
    logp = torch.log_softmax(out.logits[0].double(), -1)
    return logp, [float(h[0, -1].double().norm()) for h in out.hidden_states]


def run_case(model, name, ids):
    logp, norms = forward(model, ids)
    nxt = [round(float(logp[i, ids[i + 1]]), 7) for i in range(len(ids) - 1)]
    top = torch.topk(logp[-1], 10)
    return dict(id=name, ids=ids, next_logprob=nxt, prompt_logprob=round(sum(nxt), 6), top_ids=top.indices.tolist(),
                top_logprob=[round(float(x), 7) for x in top.values], hidden_norm=[round(x, 6) for x in norms])


def make(folder, name, v, tok):
    bits, config = v.get("bits", 24), dict(v["config"])
    os.makedirs(os.path.join(folder, name), exist_ok=True)
    arch = config["architectures"][0]
    cls = getattr(transformers, arch)
    hf_config = cls.config_class.from_dict(json.loads(json.dumps(config)))
    hf_config._attn_implementation = "eager"
    model = cls(hf_config).float().eval()
    norm_offset = 0.0 if arch.startswith("Gemma") else 1.0
    tensors = []
    for tensor_name, p in model.named_parameters():  # tied weights appear once
        kind = kind_of(tensor_name)
        p.data = torch.from_numpy(weight(SEED, tensor_name, tuple(p.shape), kind, bits, norm_offset))
        tensors.append([tensor_name, list(p.shape), kind])
    model.tie_weights()
    cases = [run_case(model, f"random-{n}", prompt_ids(name, n)) for n in (2, 14, 33, 90)]
    ids = tok.encode(TEXT, add_special_tokens=False).ids
    text_case = run_case(model, "text", ids)
    answers = {}
    for a in ("Yes", "No", " Yes", "yes indeed"):
        a_ids = tok.encode(a, add_special_tokens=False).ids
        logp, _ = forward(model, ids + a_ids)
        answers[a] = dict(ids=a_ids, logprob=round(sum(float(logp[len(ids) - 1 + i, t]) for i, t in enumerate(a_ids)), 7))
    text_case.update(text=TEXT, answers=answers)
    if v.get("v5"):
        config = {k: x for k, x in hf_config.to_diff_dict().items() if not k.startswith("_")}
        config.update(architectures=[arch], dtype="float32", transformers_version=transformers.__version__)
    with open(os.path.join(folder, name, "config.json"), "w") as f:
        json.dump(config, f, indent=1)
        f.write("\n")
    ref = dict(made_by="tools/golden/make_models.py",
               made_with=dict(transformers=transformers.__version__, torch=torch.__version__, numpy=np.__version__,
                              tokenizers=tokenizers.__version__, python=platform.python_version()),
               seed=SEED, bits=bits, dtype=v.get("dtype", "F32"), shards=v.get("shards", 1), norm_offset=norm_offset,
               gguf=v["gguf"], tensors=tensors, cases=cases + [text_case])
    text = json.dumps(ref, ensure_ascii=False)
    text = text.replace('], ["', '],\n["').replace('}, {"id', '},\n{"id').replace('"cases"', '\n"cases"').replace('"tensors"', '\n"tensors"')
    with open(os.path.join(folder, name, "reference.json"), "w") as f:
        f.write(text + "\n")
    spread = max(cases[-1]["next_logprob"]) - min(cases[-1]["next_logprob"])
    print(f"{name:16} {len(tensors):3} tensors, prompt_logprob {cases[-1]['prompt_logprob']:9.3f}, spread {spread:.2f}, "
          f"top {cases[-1]['top_logprob'][0]:.3f}")
    return model, cases


def main():
    folder = sys.argv[1]
    os.makedirs(folder, exist_ok=True)
    torch.manual_seed(0)
    torch.set_num_threads(1)
    tok = write_tokenizer(folder)
    for name, v in VARIANTS.items():
        if len(sys.argv) < 3 or name in sys.argv[2:]:
            make(folder, name, v, tok)


if __name__ == "__main__":
    main()
