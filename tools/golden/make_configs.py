#!/usr/bin/env python3
"""What transformers makes of config.json files: defaults, windows, RoPE. Compared in tests/t_files.c.

    python3 tools/golden/make_configs.py tests/golden/configs.json

The files are shaped like published ones of each family (key sets as their makers write them: old and new
spellings, keys left out, nulls), with small sizes. No weights.
"""
import json
import os
import platform
import sys
import tempfile

import transformers

SIZES = dict(hidden_size=64, intermediate_size=96, num_hidden_layers=8, num_attention_heads=4, vocab_size=99,
             max_position_embeddings=4096)
LLAMA3 = dict(factor=32.0, high_freq_factor=4.0, low_freq_factor=1.0, original_max_position_embeddings=512,
              rope_type="llama3")
LONG = dict(long_factor=[1.0 + i for i in range(8)], short_factor=[1.0 + i / 8 for i in range(8)])

CASES = {
    "llama-1": dict(model_type="llama", architectures=["LlamaForCausalLM"], rms_norm_eps=1e-6, **SIZES),
    "llama-2": dict(model_type="llama", architectures=["LlamaForCausalLM"], num_key_value_heads=2, rms_norm_eps=1e-5,
                    rope_scaling=None, pretraining_tp=1, tie_word_embeddings=False, **SIZES),
    "llama-3.2": dict(model_type="llama", architectures=["LlamaForCausalLM"], head_dim=16, num_key_value_heads=2, rms_norm_eps=1e-5,
                      rope_scaling=LLAMA3, rope_theta=500000.0, tie_word_embeddings=True, mlp_bias=False, attention_bias=False,
                      **SIZES),
    "llama-biased": dict(model_type="llama", attention_bias=True, mlp_bias=True, head_dim=32, **SIZES),
    "llama-linear-old": dict(model_type="llama", rope_scaling=dict(type="linear", factor=4.0), **SIZES),
    "llama-v5": dict(model_type="llama", rope_parameters=dict(rope_theta=1000.0, **LLAMA3), **SIZES),
    "mistral-0.1": dict(model_type="mistral", num_key_value_heads=2, sliding_window=1024, rms_norm_eps=1e-5, **SIZES),
    "mistral-0.3": dict(model_type="mistral", num_key_value_heads=2, sliding_window=None, rope_theta=1e6, **SIZES),
    "mistral-nemo": dict(model_type="mistral", num_key_value_heads=2, head_dim=32, sliding_window=None, **SIZES),
    "qwen2.5": dict(model_type="qwen2", num_key_value_heads=2, sliding_window=2048, max_window_layers=4, use_sliding_window=False,
                    rope_theta=1e6, rms_norm_eps=1e-6, tie_word_embeddings=True, **SIZES),
    "qwen2-windowed": dict(model_type="qwen2", num_key_value_heads=2, sliding_window=2048, max_window_layers=5,
                           use_sliding_window=True, **SIZES),
    "qwen3": dict(model_type="qwen3", num_key_value_heads=2, head_dim=32, attention_bias=False, rope_theta=1e6, rope_scaling=None,
                  sliding_window=None, use_sliding_window=False, **SIZES),
    "qwen3-bare": dict(model_type="qwen3", num_key_value_heads=2, attention_bias=True, **SIZES),
    "gemma": dict(model_type="gemma", num_key_value_heads=1, hidden_act="gelu", rope_scaling=None, **SIZES),
    "gemma-bare": dict(model_type="gemma", num_key_value_heads=4, **SIZES),
    "gemma2": dict(model_type="gemma2", num_key_value_heads=2, head_dim=32, query_pre_attn_scalar=144, sliding_window=1024,
                   sliding_window_size=1024, hidden_act="gelu_pytorch_tanh", attn_logit_softcapping=50.0,
                   final_logit_softcapping=30.0, **SIZES),
    "gemma2-bare": dict(model_type="gemma2", **SIZES),
    "gemma2-no-caps": dict(model_type="gemma2", attn_logit_softcapping=None, final_logit_softcapping=None, **SIZES),
    "gemma3": dict(model_type="gemma3_text", num_key_value_heads=1, head_dim=32, query_pre_attn_scalar=256, sliding_window=512,
                   sliding_window_pattern=6, rope_local_base_freq=10000.0, rope_theta=1000000.0, rope_scaling=None,
                   attn_logit_softcapping=None, final_logit_softcapping=None, **SIZES),
    "gemma3-layer-types": dict(model_type="gemma3_text", sliding_window=512,
                               layer_types=["sliding_attention", "full_attention"] * 4, **SIZES),
    "gemma3-4b": dict(model_type="gemma3", architectures=["Gemma3ForConditionalGeneration"], text_config=dict(
        hidden_size=64, intermediate_size=96, num_hidden_layers=8, model_type="gemma3_text", sliding_window=1024,
        rope_scaling=dict(factor=8.0, rope_type="linear"))),
    "gemma3-v5": dict(model_type="gemma3_text", sliding_window=512, rope_parameters=dict(
        full_attention=dict(rope_type="linear", factor=8.0, rope_theta=1000000.0),
        sliding_attention=dict(rope_type="default", rope_theta=5000.0)), **SIZES),
    "phi3-4k": dict(model_type="phi3", original_max_position_embeddings=4096, rope_scaling=None, sliding_window=2047,
                    rms_norm_eps=1e-5, **SIZES),
    "phi3-128k": dict(model_type="phi3", original_max_position_embeddings=512, sliding_window=3000,
                      rope_scaling=dict(type="longrope", factor=2.0, **LONG), **SIZES),
    "phi3.5": dict(model_type="phi3", original_max_position_embeddings=512, sliding_window=3000,
                   rope_scaling=dict(type="longrope", **LONG), **SIZES),
    "phi3-bare": dict(model_type="phi3", **SIZES),
}


