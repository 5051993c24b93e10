"""Latency of one mail to three replies, on one core, with response sets of several sizes.

    python benchmarks/ranking_latency.py [pipelines/mail_suggest.toml] [--sizes 1000 2000 10000 100000] [--calls 300] [--rounds 3]

The pipeline is trained once and exported with a response set of each size: its own responses, and made ones of words of these. The
SavedModel's serving_default is called in this process with one mail at a time, the mails of the test split in turn; TensorFlow has one
thread, and the process one core. The sizes take turns, so that other load affects all equally. Reports the median, the 95th percentile and
the minimum of wall-clock time, and the mean processor time of a call, in milliseconds; on a busy machine the latter is more reliable.
Writes benchmarks/results/ranking_latency.json.
"""

import argparse
import json
import os
import random
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from textpipe.answers import _response_set
from textpipe.answers._response_set import Response
from textpipe.pipeline import runner

HOME = Path(__file__).parent
WARM_UP = 20  # calls that are not counted


def made(responses, size, seed=1):
    """`size` responses: the given ones, then texts of 3 to 10 words drawn from them, without repetition."""
    draw = random.Random(seed)
    words = sorted({word for one in responses for word in one.text.split()})
    texts = {one.text: one for one in responses[:size]}
    while len(texts) < size:
        text = " ".join(draw.choices(words, k=draw.randint(3, 10)))
        texts.setdefault(text, Response(text))
    return list(texts.values())


def exported(pipeline, size, work):
    """(SavedModel folder, artifacts of the run) with a response set of a size; None takes the pipeline's own."""
    overrides = ["evaluate.limit=100", "evaluate.resamples=0", "export.golden_rows=20"]
    if size is not None:
        overrides.append(f"responses.file={json.dumps(str(work / f'{size}.tsv'))}")
    loaded = runner.Pipeline.load(pipeline, tuple(overrides))
    result = runner.run(loaded, artifacts=work / "artifacts", saved_models=work / f"saved_models_{size or 'own'}")
    return result.saved_model, result.artifacts


def messages(artifacts, count=200):
    """Raw test rows as the evaluation kept them: a list of {field: cell}."""
    lines = (artifacts["evaluate"].path / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines[:count]]


def timed(call, rows, calls):
    """(wall-clock seconds of each call, processor seconds of all)."""
    walls = []
    began = time.process_time()
    for at in range(calls):
        start = time.perf_counter()
        call(**rows[at % len(rows)])
        walls.append(time.perf_counter() - start)
    return walls, time.process_time() - began


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("pipeline", nargs="?", default="pipelines/mail_suggest.toml")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 2000, 10_000, 100_000])
    parser.add_argument("--calls", type=int, default=300)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--work", type=Path, default=HOME / "ranking_latency.work")
    parser.add_argument("--output", type=Path, default=HOME / "results" / "ranking_latency.json")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    _, artifacts = exported(arguments.pipeline, None, work)
    own = _response_set.read(artifacts["responses"].path / _response_set.FILE)
    calls = {}
    for size in arguments.sizes:
        _response_set.write(work / f"{size}.tsv", made(own, size))
        folder, _ = exported(arguments.pipeline, size, work)
        model = tf.saved_model.load(str(folder))
        calls[size] = model, model.signatures["serving_default"]
    names = list(next(iter(calls.values()))[1].structured_input_signature[1])
    rows = [{name: tf.constant([row[name]]) for name in names} for row in messages(artifacts)]
    walls = {size: [] for size in calls}
    processor = dict.fromkeys(calls, 0.0)
    for _, call in calls.values():
        timed(call, rows, WARM_UP)
    for _ in range(arguments.rounds):
        for size, (_, call) in calls.items():
            seconds, used = timed(call, rows, arguments.calls)
            walls[size] += seconds
            processor[size] += used
    figures = {
        str(size): {
            "p50_ms": round(1000 * float(np.percentile(walls[size], 50)), 2),
            "p95_ms": round(1000 * float(np.percentile(walls[size], 95)), 2),
            "lowest_ms": round(1000 * min(walls[size]), 2),
            "processor_ms": round(1000 * processor[size] / len(walls[size]), 2),
        }
        for size in calls
    }
    kept = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.exists() else {}
    content = {
        **{name: kept[name] for name in ("index",) if name in kept},  # of response_index.py
        "pipeline": Path(arguments.pipeline).name,
        "calls": arguments.calls * arguments.rounds,
        "load": [round(number, 1) for number in os.getloadavg()],
        "responses": figures,
    }
    arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content, indent=1))


if __name__ == "__main__":
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    main()
