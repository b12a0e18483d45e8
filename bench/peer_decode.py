#!/usr/bin/env python3
"""The peer of b_decode: llama.cpp's batched decoding, the same prompts, streams, threads and sampling rules.

    peer_decode.py MODEL.gguf [--texts 16] [--samples 8] [--prompt 256] [--new 32] [--threads 2] [--repeats 1]

Every prompt is evaluated once and its cells are shared by its samples (one unified cache, llama_memory_seq_cp); then all
streams advance together, one token each a call of llama_decode, drawn by llama.cpp's own sampler chain (top-k 40,
temperature 1). The first token of each stream costs ours a step of one row a text; here it is given away: new - 1 calls are
timed and `new` tokens counted. Prints the seconds of each repeat, one a line.
"""
import argparse
import ctypes
import time

import llama_cpp as lc


def fill(batch, rows):
    """rows: (token, position, sequence, wants logits)."""
    batch.n_tokens = len(rows)
    for i, (token, position, seq, logits) in enumerate(rows):
        batch.token[i] = token
        batch.pos[i] = position
        batch.n_seq_id[i] = 1
        batch.seq_id[i][0] = seq
        batch.logits[i] = logits


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    for name, value in dict(texts=16, samples=8, prompt=256, new=32, threads=2, repeats=1).items():
        parser.add_argument(f"--{name}", type=int, default=value)
    a = parser.parse_args()
    quiet = lc.llama_log_callback(lambda level, text, data: None)
    lc.llama_log_set(quiet, ctypes.c_void_p(0))
    lc.llama_backend_init()
    model = lc.llama_model_load_from_file(a.model.encode(), lc.llama_model_default_params())
    streams = a.texts * a.samples
    params = lc.llama_context_default_params()
    params.n_ctx = a.texts * a.prompt + streams * a.new + 256
    params.n_batch = 2048
    params.n_ubatch = 512
    params.n_seq_max = streams
    params.kv_unified = True
    params.n_threads = params.n_threads_batch = a.threads
    context = lc.llama_init_from_model(model, params)
    assert context, "no context"
    memory = lc.llama_get_memory(context)
    vocabulary = lc.llama_vocab_n_tokens(lc.llama_model_get_vocab(model))
    batch = lc.llama_batch_init(max(2048, streams), 0, 1)
    chain = lc.llama_sampler_chain_init(lc.llama_sampler_chain_default_params())
    lc.llama_sampler_chain_add(chain, lc.llama_sampler_init_top_k(40))
    lc.llama_sampler_chain_add(chain, lc.llama_sampler_init_temp(1.0))
    lc.llama_sampler_chain_add(chain, lc.llama_sampler_init_dist(1))
    clock = time.process_time if a.threads == 1 else time.perf_counter  # as b_decode: a thread's own time
    for _ in range(a.repeats):
        lc.llama_memory_clear(memory, True)
        for t in range(a.texts):
            ids = [(1000 + 7919 * (t * a.prompt + i)) % vocabulary for i in range(a.prompt)]
            fill(batch, [(x, i, t * a.samples, i == a.prompt - 1) for i, x in enumerate(ids)])
            assert lc.llama_decode(context, batch) == 0
            for j in range(1, a.samples):
                lc.llama_memory_seq_cp(memory, t * a.samples, t * a.samples + j, -1, -1)
        token = [1000 + i for i in range(streams)]
        start = clock()
        for step in range(a.new - 1):
            fill(batch, [(token[i], a.prompt + step, i, True) for i in range(streams)])
            assert lc.llama_decode(context, batch) == 0
            token = [lc.llama_sampler_sample(chain, context, i) for i in range(streams)]
        print(f"{clock() - start:.6f}", flush=True)


if __name__ == "__main__":
    main()
