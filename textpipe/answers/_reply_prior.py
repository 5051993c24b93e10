"""The prior of a response, log P(reply), which a ranker adds to its scores.   Shapes: R responses.

Henderson et al. (2017), Efficient Natural Language Response Suggestion for Smart Reply, equation 4: the score of a reply is
h_x . h_y + alpha * log P(y), with P(y) from a language model. The alternative is the response's relative frequency, which is accurate for
frequent replies but too low for a rare wording made of frequent words.
"""

from collections import Counter, defaultdict
from collections.abc import Sequence

import numpy as np

from textpipe.answers._response_set import Response
from textpipe.text.canonical import canonical

ORDER = 3  # the last two words predict the next
START, END = "<s>", "</s>"
UNKNOWN = "<unk>"


class NgramModel:
    """A word n-gram model, interpolated as Witten and Bell (1991, method C) propose.

    P(w | h) = (c(h w) + T(h) * P(w | h')) / (c(h) + T(h)), with c the count of h w, T(h) the number of different words that follow h, and
    h' the history h without its first word. The empty history backs off to the uniform distribution over the vocabulary, which includes
    the end and the unknown word.

    texts: sequences of words; counts: how often each occurs.
    """

    def __init__(self, texts: Sequence[Sequence[str]], counts: Sequence[float], *, order: int = ORDER):
        self.order = order
        self.counts: defaultdict[tuple[str, ...], float] = defaultdict(float)  # of a history and its next word
        self.totals: defaultdict[tuple[str, ...], float] = defaultdict(float)  # of a history
        self.followers: Counter[tuple[str, ...]] = Counter()  # different words after a history
        vocabulary = {END, UNKNOWN}
        for words, count in zip(texts, counts, strict=True):
            vocabulary.update(words)
            for history, word in self.events(words):
                for start in range(len(history) + 1):
                    self.counts[*history[start:], word] += count
                    self.totals[history[start:]] += count
        for ngram in self.counts:
            self.followers[ngram[:-1]] += 1
        self.vocabulary = frozenset(vocabulary)

    def events(self, words: Sequence[str]) -> list[tuple[tuple[str, ...], str]]:
        """(history, word) for each word and the end; a history has order - 1 words and is padded with START."""
        padded = [*[START] * (self.order - 1), *words, END]
        size = self.order - 1
        return [(tuple(padded[at - size : at]), padded[at]) for at in range(size, len(padded))]

    def probability(self, history: tuple[str, ...], word: str) -> float:
        """P(word | history), which sums to 1 over the vocabulary."""
        probability = 1 / len(self.vocabulary)
        for start in range(len(history), -1, -1):
            part = history[start:]
            total, followers = self.totals.get(part, 0.0), self.followers[part]
            if not total:
                break  # longer histories are unseen, too
            probability = (self.counts.get((*part, word), 0.0) + followers * probability) / (total + followers)
        return probability

    def log_prob(self, words: Sequence[str]) -> float:
        """The natural logarithm of the probability of a text, its end included."""
        known = [word if word in self.vocabulary else UNKNOWN for word in words]
        return sum(float(np.log(self.probability(history, word))) for history, word in self.events(known))


def by_frequency(responses: Sequence[Response]) -> np.ndarray:
    """The logarithm of each response's share of the training replies, [R]."""
    counts = np.array([max(1, response.count) for response in responses], np.float64)
    return np.log(counts / counts.sum())


def by_language_model(responses: Sequence[Response]) -> np.ndarray:
    """The log-probability of each response under an n-gram model trained on all responses, weighted by their counts, [R].

    Words are those of `canonical`, so case and punctuation are ignored. Normalized over the set: the probabilities sum to 1.
    """
    texts = [canonical(response.text).split() for response in responses]
    model = NgramModel(texts, [max(1, response.count) for response in responses])
    log_probs = np.array([model.log_prob(words) for words in texts])
    return log_probs - np.logaddexp.reduce(log_probs)


PRIORS = {"frequency": by_frequency, "language_model": by_language_model}

__all__ = ["PRIORS", "NgramModel", "by_frequency", "by_language_model"]
