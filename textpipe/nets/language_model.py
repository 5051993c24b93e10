"""A language model over an encoder.   Shapes: B batch, T tokens, D states, E embedding, V vocabulary."""

import itertools
from typing import Any

import keras
from keras import ops

from textpipe.nets.bag import Hidden
from textpipe.text.special_tokens import END_ID, PAD_ID, START_ID


class LanguageModel(keras.Model):
    """A token's probabilities from the state of an encoder: ids [B, T] -> logits [B, T, V].

    As BERT's head: a hidden layer of the embedding's width, then the embedding itself as the softmax weights (Press and Wolf 2017).
    causal: trained on the next token; otherwise on masked ones.
    """

    fixed_widths = False  # one traced training step serves batches of any width
    pad_id, start_id, end_id = PAD_ID, START_ID, END_ID

    def __init__(self, encoder: Any, *, causal: bool, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.causal = causal
        seeds = itertools.count(seed * 100_003 + 50_000)  # the encoder's stay well below
        self.encoder = encoder
        self.vocab_size, size = encoder.embedding.vocab_size, encoder.embedding.size
        self.transform = Hidden(
            encoder.state_size, size, activation="gelu", normalization="none", dropout=0.0, seed=next(seeds), name="transform",
        )  # fmt: skip

    def build(self, input_shape: Any = None) -> None:
        for layer in (self.encoder, self.transform):
            layer.build()
        self.bias = self.add_weight(shape=(self.vocab_size,), initializer="zeros", autocast=False, name="bias")
        self.built = True

    def call(self, inputs: Any, ids: Any, training: bool = False) -> Any:
        """Logits [B, T, V]; inputs are not read."""
        return self.project(self.hidden(inputs, ids, training=training))

    def hidden(self, inputs: Any, ids: Any, training: bool = False) -> Any:
        """Hidden vectors [B, T, E]; inputs are not read: the text is that of ids."""
        states, _ = self.encoder(ids, training=training)
        size = ops.shape(states)
        rows = self.transform(ops.reshape(states, (-1, self.encoder.state_size)), training=training)
        return ops.reshape(rows, (size[0], size[1], -1))

    def project(self, hidden: Any) -> Any:
        """Logits of hidden vectors [..., E]."""
        return ops.matmul(hidden, ops.transpose(self.encoder.embedding.table)) + self.bias

    def vector(self, ids: Any) -> Any:
        """The mean of the states of a text's tokens: ids [B, T] -> [B, D]."""
        states, mask = self.encoder(ids, training=False)
        real = ops.cast(mask, states.dtype)[:, :, None]
        return ops.sum(states * real, axis=1) / ops.maximum(ops.sum(real, axis=1), 1)
