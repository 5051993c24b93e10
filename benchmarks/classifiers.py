"""Linear classifiers on banking77 and clinc150 against LinearSVC, LogisticRegression and fastText.

    TEXTPIPE_DATA=... python benchmarks/classifiers.py [--sets banking77 clinc150] [--repeats 3] [--logistic] [--cv]

Texts, steps and features are those of pipelines/banking77.toml and clinc150.toml, the objective is that of LinearSVC(C=1), whatever their [model]
is: a fit alone can be compared only where it is the same. Fits: textpipe and scikit-learn on the same matrix;
whole: from strings to a model, each with its own features (scikit-learn: words 1-2 and char_wb 2-5; fastText: bigrams). Prediction: from
strings, 256 at a time, textpipe by its graph as exported. All alternate in one process, and ratios are of the same repeat; processor
seconds stand beside wall-clock time, because the machine may be busy. --cv: five folds of train instead of the test split, without
prediction. fastText is left out where it is not installed. Writes benchmarks/results/classifiers.json.
"""

import argparse
import csv
import gzip
import importlib.util
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import scipy.sparse
import sklearn
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import StratifiedKFold
from sklearn.pipeline import make_pipeline, make_union
from sklearn.svm import LinearSVC

from textpipe.config import plugins, sections
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Labels, Sparse
from textpipe.text import normalizer
from textpipe.training import loop
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "classifiers.json"
BATCH = 256
MODEL = {"kind": "logistic_regression", "loss": "squared_hinge", "l2": 1.0}


def banking77(folder):
    splits = []
    for split in ("train", "test"):
        with open(folder / "banking77" / f"{split}.csv", encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        splits.append(([row["text"] for row in rows], [row["category"] for row in rows]))
    return splits


def clinc150(folder):
    with gzip.open(folder / "clinc150" / "train_val.json.gz", "rt", encoding="utf-8") as file:
        table = json.load(file)
    return [([text for text, _ in table[split]], [label for _, label in table[split]]) for split in ("train", "val")]


SETS = {"banking77": banking77, "clinc150": clinc150}


class Textpipe:
    """The stages of a pipeline file, without files in between."""

    def __init__(self, path, classes):
        self.tables, self.classes = sections.load(path), classes
        self.steps = [Plugin.check("text.steps", step) for step in self.tables["normalize"]["steps"]]
        self.section = Plugin.check("features", self.tables["vectorize"]["features"])

    def clean(self, texts):
        return normalizer.apply(self.steps, tf.constant(texts))

    def learn(self, texts):
        module = plugins.find("features", self.section.kind)
        with tempfile.TemporaryDirectory() as folder:
            module.learn(self.section, lambda: [self.clean(texts)], Path(folder), "text", codec=None)
            self.feature = module.load(self.section, Path(folder), "text", codec=None)

    def matrix(self, texts):
        batch = self.feature.traced(self.clean(texts))
        rows, columns = batch.indices.numpy().T
        return scipy.sparse.csr_matrix((batch.values.numpy(), (rows, columns)), shape=batch.shape)

    def rows(self, matrix, labels):
        return Rows({"text": Sparse.from_scipy(matrix)}, Labels(labels, len(self.classes)), "label")

    def fit(self, matrix, labels):
        sizes = Sizes({"text": self.feature.size}, "label", {"kind": "label", "classes": self.classes})
        config = Plugin.check("models", MODEL)
        self.model = plugins.find("models", config.kind).build(config, sizes, seed=1)
        loop.fit(self.model, {"train": self.rows(matrix, labels)}, Settings(optimizer="liblinear"))
        self.graph = tf.function(self.answer, input_signature=[tf.TensorSpec([None], tf.string)], autograph=False)

    def whole(self, texts, labels):
        self.learn(texts)
        self.fit(self.matrix(texts), labels)

    def answer(self, texts):
        return tf.nn.softmax(self.model({"text": self.feature(normalizer.apply(self.steps, texts))}))

    def predict(self, texts):
        return self.graph(tf.constant(texts)).numpy().argmax(axis=1)


def peer():
    words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    characters = TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True)
    return make_pipeline(make_union(words, characters), LinearSVC())


def fasttext_accuracy(train, test, seconds):
    import fasttext

    with tempfile.TemporaryDirectory() as folder:
        for name, (texts, labels) in (("train", train), ("test", test)):
            lines = (
                f"__label__{label} {' '.join(text.casefold().split())}\n"
                for text, label in zip(texts, labels, strict=True)
            )
            (Path(folder) / name).write_text("".join(lines), encoding="utf-8")
        with seconds("fastText"):
            options = {"wordNgrams": 2, "epoch": 50, "lr": 0.5, "thread": 2, "verbose": 0}
            model = fasttext.train_supervised(str(Path(folder) / "train"), **options)
        return model.test(str(Path(folder) / "test"))[1]


class Timer:
    """with seconds(name): adds wall-clock and processor seconds to its lists."""

    def __init__(self):
        self.wall, self.processor = {}, {}

    def __call__(self, name):
        self.name = name
        return self

    def __enter__(self):
        self.began = time.perf_counter(), processor_seconds()

    def __exit__(self, *_):
        self.wall.setdefault(self.name, []).append(time.perf_counter() - self.began[0])
        self.processor.setdefault(self.name, []).append(processor_seconds() - self.began[1])


