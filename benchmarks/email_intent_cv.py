"""Five-fold cross-validation on email_intent: pipelines/email_intent.toml against scikit-learn's TF-IDF(1,2) + LR.

    TEXTPIPE_DATA=... python benchmarks/email_intent_cv.py [--folds 5] [--seeds 3]

Both use the same folds and learn vocabulary, document frequencies and weights from the training folds only. textpipe uses
the steps, features, model and optimizer of the pipeline file, scikit-learn its defaults. Writes benchmarks/results/.
"""

import argparse
import json
import os
import statistics
import tempfile
from pathlib import Path

import numpy as np
import sklearn
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedKFold, train_test_split
from sklearn.pipeline import make_pipeline

from textpipe.config import plugins, sections
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Labels, Sparse
from textpipe.text import normalizer
from textpipe.training import calibration, loop
from textpipe.training.batching import batches
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "email_intent_cv.json"
PIPELINE = HERE.parent / "pipelines" / "email_intent.toml"


def read(folder):
    """Texts and 0/1 labels from `label TAB text` lines."""
    lines = (folder / "email_intent" / "train.tsv").read_text(encoding="utf-8").split("\n")
    pairs = [line.rstrip("\r").split("\t", 1) for line in lines if line]
    classes = sorted({label for label, _ in pairs})
    return np.array([text for _, text in pairs], object), np.array([classes.index(label) for label, _ in pairs])


def rows_of(feature, texts, labels):
    """Texts as training rows."""
    import scipy.sparse

    batch = feature(tf.constant(list(texts)))
    indices = batch.indices.numpy()
    matrix = scipy.sparse.csr_matrix((batch.values.numpy(), (indices[:, 0], indices[:, 1])), shape=batch.shape)
    return Rows({"text": Sparse.from_scipy(matrix)}, Labels(labels, 2), "label")


def figures_of_textpipe(tables, texts, labels, train, test):
    """Accuracy, area under the ROC curve and calibration error of a fold. A tenth of train is for the temperature alone."""
    steps = [Plugin.check("text.steps", step) for step in tables["normalize"]["steps"]]
    normal = np.array([text.decode() for text in normalizer.apply(steps, tf.constant(list(texts))).numpy()], object)
    section = Plugin.check("features", tables["vectorize"]["features"])
    module = plugins.find("features", section.kind)
    train, held_out = train_test_split(train, test_size=0.1, random_state=0, stratify=labels[train])
    with tempfile.TemporaryDirectory() as folder:
        module.learn(section, lambda: [tf.constant(list(normal[train]))], Path(folder), "text", codec=None)
        feature = module.load(section, Path(folder), "text", codec=None)
    rows = {name: rows_of(feature, normal[part], labels[part]) for name, part in
            (("train", train), ("valid", held_out), ("test", test))}  # fmt: skip
    sizes = Sizes({"text": feature.size}, "label", {"kind": "label", "classes": ["no", "yes"]})
    model_config = Plugin.check("models", tables["model"])
    model = plugins.find("models", model_config.kind).build(model_config, sizes, seed=1)
    settings = Settings(**tables["train"])
    loop.fit(model, rows, settings)
    temperature = calibration.fit(model, rows["valid"], settings)["temperature"]
    logits, targets = calibration.outputs(model, rows["test"], settings)
    order = np.concatenate([batch.rows for batch in batches.plan(rows["test"], settings).epoch(0)])
    assert (labels[test][order] == targets).all()
    return {
        "textpipe": float((logits.argmax(axis=1) == targets).mean()),
        "auc": float(roc_auc_score(targets, logits[:, 1])),
        "uncalibrated_error": calibration.error(logits, targets),
        "calibration_error": calibration.error(logits / temperature, targets),
    }


def accuracy_of_sklearn(texts, labels, train, test):
    model = make_pipeline(TfidfVectorizer(ngram_range=(1, 2)), LogisticRegression(max_iter=1000))
    return float(model.fit(texts[train], labels[train]).score(texts[test], labels[test]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--seeds", type=int, default=3, help="number of random splits into folds")
    arguments = parser.parse_args()
    texts, labels = read(Path(os.environ["TEXTPIPE_DATA"]))
    tables = sections.load(PIPELINE)
    runs = []
    for seed in range(arguments.seeds):
        folds = StratifiedKFold(arguments.folds, shuffle=True, random_state=seed).split(texts, labels)
        for number, (train, test) in enumerate(folds):
            run = {"seed": seed, "fold": number, "rows": len(test)}
            run |= figures_of_textpipe(tables, texts, labels, train, test)
            run["scikit-learn"] = accuracy_of_sklearn(texts, labels, train, test)
            runs.append(run)
            print(run, flush=True)
    means = {name: statistics.mean(run[name] for run in runs) for name in ("textpipe", "scikit-learn")}
    differences = [run["textpipe"] - run["scikit-learn"] for run in runs]
    result = {
        "rows": len(texts),
        "accuracy": {name: round(mean, 4) for name, mean in means.items()},
        **{
            name: round(statistics.mean(run[name] for run in runs), 4)
            for name in ("auc", "uncalibrated_error", "calibration_error")
        },
        "difference": round(statistics.mean(differences), 4),
        "standard_error": round(statistics.stdev(differences) / len(differences) ** 0.5, 4),
        "folds": [{name: round(value, 4) for name, value in run.items()} for run in runs],
        "versions": {"tensorflow": tf.__version__, "scikit-learn": sklearn.__version__},
    }
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    print(
        f"textpipe {means['textpipe']:.4f}, scikit-learn {means['scikit-learn']:.4f}, difference {result['difference']:+.4f}"
    )


if __name__ == "__main__":
    main()
