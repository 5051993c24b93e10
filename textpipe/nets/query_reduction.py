"""Query-reduction network.   Shapes: B batch, T tokens, S sentences, D vector, K layers, V vocabulary, L logits.

Seo, Min, Farhadi and Hajishirzi 2017, Query-Reduction Networks for Question Answering.
"""

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from textpipe.layers import sentences as split_sentences
from textpipe.layers.linear_recurrence import linear_recurrence
from textpipe.layers.sentences import PositionEncoding
from textpipe.nets.bag import Linear
from textpipe.nets.stories import StoryReader


class QueryReduction(StoryReader):
    """{story: ids [B, T], question: ids [B, Q]} -> logits [B, L]; L = 1 for two classes, the log-odds of the second.

    Sentence by sentence, each layer reduces the question to one that is easier: of a sentence x and a question q it makes the candidate
    tanh(W [x; q] + b), and replaces its state by it as far as the gate sigmoid(W' (x * q) + b') is open. The states of both directions,
    added, are the questions of the next layer; the last layer runs forward, and its last state gives the logits.
    No gate depends on a state, so the recurrence is linear and runs as a parallel scan.

    gates: "vector" has a gate for each entry, "scalar" one for all.
    reset: a second gate of the candidate. gate_bias: initial bias of the update gates; below 0 they start closed.
    l2: see penalty().
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
        layers: int,
        gates: str,
        reset: bool,
        bidirectional: bool,
        gate_bias: float,
        l2: float,
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(story=story, question=question, step="layer", steps=layers, **options)
        self.max_sentences, self.bidirectional, self.l2 = max_sentences, bidirectional, l2
        self.num_logits = num_logits
        seeds = iter(range(seed * 100_003, seed * 100_003 + 50_000))
        normal = keras.initializers.RandomNormal(stddev=size**-0.5, seed=next(seeds))
        self.table = self.add_weight(shape=(vocab_size, size), initializer=normal, name="embedding")
        self.encode = PositionEncoding(size, max_words, name="position_encoding")
        width = size if gates == "vector" else 1
        self.reductions = [
            Reduction(size, width, reset=reset, gate_bias=gate_bias, seeds=seeds, name=f"layer_{number}")
            for number in range(layers)
        ]
        normal = keras.initializers.RandomNormal(stddev=size**-0.5, seed=next(seeds))
        precise = keras.config.dtype_policy().variable_dtype
        self.output_linear = Linear(size, num_logits, initializer=normal, dtype=precise, name="output_linear")

    def build(self, input_shape: Any = None) -> None:
        layers: tuple[Any, ...] = (self.encode, *self.reductions, self.output_linear)
        for layer in layers:
            layer.build(None)
        self.bias = self.add_weight(shape=(self.num_logits,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def penalty(self) -> Any:
        """l2 / 2 times the sum of the squares of all weights but biases."""
        if not self.l2:
            return 0.0
        weights = [weight for weight in self.trainable_weights if len(weight.shape) > 1]
        return self.l2 / 2 * sum(ops.sum(ops.square(weight)) for weight in weights)

    def attend(self, inputs: Mapping[str, Any], *, training: bool = False) -> tuple[Any, Any]:
        """Logits [B, L], and how far the gates are open for each sentence, forward, by layer [B, K, S]."""
        story = split_sentences.split(inputs[self.story])
        asked = split_sentences.split(inputs[self.question])
        sentences = self.encode(ops.take(self.table, story.ids, axis=0), story)  # [B, S, D]
        question = self.encode(ops.take(self.table, asked.ids, axis=0), asked)
        question = ops.sum(question, axis=1, keepdims=True)  # [B, 1, D]
        real = ops.cast(story.real, sentences.dtype)[:, :, None]
        reduced, opened = question + ops.zeros_like(sentences), []
        for number, layer in enumerate(self.reductions):
            gate, candidate = layer(sentences, reduced)
            gate = gate * real  # padding leaves the state as it is
            opened.append(ops.mean(gate, axis=2))
            keep, update, most = 1 - gate, gate * candidate, self.max_sentences
            forward = linear_recurrence(keep, update, most=most)
            last = number == len(self.reductions) - 1
            if self.bidirectional and not last:
                forward = forward + linear_recurrence(keep, update, most=most, reverse=True)
            reduced = forward
        return self.output_linear(reduced[:, -1]) + self.bias, ops.stack(opened, axis=1)


class Reduction(keras.layers.Layer):
    """One layer: sentences and questions [B, S, D] -> gates [B, S, D or 1], candidates [B, S, D]. Both directions share it."""

    def __init__(self, size: int, width: int, *, reset: bool, gate_bias: float, seeds: Any, **options: Any) -> None:
        super().__init__(**options)
        self.size, self.width, self.reset, self.gate_bias = size, width, reset, gate_bias
        self.initializers = [keras.initializers.RandomNormal(stddev=size**-0.5, seed=next(seeds)) for _ in range(3)]

    def build(self, input_shape: Any = None) -> None:
        size, gates = self.size, self.width * (2 if self.reset else 1)
        update, reset, candidate = self.initializers
        self.gate_kernel = self.add_weight(shape=(size, self.width), initializer=update, name="gate_kernel")
        start = keras.initializers.Constant(self.gate_bias)
        self.gate_bias_weight = self.add_weight(shape=(self.width,), initializer=start, name="gate_bias")
        if gates > self.width:
            self.reset_kernel = self.add_weight(shape=(size, self.width), initializer=reset, name="reset_kernel")
            self.reset_bias = self.add_weight(shape=(self.width,), initializer="zeros", name="reset_bias")
        self.kernel = self.add_weight(shape=(2 * size, size), initializer=candidate, name="kernel")
        self.bias = self.add_weight(shape=(size,), initializer="zeros", name="bias")
        self.built = True

    def call(self, sentences: Any, questions: Any) -> tuple[Any, Any]:
        shape = ops.shape(sentences)
        flat, asked = (ops.reshape(values, (-1, self.size)) for values in (sentences, questions))
        kernel, bias = self.gate_kernel, self.gate_bias_weight
        if self.reset:  # one product for both gates
            kernel = ops.concatenate([kernel, self.reset_kernel], axis=1)
            bias = ops.concatenate([bias, self.reset_bias], axis=0)
        gates = ops.sigmoid(ops.matmul(flat * asked, kernel) + bias)
        candidate = ops.tanh(ops.matmul(ops.concatenate([flat, asked], axis=1), self.kernel) + self.bias)
        if self.reset:
            gates, reset = ops.split(gates, 2, axis=1)
            candidate = candidate * reset
        return ops.reshape(gates, (shape[0], shape[1], self.width)), ops.reshape(candidate, shape)
