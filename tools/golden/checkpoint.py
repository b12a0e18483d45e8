#!/usr/bin/env python3
"""Checkpoints of fuzz/checkpoint_job.h's training, sound and broken: fuzz/corpus/checkpoint/ and tests/broken/checkpoint/.

    tools/golden/checkpoint.py        from the repository's root; Python's own library alone

Layout: src/study/tune_files.c. A corpus file has a first byte: odd, then what stands between key and seal; even, then the whole.
"""
import hashlib
import os
import struct

KEY = hashlib.sha256(b"a training").hexdigest().encode()
MAGIC = b"caseload-tune 1\n"
NAN = float("nan")


def body(updates=3, evaluations=((3, 0.75, 0.5),), values=6, best=0, n_worse=0, log=120, events=300, seconds=1.5, numbers=None, losses=None):
    out = struct.pack("<4q4id", values, updates, log, events, len(evaluations), best, n_worse, 0, seconds)
    for e in evaluations:
        out += struct.pack("<q2d", *e)
    out += struct.pack(f"<{updates}d", *(losses or [0.7 - 0.1 * i for i in range(updates)])) if 0 <= updates < 100 else b""
    numbers = numbers or [0.125 * i for i in range(3 * 6)]
    return out + struct.pack(f"<{len(numbers)}f", *numbers)


def sealed(b, key=KEY, magic=MAGIC):
    file = magic + key + b
    return file + hashlib.sha256(file).hexdigest().encode()


def nan_at(i):
    return [NAN if k == i else 0.5 for k in range(18)]


SOUND = {
    "after-the-third": body(),
    "before-its-evaluation": body(evaluations=(), best=-1),
    "after-the-fourth": body(updates=4),
    "at-the-end": body(updates=5, evaluations=((3, 0.75, 0.5), (5, 0.7, 0.4)), n_worse=1),
    "no-auroc": body(evaluations=((3, NAN, 0.5),)),
    "at-the-start": body(updates=0, evaluations=(), best=-1),
}
BROKEN = {
    "no-numbers": body()[:56],
    "too-many-evaluations": body(updates=4, evaluations=((3, 0.75, 0.5), (5, 0.7, 0.4))),
    "evaluations-for-no-update": body(updates=1, evaluations=((3, 0.75, 0.5),)),
    "no-evaluation-left-out": body(updates=4, evaluations=(), best=-1),
    "evaluation-of-another-update": body(evaluations=((2, 0.75, 0.5),)),
    "evaluations-fall": body(updates=5, evaluations=((5, 0.75, 0.5), (3, 0.7, 0.4))),
    "evaluation-without-loss": body(evaluations=((3, 0.75, NAN),)),
    "best-is-none": body(best=-1),
    "best-behind": body(best=1),
    "best-below": body(best=-2),
    "worse-below": body(n_worse=-1),
    "worse-endless": body(n_worse=2**31 - 1),
    "updates-below": body(updates=-1),
    "updates-over": body(updates=6, evaluations=((3, 0.75, 0.5), (5, 0.7, 0.4))),
    "updates-endless": body(updates=2**62),
    "values-other": body(values=7),
    "values-below": body(values=-6),
    "log-below": body(log=-1),
    "events-below": body(events=-1),
    "seconds-below": body(seconds=-0.5),
    "seconds-not-a-number": body(seconds=NAN),
    "weight-not-a-number": body(numbers=nan_at(0)),
    "first-not-a-number": body(numbers=nan_at(6)),
    "second-not-a-number": body(numbers=nan_at(17)),
    "a-number-short": body()[:-4],
    "a-number-more": body() + b"\0\0\0\0",
}
WHOLE = {
    "empty": b"",
    "magic-alone": MAGIC,
    "other-magic": sealed(body(), magic=b"caseload-tune 9\n"),
    "key-cut": MAGIC + KEY[:40],
    "key-alone": MAGIC + KEY,
    "seal-cut": sealed(body())[:-1],
    "seal-other": sealed(body())[:-1] + b"g",
    "a-bit": sealed(body()).replace(b"\0\0\0>", b"\0\0\1>", 1),
    "cut": sealed(body())[:150],
    "zeros": b"\0" * 400,
}


def write(folder, name, data):
    with open(os.path.join(folder, name), "wb") as f:
        f.write(data)


corpus, broken = "fuzz/corpus/checkpoint", "tests/broken/checkpoint"
for folder in (corpus, broken):
    os.makedirs(folder, exist_ok=True)
for name, b in SOUND.items():
    write(corpus, name, b"\1" + b)
write(corpus, "whole", b"\0" + sealed(SOUND["after-the-third"]))
write(corpus, "other-key", b"\0" + sealed(SOUND["after-the-third"], key=b"0" * 64))
for name, b in BROKEN.items():
    write(corpus, name, b"\1" + b)
    write(broken, name, sealed(b))
for name, b in WHOLE.items():
    write(corpus, name, b"\0" + b)
    write(broken, name, b)
with open(os.path.join(broken, "EXPECT"), "w") as f:
    for name in sorted([*BROKEN, *WHOLE]):
        f.write(f"{name}\t3\tis damaged; delete it, and this adapter's training begins again\n")
