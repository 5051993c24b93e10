"""Whether texts are in the language of a column, by character trigrams learned from that column.

Cavnar and Trenkle (1994), N-Gram-Based Text Categorization; Dunning (1994), Statistical Identification of Language: a text is scored by the
mean log probability of its trigrams. Nothing has to be installed or named: the languages are those of the training rows.

Shapes: N texts, G trigrams.
"""

import dataclasses
from collections.abc import Sequence
from typing import Self

import numpy as np

BITS = 16  # of a trigram's hash bucket
SMOOTHING = 0.1  # added to the count of each bucket
HELD_OUT = 10  # every tenth text measures the spread and is not learned from
MAX_TEXTS = 20_000  # to learn a language from
# Standard errors below the mean of the column. 28,000 German captions have 0.7 % below -6 and none below -10; of English, French and Czech
# captions 97, 96 and 100 % are below -6.
LOWEST = -7.0
MAX_CONFUSED = 0.05  # of held-out texts, for two columns to count as different languages


@dataclasses.dataclass(frozen=True)
class Language:
    """The trigrams of one column. log_probabilities [2**BITS]; mean, deviation: of a trigram of unseen texts of the column."""

    log_probabilities: np.ndarray
    mean: float
    deviation: float

    @classmethod
    def learn(cls, texts: Sequence[str]) -> Self:
        """Learn the trigrams of texts, of which there must be at least one."""
        training_texts = [text for number, text in enumerate(texts) if number % HELD_OUT or len(texts) < HELD_OUT]
        counts = np.bincount(trigrams(training_texts)[0], minlength=1 << BITS) + SMOOTHING
        logs = np.log(counts / counts.sum())
        unseen = logs[trigrams(held_out(texts))[0]]
        return cls(logs, float(unseen.mean()), max(float(unseen.std()), 1e-6))

    def scores(self, texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
        """The mean log probability of a trigram of each text [N], and its distance from the column's mean in standard errors [N]."""
        buckets, owner = trigrams(texts)
        count = np.maximum(np.bincount(owner, minlength=len(texts)), 1)
        mean = np.bincount(owner, self.log_probabilities[buckets], minlength=len(texts)) / count
        return mean, (mean - self.mean) * np.sqrt(count) / self.deviation


@dataclasses.dataclass(frozen=True)
class LanguagePair:
    """The languages of the texts that are asked for and of the other column. separable: whether the columns can be told apart, which
    those of messages and their replies cannot.
    """

    expected: Language
    other: Language
    separable: bool

    @classmethod
    def learn(cls, expected: Sequence[str], other: Sequence[str]) -> Self:
        """Learn both columns of the training rows."""
        first, second = Language.learn(expected), Language.learn(other)
        confused = [
            float(np.mean(language.scores(texts)[0] <= foreign.scores(texts)[0]))
            for language, foreign, texts in ((first, second, held_out(expected)), (second, first, held_out(other)))
        ]
        return cls(first, second, max(confused) <= MAX_CONFUSED)

    def swapped(self) -> "LanguagePair":
        """The pair that asks for the other column."""
        return LanguagePair(self.other, self.expected, self.separable)

    def in_other(self, texts: Sequence[str]) -> np.ndarray:
        """[N] bool: texts in the language of the other column."""
        if not self.separable:
            return np.zeros(len(texts), bool)
        return self.other.scores(texts)[0] > self.expected.scores(texts)[0]

    def swapped_texts(self, texts: Sequence[str]) -> np.ndarray:
        """[N] bool: texts that are surely in the language of the other column, not only less unlike it."""
        return self.in_other(texts) & (self.other.scores(texts)[1] >= LOWEST)

    def is_foreign(self, texts: Sequence[str]) -> np.ndarray:
        """[N] bool: texts that are not in the language asked for."""
        return self.in_other(texts) | (self.expected.scores(texts)[1] < LOWEST)


def held_out(texts: Sequence[str]) -> Sequence[str]:
    """The texts that measure the spread: every tenth, or all of fewer than ten."""
    return texts[::HELD_OUT] if len(texts) >= HELD_OUT else texts


def trigrams(texts: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The hash buckets of all trigrams [G], and the text of each [G]. Texts are case folded, with one space around each word."""
    joined = "\0".join(f" {' '.join(text.replace(chr(0), ' ').casefold().split())} " for text in texts)
    codes = np.frombuffer(joined.encode("utf-32-le", "surrogatepass"), "<u4").astype(np.uint64)
    if len(codes) < 3:
        return np.zeros(0, np.int64), np.zeros(0, np.int64)
    hashes = np.zeros(len(codes) - 2, np.uint64)
    for at, factor in enumerate((0x9E3779B97F4A7C15, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9)):
        hashes += codes[at : len(codes) - 2 + at] * np.uint64(factor)
    hashes = (hashes ^ (hashes >> np.uint64(29))) * np.uint64(0xBF58476D1CE4E5B9)  # SplitMix64's first round
    end = codes == 0
    inside = ~(end[:-2] | end[1:-1] | end[2:])
    return (hashes >> np.uint64(64 - BITS)).astype(np.int64)[inside], np.cumsum(end)[:-2][inside]