def rope_of(c, layer_type):
    p = c.rope_parameters
    if layer_type in p:
        p = p[layer_type]
    kind = p["rope_type"]
    out = dict(base=float(p["rope_theta"]), kind={"su": "longrope"}.get(kind, kind))
    if kind == "linear":
        out["factor"] = p["factor"]
    if kind == "llama3":
        for k in ("factor", "low_freq_factor", "high_freq_factor"):
            out[k] = p[k]
    if kind in ("llama3", "longrope"):
        out["original_context"] = p["original_max_position_embeddings"]
    attention = 1.0
    if kind != "default":
        _, attention = transformers.modeling_rope_utils.ROPE_INIT_FUNCTIONS[kind](
            c, "cpu", layer_type=layer_type if layer_type in c.rope_parameters else None)
    out["attention_factor"] = attention
    return out


def answer(case):
    with tempfile.TemporaryDirectory() as folder:
        with open(os.path.join(folder, "config.json"), "w") as f:
            json.dump(case, f)
        top = transformers.AutoConfig.from_pretrained(folder)
    c = getattr(top, "text_config", None) or top
    kind = c.model_type
    n = c.num_hidden_layers
    window = getattr(c, "sliding_window", None) if kind not in ("llama", "gemma") else None
    types = getattr(c, "layer_types", None)
    if kind in ("mistral", "phi3"):
        types = None
    local = [int(bool(window)) if types is None else int(t == "sliding_attention" and bool(window)) for t in types or [None] * n]
    head_dim = getattr(c, "head_dim", None) or c.hidden_size // c.num_attention_heads
    scalar = c.query_pre_attn_scalar if kind in ("gemma2", "gemma3_text") else head_dim
    bias = bool(getattr(c, "attention_bias", False)) and kind not in ("mistral", "phi3")
    return dict(n_layer=n, d_model=c.hidden_size, d_ff=c.intermediate_size, n_head=c.num_attention_heads,
                n_head_kv=c.num_key_value_heads, head_dim=head_dim, n_vocab=c.vocab_size, n_context=c.max_position_embeddings,
                norm_eps=c.rms_norm_eps, tied=bool(top.tie_word_embeddings), window=(window or 0) if any(local) else 0, local=local,
                softcap_attention=(getattr(c, "attn_logit_softcapping", None) or 0) if kind == "gemma2" else 0,
                softcap_final=getattr(c, "final_logit_softcapping", None) or 0, query_scale=scalar**-0.5,
                embed_scale=c.hidden_size**0.5 if kind.startswith("gemma") else 1.0,
                qkv_bias=bias or kind == "qwen2", o_bias=bias and kind != "qwen2", mlp_bias=bool(getattr(c, "mlp_bias", False)),
                rope=rope_of(c, "full_attention"), rope_local=rope_of(c, "sliding_attention"))


def main():
    rows = []
    for name, case in CASES.items():
        rows.append(dict(name=name, config=case, answer=answer(case)))
    out = dict(script="tools/golden/make_configs.py", transformers=transformers.__version__, python=platform.python_version(),
               rows=rows)
    with open(sys.argv[1], "w") as f:
        json.dump(out, f, indent=1)
        f.write("\n")


main()
