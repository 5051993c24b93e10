"""Encoders: a vector for each token of a text.   Shapes: B batch, T tokens, E embedding, D states.

Each layer is called as layer(ids [B, T], training=...) -> states [B, T, D], mask [B, T], True at tokens. `state_size` is D;
the last `backward_size` of the D features were read from the end of the text. States at padding are meaningless.
"""

import itertools
from collections.abc import Iterator
from typing import Any

import keras
from keras import ops

from textpipe.layers.attention import MASKED, padding_bias
from textpipe.layers.convolution import Convolution
from textpipe.layers.dropout import Dropout
from textpipe.layers.embedding import Embedding
from textpipe.layers.normalization import LayerNorm
from textpipe.layers.positions import sinusoidal
from textpipe.layers.rnn_encoder import Encoder as RecurrentLayers
from textpipe.layers.rnn_encoder import dropout
from textpipe.layers.transformer_block import Block


class Encoder(keras.layers.Layer):
    """Base class: seeds, and sublayers that are built with the layer."""

    backward_size = 0

    def __init__(self, config: Any, state_size: int, *, seed: int, **options: Any) -> None:
        super().__init__(**options)
        self.config, self.state_size = config, state_size
        # Models with consecutive seeds must not share weight seeds.
        self.seeds: Iterator[int] = itertools.count(seed * 100_003)

    def sublayers(self) -> Iterator[keras.layers.Layer]:
        """The sublayers, in the order in which they are built."""
        raise NotImplementedError

    def build(self, input_shape: Any = None) -> None:
        for layer in self.sublayers():
            layer.build()
        self.built = True


class BagEncoder(Encoder):
    """Token embeddings only."""

    def __init__(self, config: Any, vocab_size: int, *, seed: int, **options: Any) -> None:
        super().__init__(config, config.embedding_size, seed=seed, **options)
        self.embedding = Embedding(
            vocab_size, config.embedding_size, word_dropout=config.word_dropout, seeds=self.seeds, name="embedding"
        )
        self.drop = Dropout(config.embedding_dropout, seed=next(self.seeds), name="drop")

    def sublayers(self) -> Iterator[keras.layers.Layer]:
        yield from (self.embedding, self.drop)

    def call(self, ids: Any, training: bool = False) -> tuple[Any, Any]:
        vectors, mask = self.embedding(ids, training=training)
        return self.drop(vectors, training=training), mask


class ConvolutionEncoder(BagEncoder):
    """Embeddings followed by convolution layers (Kim 2014; Johnson & Zhang 2017)."""

    def __init__(self, config: Any, vocab_size: int, *, seed: int, **options: Any) -> None:
        super().__init__(config, vocab_size, seed=seed, **options)
        self.layers = []
        self.drops = []
        for index in range(config.layers):
            layer = Convolution(
                self.state_size, config.filters, config.kernel_sizes, seeds=self.seeds, name=f"layer_{index}"
            )
            self.layers.append(layer)
            self.state_size = layer.outputs
        for index in range(1, config.layers):
            self.drops.append(Dropout(config.dropout, seed=next(self.seeds), name=f"drop_{index}"))
        self.activation = keras.activations.get(config.activation)

    def sublayers(self) -> Iterator[keras.layers.Layer]:
        yield from (*super().sublayers(), *self.layers, *self.drops)

    def call(self, ids: Any, training: bool = False) -> tuple[Any, Any]:
        states, mask = super().call(ids, training=training)
        real = ops.cast(mask, states.dtype)[:, :, None]
        for index, layer in enumerate(self.layers):
            if index:
                states = self.drops[index - 1](states, training=training)
            states = self.activation(layer(states * real))  # [B, T, D]
        return states, mask


class RecurrentEncoder(Encoder):
    """Embeddings followed by recurrent layers in one or both directions."""

    def __init__(self, config: Any, vocab_size: int, *, seed: int, **options: Any) -> None:
        super().__init__(config, config.memory_size, seed=seed, **options)
        self.backward_size = config.memory_size // 2 if config.directions == 2 else 0
        self.embedding = Embedding(
            vocab_size, config.embedding_size, word_dropout=config.word_dropout, seeds=self.seeds, name="embedding"
        )
        self.drop = dropout(config, self.seeds, config.embedding_dropout)
        self.layers = RecurrentLayers(config, self.seeds, name="layers")

    def sublayers(self) -> Iterator[keras.layers.Layer]:
        yield self.embedding
        yield self.layers

    def build(self, input_shape: Any = None) -> None:
        self.drop.build((None, None, self.config.embedding_size))
        super().build()

    def call(self, ids: Any, training: bool = False) -> tuple[Any, Any]:
        vectors, mask = self.embedding(ops.transpose(ids), training=training)  # [T, B, E]: time first
        vectors = self.drop(vectors, training=training)
        states, _ = self.layers(vectors, ops.cast(mask, vectors.dtype), training=training)
        return ops.transpose(states, (1, 0, 2)), ops.transpose(mask)


class TransformerEncoder(Encoder):
    """Embeddings with positions, followed by blocks of self-attention and feed-forward (Vaswani et al. 2017)."""

    def __init__(self, config: Any, vocab_size: int, *, seed: int, **options: Any) -> None:
        super().__init__(config, config.d_model, seed=seed, **options)
        size = config.d_model
        # Unit variance after scaling, like the positions added to it.
        self.embedding = Embedding(
            vocab_size,
            size,
            stddev=size**-0.5,
            scale=size**0.5,
            word_dropout=config.word_dropout,
            seeds=self.seeds,
            name="embedding",
        )
        self.drop = Dropout(config.dropout, seed=next(self.seeds), name="drop")
        self.blocks = [
            Block(config, self.seeds, in_decoder=False, name=f"block_{index}") for index in range(config.layers)
        ]
        # Post-norm blocks already end with a normalization.
        self.norm = LayerNorm(size, name="norm") if config.norm == "pre" else None

    def sublayers(self) -> Iterator[keras.layers.Layer]:
        yield from (self.embedding, self.drop, *self.blocks, *([self.norm] if self.norm is not None else []))

    def call(self, ids: Any, training: bool = False) -> tuple[Any, Any]:
        vectors, mask = self.embedding(ids, training=training)
        batch, width = ops.shape(ids)[0], ops.shape(ids)[1]
        if self.config.positions == "sinusoidal":
            vectors = vectors + ops.cast(sinusoidal(ops.arange(width), self.state_size), vectors.dtype)
        bias = padding_bias(ops.cast(mask, vectors.dtype))[:, None, None, :]
        if self.config.causal:
            later = ops.arange(width)[None, :] > ops.arange(width)[:, None]  # [T, T]
            bias = ops.minimum(bias, ops.cast(later, bias.dtype) * MASKED)  # [B, 1, T, T]
        rows = self.drop(ops.reshape(vectors, (-1, self.state_size)), training=training)  # [B * T, D]
        for block in self.blocks:
            rows = block(rows, batch=batch, bias=bias, training=training)
        if self.norm is not None:
            rows = self.norm(rows)
        return ops.reshape(rows, (batch, width, self.state_size)), mask
