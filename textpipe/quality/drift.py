"""How the rows of two data sets differ: lengths, words, classes, and whether a classifier can tell them apart."""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from textpipe.errors import DataError
from textpipe.quality.corpus import Corpus
from textpipe.quality.sampling import equally_spaced

MAX_ROWS = 10_000  # of each data set for the domain classifier and the chance level of the vocabulary; sampled at equal distances
FOLDS = 5
NUM_WORDS = 15
SEED = 1

Progress = Callable[[str, int, int], None]


def measure(corpus: Corpus, other: Corpus, *, on_progress: Progress | None = None) -> dict[str, Any]:
    """Compare the source texts and labels of all splits of two data sets.

    {"name", "rows": [R, R'], "lengths", "vocabulary", "classes", "domain_classifier"}; each has the measure itself and what chance gives.
    Raises DataError for a data set without texts.
    """
    notify = on_progress or (lambda task, done, total: None)
    sides = [all_forms(corpus), all_forms(other)]
    words = [[form.split() for form in forms] for forms in sides]
    table: dict[str, Any] = {"name": other.name, "rows": [len(forms) for forms in sides]}
    notify("drift", 0, 3)
    table["lengths"] = lengths([np.array([len(text) for text in side]) for side in words])
    table["vocabulary"] = vocabulary(words)
    notify("drift", 1, 3)
    if corpus.label is not None and other.label is not None:
        counts = [
            Counter(name for split in side.splits for names in side.label_names(split) for name in names)
            for side in (corpus, other)
        ]
        if all(counts):
            table["classes"] = class_balance(*counts)
    notify("drift", 2, 3)
    table["domain_classifier"] = domain_classifier(*sides)
    notify("drift", 3, 3)
    return table


def all_forms(corpus: Corpus) -> list[str]:
    """The normalized source texts of all splits."""
    forms = [form for split in corpus.splits for form in corpus.forms(split)]
    if not forms:
        raise DataError(f"{corpus.name}: no rows to compare; give a file with rows")
    return forms


def lengths(words: Sequence[np.ndarray]) -> dict[str, Any]:
    """Words per text: quartiles of both, and the Kolmogorov-Smirnov statistic of their distributions with its p-value."""
    from scipy import stats

    test = stats.ks_2samp(*words, method="asymp")
    quartiles = [[float(value) for value in np.quantile(side, [0.25, 0.5, 0.75])] for side in words]
    return {"quartiles": quartiles, "statistic": round(float(test.statistic), 6), "p_value": float(test.pvalue)}


def vocabulary(words: Sequence[Sequence[Sequence[str]]]) -> dict[str, Any]:
    """Jensen-Shannon divergence (Lin 1991) of the distributions of words, in bits from 0 to 1, and the words that contribute most.

    chance: the divergence when the rows are dealt to two sets of the same sizes at random. unseen: the share of the other data set's words that
    the first does not have.
    """
    counts = [Counter(word for text in side for word in text) for side in words]
    divergence, parts = jensen_shannon(*counts)
    texts = [equally_spaced(side, MAX_ROWS) for side in words]
    pool = texts[0] + texts[1]
    order = np.random.default_rng(SEED).permutation(len(pool))
    dealt = [Counter(word for at in part for word in pool[at]) for part in np.split(order, [len(texts[0])])]
    measured, _ = jensen_shannon(*(Counter(word for text in side for word in text) for side in texts))
    chance, _ = jensen_shannon(*dealt)
    totals = [side.total() for side in counts]
    more: list[list[dict[str, Any]]] = [[], []]
    for word, _ in sorted(parts.items(), key=lambda item: (-item[1], item[0])):
        shares = [side[word] / max(total, 1) for side, total in zip(counts, totals, strict=True)]
        target = more[int(shares[1] > shares[0])]
        if len(target) < NUM_WORDS:
            target.append({"word": word, "shares": [round(share, 6) for share in shares]})
        if all(len(side) == NUM_WORDS for side in more):
            break
    unseen = sum(count for word, count in counts[1].items() if word not in counts[0])
    return {
        "divergence": round(divergence, 6),
        "sampled_divergence": round(measured, 6),
        "chance": round(chance, 6),
        "unseen": round(unseen / max(totals[1], 1), 6),
        "more_in_first": more[0],
        "more_in_other": more[1],
    }


