"""Captioning models: the decoders of translation over the regions of a picture.

Shapes: B batch, L regions, U target, D states, V vocabulary. In the docstrings of the decoders, T source tokens are the L regions.
"""

import itertools
from typing import Any

import keras
from keras import ops

from textpipe.layers.attention import padding_bias
from textpipe.layers.dropout import Dropout
from textpipe.layers.inputs import single_feature
from textpipe.layers.normalization import LayerNorm
from textpipe.layers.rnn_decoder import Decoder
from textpipe.layers.rnn_encoder import dropout
from textpipe.layers.transformer_block import Block
from textpipe.layers.uniform_dropout import Dropout as WordDropout
from textpipe.nets.recurrent import RecurrentModel
from textpipe.nets.transformer import TransformerModel

SEED_STEP = 1_000_003  # encoder and decoder start from different weights


class Regions(keras.Model):
    """What is common to both: an encoder of pictures, and positions in place of source tokens."""

    encoder: Any
    decoder: Any
    seeds: Any

    @property
    def grid(self) -> tuple[int, int]:
        """Rows and columns of the regions."""
        return self.encoder.grid

    def source_ids(self, inputs: Any) -> Any:
        """The regions as ids [B, L]; 0, the padding, for no picture."""
        return self.encoder.region_ids(single_feature(inputs))

    def regions(self, inputs: Any, training: bool) -> tuple[Any, Any]:
        """{field: pixels [B, H, W, C]} -> states [B, L, D], real [B, L], which is 1 for regions of a picture."""
        states, mask = self.encoder(single_feature(inputs), training=training)
        return states, ops.cast(mask, states.dtype)

    def table(self, rows: int, width: int, name: str, scale: int | None = None) -> Any:
        """A matrix whose rows have length about 1 as softmax weights, as in translation."""
        normal = keras.initializers.RandomNormal(stddev=(scale or width) ** -0.5, seed=next(self.seeds))
        return self.add_weight(shape=(rows, width), initializer=normal, name=name)


class RecurrentCaptioner(Regions, RecurrentModel):
    """A recurrent decoder that attends to regions; it starts from their mean (Xu et al. 2015, section 3.1.2)."""

    def __init__(self, config: Any, encoder: Any, target_size: int, *, seed: int) -> None:
        keras.Model.__init__(self, name="captioner")
        self.config, self.target_size = config, target_size
        self.seeds = itertools.count((seed + SEED_STEP) * 100_003)
        self.encoder = encoder
        self.decoder = Decoder(config, self.seeds, name="decoder")
        self.target_drop = dropout(config, self.seeds, config.embedding_dropout)

    def build(self, input_shape: Any = None) -> None:
        config, size = self.config, self.config.embedding_size
        self.target_embedding = self.table(self.target_size, size, "target_embedding")
        self.encoder.build()
        self.decoder.build()
        if not config.tie_embeddings:
            self.output_weight = self.table(self.target_size, self.decoder.readout_size, "output_weight", size)
        self.target_drop.build((None, None, size))
        if config.word_dropout:
            self.target_word_drop = WordDropout(config.word_dropout, noise_shape=(None, None, 1), seed=next(self.seeds))
            self.target_word_drop.build((None, None, size))
        self.built = True

    def encode(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """{field: pixels [B, H, W, C]} -> memory: a dict of tensors whose first axis is B."""
        states, real = self.regions(inputs, training)
        count = ops.maximum(ops.sum(real, axis=1, keepdims=True), 1)
        mean = ops.sum(states * real[:, :, None], axis=1) / count
        num_states = self.decoder.cells[-1].num_states
        memory = {"bias": padding_bias(real), "last": ((mean,) * num_states,)}
        if self.decoder.attention is not None:
            memory |= self.decoder.attention.prepare(states)
        return memory


class TransformerCaptioner(Regions, TransformerModel):
    """A transformer's decoder that attends to regions, which a linear map brings to its width."""

    def __init__(self, config: Any, encoder: Any, target_size: int, *, seed: int) -> None:
        keras.Model.__init__(self, name="captioner")
        self.config, self.target_size = config, target_size
        self.seeds = seeds = itertools.count((seed + SEED_STEP) * 100_003)
        self.encoder = encoder
        glorot = keras.initializers.GlorotUniform(seed=next(seeds))
        self.bridge = keras.layers.Dense(config.d_model, kernel_initializer=glorot, name="bridge")
        layers = config.decoder_layers or config.layers
        self.decoder = [Block(config, seeds, in_decoder=True, name=f"decoder_{index}") for index in range(layers)]
        self.decoder_norm = LayerNorm(config.d_model, name="decoder_norm") if config.norm == "pre" else None
        self.target_drop = Dropout(config.dropout, seed=next(seeds), name="target_drop")
        self.target_word_drop = Dropout(config.word_dropout, seed=next(seeds), name="target_word_drop")

    def build(self, input_shape: Any = None) -> None:
        size = self.config.d_model
        self.target_embedding = self.table(self.target_size, size, "target_embedding")
        if not self.config.tie_embeddings:
            self.output_weight = self.table(self.target_size, size, "output_weight")
        self.bridge.build((None, None, self.encoder.state_size))
        norms = [norm for norm in (self.decoder_norm,) if norm is not None]
        for layer in (self.encoder, *self.decoder, *norms, self.target_drop, self.target_word_drop):
            layer.build()
        self.built = True

    def encode(self, inputs: Any, training: bool = False) -> dict[str, Any]:
        """{field: pixels [B, H, W, C]} -> memory: a dict of tensors whose first axis is B."""
        states, real = self.regions(inputs, training)
        rows = ops.reshape(self.bridge(states), (-1, self.config.d_model))
        pairs = [block.cross_attention.project_memory(rows, ops.shape(states)[0]) for block in self.decoder]
        keys, values = zip(*pairs, strict=True)
        return {"bias": padding_bias(real), "keys": tuple(keys), "values": tuple(values)}
