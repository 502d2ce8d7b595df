"""The ceiling: the model called in a loop, without a network. `modelcall.py FILE ROWS.npy SECONDS`.

FILE: ONNX (by onnxruntime) or joblib (by scikit-learn), one thread. Prints one JSON object.
"""

import json
import sys
import time

import numpy as np

WARM_UP = 20
"""Calls that are not counted."""


def load(file):
    if file.endswith(".onnx"):
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        return lambda rows: session.run(None, {"input": rows})
    import joblib

    return joblib.load(file).predict


def main():
    file, rows_file, seconds = sys.argv[1:]
    model, rows = load(file), np.load(rows_file)
    for _ in range(WARM_UP):
        model(rows)
    took = []
    began = now = time.perf_counter()
    while now < began + float(seconds):
        model(rows)
        after = time.perf_counter()
        took.append(after - now)
        now = after
    p50, p99 = np.quantile(took, [0.5, 0.99])
    print(json.dumps({"requests": len(took), "seconds": now - began, "p50": p50, "p99": p99, "errors": 0}))


main()