def jensen_shannon(first: Counter[str], second: Counter[str]) -> tuple[float, dict[str, float]]:
    """The divergence of two distributions in bits, and each word's part of it."""
    words = sorted(first.keys() | second.keys())
    p, q = (np.array([side[word] for word in words], np.float64) / max(side.total(), 1) for side in (first, second))
    middle = (p + q) / 2
    parts = np.zeros(len(words))
    for side in (p, q):
        present = side > 0
        parts[present] += side[present] / 2 * np.log2(side[present] / middle[present])
    return float(parts.sum()), dict(zip(words, parts.tolist(), strict=True))


def class_balance(first: Counter[str], second: Counter[str]) -> dict[str, Any]:
    """Pearson's chi-squared test of homogeneity, and Cramér's V, from 0 (equal shares) to 1 (no class in common)."""
    from scipy import stats

    labels = sorted(first.keys() | second.keys(), key=lambda name: (-first[name] - second[name], name))
    observed = np.array([[side[name] for name in labels] for side in (first, second)])
    table: dict[str, Any] = {
        "shares": {
            name: [round(float(x), 6) for x in observed[:, at] / observed.sum(axis=1)] for at, name in enumerate(labels)
        }
    }
    if len(labels) > 1:
        test = stats.chi2_contingency(observed, correction=False)
        table |= {
            "chi_squared": round(float(test.statistic), 4),
            "degrees_of_freedom": int(test.dof),
            "p_value": float(test.pvalue),
            "cramers_v": round(float(np.sqrt(test.statistic / observed.sum())), 6),
        }
    return table


def domain_classifier(first: Sequence[str], second: Sequence[str]) -> dict[str, Any] | None:
    """ROC AUC of a classifier that is to tell which data set a text is from: .5 if it cannot, 1 if it always can.

    Logistic regression over TF-IDF of words and word pairs, cross-validated; equal texts are in one fold. None for data sets too small for
    five folds. low, high: 95 % interval (Hanley and McNeil 1982).
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.metrics import roc_auc_score
    from sklearn.model_selection import GroupKFold
    from sklearn.pipeline import make_pipeline

    sides = [equally_spaced(side, MAX_ROWS) for side in (first, second)]
    texts = sides[0] + sides[1]
    target = np.repeat([0, 1], [len(side) for side in sides])
    numbers: dict[str, int] = {}
    groups = np.array([numbers.setdefault(text, len(numbers)) for text in texts])
    if min(map(len, sides)) < 2 * FOLDS or len(numbers) < 2 * FOLDS:
        return None
    scores = np.zeros(len(texts))
    for train, test in GroupKFold(FOLDS, shuffle=True, random_state=SEED).split(texts, target, groups):
        if len(set(target[train].tolist())) < 2:
            return None
        model = make_pipeline(
            TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, token_pattern=r"(?u)\S+", lowercase=False),
            LogisticRegression(C=10, max_iter=200, class_weight="balanced", solver="liblinear", random_state=SEED),
        )
        model.fit([texts[at] for at in train], target[train])
        scores[test] = model.decision_function([texts[at] for at in test])
    area = float(roc_auc_score(target, scores))
    low, high = area_interval(area, int(target.sum()), int(len(target) - target.sum()))
    return {
        "roc_auc": round(area, 4),
        "low": round(low, 4),
        "high": round(high, 4),
        "rows": [len(side) for side in sides],
    }


def area_interval(area: float, positives: int, negatives: int) -> tuple[float, float]:
    """The 95 % interval of a ROC AUC (Hanley and McNeil 1982, equation 1)."""
    one, two = area / (2 - area), 2 * area**2 / (1 + area)
    variance = area * (1 - area) + (positives - 1) * (one - area**2) + (negatives - 1) * (two - area**2)
    spread = 1.959964 * float(np.sqrt(max(0.0, variance) / (positives * negatives)))
    return max(0.0, area - spread), min(1.0, area + spread)
