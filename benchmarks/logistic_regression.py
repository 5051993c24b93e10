"""Time to fit logistic regression on banking77 against scikit-learn, on the same TF-IDF matrix.

    TEXTPIPE_DATA=... python benchmarks/logistic_regression.py [--repeats 5] [--l2 0.1]

Both minimize the same objective (C = 1 / l2) by L-BFGS to the same tolerance, alternating in one process. textpipe's time
includes gathering the rows, tracing the graph and a validation on the test rows; imports are excluded for both. CPU
seconds are reported besides wall-clock time, because the machine may be busy. Writes benchmarks/results/.
"""

import argparse
import csv
import functools
import json
import os
import platform
import statistics
import time
from collections import Counter
from pathlib import Path

import numpy as np
import sklearn
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression

from textpipe.config.fields import Sizes
from textpipe.data.columns import Labels, Sparse
from textpipe.models import logistic_regression
from textpipe.training import full_batch, lbfgs, loop
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings
from textpipe.training.steps import Steps

RESULTS = Path(__file__).parent / "results" / "logistic_regression.json"

# Functions timed within a fit; nested time is attributed to the innermost one.
PARTS = {
    "gather the rows into one matrix": (full_batch.Objective, "__init__"),
    "loss and gradient (TensorFlow)": (full_batch.Objective, "__call__"),
    "curvature pairs: add (NumPy)": (lbfgs.CurvaturePairs, "add"),
    "curvature pairs: direction (NumPy)": (lbfgs.CurvaturePairs, "direction"),
    "validation": (Steps, "validate"),
}


def read(folder, split):
    with open(folder / "banking77" / f"{split}.csv", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def timed(part, spent, method):
    @functools.wraps(method)
    def run(*arguments, **options):
        start = time.perf_counter()
        result = method(*arguments, **options)
        spent[part] += time.perf_counter() - start
        return result

    return run


def fit_textpipe(data, sizes, l2):
    model = logistic_regression.build(logistic_regression.Config(l2=l2), sizes, seed=1)
    result = loop.fit(model, data, Settings(optimizer="lbfgs"))
    return result["best"]["valid_accuracy"], result["epochs"]


def fit_sklearn(data, matrices, labels, l2):
    model = LogisticRegression(C=1 / l2, max_iter=1000).fit(matrices[0], labels[0])
    return float((model.predict(matrices[1]) == labels[1]).mean()), int(model.n_iter_[0])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--l2", type=float, default=0.1)
    arguments = parser.parse_args()
    folder = Path(os.environ["TEXTPIPE_DATA"])
    (train_texts, train_names), (test_texts, test_names) = read(folder, "train"), read(folder, "test")
    classes = sorted(set(train_names))
    labels = [np.array([classes.index(name) for name in names]) for names in (train_names, test_names)]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), dtype=np.float32)
    matrices = vectorizer.fit_transform(train_texts), vectorizer.transform(test_texts)
    data = {
        split: Rows({"text": Sparse.from_scipy(matrix)}, Labels(numbers, len(classes)), "label")
        for split, matrix, numbers in zip(("train", "valid"), matrices, labels, strict=True)
    }
    dim = matrices[0].shape[1]
    sizes = Sizes({"text": {"kind": "sparse", "dim": dim}}, "label", {"kind": "label", "classes": classes})

    spent = Counter()
    for part, (owner, name) in PARTS.items():
        setattr(owner, name, timed(part, spent, getattr(owner, name)))
    fits = {
        "textpipe": lambda: fit_textpipe(data, sizes, arguments.l2),
        "scikit-learn": lambda: fit_sklearn(data, matrices, labels, arguments.l2),
    }
    wall = {name: [] for name in fits}
    processor = {name: [] for name in fits}
    outcome = {}
    for repeat in range(arguments.repeats):
        # Alternate, and swap the order each time, so that other load affects both equally.
        for name in sorted(fits, reverse=bool(repeat % 2)):
            start, cpu = time.perf_counter(), time.process_time()
            outcome[name] = fits[name]()
            wall[name].append(time.perf_counter() - start)
            processor[name].append(time.process_time() - cpu)
            print(f"{name:13} {wall[name][-1]:6.2f} s, processor {processor[name][-1]:6.2f} s", flush=True)
    cpu_ratios = [ours / theirs for ours, theirs in zip(processor["textpipe"], processor["scikit-learn"], strict=True)]
    ratios = [ours / theirs for ours, theirs in zip(wall["textpipe"], wall["scikit-learn"], strict=True)]
    spent["rest"] = sum(wall["textpipe"]) - spent.total()
    result = {
        "data": {"rows": len(train_texts), "features": dim, "values": int(matrices[0].nnz), "classes": len(classes)},
        "l2": arguments.l2,
        "accuracy": {name: round(accuracy, 4) for name, (accuracy, _) in outcome.items()},
        "iterations": {name: iterations for name, (_, iterations) in outcome.items()},
        "wall_seconds": {name: [round(value, 2) for value in values] for name, values in wall.items()},
        "processor_seconds": {name: [round(value, 2) for value in values] for name, values in processor.items()},
        "wall_ratio": {
            "median": round(statistics.median(ratios), 3),
            "lowest": round(min(ratios), 3),
            "highest": round(max(ratios), 3),
        },
        "processor_ratio": round(statistics.median(cpu_ratios), 3),
        "share_of_textpipe_time": {
            part: round(value / sum(wall["textpipe"]), 3) for part, value in spent.most_common()
        },
        "versions": {
            "tensorflow": tf.__version__,
            "scikit-learn": sklearn.__version__,
            "python": platform.python_version(),
        },
        "processors": os.cpu_count(),
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=2))


if __name__ == "__main__":
    main()
