"""Intents of responses, from a few examples of each.   Shapes: N responses, F features, L intents.

Semi-supervised label propagation (Kannan et al. 2016, section 4; Ravi & Diao 2016) over a bipartite graph: responses on one side, their
words, word pairs, word triples and skip-grams on the other. With C_i the distribution over intents of node i, C0_i that of a response
whose intent is given, U the uniform one and w_ij how much feature j says of response i, it minimizes

    sum_i s_i |C_i - C0_i|^2 + mu_pp |C_i - U|^2 + mu_np sum_j w_ij |C_i - C_j|^2

by coordinate updates in closed form: first all features, then all responses, five times. Responses that are sure of one intent keep it
and become examples; when no more are sure, up to 100 of the others are drawn as intents of their own, and all is computed again.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from scipy import sparse

from textpipe.answers._response_set import Response
from textpipe.stages._intents import Propagation, examples
from textpipe.text.canonical import canonical

BLOCK = 128  # intents computed together; they depend on each other only in what is taken at the end
NONE = -1
EDGE = "\x02"  # before the first and after the last word
NUMBER = "\x03"  # all numbers are one word
SHARPNESS = 3  # power of a feature's inverse document frequency: what is rare decides
STEPS = 50  # bound of how often sure responses become examples before new intents are made


def propagate(
    responses: Sequence[str], seeds: Mapping[str, str], *, seed: int, settings: Propagation | None = None
) -> list[tuple[str, float]]:
    """The intent of each response and how probable it is; ("", 0.0) for one without.

    responses: most frequent first, no two alike. seeds: {response: intent}, of responses in the list. A new intent has the name of its
    first response, and at least two responses.

    (["Yes, I can.", "Yes, I will.", "No, sorry.", "No, never."], {"Yes, I can.": "yes", "No, sorry.": "no"})
    -> [("yes", 1.0), ("yes", 0.95), ("no", 1.0), ("no", 0.95)]
    """
    settings = settings or Propagation()
    names = list(dict.fromkeys(seeds.values()))
    numbers = {name: number for number, name in enumerate(names)}
    intents = np.array([numbers[seeds[text]] if text in seeds else NONE for text in responses], np.int64)
    confidence = (intents != NONE).astype(np.float64)
    weights = feature_weights(responses)  # [N, F]
    rng = np.random.default_rng(seed)
    total = len(names)
    for rounds in range(settings.rounds + 1):
        grown = spread_until_unsure(weights, intents, confidence, total, settings)
        sampled = samples(weights, np.flatnonzero(grown == NONE), settings.new_intents, rng)
        intents = grown
        if rounds == settings.rounds or not len(sampled):
            break
        intents[sampled], confidence[sampled] = np.arange(total, total + len(sampled)), 1.0
        total += len(sampled)
    members = np.bincount(intents[intents != NONE], minlength=total)
    names += new_names(responses, intents, range(len(names), total), used_names=set(names))
    known = (intents != NONE) & ((intents < len(numbers)) | (members[intents] > 1))
    return [
        (names[intent], float(share)) if sure else ("", 0.0)
        for intent, share, sure in zip(intents.tolist(), confidence, known, strict=True)
    ]


def spread_until_unsure(
    weights: sparse.csr_matrix, intents: np.ndarray, confidence: np.ndarray, count: int, settings: Propagation
) -> np.ndarray:
    """The intents [N] after what is sure has become an example itself, again and again until nothing more is; fills in confidence [N]."""
    for _ in range(STEPS):
        propagated, shares = assigned(weights, intents, count, settings)
        fresh = (intents == NONE) & (propagated != NONE)
        if not fresh.any():
            break
        confidence[fresh], intents = shares[fresh], propagated
    return intents.copy()


def new_names(responses: Sequence[str], intents: np.ndarray, numbers: range, used_names: set[str]) -> list[str]:
    """Names of new intents: their first responses, with an apostrophe where another intent is called so."""
    first = {intent: responses[index] for index, intent in reversed(list(enumerate(intents.tolist())))}
    names = []
    for number in numbers:
        name = first[number]
        while name in used_names:
            name += "'"
        used_names.add(name)
        names.append(name)
    return names


def spread(responses: Sequence[Response], path: Path, settings: Propagation, *, seed: int) -> list[Response]:
    """The responses with intents: those of a file of examples, and what follows from them for the others; see `examples` for errors.

    An intent has one polarity. A response that has an intent already keeps it, and is an example itself.
    """
    intents, polarities = examples(path, responses)
    order = sorted(range(len(responses)), key=lambda position: (-responses[position].count, position))
    texts = [responses[position].text for position in order]
    seeds = {responses[position].text: intent for position, intent in intents.items()}
    labels = dict(zip(order, propagate(texts, seeds, seed=seed, settings=settings), strict=True))
    return [
        replace(response, intent=labels[position][0], polarity=polarities.get(labels[position][0], response.polarity))
        for position, response in enumerate(responses)
    ]


def features(text: str) -> set[str]:
    """Words, runs of two and three, and skip-grams (two words with one between them) of a response's canonical form."""
    words = [EDGE, *(NUMBER if any(map(str.isdecimal, word)) else word for word in canonical(text).split()), EDGE]
    ngrams = set(words[1:-1])
    for size in (2, 3):
        ngrams.update(" ".join(words[start : start + size]) for start in range(len(words) - size + 1))
    ngrams.update(f"{first} * {last}" for first, last in zip(words[:-2], words[2:], strict=True))
    ngrams.discard(f"{EDGE} * {EDGE}")  # of every response of one word
    return ngrams


