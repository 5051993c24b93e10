"""CIDEr-D, the agreement of captions with what people write (Vedantam, Zitnick and Parikh 2015).   Shapes: N pictures.

Captions are compared as vectors of n-grams of 1 to 4 words, weighted by TF-IDF over the pictures' references: words of every
caption count little, those of few much.
"""

import math
from collections import Counter
from collections.abc import Mapping, Sequence

from textpipe.metrics.words import split_words

MAX_ORDER = 4
SIGMA = 6.0  # words; captions of another length than a reference count less
SCALE = 10.0

NGram = tuple[str, ...]


def score(answers: Sequence[str], references: Sequence[Sequence[str]]) -> float | None:
    """The mean of `scores`; None without pictures."""
    values = scores(answers, references)
    return math.fsum(values) / len(values) if values else None


def scores(answers: Sequence[str], references: Sequence[Sequence[str]]) -> list[float]:
    """CIDEr-D of each caption, 0 to 10: [N].

    Section 4 and equations 3 and 4 of the paper: g_n(c, r) is the cosine of two TF-IDF vectors, in which an n-gram of the answer counts
    at most as often as in the reference, times exp(-(l(c) - l(r))^2 / (2 SIGMA^2)) for lengths in words; the score is 10 times its mean over
    n and over the references. Document frequencies are those of the given references: scores of different
    test sets cannot be compared, and all are 0 for a single picture.
    """
    counted = [[ngrams(text) for text in row] for row in references]
    frequency: Counter[NGram] = Counter()
    for row in counted:
        frequency.update(set().union(*row))
    log_rows = math.log(max(len(references), 1))
    weights = {ngram: log_rows - math.log(count) for ngram, count in frequency.items()}
    # An n-gram of no reference has a document frequency of 1, as in the authors' code.
    return [
        SCALE * math.fsum(agreement(ngrams(answer), reference, weights, log_rows) for reference in row) / len(row)
        for answer, row in zip(answers, counted, strict=True)
    ]


def ngrams(text: str) -> Counter[NGram]:
    """The n-grams of 1 to 4 words: "a red dot" -> ("a",), ("red",), ("dot",), ("a", "red"), ("red", "dot"), ("a", "red", "dot")."""
    tokens = list(split_words(text))
    return Counter(
        tuple(tokens[at : at + order]) for order in range(1, MAX_ORDER + 1) for at in range(len(tokens) - order + 1)
    )


def agreement(
    answer: Mapping[NGram, int], reference: Mapping[NGram, int], weights: Mapping[NGram, float], unseen: float
) -> float:
    """The mean over n of the clipped cosine with the penalty of length, 0 to 1; unseen: the weight of an n-gram of no reference."""
    products, squares = [0.0] * MAX_ORDER, ([0.0] * MAX_ORDER, [0.0] * MAX_ORDER)
    lengths = [0, 0]
    for side, counts in enumerate((answer, reference)):
        for ngram, count in counts.items():
            squares[side][len(ngram) - 1] += (count * weights.get(ngram, unseen)) ** 2
            lengths[side] += count if len(ngram) == 1 else 0
    for ngram in answer.keys() & reference.keys():
        clipped = min(answer[ngram], reference[ngram]) * reference[ngram]
        products[len(ngram) - 1] += clipped * weights[ngram] ** 2
    cosines = [
        product / math.sqrt(answer_square * reference_square) if product else 0.0
        for product, answer_square, reference_square in zip(products, *squares, strict=True)
    ]
    return math.exp(-((lengths[0] - lengths[1]) ** 2) / (2 * SIGMA**2)) * math.fsum(cosines) / MAX_ORDER
