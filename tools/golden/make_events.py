#!/usr/bin/env python3
"""A TensorBoard event file with fixed times, by TensorBoard's own writer; read back by its reader.

    python3 tools/golden/make_events.py tests/golden/events.bin

Three records: the opening at time 1.5; at time 2.25 step 1 with loss/train 0.6931472 and rate 0; at time 1e9 step 300 with
auroc/tune 0.75. Made with tensorboard 2.21.0, python 3.11.
"""
import io
import sys

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter


def values(*pairs):
    return Summary(value=[Summary.Value(tag=t, simple_value=x) for t, x in pairs])


def main():
    out = io.BytesIO()
    w = RecordWriter(out)
    for e in [Event(wall_time=1.5, file_version="brain.Event:2"),
              Event(wall_time=2.25, step=1, summary=values(("loss/train", 0.6931472), ("rate", 0.0))),
              Event(wall_time=1e9, step=300, summary=values(("auroc/tune", 0.75)))]:
        w.write(e.SerializeToString())
    w.flush()
    with open(sys.argv[1], "wb") as f:
        f.write(out.getvalue())


if __name__ == "__main__":
    if len(sys.argv) > 2 and sys.argv[2] == "read":  # a file of ours: every scalar, as TensorBoard reads it
        a = EventAccumulator(sys.argv[1])
        a.Reload()
        for tag in sorted(a.Tags()["scalars"]):
            print(tag, [(e.step, round(e.value, 6)) for e in a.Scalars(tag)][:5])
    else:
        main()
