"""Milliseconds a row, one row a call, of an exported SavedModel and of its network in LiteRT, on one thread each.

    python benchmarks/litert.py saved_models/mail_suggest/1 litert_models/mail_suggest [--rounds 5]

Both answer the golden rows of the LiteRT export, in turn, round by round. The SavedModel starts from the raw text; LiteRT starts from
the buckets of n-grams, so the signature `features`, which normalizes and hashes alone, is measured too. Prints JSON.
"""

import argparse
import json
import statistics
import time
import warnings
from pathlib import Path


def median_ms(call, rows):
    """The median time of a call, in milliseconds."""
    seconds = []
    for row in rows:
        start = time.perf_counter()
        call(row)
        seconds.append(time.perf_counter() - start)
    return 1000 * statistics.median(seconds)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("saved_model", type=Path)
    parser.add_argument("litert", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    import numpy as np
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  its ops

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    warnings.simplefilter("ignore")
    rows = [json.loads(line) for line in (args.litert / "golden.jsonl").read_text().splitlines()]
    loaded = tf.saved_model.load(str(args.saved_model)).signatures
    run = tf.lite.Interpreter(str(args.litert / "model.tflite"), num_threads=1).get_signature_runner("serving_default")
    types = {name: details["dtype"] for name, details in run.get_input_details().items()}
    sent = [{name: np.array(value, types[name]) for name, value in row["inputs"].items()} for row in rows]
    raw = [
        {
            name: tf.constant([cell.encode(errors="surrogatepass")] if isinstance(cell, str) else [cell])
            for name, cell in row["raw"].items()
        }
        for row in rows
    ]
    calls = {
        "saved_model": (lambda row: loaded["serving_default"](**row), raw),
        "saved_model_features": (lambda row: loaded["features"](**row), raw),
        "litert": (lambda row: run(**row), sent),
    }
    for call, inputs in calls.values():  # tracing and allocation
        median_ms(call, inputs)
    times = {name: [] for name in calls}
    for _ in range(args.rounds):
        for name, (call, inputs) in calls.items():
            times[name].append(round(median_ms(call, inputs), 3))
    size = sum(path.stat().st_size for path in args.saved_model.rglob("*") if path.is_file())
    network = (args.litert / "model.tflite").stat().st_size
    print(json.dumps({"rows": len(rows), "p50_ms": times, "saved_model_bytes": size, "litert_bytes": network}))


if __name__ == "__main__":
    main()