def feature_weights(responses: Sequence[str]) -> sparse.csr_matrix:
    """w [N, F] float32: inverse document frequency, each row summing to 1; features of one response alone are left out."""
    rows = [sorted(features(text)) for text in responses]
    document_frequency = Counter(feature for row in rows for feature in row)
    columns = {
        feature: column
        for column, feature in enumerate(sorted(name for name, rows in document_frequency.items() if rows > 1))
    }
    indices = [columns[feature] for row in rows for feature in row if feature in columns]
    starts = np.cumsum([0, *(sum(feature in columns for feature in row) for row in rows)])
    frequency = np.array([document_frequency[name] for name in columns], np.float64)
    values = (np.log1p(len(rows) / frequency) ** SHARPNESS)[indices] if indices else np.zeros(0)
    weights = sparse.csr_matrix((values, indices, starts), shape=(len(rows), len(columns)))
    sums = np.asarray(weights.sum(axis=1)).ravel()
    return (sparse.diags(1 / np.maximum(sums, 1e-12)) @ weights).astype(np.float32).tocsr()


def assigned(
    weights: sparse.csr_matrix, seed_intents: np.ndarray, count: int, settings: Propagation
) -> tuple[np.ndarray, np.ndarray]:
    """The intent of each response [N], NONE where it is not sure, and how probable the best one is [N].

    What of C comes from U says nothing: evidence is what comes from given intents, and probability the share of one intent in it.
    """
    best = np.zeros((2, len(seed_intents)), np.float32)  # the two highest of each response
    evidence = np.zeros(len(seed_intents), np.float32)
    intents = np.full(len(seed_intents), NONE)
    for start, values in distributions(weights, seed_intents, count, settings):
        evidence += values.sum(axis=1)
        for column in range(values.shape[1]):
            value = values[:, column]
            higher = value > best[0]
            best[1] = np.where(higher, best[0], np.maximum(best[1], value))
            best[0] = np.where(higher, value, best[0])
            intents[higher] = start + column
    first, second = best / np.maximum(evidence, 1e-12)
    sure = (evidence >= settings.evidence) & (first >= settings.threshold) & (first > settings.margin * second)
    return np.where(seed_intents != NONE, seed_intents, np.where(sure, intents, NONE)), np.where(
        seed_intents != NONE, 1.0, first
    )


def distributions(
    weights: sparse.csr_matrix, seed_intents: np.ndarray, count: int, settings: Propagation
) -> Iterator[tuple[int, np.ndarray]]:
    """C - U' of the responses, U' what of C comes from U, `BLOCK` intents at a time: (the first intent, [N, up to BLOCK]).

    The updates are linear in C0 and U, so that those of C0 alone give this difference.
    """
    uniform = settings.uniform_weight
    by_feature = weights.T.tocsr()  # [F, N]
    pull = np.where(seed_intents != NONE, settings.seed_weight, 0.0)
    response_total = pull + uniform + np.asarray(weights.sum(axis=1)).ravel()
    feature_total = uniform + np.asarray(by_feature.sum(axis=1)).ravel()
    response_scale, feature_scale = (
        np.maximum(total, 1e-12)[:, None].astype(np.float32) for total in (response_total, feature_total)
    )
    for start in range(0, count, BLOCK):
        width = min(BLOCK, count - start)
        block_rows = np.flatnonzero((seed_intents >= start) & (seed_intents < start + width))
        anchors = np.zeros((len(seed_intents), width), np.float32)
        anchors[block_rows, seed_intents[block_rows] - start] = settings.seed_weight  # s C0
        current = (anchors > 0).astype(np.float32)
        for _ in range(settings.iterations):
            of_features = (by_feature @ current) / feature_scale
            current = (weights @ of_features + anchors) / response_scale
        yield start, current


def samples(weights: sparse.csr_matrix, candidates: np.ndarray, most: int, rng: np.random.Generator) -> np.ndarray:
    """Up to `most` of the responses `candidates`, drawn at random, of which no two share half of what they are made of."""
    sampled: list[int] = []
    covered = np.zeros(weights.shape[1], np.float32)
    for candidate in rng.permutation(candidates):
        row = slice(weights.indptr[candidate], weights.indptr[candidate + 1])
        if row.start == row.stop or weights.data[row] @ covered[weights.indices[row]] > 0.5:
            continue
        sampled.append(int(candidate))
        covered[weights.indices[row]] = 1
        if len(sampled) == most:
            break
    return np.array(sorted(sampled), int)


__all__ = ["propagate", "spread"]
