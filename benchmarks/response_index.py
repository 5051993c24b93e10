"""Index and exact search of large response sets: how many of the best ten an index finds, and the latency of one message.

    TEXTPIPE_DATA=... python benchmarks/response_index.py [--sizes 200000 1000000] [--probes 8 16 32 64] [--calls 200] [--rows 300]

Trains pipelines/sgd_suggest.toml if it has not been trained. The responses are real texts with their counts: the different replies of
the training dialogues in both directions (156,000), then English captions (multi30k, 145,000) and sentences (Tatoeba, 98,000); what is
missing in the largest set are texts of 3 to 10 words drawn from these. For each size the graph is built once, then saved with each number
of probes, and at last with as many as there are cells, which searches everything; `default` is what "auto" chooses.

The messages are rows of dev. Recall is the share of the ten best responses, prior included (signature `nbest`), that are also the ten
best of the search of everything. Times are of serving_default with one message at a time in this process, TensorFlow having one thread: the
median and the lowest of wall-clock time and the mean processor time of a call, in milliseconds. Merges the figures
of each size into benchmarks/results/ranking_latency.json as "index".
"""

import argparse
import collections
import gc
import gzip
import json
import os
import random
import shutil
import time
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
from ranking_latency import WARM_UP, timed

from textpipe.answers import _response_set
from textpipe.answers._response_set import Response
from textpipe.pipeline import runner
from textpipe.servable import writer
from textpipe.servable.graph import Servable

HOME = Path(__file__).parent
PIPELINE = "pipelines/sgd_suggest.toml"


def real_texts(data):
    """{text: count}: replies of the dialogues, then captions, then sentences, in the order in which they occur."""
    counts = collections.Counter()
    for name in ("user_to_sys", "sys_to_user"):
        lines = gzip.decompress((data / f"sgd/train.{name}.tsv.gz").read_bytes()).decode().split("\n")
        counts.update(line.split("\t")[-1].strip() for line in lines[1:] if line)
    others = [
        gzip.decompress(path.read_bytes()).decode() for path in sorted((data / "multi30k_task2").glob("train.*.en.gz"))
    ]
    archive = zipfile.ZipFile(next((data / "tatoeba").glob("*.zip")))
    others.append(archive.read(next(name for name in archive.namelist() if name.endswith("fra.txt"))).decode())
    for line in (line for text in others for line in text.split("\n")):
        counts.setdefault(line.partition("\t")[0].strip(), 1)
    counts.pop("", None)
    return counts


def response_set(counts, size, seed=1):
    """(`size` responses, how many of them are real): see above."""
    draw = random.Random(seed)
    texts = dict(list(counts.items())[:size])
    real = len(texts)
    words = [word for text in texts for word in text.split()]
    while len(texts) < size:
        texts.setdefault(" ".join(draw.choices(words, k=draw.randint(3, 10))), 1)
    return [Response(text, count=count) for text, count in texts.items()], real


def saved(servable, probes, folder):
    """The SavedModel of a ranker that visits so many cells, loaded."""
    servable.output.ranker.index.probes = probes
    servable.signature.cache_clear()  # they are traced with the number of probes
    shutil.rmtree(folder, ignore_errors=True)
    writer.save(servable, folder)
    return tf.saved_model.load(str(folder))


def best(model, messages, batch=8):
    """The ten best responses of each message: a list of sets."""
    nbest = model.signatures["nbest"]
    parts = [nbest(message=messages[at : at + batch])["texts"].numpy() for at in range(0, len(messages), batch)]
    return [set(row) for row in np.concatenate(parts).tolist()]


def measured(model, messages, calls):
    """Latency of one message to three replies, in milliseconds."""
    call, rows = (
        model.signatures["serving_default"],
        [{"message": messages[at : at + 1]} for at in range(len(messages))],
    )
    timed(call, rows, WARM_UP)
    walls, processor = timed(call, rows, calls)
    return {
        "p50_ms": round(1000 * float(np.median(walls)), 2),
        "lowest_ms": round(1000 * min(walls), 2),
        "processor_ms": round(1000 * processor / calls, 2),
    }


def of_size(size, counts, paths, work, arguments):
    """Figures of a response set."""
    responses, real = response_set(counts, size)
    folder = work / "responses"
    folder.mkdir(exist_ok=True)
    _response_set.write(folder / _response_set.FILE, responses)
    began, used = time.monotonic(), time.process_time()
    servable = Servable.load({**paths, "responses": folder}, "suggest")
    built = {"seconds": round(time.monotonic() - began), "processor_seconds": round(time.process_time() - used)}
    index = servable.output.ranker.index
    cells, default = len(index.sizes), index.probes
    messages = tf.constant(arguments.messages)
    everything = saved(servable, cells, work / "model")
    expected = best(everything, messages)
    table = {"all": {"recall_at_10": 1.0, **measured(everything, messages, max(20, arguments.calls // 4))}}
    size_on_disk = sum(path.stat().st_size for path in (work / "model").rglob("*") if path.is_file())
    del everything
    for probes in sorted({*arguments.probes, default}):
        gc.collect()
        model = saved(servable, probes, work / "model")
        found = best(model, messages)
        recall = np.mean([len(mine & others) / 10 for mine, others in zip(found, expected, strict=True)])
        table[str(probes)] = {"recall_at_10": round(float(recall), 4), **measured(model, messages, arguments.calls)}
        print(size, probes, table[str(probes)], flush=True)
        del model
    return {
        "real": real, "cells": cells, "default": default, "built": built, "megabytes": size_on_disk // 2**20,
        "probes": table,
    }  # fmt: skip


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", type=int, nargs="+", default=[200_000, 1_000_000])
    parser.add_argument("--probes", type=int, nargs="+", default=[8, 16, 32, 64])
    parser.add_argument("--calls", type=int, default=200)
    parser.add_argument("--rows", type=int, default=300)
    parser.add_argument("--override", "-s", action="append", default=[], help="a setting of the pipeline")
    parser.add_argument("--work", type=Path, default=HOME / "response_index.work")
    parser.add_argument("--output", type=Path, default=HOME / "results" / "ranking_latency.json")
    arguments = parser.parse_args()
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    data = Path(os.environ["TEXTPIPE_DATA"])
    pipeline = runner.Pipeline.load(PIPELINE, tuple(arguments.override))
    result = runner.run(pipeline, until="train", artifacts=work / "artifacts")
    paths = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    lines = gzip.decompress((data / "sgd/dev.user_to_sys.tsv.gz").read_bytes()).decode().split("\n")[1:]
    chosen = np.random.default_rng(1).permutation(len(lines) - 1)[: arguments.rows]
    arguments.messages = [lines[at].split("\t")[4].encode() for at in chosen]
    counts = real_texts(data)
    figures = {str(size): of_size(size, counts, paths, work, arguments) for size in arguments.sizes}
    content = json.loads(arguments.output.read_text(encoding="utf-8"))
    how = {
        "pipeline": Path(PIPELINE).name, "overrides": arguments.override, "rows": arguments.rows, "calls": arguments.calls,
        "load": [round(number, 1) for number in os.getloadavg()],
    }  # fmt: skip
    content["index"] = content.get("index", {}) | {size: how | found for size, found in figures.items()}
    arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(content["index"], indent=1))


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    main()