def processor_seconds():
    """Of this process and of its children that have ended."""
    return sum(os.times()[:4])


def measure(name, data, repeats, has_fasttext, *, predict=True, logistic=False):
    (texts, names), (test_texts, test_names) = data
    classes = sorted(set(names))
    labels, test_labels = (np.array([classes.index(label) for label in part]) for part in (names, test_names))
    ours = Textpipe(HERE.parent / "pipelines" / f"{name}.toml", classes)
    seconds, accuracy = Timer(), {}
    for repeat in range(repeats):
        with seconds("features"):
            ours.learn(texts)
            matrix = ours.matrix(texts)
        fits = {
            "textpipe fit": lambda matrix=matrix: ours.fit(matrix, labels),
            "LinearSVC fit": lambda matrix=matrix: LinearSVC().fit(matrix, labels),
        }
        for kind in sorted(fits, reverse=bool(repeat % 2)):
            with seconds(kind):
                model = fits[kind]()
            if model is not None:
                accuracy["LinearSVC, same features"] = float(model.score(ours.matrix(test_texts), test_labels))
        with seconds("textpipe whole"):
            ours.whole(texts, labels)
        predicted = np.concatenate(
            [ours.predict(test_texts[at : at + BATCH]) for at in range(0, len(test_texts), BATCH)]
        )
        accuracy["textpipe"] = float((predicted == test_labels).mean())
        pipeline = peer()
        with seconds("scikit-learn whole"):
            pipeline.fit(texts, labels)
        accuracy["LinearSVC"] = float((pipeline.predict(test_texts) == test_labels).mean())
        if has_fasttext:
            accuracy["fastText"] = fasttext_accuracy((texts, names), (test_texts, test_names), seconds)
        for kind, function in (("textpipe", ours.predict), ("scikit-learn", pipeline.predict)):
            for _ in range(2 if predict else 0):
                with seconds(f"{kind} prediction"):
                    for at in range(0, len(test_texts) - BATCH + 1, BATCH):
                        function(test_texts[at : at + BATCH])
    if logistic:
        model = LogisticRegression(C=10, max_iter=200).fit(matrix, labels)
        accuracy["LogisticRegression, same features"] = float(model.score(ours.matrix(test_texts), test_labels))
    return accuracy, seconds, len(test_texts) // BATCH * BATCH


def ratio(lists, one, other):
    values = [a / b for a, b in zip(lists[one], lists[other], strict=True)]
    return {
        "median": round(statistics.median(values), 3),
        "lowest": round(min(values), 3),
        "highest": round(max(values), 3),
    }


def described(accuracy, seconds, rows):
    rounded = {key: [round(value, 2) for value in values] for key, values in seconds.wall.items()}
    processor = {key: [round(value, 2) for value in values] for key, values in seconds.processor.items()}
    pairs = [
        ("textpipe fit", "LinearSVC fit"),
        ("textpipe whole", "scikit-learn whole"),
        ("textpipe whole", "fastText"),
    ]
    ratios = {
        f"{one} / {other}": {"wall": ratio(seconds.wall, one, other), "processor": ratio(seconds.processor, one, other)}
        for one, other in pairs
        if other in seconds.wall
    }
    speeds = {key: round(rows / min(values)) for key, values in seconds.wall.items() if key.endswith("prediction")}
    return {
        "accuracy": {key: round(value, 4) for key, value in accuracy.items()}, "wall_seconds": rounded,
        "processor_seconds": processor, "ratios": ratios, "rows_per_second": speeds,
    }  # fmt: skip


def cross_validate(name, data, has_fasttext):
    texts, names = (np.array(part, object) for part in data[0])
    folds = []
    for train, test in StratifiedKFold(5, shuffle=True, random_state=0).split(texts, names):
        parts = [(texts[rows].tolist(), names[rows].tolist()) for rows in (train, test)]
        folds.append(measure(name, parts, 1, has_fasttext, predict=False)[0])
        print(name, folds[-1], flush=True)
    return {key: round(statistics.mean(fold[key] for fold in folds), 4) for key in folds[0]}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sets", nargs="+", default=list(SETS), choices=list(SETS))
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--cv", action="store_true", help="five folds of train; the test split is not read")
    parser.add_argument(
        "--logistic", action="store_true", help="also scikit-learn's LogisticRegression, which takes a minute"
    )
    arguments = parser.parse_args()
    folder = Path(os.environ["TEXTPIPE_DATA"])
    has_fasttext = importlib.util.find_spec("fasttext") is not None
    result = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name in arguments.sets:
        data = SETS[name](folder)
        if arguments.cv:
            found = cross_validate(name, data, has_fasttext)
        else:
            found = described(*measure(name, data, arguments.repeats, has_fasttext, logistic=arguments.logistic))
        kind = "train_folds" if arguments.cv else "test"
        # So that a run without fastText does not replace one with it.
        result.setdefault(name, {})[kind if has_fasttext else f"{kind}_without_fasttext"] = found
        print(name, json.dumps(found, indent=1), flush=True)
    result["versions"] = {"tensorflow": tf.__version__, "scikit-learn": sklearn.__version__}
    result["processors"] = os.cpu_count()
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
