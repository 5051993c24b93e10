"""Rows whose label is probably wrong, by confident learning.   Shapes: N rows, C classes.

Northcutt, Jiang and Chuang 2021, Confident Learning: Estimating Uncertainty in Dataset Labels, section 3. Probabilities come from
cross-validation, so that no row is judged by a model that was trained on it. A row is suspected if its probability of another class reaches that class's
threshold, the mean probability of the class over the rows that have its label; among several such classes the most probable counts (the off-diagonal of the
confident joint, equation 1). Rows are ranked by the difference between the probability of their label and that of the suspected one.
"""

import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from textpipe.quality.corpus import Corpus
from textpipe.quality.sampling import equally_spaced

MAX_ROWS = 100_000  # more rows are sampled at equal distances
FOLDS = 5
NUM_EXAMPLES = 30
SEED = 1


def cross_validated(texts: Sequence[str], labels: np.ndarray) -> np.ndarray:
    """Probabilities [N, C] of multinomial naive Bayes over TF-IDF of words and word pairs, five-fold; equal texts are in one fold.

    labels [N]: numbers of classes, each with at least FOLDS distinct texts. A logistic regression finds as many wrong labels and takes a hundred
    times as long.
    """
    from sklearn.model_selection import StratifiedKFold
    from sklearn.naive_bayes import MultinomialNB

    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(text, len(numbers)) for text in texts])
    _, first = np.unique(groups, return_index=True)
    folds = np.zeros(len(numbers), np.int64)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)  # of a class that only occurs with texts of another one
        splits = list(StratifiedKFold(FOLDS, shuffle=True, random_state=SEED).split(first, labels[first]))
    for number, (_, held_out) in enumerate(splits):
        folds[held_out] = number
    fold_of = folds[groups]
    vectors = term_vectors(texts)
    probabilities = np.zeros((len(texts), int(labels.max()) + 1))
    for number in range(FOLDS):
        inside = fold_of != number
        model = MultinomialNB(alpha=0.1).fit(vectors[inside], labels[inside])
        probabilities[np.ix_(~inside, model.classes_)] = model.predict_proba(vectors[~inside])
    return probabilities


def term_vectors(texts: Sequence[str]) -> Any:
    """TF-IDF of the words and word pairs that occur in two texts, or of all if none does: a sparse matrix [N, terms]."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    options = {"ngram_range": (1, 2), "sublinear_tf": True, "token_pattern": r"(?u)\S+", "lowercase": False}
    counts = Counter(word for text in texts for word in set(text.split()))
    least = 2 if max(counts.values(), default=0) > 1 else 1
    return TfidfVectorizer(min_df=least, dtype=np.float32, **options).fit_transform(texts)


def suspect(probabilities: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """The suspected class of each row [N], -1 where its label is plausible; probabilities [N, C], labels [N]."""
    size = probabilities.shape[1]
    counts = np.bincount(labels, minlength=size)
    label_probabilities = probabilities[np.arange(len(labels)), labels]
    thresholds = np.bincount(labels, label_probabilities, minlength=size) / np.maximum(counts, 1)
    thresholds[counts == 0] = np.inf
    confident = np.where(probabilities >= thresholds, probabilities, -1.0)
    best = confident.argmax(axis=1)
    return np.where((confident.max(axis=1) >= 0) & (best != labels), best, -1)


def measure(texts: Sequence[str], labels: Sequence[str], positions: Sequence[int]) -> dict[str, Any] | None:
    """{"rows": judged, "suspected", "share", "examples": [{"at", "row", "text", "label", "suspected_label", "margin"}]}, the most certain first.

    texts [N]: normalized for comparison; positions [N] of the rows; at: the number of a row. Rows of classes with fewer than ten rows are not judged. None if
    fewer than two classes are left.
    """
    sampled = equally_spaced(range(len(texts)), MAX_ROWS)
    names, inverse = np.unique([labels[at] for at in sampled], return_inverse=True)
    # Distinct texts count: equal ones share a fold.
    distinct = {(text, label) for text, label in ((texts[at], labels[at]) for at in sampled)}
    rows_of = dict.fromkeys(names.tolist(), 0)
    for _, label in distinct:
        rows_of[label] += 1
    frequent = np.array([rows_of[name] >= 2 * FOLDS for name in names.tolist()])
    judged = [at for at in range(len(sampled)) if frequent[inverse[at]]]
    if frequent.sum() < 2:
        return None
    renumbered = np.cumsum(frequent) - 1
    numbers = renumbered[inverse[judged]]
    probabilities = cross_validated([texts[sampled[at]] for at in judged], numbers)
    suspected = suspect(probabilities, numbers)
    classes = names[frequent]
    rows = np.flatnonzero(suspected >= 0)
    margins = probabilities[rows, numbers[rows]] - probabilities[rows, suspected[rows]]
    order = np.argsort(margins, kind="stable")[:NUM_EXAMPLES]
    return {
        "rows": len(judged),
        "suspected": len(rows),
        "share": round(len(rows) / len(judged), 6),
        "examples": [
            {
                "at": sampled[judged[row]],
                "row": positions[sampled[judged[row]]],
                "text": texts[sampled[judged[row]]],
                "label": str(classes[numbers[row]]),
                "suspected_label": str(classes[suspected[row]]),
                "margin": round(float(margin), 4),
            }
            for row, margin in zip(rows[order].tolist(), margins[order], strict=True)
        ],
    }


def measure_corpus(corpus: Corpus, split: str = "train") -> dict[str, Any] | None:
    """`measure` of the rows of a split; None if the corpus does not have it. The texts of the examples are those of the source."""
    if split not in corpus.splits or not corpus.rows(split):
        return None
    labels = [names[0] for names in corpus.label_names(split)]
    table = measure(corpus.forms(split), labels, corpus.positions[split])
    for entry in table["examples"] if table else ():
        at = entry.pop("at")
        entry["text"] = "\n".join(str(corpus.splits[split][name][at].as_py()) for name in corpus.compared_fields)
    return table
