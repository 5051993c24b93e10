"""The responses that a ranker offers for each message, with their scores.   Shapes: B batch, R responses, K candidates, N places."""

from typing import NamedTuple

import tensorflow as tf


class Candidates(NamedTuple):
    """scores: [B, K]. numbers: the responses' numbers [B, K], -1 behind a message's last one; None if K = R and column k is response k."""

    scores: tf.Tensor
    numbers: tf.Tensor | None = None

    def of(self, table: tf.Tensor) -> tf.Tensor:
        """The rows of a table of responses [R] for the candidates: [B, K], or [1, R] if they are all responses."""
        return table[None] if self.numbers is None else tf.gather(table, tf.maximum(self.numbers, 0))

    def at(self, positions: tf.Tensor) -> tf.Tensor:
        """The numbers of the responses at places [B, N] of K; -1 for a place of -1 or without a response."""
        if self.numbers is None:
            return positions
        numbers = tf.gather(self.numbers, tf.maximum(positions, 0), batch_dims=1)
        return tf.where(positions >= 0, numbers, -1)

    def holds(self, numbers: tf.Tensor) -> tf.Tensor:
        """Whether a candidate is the response of a number, [B] -> [B, K]; no candidate is -1."""
        candidate_numbers = tf.range(tf.shape(self.scores)[1])[None] if self.numbers is None else self.numbers
        return (candidate_numbers == numbers[:, None]) & (candidate_numbers >= 0)

    def present(self) -> tf.Tensor:
        """Whether there is a response at a place, [B, K]."""
        return tf.ones_like(self.scores, tf.bool) if self.numbers is None else self.numbers >= 0


class Numbers(tf.Module):
    """The number of a response by its text, found by binary search among 62-bit fingerprints, which are verified: texts [R]."""

    def __init__(self, texts: tf.Tensor):
        super().__init__(name="numbers")
        self.texts = texts
        hashes = self.hashed(texts)
        order = tf.argsort(hashes, stable=True)
        self.hashes, self.order = tf.gather(hashes, order), order

    def find(self, texts: tf.Tensor) -> tf.Tensor:
        """[B] -> [B] int32, -1 for a text that is no response."""
        indices = tf.searchsorted(self.hashes, self.hashed(texts))
        numbers = tf.gather(self.order, tf.minimum(indices, tf.size(self.order) - 1))
        return tf.where(tf.gather(self.texts, numbers) == texts, numbers, -1)

    @staticmethod
    def hashed(texts: tf.Tensor) -> tf.Tensor:
        """[N] string -> [N] int64."""
        return tf.strings.to_hash_bucket_fast(texts, 2**62)
