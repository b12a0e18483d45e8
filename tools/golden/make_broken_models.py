#!/usr/bin/env python3
"""Hand-broken model files, each with the error it must give, seeds for the fuzzers, and a few sound oddities.

    python3 tools/golden/make_broken_models.py .        (from the repository's root; needs only Python)

Every file is the same sound tiny model (Llama of one layer, width 8) with one thing wrong. Lists with the
expected exit code and a part of the message go to tests/broken/<kind>/EXPECT.
"""
import copy
import json
import os
import struct
import sys

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
PACK = {U8: "<B", I8: "<b", U16: "<H", I16: "<h", U32: "<I", I32: "<i", F32: "<f", BOOL: "<B", U64: "<Q", I64: "<q",
        F64: "<d"}
D, H, G, F, V = 8, 2, 1, 16, 6
Q4_0, F16 = 2, 1


def text(s):
    b = s if isinstance(s, bytes) else s.encode()
    return struct.pack("<Q", len(b)) + b


def value(kind, v):
    if kind == STRING:
        return text(v)
    if kind == ARRAY:
        item, items = v
        return struct.pack("<IQ", item, len(items)) + b"".join(value(item, x) for x in items)
    return struct.pack(PACK[kind], v)


class Gguf:
    """A sound model; fields are changed before bytes() is asked."""

    def __init__(self):
        self.magic, self.version, self.alignment = b"GGUF", 3, 32
        self.n_pair = self.n_tensor = None  # None: the truth
        self.pairs = [
            ("general.architecture", STRING, "llama"), ("general.name", STRING, "tiny"),
            ("llama.block_count", U32, 1), ("llama.context_length", U32, 64), ("llama.embedding_length", U32, D),
            ("llama.feed_forward_length", U32, F), ("llama.attention.head_count", U32, H),
            ("llama.attention.head_count_kv", U32, G), ("llama.attention.layer_norm_rms_epsilon", F32, 1e-5),
            ("llama.rope.freq_base", F32, 10000.0), ("tokenizer.ggml.model", STRING, "llama"),
            ("tokenizer.ggml.tokens", ARRAY, (STRING, ["<unk>", "<s>", "</s>", "a", "b", "ab"])),
            ("tokenizer.ggml.scores", ARRAY, (F32, [0, 0, 0, -1, -2, -3])),
            ("tokenizer.ggml.token_type", ARRAY, (I32, [2, 3, 3, 1, 1, 1])),
            ("tokenizer.ggml.bos_token_id", U32, 1), ("tokenizer.ggml.eos_token_id", U32, 2),
        ]
        kv = G * D // H
        shapes = [("token_embd.weight", [D, V]), ("output_norm.weight", [D]), ("blk.0.attn_norm.weight", [D]),
                  ("blk.0.attn_q.weight", [D, D]), ("blk.0.attn_k.weight", [D, kv]), ("blk.0.attn_v.weight", [D, kv]),
                  ("blk.0.attn_output.weight", [D, D]), ("blk.0.ffn_norm.weight", [D]), ("blk.0.ffn_gate.weight", [D, F]),
                  ("blk.0.ffn_up.weight", [D, F]), ("blk.0.ffn_down.weight", [F, D])]
        self.tensors, at = [], 0
        for name, shape in shapes:
            n = 4
            for x in shape:
                n *= x
            self.tensors.append([name, shape, 0, at, n])  # name, dims, format, offset, bytes
            at += (n + 31) // 32 * 32
        self.data_bytes = at
        self.raw_pairs = b""  # appended as they are, counted by hand in extra_pairs
        self.extra_pairs = 0

    def set(self, key, kind, v):
        self.pairs = [p for p in self.pairs if p[0] != key] + [(key, kind, v)]
        return self

    def drop(self, key):
        self.pairs = [p for p in self.pairs if p[0] != key]
        return self

    def tensor(self, name):
        return next(t for t in self.tensors if t[0] == name)

    def raw(self, b):
        self.raw_pairs += b
        self.extra_pairs += 1
        return self

    def bytes(self):
        n_tensor = len(self.tensors) if self.n_tensor is None else self.n_tensor
        n_pair = len(self.pairs) + self.extra_pairs if self.n_pair is None else self.n_pair
        b = self.magic + struct.pack("<IQQ", self.version, n_tensor, n_pair)
        for key, kind, v in self.pairs:
            b += text(key) + struct.pack("<I", kind) + value(kind, v)
        b += self.raw_pairs
        for name, dims, kind, at, _ in self.tensors:
            b += text(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", x) for x in dims)
            b += struct.pack("<IQ", kind, at & (2**64 - 1))
        self.header_size = len(b)
        b += b"\0" * (-len(b) % self.alignment)
        return b + bytes((i * 37) % 61 for i in range(self.data_bytes))


def change(f):
    g = Gguf()
    f(g)
    return g.bytes()


def tensor_field(name, i, v):
    def f(g):
        g.tensor(name)[i] = v
    return f


def key(s, kind):
    return text(s) + struct.pack("<I", kind)


def gguf_cases():
    sound = Gguf().bytes()
    whole = Gguf()
    whole.bytes()
    head = whole.header_size
    yield "empty.gguf", b"", "is empty"
    yield "no-gguf.gguf", b"GGML" + sound[4:], "does not start with GGUF"
    yield "version-1.gguf", change(lambda g: setattr(g, "version", 1)), "GGUF version 1 of 2023"
    yield "version-4.gguf", change(lambda g: setattr(g, "version", 4)), "GGUF version 4"
    yield "big-endian.gguf", change(lambda g: setattr(g, "version", 3 << 24)), "big-endian"
    yield "cut-in-magic.gguf", sound[:3], "the magic at byte 0 needs 4 bytes"
    yield "cut-in-counts.gguf", sound[:20], "the number of keys at byte 16"
    yield "cut-in-keys.gguf", sound[:100], "claims"
    yield "cut-in-tensors.gguf", sound[:head - 10], "incomplete"
    yield "cut-in-data.gguf", sound[:-100], "ends beyond the file"
    yield "keys-endless.gguf", change(lambda g: setattr(g, "n_pair", 2**63)), "claims 9223372036854775808 keys"
    yield "keys-too-many.gguf", change(lambda g: setattr(g, "n_pair", 17)), "key"
    yield "tensors-endless.gguf", change(lambda g: setattr(g, "n_tensor", 2**64 - 1)), "tensors, more than"
    yield "text-endless.gguf", change(lambda g: g.raw(key("x", STRING) + struct.pack("<Q", 2**63))), "needs 9223372036854775808 bytes"
    yield "key-endless.gguf", change(lambda g: g.raw(struct.pack("<Q", 2**64 - 1))), "a key at byte"
    yield "key-empty.gguf", change(lambda g: g.raw(text("") + struct.pack("<IB", U8, 1))), "is empty, over 1024 bytes"
    yield "array-endless.gguf", change(lambda g: g.raw(key("x", ARRAY) + struct.pack("<IQ", F64, 2**61))), "larger than the rest of the file"
    yield "array-of-texts-endless.gguf", change(lambda g: g.raw(key("x", ARRAY) + struct.pack("<IQQ", STRING, 2, 2**60))), "a string of an array"
    yield "array-of-arrays.gguf", change(lambda g: g.raw(key("x", ARRAY) + struct.pack("<IQ", ARRAY, 1))), "array of arrays"
    yield "array-of-13.gguf", change(lambda g: g.raw(key("x", ARRAY) + struct.pack("<IQ", 13, 1))), "unknown item type 13"
    yield "value-of-99.gguf", change(lambda g: g.raw(key("x", 99))), "unknown value type 99"
    yield "bool-of-2.gguf", change(lambda g: g.raw(key("x", BOOL) + b"\2")), "yes-or-no value is 2"
    yield "key-twice.gguf", change(lambda g: g.raw(key("general.name", STRING) + text("again"))), "`general.name` is there twice"
    yield "tensor-twice.gguf", change(tensor_field("blk.0.attn_k.weight", 0, "blk.0.attn_v.weight")), "`blk.0.attn_v.weight` is there twice"
    yield "tensors-overlap.gguf", change(lambda g: tensor_field("blk.0.attn_k.weight", 3, g.tensor("blk.0.attn_q.weight")[3])(g)), "overlap"
    yield "tensor-unaligned.gguf", change(lambda g: tensor_field("blk.0.attn_k.weight", 3, 4)(g)), "no multiple of the alignment"
    yield "tensor-beyond.gguf", change(tensor_field("blk.0.attn_k.weight", 3, 1 << 40)), "ends beyond the file"
    yield "tensor-wraps.gguf", change(tensor_field("blk.0.attn_k.weight", 3, 2**63 - 32)), "ends beyond the file"
    yield "tensor-negative.gguf", change(tensor_field("blk.0.attn_k.weight", 3, 2**64 - 32)), "beyond the file"
    yield "rank-0.gguf", change(tensor_field("output_norm.weight", 1, [])), "its rank is 0"
    yield "rank-5.gguf", change(tensor_field("output_norm.weight", 1, [8, 1, 1, 1, 1])), "its rank is 5"
    yield "dimension-0.gguf", change(tensor_field("output_norm.weight", 1, [0])), "its dimension 0 is 0"
    yield "dimensions-overflow.gguf", change(tensor_field("output_norm.weight", 1, [2**31 - 1] * 3)), "its dimension 2"
    yield "bytes-overflow.gguf", change(tensor_field("output_norm.weight", 1, [2**31 - 1, 2**31 - 1, 2])), "overflow"
    yield "format-mxfp4.gguf", change(tensor_field("blk.0.attn_k.weight", 2, 39)), "39 (MXFP4) is not read"
    yield "format-77.gguf", change(tensor_field("blk.0.attn_k.weight", 2, 77)), "77 (unknown) is not read"
    yield "block-in-parts.gguf", change(tensor_field("blk.0.attn_k.weight", 2, Q4_0)), "no whole blocks of Q4_0"
    yield "alignment-0.gguf", change(lambda g: g.set("general.alignment", U32, 0)), "power of two"
    yield "alignment-48.gguf", change(lambda g: g.set("general.alignment", U32, 48)), "power of two"
    yield "no-architecture.gguf", change(lambda g: g.drop("general.architecture")), "no key `general.architecture`"
    yield "architecture-falcon.gguf", change(lambda g: g.set("general.architecture", STRING, "falcon")), "`falcon` is not computed"
    yield "no-block-count.gguf", change(lambda g: g.drop("llama.block_count")), "no key `llama.block_count`"
    yield "block-count-text.gguf", change(lambda g: g.set("llama.block_count", STRING, "one")), "`llama.block_count` is no whole number"
    yield "block-count-0.gguf", change(lambda g: g.set("llama.block_count", U32, 0)), "number of layers is 0"
    yield "block-count-million.gguf", change(lambda g: g.set("llama.block_count", U32, 10**6)), "1000000 layers"
    yield "heads-differ.gguf", change(lambda g: g.set("llama.attention.head_count", ARRAY, (U32, [2, 4]))), "differs between layers"
    yield "heads-uneven.gguf", change(lambda g: g.set("llama.attention.head_count_kv", U32, 3)), "number of K/V heads is 3"
    yield "experts.gguf", change(lambda g: g.set("llama.expert_count", U32, 8)), "mixture of experts"
    yield "rope-yarn.gguf", change(lambda g: g.set("llama.rope.scaling.type", STRING, "yarn")), "RoPE scaling `yarn`"
    yield "rope-base-nan.gguf", change(lambda g: g.set("llama.rope.freq_base", F32, float("nan"))), "no finite number"
    yield "rope-part.gguf", change(lambda g: g.set("llama.rope.dimension_count", U32, 2)), "RoPE turns 2 of the 4"
    yield "epsilon-0.gguf", change(lambda g: g.set("llama.attention.layer_norm_rms_epsilon", F32, 0)), "epsilon is 0"
    yield "no-vocabulary.gguf", change(lambda g: g.drop("tokenizer.ggml.tokens")), "holds no tokenizer"
    yield "vocabulary-of-numbers.gguf", change(lambda g: g.set("tokenizer.ggml.tokens", ARRAY, (U8, [1] * 6))), "no list of 1 to"
    yield "vocabulary-too-long.gguf", change(lambda g: g.set("tokenizer.ggml.tokens", ARRAY, (STRING, list("abcdefgh"))).drop("tokenizer.ggml.scores").drop("tokenizer.ggml.token_type")), "8 tokens, the embedding only 6 rows"
    yield "scores-too-short.gguf", change(lambda g: g.set("tokenizer.ggml.scores", ARRAY, (F32, [0]))), "tokenizer.ggml.scores is no list of 6"
    yield "kinds-of-9.gguf", change(lambda g: g.set("tokenizer.ggml.token_type", ARRAY, (I32, [9] * 6))), "token_type is no list of 6 kinds"
    yield "template-of-7.gguf", change(lambda g: g.set("tokenizer.chat_template", U32, 7)), "chat_template is no text"
    yield "part-alone-00002-of-00003.gguf", sound, "No such file"
    yield "part-misnamed-00001-of-00001.gguf", change(lambda g: g.set("split.no", U16, 1).set("split.count", U16, 2)), "says it is part 2 of 2"
    yield "part-without-name.gguf", change(lambda g: g.set("split.no", U16, 0).set("split.count", U16, 2)), "says it is part 1 of 2"
    yield "tensor-missing.gguf", change(lambda g: g.tensors.pop(5)), "no tensor `blk.0.attn_v.weight`"
    yield "tensor-misshapen.gguf", change(tensor_field("blk.0.attn_q.weight", 1, [D, D // 2])), "is 4 x 8; the configuration asks for 8 x 8"
    yield "norm-of-two.gguf", change(tensor_field("output_norm.weight", 1, [4, 2])), "is 2 x 4; the configuration asks for 8"


CONFIG = dict(architectures=["LlamaForCausalLM"], model_type="llama", hidden_size=D, intermediate_size=F,
              num_hidden_layers=1, num_attention_heads=H, num_key_value_heads=G, vocab_size=V,
              max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0, hidden_act="silu",
              tie_word_embeddings=True)


def config(drop=(), **more):
    c = {**CONFIG, **more}
    for k in drop:
        del c[k]
    return json.dumps(c, indent=1).encode() + b"\n"


def config_cases():
    longrope = dict(type="longrope", short_factor=[1.0, 1.0], long_factor=[2.0])
    yield "empty.json", b"", "is empty"
    yield "cut.json", config()[:60], "not valid JSON"
    yield "list.json", b"[1, 2]\n", "no JSON object"
    yield "key-twice.json", b'{"hidden_size": 8, "hidden_size": 9}\n', "not valid JSON"
    yield "no-class.json", config(["architectures", "model_type"]), "no `architectures`"
    yield "class-bert.json", config(architectures=["BertModel"]), "BertModel is not computed"
    yield "class-classifier.json", config(architectures=["LlamaForSequenceClassification"]), "LlamaForSequenceClassification is not computed"
    for k in ("hidden_size", "intermediate_size", "num_hidden_layers", "num_attention_heads", "vocab_size",
              "max_position_embeddings"):
        yield "no-%s.json" % k, config([k]), "no `%s`" % k
    yield "hidden-size-text.json", config(hidden_size="8"), "`hidden_size` is no whole number"
    yield "hidden-size-negative.json", config(hidden_size=-8), "`hidden_size` is no whole number"
    yield "hidden-size-half.json", config(hidden_size=8.5), "`hidden_size` is no whole number"
    yield "hidden-size-huge.json", config(hidden_size=2**40), "`hidden_size` is no whole number"
    yield "layers-million.json", config(num_hidden_layers=10**6), "1000000 layers"
    yield "layers-0.json", config(num_hidden_layers=0), "number of layers is 0"
    yield "heads-0.json", config(num_attention_heads=0), "head"
    yield "heads-uneven.json", config(num_attention_heads=3, num_key_value_heads=2, head_dim=4), "3 query heads cannot share 2"
    yield "head-dim-odd.json", config(head_dim=3), "head width 3 is odd"
    yield "head-dim-missing.json", config(num_attention_heads=3, num_key_value_heads=3), "no multiple of num_attention_heads"
    yield "epsilon-text.json", config(rms_norm_eps="small"), "`rms_norm_eps` is no number"
    yield "epsilon-0.json", config(rms_norm_eps=0), "epsilon is 0"
    yield "activation-relu.json", config(hidden_act="relu"), "activation `relu`"
    yield "quantised-awq.json", config(quantization_config=dict(quant_method="awq", bits=4)), "quantised (awq)"
    yield "rope-yarn.json", config(rope_scaling=dict(type="yarn", factor=4.0)), "RoPE scaling `yarn`"
    yield "rope-dynamic.json", config(rope_scaling=dict(rope_type="dynamic", factor=2.0)), "RoPE scaling `dynamic`"
    yield "rope-list.json", config(rope_scaling=[1]), "is no object"
    yield "rope-linear-bare.json", config(rope_scaling=dict(rope_type="linear")), "scaling factor is 0"
    yield "rope-llama3-bare.json", config(rope_scaling=dict(rope_type="llama3", factor=8.0)), "needs 0 < low_freq_factor"
    yield "rope-factors-short.json", config(rope_scaling=longrope), "`long_factor` of the RoPE scaling is no list of 2"
    yield "rope-factors-zero.json", config(rope_scaling={**longrope, "long_factor": [0, 1]}), "no positive number at place 1"
    yield "rope-base-0.json", config(rope_theta=0), "RoPE base is 0"
    yield "rope-part.json", config(partial_rotary_factor=0.5), "RoPE turns 2 of the 4"
    yield "tied-maybe.json", config(tie_word_embeddings="maybe"), "neither true nor false"
    gemma = dict(architectures=["Gemma3ForCausalLM"], model_type="gemma3_text", head_dim=4,
                 hidden_act="gelu_pytorch_tanh", query_pre_attn_scalar=4)
    yield "layer-types-short.json", config(**gemma, layer_types=[]), "no list of 1 words"
    yield "layer-types-odd.json", config(**gemma, layer_types=["linear_attention"]), "layer 0 in `layer_types`"
    yield "looks-ahead.json", config(**gemma, use_bidirectional_attention=True), "attention looks ahead"
    yield "query-scalar-0.json", config(**{**gemma, "query_pre_attn_scalar": 0}), "`query_pre_attn_scalar` is 0"
    yield "window-pattern-0.json", config(**gemma, sliding_window_pattern=0), "`sliding_window_pattern` is 0"


def tensors():
    kv = G * D // H
    p = "model.layers.0."
    return {"model.embed_tokens.weight": [V, D], "model.norm.weight": [D], p + "input_layernorm.weight": [D],
            p + "self_attn.q_proj.weight": [D, D], p + "self_attn.k_proj.weight": [kv, D],
            p + "self_attn.v_proj.weight": [kv, D], p + "self_attn.o_proj.weight": [D, D],
            p + "post_attention_layernorm.weight": [D], p + "mlp.gate_proj.weight": [F, D],
            p + "mlp.up_proj.weight": [F, D], p + "mlp.down_proj.weight": [D, F]}


def header(shapes=None):
    h, at = {}, 0
    for name, shape in (shapes or tensors()).items():
        n = 4
        for x in shape:
            n *= x
        h[name] = dict(dtype="F32", shape=shape, data_offsets=[at, at + n])
        at += n
    return h, at


def safetensors(f=None, shapes=None, pad=True):
    h, n = header(shapes)
    h = copy.deepcopy(h)
    if f:
        h = f(h) or h
    b = h if isinstance(h, bytes) else json.dumps(h).encode()
    if pad:
        b += b" " * (-len(b) % 8)
    return struct.pack("<Q", len(b)) + b + bytes((i * 37) % 61 for i in range(n))


def entry(name, **fields):
    def f(h):
        h[name].update(fields)
    return f


def safetensors_cases():
    sound, norm = safetensors(), "model.norm.weight"
    yield "empty.safetensors", b"", "it is no safetensors file"
    yield "cut-in-length.safetensors", sound[:5], "it is no safetensors file"
    yield "cut-in-header.safetensors", sound[:200], "it is no safetensors file"
    yield "cut-in-data.safetensors", sound[:-100], "download may be incomplete"
    yield "length-endless.safetensors", struct.pack("<Q", 2**64 - 1) + sound[8:], "needs 18446744073709551615 bytes"
    yield "no-json.safetensors", safetensors(lambda h: b"{'a': 1}"), "no valid JSON"
    yield "list.safetensors", safetensors(lambda h: b"[1]"), "no object"
    yield "name-twice.safetensors", safetensors(lambda h: b'{"a": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}, "a": {"dtype": "F32", "shape": [1], "data_offsets": [4, 8]}}'), "no valid JSON"
    yield "name-empty.safetensors", safetensors(lambda h: b'{"": {"dtype": "F32", "shape": [1], "data_offsets": [0, 4]}}'), "without a name"
    yield "no-dtype.safetensors", safetensors(lambda h: h[norm].pop("dtype") and None), "has no dtype"
    yield "dtype-f8.safetensors", safetensors(entry(norm, dtype="F8_E4M3", data_offsets=[192, 200])), "dtype F8_E4M3 is not read"
    yield "dtype-i64.safetensors", safetensors(entry(norm, dtype="I64")), "dtype I64 is not read"
    yield "shape-text.safetensors", safetensors(entry(norm, shape="8")), "its shape is no list"
    yield "shape-negative.safetensors", safetensors(entry(norm, shape=[-8])), "dimension 0 of its shape"
    yield "shape-rank-5.safetensors", safetensors(entry(norm, shape=[8, 1, 1, 1, 1])), "its shape is no list of at most 4"
    yield "shape-overflow.safetensors", safetensors(entry(norm, shape=[2**31 - 1] * 3)), "dimension 2 of its shape"
    yield "offsets-one.safetensors", safetensors(entry(norm, data_offsets=[192])), "no pair of whole numbers"
    yield "offsets-reversed.safetensors", safetensors(entry(norm, data_offsets=[224, 192])), "lie outside"
    yield "offsets-negative.safetensors", safetensors(entry(norm, data_offsets=[-32, 0])), "lie outside"
    yield "offsets-beyond.safetensors", safetensors(entry(norm, data_offsets=[2**40, 2**40 + 32])), "lie outside"
    yield "offsets-too-wide.safetensors", safetensors(entry(norm, data_offsets=[192, 228])), "its shape takes 32 bytes"
    yield "overlap.safetensors", safetensors(entry(norm, data_offsets=[188, 220])), "overlap"
    yield "unaligned.safetensors", safetensors(entry(norm, dtype="F16", data_offsets=[193, 209])), "between two numbers"
    words = json.dumps(dict(bos_token="<s>", eos_token=dict(content="</s>"), chat_template="{{ messages }}")).encode()
    base = {"config.json": config(), "tokenizer_config.json": words}
    yield "no-config", {"model.safetensors": sound}, "no config.json"
    yield "no-weights", dict(base), "no model.safetensors"
    yield "old-weights", {**base, "pytorch_model.bin": b"PK"}, "pytorch_model.bin is not read"
    yield "tensor-missing", {**base, "model.safetensors": safetensors(lambda h: h.pop(norm) and None)}, "no tensor `model.norm.weight`"
    yield "tensor-misshapen", {**base, "model.safetensors": safetensors(entry(norm, shape=[4, 2]))}, "is 4 x 2; the configuration asks for 8"
    index = "model.safetensors.index.json"

    def indexed(m):
        return json.dumps(dict(metadata={}, weight_map=m)).encode()
    yield "index-empty", {**base, index: b"{}"}, "`weight_map` is no object"
    yield "index-leaves-folder", {**base, index: indexed({norm: "../x.safetensors"})}, "without a path"
    yield "index-names-absent", {**base, index: indexed({norm: "a.safetensors"})}, "No such file"
    yield "index-promises-more", {**base, index: indexed({norm: "a.safetensors", "model.extra.weight": "a.safetensors"}), "a.safetensors": safetensors(shapes={norm: [D]})}, "tensor `model.extra.weight` is not in a.safetensors"
    yield "tensor-in-two-shards", {**base, index: indexed({norm: "a.safetensors", "x": "b.safetensors"}), "a.safetensors": safetensors(shapes={norm: [D]}), "b.safetensors": safetensors(shapes={norm: [D]})}, "is in two files"
    full = {"config.json": config(), "model.safetensors": sound}
    yield "template-of-7", {**full, "tokenizer_config.json": b'{"chat_template": 7}'}, "`chat_template` is no text"
    yield "template-without-default", {**full, "tokenizer_config.json": b'{"chat_template": [{"name": "rag", "template": "x"}]}'}, "no chat_template is named `default`"
    yield "words-cut", {**full, "tokenizer_config.json": b'{"bos_token": '}, "not valid JSON"


def put(path, data):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    if isinstance(data, dict):
        for name, d in data.items():
            put(os.path.join(path, name), d)
        return
    with open(path, "wb") as f:
        f.write(data)


def oddities():
    """Sound models in less usual clothes, for tests/t_files.c."""
    a, b = Gguf(), Gguf()
    a.set("split.no", U16, 0).set("split.count", U16, 2).set("split.tensors.count", I32, len(a.tensors))
    b.pairs = [("split.no", U16, 1), ("split.count", U16, 2), ("split.tensors.count", I32, len(b.tensors))]
    a.tensors, b.tensors = a.tensors[:4], b.tensors[4:]
    yield "split-00001-of-00002.gguf", a.bytes()
    yield "split-00002-of-00002.gguf", b.bytes()
    words = json.dumps(dict(bos_token="<s>", eos_token=dict(content="</s>", lstrip=False), chat_template=[
        dict(name="tool_use", template="tools"), dict(name="default", template="{{ messages }}")])).encode()
    names = sorted(tensors())
    halves = {"model-00001-of-00002.safetensors": names[:5], "model-00002-of-00002.safetensors": names[5:]}
    yield "shards", {
        "config.json": config(), "tokenizer_config.json": words,
        "model.safetensors.index.json": json.dumps(dict(weight_map={n: f for f, h in halves.items() for n in h})).encode(),
        **{f: safetensors(shapes={n: tensors()[n] for n in h}) for f, h in halves.items()}}
    nested = json.dumps(dict(architectures=["Gemma3ForConditionalGeneration"], model_type="gemma3", text_config=dict(
        model_type="gemma3_text", hidden_size=D, intermediate_size=F, num_hidden_layers=1, num_attention_heads=H,
        num_key_value_heads=G, head_dim=4, vocab_size=V, query_pre_attn_scalar=4), vision_config=dict(hidden_size=3))).encode()
    p = "model.layers.0."
    shapes = {**tensors(), p + "self_attn.q_norm.weight": [4], p + "self_attn.k_norm.weight": [4],
              p + "pre_feedforward_layernorm.weight": [D], p + "post_feedforward_layernorm.weight": [D]}
    for folder, prefix in (("sees", "language_model.model."), ("sees-v5", "model.language_model.")):
        renamed = {n.replace("model.", prefix, 1): s for n, s in shapes.items()}
        renamed[prefix.split("language")[0] + "vision_tower.patch.weight"] = [3, 3]
        yield folder, {"config.json": nested, "model.safetensors": safetensors(shapes=renamed),
                       "chat_template.jinja": b"{{ bos_token }}", "tokenizer_config.json": words,
                       "special_tokens_map.json": b'{"bos_token": "<other>"}'}


def main():
    root = sys.argv[1]
    for name, data in oddities():
        put(os.path.join(root, "tests/golden/files", name), data)
    for kind, cases in (("gguf", gguf_cases()), ("safetensors", safetensors_cases()), ("config", config_cases())):
        lines = []
        for name, data, message in cases:
            put(os.path.join(root, "tests/broken", kind, name), data)
            lines.append("%s\t4\t%s\n" % (name, message))
        put(os.path.join(root, "tests/broken", kind, "EXPECT"), "".join(lines).encode())
    corpus = os.path.join(root, "fuzz/corpus")
    put(os.path.join(corpus, "gguf/sound.gguf"), Gguf().bytes())
    g = Gguf()
    g.version = 2
    put(os.path.join(corpus, "gguf/sound-v2.gguf"), g.set("x", ARRAY, (U16, [1, 2, 3])).set("y", F64, 1.5).bytes())
    g = Gguf()
    g.tensors, g.data_bytes = [], 0
    put(os.path.join(corpus, "gguf/vocabulary.gguf"), g.set("tokenizer.ggml.merges", ARRAY, (STRING, ["a b"])).bytes())
    put(os.path.join(corpus, "safetensors/sound.safetensors"), safetensors())
    put(os.path.join(corpus, "safetensors/meta.safetensors"), safetensors(lambda h: h.update(__metadata__={"format": "pt"})))
    put(os.path.join(corpus, "config/llama.json"), config())
    put(os.path.join(corpus, "config/llama3.json"), config(rope_scaling=dict(
        rope_type="llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)))
    put(os.path.join(corpus, "config/gemma3.json"), json.dumps(dict(
        architectures=["Gemma3ForConditionalGeneration"], text_config=dict(
            hidden_size=D, intermediate_size=F, num_hidden_layers=7, head_dim=4, sliding_window=16,
            rope_scaling=dict(factor=8.0, rope_type="linear")))).encode())
    put(os.path.join(corpus, "config/phi3.json"), config(architectures=["Phi3ForCausalLM"], sliding_window=20, rope_scaling=dict(
        type="su", short_factor=[1.0, 1.5], long_factor=[2.0, 4.0])))
    put(os.path.join(corpus, "config/qwen2.json"), config(architectures=["Qwen2ForCausalLM"], use_sliding_window=True, max_window_layers=0))


main()
