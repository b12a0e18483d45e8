#!/usr/bin/env python3
"""The peer of b_prefill: llama.cpp through llama-cpp-python, the same token ids, threads and order of work.

    peer_llama.py MODEL.gguf [--tokens 512] [--threads 2] [--repeats 1]

Prints the seconds of each repeat, one a line, after one warm-up. Only run_prefill needs it.
"""
import argparse
import time

from llama_cpp import Llama


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("model")
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    peer = Llama(model_path=args.model, n_ctx=args.tokens + 8, n_batch=2048, n_ubatch=512,
                 n_threads=args.threads, n_threads_batch=args.threads, verbose=False)
    ids = [(1000 + 7919 * i) % peer.n_vocab() for i in range(args.tokens)]
    for repeat in range(args.repeats + 1):
        peer.reset()
        start = time.perf_counter()
        peer.eval(ids)
        if repeat > 0:
            print(f"{time.perf_counter() - start:.6f}", flush=True)


if __name__ == "__main__":
    main()
