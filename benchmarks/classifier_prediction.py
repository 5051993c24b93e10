"""Prediction of an exported classifier against a scikit-learn pipeline: strings in, 256 at a time, one process and one thread each.

    textpipe run pipelines/banking77.toml
    TEXTPIPE_DATA=... python benchmarks/classifier_prediction.py saved_models/banking77 [--rounds 5]

The SavedModel is called by its signature serving_default; scikit-learn is the pipeline of benchmarks/classifiers.py, trained on the same rows. The
processes alternate, a round of 12 batches each, and ratios are of the same round: the machine may be busy. Processor time is user and system time
of the process. Writes benchmarks/results/classifier_prediction.json.
"""

import argparse
import csv
import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "classifier_prediction.json"
BATCH = 256
THREADS = dict.fromkeys(
    ("TF_NUM_INTRAOP_THREADS", "TF_NUM_INTEROP_THREADS", "OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"
)


def texts(split):
    path = Path(os.environ["TEXTPIPE_DATA"]) / "banking77" / f"{split}.csv"
    with open(path, encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def saved_model(folder):
    """A function of texts, by the newest version in a folder."""
    import tensorflow as tf
    import tensorflow_text  # noqa: F401  the graph's ops

    version = max((path for path in Path(folder).iterdir() if path.name.isdigit()), key=lambda path: int(path.name))
    model = tf.saved_model.load(str(version))
    serve = model.signatures["serving_default"]
    return lambda batch: [answer.decode() for answer in serve(text=tf.constant(batch))["answer"].numpy()]


def scikit_learn(_):
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.pipeline import make_pipeline, make_union
    from sklearn.svm import LinearSVC

    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(words, characters), LinearSVC(tol=0.1)).fit(*texts("train")).predict


def worker(kind, folder):
    """Answers each line of stdin with the seconds and the accuracy of a round."""
    predict = {"textpipe": saved_model, "scikit-learn": scikit_learn}[kind](folder)
    rows, labels = texts("test")
    rows, labels = (part[: len(rows) // BATCH * BATCH] for part in (rows, labels))
    for at in range(0, len(rows), BATCH):
        predict(rows[at : at + BATCH])
    print("ready", flush=True)
    for _ in sys.stdin:
        wall, processor, answers = time.perf_counter(), time.process_time(), []
        for at in range(0, len(rows), BATCH):
            answers.extend(predict(rows[at : at + BATCH]))
        seconds = time.perf_counter() - wall, time.process_time() - processor
        right = sum(answer == label for answer, label in zip(answers, labels, strict=True))
        print(json.dumps([*seconds, right / len(rows), len(rows)]), flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", help="saved_models/NAME")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--worker")
    arguments = parser.parse_args()
    if arguments.worker:
        worker(arguments.worker, arguments.folder)
        return
    processes = {}
    for kind in ("textpipe", "scikit-learn"):
        command = [sys.executable, __file__, arguments.folder, "--worker", kind]
        processes[kind] = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **THREADS}
        )
        assert processes[kind].stdout.readline().strip() == "ready", f"{kind} failed"
    rounds = {kind: [] for kind in processes}
    for number in range(arguments.rounds):
        for kind in sorted(processes, reverse=bool(number % 2)):
            processes[kind].stdin.write("\n")
            processes[kind].stdin.flush()
            rounds[kind].append(json.loads(processes[kind].stdout.readline()))
    for process in processes.values():
        process.stdin.close()
        process.wait()
    result = {
        "load": [round(value, 1) for value in os.getloadavg()],
        "batch": BATCH,
        "threads": 1,
        "rows": rounds["textpipe"][0][3],
    }
    for at, name in enumerate(("wall", "processor")):
        ratios = [other[at] / own[at] for own, other in zip(rounds["textpipe"], rounds["scikit-learn"], strict=True)]
        result[f"times_as_fast_by_{name}_time"] = {
            "median": round(statistics.median(ratios), 2), "lowest": round(min(ratios), 2), "highest": round(max(ratios), 2),
        }  # fmt: skip
        result[f"rows_per_{name}_second"] = {
            kind: round(result["rows"] / min(line[at] for line in lines)) for kind, lines in rounds.items()
        }
    result["accuracy"] = {kind: round(lines[0][2], 4) for kind, lines in rounds.items()}
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
