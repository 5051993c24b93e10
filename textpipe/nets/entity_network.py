"""Recurrent entity network.   Shapes: B batch, T tokens, S sentences, M slots, D vector, V vocabulary, L logits.

Henaff, Weston, Szlam, Bordes and LeCun 2017, Tracking the World State with Recurrent Entity Networks.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from textpipe.layers import sentences as split_sentences
from textpipe.layers.entity_loop import prelu, write_slots
from textpipe.layers.sentences import sum_words
from textpipe.nets.bag import Linear
from textpipe.nets.stories import StoryReader


class EntityNetwork(StoryReader):
    """{story: ids [B, T], question: ids [B, Q]} -> logits [B, L]; L = 1 for two classes, the log-odds of the second.

    A fixed number of slots, each with a key w and a state h, starting from its key, reads the story sentence by sentence. A sentence s is
    written where it concerns the key or the state: with the gate g = sigmoid(s.h + s.w), h becomes h + g prelu(U h + V w + W s), divided
    by its norm. The question selects states by a softmax: u = sum of p h; the logits are R prelu(q + H u).
    The vector of a sentence is the sum of its words' vectors, each weighted entry by entry by a learned vector of its position.

    max_words: words with a position of their own; later ones share the last.
    """

    def __init__(
        self,
        *,
        story: str,
        question: str,
        vocab_size: int,
        max_sentences: int,
        max_words: int,
        num_logits: int,
        size: int,
        slots: int,
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(story=story, question=question, step="slot", steps=slots, **options)
        self.max_words, self.num_logits = max_words, num_logits
        self.vocab_size, self.size, self.slots, self.seed_value = vocab_size, size, slots, seed * 100_003
        normal = keras.initializers.RandomNormal(stddev=0.1, seed=self.seed_value + 90)
        precise = keras.config.dtype_policy().variable_dtype
        self.output_linear = Linear(size, num_logits, initializer=normal, dtype=precise, name="output_linear")

    def build(self, input_shape: Any = None) -> None:
        size, number = self.size, iter(range(50))

        def normal(shape: tuple[int, ...], name: str) -> Any:
            initializer = keras.initializers.RandomNormal(stddev=0.1, seed=self.seed_value + next(number))
            return self.add_weight(shape=shape, initializer=initializer, name=name)

        def ones(shape: tuple[int, ...], name: str) -> Any:
            return self.add_weight(shape=shape, initializer="ones", name=name)

        self.table = normal((self.vocab_size, size), "embedding")
        self.story_mask = ones((self.max_words, size), "story_positions")
        self.question_mask = ones((self.max_words, size), "question_positions")
        self.keys = normal((self.slots, size), "keys")
        self.from_state = normal((size, size), "state_kernel")  # U
        self.from_key = normal((size, size), "key_kernel")  # V
        self.from_sentence = normal((size, size), "sentence_kernel")  # W
        self.from_memory = normal((size, size), "memory_kernel")  # H
        # Slopes of 1 make both units linear at first.
        self.write_slope, self.read_slope = ones((size,), "write_slope"), ones((size,), "read_slope")
        self.output_linear.build(None)
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def attend(self, inputs: Mapping[str, Any], *, training: bool = False) -> tuple[Any, Any]:
        """Logits [B, L], and the gate of each slot at each sentence [B, M, S]."""
        sentences, real = self.vectors(inputs[self.story], self.story_mask)
        question_words, _ = self.vectors(inputs[self.question], self.question_mask)
        question = ops.sum(question_words, axis=1)  # [B, D]
        real = ops.cast(real, sentences.dtype)
        keys, kernel, slope = (ops.copy(weight) for weight in (self.keys, self.from_state, self.write_slope))
        by_time = ops.transpose(sentences, (1, 0, 2))  # [S, B, D]
        state, gates = write_slots(
            keys[None] + ops.zeros_like(question)[:, None],
            by_time,
            ops.matmul(by_time, ops.transpose(keys)),
            ops.matmul(by_time, self.from_sentence),
            ops.matmul(keys, self.from_key),
            kernel,
            slope,
            ops.transpose(real, (1, 0)),
        )
        weight = ops.softmax(ops.sum(state * question[:, None], axis=2), axis=1)  # [B, M]
        memory = ops.sum(weight[:, :, None] * state, axis=1)
        hidden = prelu(question + ops.matmul(memory, self.from_memory), self.read_slope)
        return self.output_linear(hidden) + self.bias, ops.transpose(gates, (1, 2, 0))

    def vectors(self, ids: Any, mask: Any) -> tuple[Any, Any]:
        """The vectors of sentences [B, S, D], and whether there is such a sentence [B, S]."""
        sentences = split_sentences.split(ids)
        positions = ops.minimum(sentences.position, self.max_words - 1)
        return sum_words(
            ops.take(self.table, sentences.ids, axis=0) * ops.take(mask, positions, axis=0), sentences
        ), sentences.real
