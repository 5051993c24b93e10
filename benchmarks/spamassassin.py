"""Spam among the mails of the SpamAssassin corpus: pipelines/spamassassin.toml against scikit-learn's LinearSVC.

    TEXTPIPE_DATA=... python benchmarks/spamassassin.py [--mails FOLDER]

Rows are the subject and the body of each mail; no other header is read. With --mails, the folder of the raw mails (easy-ham-1/NAME and so on,
as the data set names them), pipelines/spamassassin_headers.toml is measured on the same rows: there the headers that the sender's program wrote are a
third text, for scikit-learn too. What tells where a mail was collected is removed for both: the name of
a mailing list in brackets before a subject, and the lines that list software appends to a body. Of mails that are equal or nearly equal
(Jaccard similarity of character 5-grams at least .8, quality/minhash.py) only the first is kept, and a fifth of the rest, by a hash of the
normalized body, is the test set. scikit-learn: TF-IDF of words 1-2 and of char_wb 2-5, each of subject and of body, LinearSVC(C=1), on train and
valid together. Writes benchmarks/results/spamassassin.json.
"""

import argparse
import csv
import gzip
import json
import os
import re
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import scipy.sparse.csgraph
import tensorflow as tf
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.metrics import f1_score, roc_auc_score
from sklearn.pipeline import make_union
from sklearn.svm import LinearSVC

import textpipe
from textpipe.data import hashes
from textpipe.data.mail import headers
from textpipe.quality import minhash
from textpipe.text.steps import mail_headers

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "spamassassin.json"
LIST_NAME = re.compile(r"\[[^\]\s]{2,30}\]\s*")
LIST_FOOTER = re.compile(
    r"\n[-_=*]{10,}\s*\n[^\n]*(?:mailing list|list maintainer|sponsored by|unsubscribe)[\s\S]*|\n[^\n]*sponsored by[^\n]*\n[\s\S]*mailing list[\s\S]*",
    re.IGNORECASE,
)


def read(folder):
    """The mails without near duplicates: subject, body and label, and what was left out."""
    csv.field_size_limit(10**9)
    with gzip.open(folder / "spamassassin" / "spamassassin.tsv.gz", "rt", encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    frame = pd.DataFrame(
        {
            "subject": [LIST_NAME.sub("", row["subject"]).strip() or "(none)" for row in rows],
            "body": [
                LIST_FOOTER.sub("", "\n" + row["body"].replace("\\n", "\n").replace("\0", "")).strip() for row in rows
            ],
            "label": [row["label"] for row in rows],
            "file": [f"{row['folder']}/{row['file']}" for row in rows],
        }
    )
    frame = frame[frame["body"] != ""].reset_index(drop=True)
    forms = hashes.normal_forms(frame["body"].tolist())
    frame["key"] = hashes.text_keys(forms)
    frame["form"] = [form.decode(errors="replace") for form in forms]
    distinct = frame.drop_duplicates("key").reset_index(drop=True)
    pairs = minhash.near_duplicates(distinct["form"].tolist())
    graph = scipy.sparse.coo_matrix((np.ones(len(pairs.first)), (pairs.first, pairs.second)), (len(distinct),) * 2)
    _, groups = scipy.sparse.csgraph.connected_components(graph, directed=False)
    kept = distinct[~pd.Series(groups).duplicated()].reset_index(drop=True)
    counts = {
        "mails": len(rows), "empty": len(rows) - len(frame), "duplicates": len(frame) - len(distinct),
        "near_duplicates": len(distinct) - len(kept),
    }  # fmt: skip
    return kept.drop(columns="form"), counts


def split(frame):
    """Train, valid and test rows: 7, 1 and 2 tenths by the hash of the body."""
    tenth = (frame["key"] % np.uint64(10)).to_numpy()
    rows = frame[["subject", "body", *(["headers"] if "headers" in frame else []), "label"]]
    return {"train": rows[tenth > 2], "valid": rows[tenth == 2], "test": rows[tenth < 2]}


def read_headers(folder, files):
    """All headers of each mail, as the column `headers` of format mail."""
    return [headers.header_block(headers.parse((folder / file).read_bytes(), Counter())) for file in files]


def peer_answers(train, test):
    """Decisions of LinearSVC [N], positive for spam."""
    matrices = []
    for column in (name for name in train if name != "label"):
        texts = [part[column] for part in (train, test)]
        if column == "headers":
            keep = mail_headers.Config()
            texts = [
                [text.decode() for text in mail_headers.apply(tf.constant(part.tolist()), keep).numpy()]
                for part in texts
            ]
        union = make_union(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True),
            TfidfVectorizer(analyzer="char_wb", ngram_range=(2, 5), sublinear_tf=True),
        )
        matrices.append((union.fit_transform(texts[0]), union.transform(texts[1])))
    fitted, tested = (scipy.sparse.hstack(part, format="csr") for part in zip(*matrices, strict=True))
    return LinearSVC().fit(fitted, train["label"]).decision_function(tested)


def described(scores, labels):
    spam = (labels == "spam").to_numpy()
    return {
        "accuracy": round(float(((scores > 0) == spam).mean()), 4),
        "f1_spam": round(float(f1_score(spam, scores > 0)), 4),
        "auc": round(float(roc_auc_score(spam, scores)), 4),
        "ham_as_spam": int(((scores > 0) & ~spam).sum()),
        "spam_as_ham": int(((scores <= 0) & spam).sum()),
    }


def measure(pipeline, parts):
    """Both systems on the test rows, their processor seconds, and the accuracy's interval as `textpipe evaluate` gives it."""
    result, seconds = {}, {}
    # The label of a mail in a folder is the folder's name.
    data = {name: part.assign(folder=part["label"]) for name, part in parts.items()}
    began = time.process_time()
    with tempfile.TemporaryDirectory() as folder:
        fitted = textpipe.run(
            HERE.parent / "pipelines" / pipeline, data=data, artifacts=Path(folder) / "artifacts",
            saved_models=Path(folder) / "saved_models",
        )  # fmt: skip
        rows = parts["test"].drop(columns="label").to_dict("records")
        answers = textpipe.predict(fitted.saved_model, rows)
        report = json.loads((fitted.artifacts["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
    spam = np.array([row["probabilities"][row["labels"].index("spam")] for row in answers])
    interval = [round(value, 4) for value in report["intervals"]["accuracy"]]
    result["textpipe"] = {**described(spam - 0.5, parts["test"]["label"]), "accuracy_interval": interval}
    seconds["textpipe, with export"] = round(time.process_time() - began, 1)
    began = time.process_time()
    scores = peer_answers(pd.concat([parts["train"], parts["valid"]]), parts["test"])
    result["scikit-learn"] = described(scores, parts["test"]["label"])
    seconds["scikit-learn"] = round(time.process_time() - began, 1)
    return {**result, "processor_seconds": seconds}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--mails", type=Path, help="the folder of the raw mails, for the pipeline with headers")
    arguments = parser.parse_args()
    frame, counts = read(Path(os.environ["TEXTPIPE_DATA"]))
    result = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    if arguments.mails:
        frame["headers"] = read_headers(arguments.mails, frame["file"])
    parts = split(frame)
    rows = {"rows": {**counts, **{name: dict(Counter(part["label"])) for name, part in parts.items()}}}
    if arguments.mails:
        result |= {**rows, "with_headers": measure("spamassassin_headers.toml", parts)}
    else:
        result |= {**rows, **measure("spamassassin.toml", parts)}
    print(json.dumps(result, indent=2))
    RESULTS.write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
