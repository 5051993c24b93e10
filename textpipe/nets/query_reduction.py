"""Query-reduction network.   Shapes: B batch, T tokens, S sentences, D vector, K layers, V vocabulary, L logits.

Seo, Min, Farhadi and Hajishirzi 2017, Query-Reduction Networks for Question Answering.
"""

from collections.abc import Mapping
from typing import Any, Literal

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
    reset: a second gate of the candidate; "directions": one for each direction, and none in the last layer.
    tie_layers: all layers have the same weights. gate_bias: initial bias of the update gates; below 0 they start closed.
    init_stddev: standard deviation of the initial embeddings and gate kernels; None: 1 / sqrt(size).
    sentence_scale: factor of the vectors of sentences and questions. l2: see penalty().
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
        reset: bool | Literal["directions"],
        tie_layers: bool,
        bidirectional: bool,
        gate_bias: float,
        init_stddev: float | None,
        sentence_scale: float,
        l2: float,
        seed: int,
        **options: Any,
    ) -> None:
        super().__init__(story=story, question=question, step="layer", steps=layers, **options)
        self.max_sentences, self.bidirectional, self.l2 = max_sentences, bidirectional, l2
        self.num_logits, self.num_layers, self.reset = num_logits, layers, reset
        self.sentence_scale, stddev = sentence_scale, init_stddev or size**-0.5
        seeds = iter(range(seed * 100_003, seed * 100_003 + 50_000))
        normal = keras.initializers.RandomNormal(stddev=stddev, seed=next(seeds))
        self.table = self.add_weight(shape=(vocab_size, size), initializer=normal, name="embedding")
        self.encode = PositionEncoding(size, max_words, name="position_encoding")
        width = size if gates == "vector" else 1
        resets = [self.num_resets(number) for number in range(layers)]
        self.reductions = [
            Reduction(
                size, width, resets=count, gate_bias=gate_bias, stddev=stddev, seeds=seeds, name=f"layer_{number}"
            )
            for number, count in enumerate(resets[:1] if tie_layers else resets)
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

    def num_resets(self, number: int) -> int:
        """Reset gates of layer `number`, from 0: 0, 1, or 2 where each of two directions has its own."""
        if self.reset == "directions":
            return 0 if number == self.num_layers - 1 else 1 + self.bidirectional
        return int(self.reset)

    def penalty(self) -> Any:
        """l2 / 2 times the sum of the squares of all weights but biases."""
        if not self.l2:
            return 0.0
        weights = [weight for weight in self.trainable_weights if len(weight.shape) > 1]
        return self.l2 / 2 * sum(ops.sum(ops.square(weight)) for weight in weights)

    def attend(self, inputs: Mapping[str, Any], *, training: bool = False) -> tuple[Any, Any]:
        """Logits [B, L], and how far the gates are open for each sentence, forward, by layer [B, K, S]."""
        story = split_sentences.split(inputs[self.story])
        question_sentences = split_sentences.split(inputs[self.question])
        sentences = self.encode(ops.take(self.table, story.ids, axis=0), story)  # [B, S, D]
        question = self.encode(ops.take(self.table, question_sentences.ids, axis=0), question_sentences)
        question = ops.sum(question, axis=1, keepdims=True)  # [B, 1, D]
        if self.sentence_scale != 1:
            sentences, question = sentences * self.sentence_scale, question * self.sentence_scale
        real = ops.cast(story.real, sentences.dtype)[:, :, None]
        reduced, opened = question + ops.zeros_like(sentences), []
        for number in range(self.num_layers):
            layer = self.reductions[min(number, len(self.reductions) - 1)]
            gate, candidates = layer(sentences, reduced, resets=self.num_resets(number))
            gate = gate * real  # padding leaves the state as it is
            opened.append(ops.mean(gate, axis=2))
            keep, most = 1 - gate, self.max_sentences
            update = gate * candidates[0]
            reduced = linear_recurrence(keep, update, most=most)
            if self.bidirectional and number < self.num_layers - 1:
                if len(candidates) > 1:
                    update = gate * candidates[1]
                reduced = reduced + linear_recurrence(keep, update, most=most, reverse=True)
        return self.output_linear(reduced[:, -1]) + self.bias, ops.stack(opened, axis=1)


class Reduction(keras.layers.Layer):
    """One layer: sentences and questions [B, S, D] -> gates [B, S, D or 1], candidates [B, S, D].

    resets: number of reset gates: 0, 1 for both directions, 2 for a candidate of each direction.
    """

    def __init__(
        self, size: int, width: int, *, resets: int, gate_bias: float, stddev: float, seeds: Any, **options: Any
    ) -> None:
        super().__init__(**options)
        self.size, self.width, self.resets, self.gate_bias = size, width, resets, gate_bias
        self.initializers = [
            keras.initializers.RandomNormal(stddev=scale, seed=next(seeds)) for scale in (stddev, stddev, size**-0.5)
        ]

    def build(self, input_shape: Any = None) -> None:
        size, width = self.size, self.resets * self.width
        update, reset, candidate = self.initializers
        self.gate_kernel = self.add_weight(shape=(size, self.width), initializer=update, name="gate_kernel")
        start = keras.initializers.Constant(self.gate_bias)
        self.gate_bias_weight = self.add_weight(shape=(self.width,), initializer=start, name="gate_bias")
        if self.resets:
            self.reset_kernel = self.add_weight(shape=(size, width), initializer=reset, name="reset_kernel")
            self.reset_bias = self.add_weight(shape=(width,), initializer="zeros", name="reset_bias")
        self.kernel = self.add_weight(shape=(2 * size, size), initializer=candidate, name="kernel")
        self.bias = self.add_weight(shape=(size,), initializer="zeros", name="bias")
        self.built = True

    def call(self, sentences: Any, questions: Any, *, resets: int) -> tuple[Any, list[Any]]:
        """Gates, and the candidate as each reset gate lets it through; resets: how many of them this pass uses, 0 or all."""
        shape = ops.shape(sentences)
        flat, flat_questions = (ops.reshape(values, (-1, self.size)) for values in (sentences, questions))
        kernel, bias = self.gate_kernel, self.gate_bias_weight
        if resets:  # one product for all gates
            kernel = ops.concatenate([kernel, self.reset_kernel], axis=1)
            bias = ops.concatenate([bias, self.reset_bias], axis=0)
        gates = ops.sigmoid(ops.matmul(flat * flat_questions, kernel) + bias)
        candidate = ops.tanh(ops.matmul(ops.concatenate([flat, flat_questions], axis=1), self.kernel) + self.bias)
        gate, *passed = ops.split(gates, 1 + resets, axis=1) if resets else [gates]
        candidates = [candidate * reset for reset in passed] or [candidate]
        return (
            ops.reshape(gate, (shape[0], shape[1], self.width)),
            [ops.reshape(values, shape) for values in candidates],
        )
