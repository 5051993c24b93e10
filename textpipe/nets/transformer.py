"""The transformer.   Shapes: B batch, T source, U target, S steps so far, W hypotheses of a row, D model, H heads,
d = D / H, V vocabulary.

Outside of attention all tokens of a batch are the rows of one matrix [B * T, D] (layers/transformer_block.py). Keys and values of
the source are computed once, by `encode`. Those of the target so far are in the state, and grow by one position per step.
"""

import itertools

import keras
from keras import ops

from textpipe.layers.attention import padding_bias
from textpipe.layers.dropout import Dropout
from textpipe.layers.inputs import single_feature
from textpipe.layers.normalization import LayerNorm
from textpipe.layers.positions import sinusoidal
from textpipe.layers.transformer_block import Block

PAD_ID, START_ID, END_ID = 0, 2, 3
MASKED = -1e9


class TransformerModel(keras.Model):
    """Encoder, decoder and vocabulary; see models/transformer.py for the options.

    `hidden` and `project` are the two halves of a call, so that a loss projects only the positions it counts.
    """

    pad_id, start_id, end_id = PAD_ID, START_ID, END_ID
    shares_memory = True  # the hypotheses of a row share one memory: see step
    fixed_widths = False  # one traced training step serves batches of any width

    def __init__(self, config, source_size: int, target_size: int, *, seed: int):
        super().__init__(name="transformer")
        self.config = config
        self.source_size, self.target_size = source_size, target_size
        # Models with consecutive seeds must not share weight seeds.
        self.seeds = seeds = itertools.count(seed * 100_003)
        encoder_layers, decoder_layers = config.encoder_layers or config.layers, config.decoder_layers or config.layers
        self.encoder = [
            Block(config, seeds, in_decoder=False, name=f"encoder_{index}") for index in range(encoder_layers)
        ]
        self.decoder = [
            Block(config, seeds, in_decoder=True, name=f"decoder_{index}") for index in range(decoder_layers)
        ]
        # Post-norm blocks already end with a normalization.
        self.encoder_norm = LayerNorm(config.d_model, name="encoder_norm") if config.norm == "pre" else None
        self.decoder_norm = LayerNorm(config.d_model, name="decoder_norm") if config.norm == "pre" else None
        self.source_drop = Dropout(config.dropout, seed=next(seeds), name="source_drop")
        self.target_drop = Dropout(config.dropout, seed=next(seeds), name="target_drop")
        self.source_word_drop = Dropout(config.word_dropout, seed=next(seeds), name="source_word_drop")
        self.target_word_drop = Dropout(config.word_dropout, seed=next(seeds), name="target_word_drop")

    def build(self, input_shape=None):
        size = self.config.d_model

        def table(rows, name):
            # Rows have length about 1 as softmax weights; `embed` scales them up as inputs.
            normal = keras.initializers.RandomNormal(stddev=size**-0.5, seed=next(self.seeds))
            return self.add_weight(shape=(rows, size), initializer=normal, name=name)

        self.target_embedding = table(self.target_size, "target_embedding")
        if not self.config.share_embeddings:
            self.source_embedding = table(self.source_size, "source_embedding")
        if not self.config.tie_embeddings:
            self.output_weight = table(self.target_size, "output_weight")
        norms = [norm for norm in (self.encoder_norm, self.decoder_norm) if norm is not None]
        drops = (self.source_drop, self.target_drop, self.source_word_drop, self.target_word_drop)
        for layer in (*self.encoder, *self.decoder, *norms, *drops):
            layer.build()
        self.built = True

    def call(self, inputs, target_in, training=False):
        """inputs {field: [B, T]}, target_in [B, U] with start_id first -> logits [B, U, V]."""
        return self.project(self.hidden(inputs, target_in, training=training))

    def hidden(self, inputs, target_in, training=False):
        """The vectors that `project` maps to logits: inputs {field: [B, T]}, target_in [B, U] -> [B, U, D]."""
        memory = self.encode(inputs, training=training)
        batch, width = ops.shape(target_in)[0], ops.shape(target_in)[1]
        rows = self.embed(self.target_embedding, target_in, self.target_word_drop, self.target_drop, training)
        positions = ops.arange(width)
        # Causal mask. It needs no padding mask: padding comes after all real positions.
        bias = ops.where(positions[None, :] > positions[:, None], ops.cast(MASKED, rows.dtype), ops.cast(0, rows.dtype))
        for layer, block in enumerate(self.decoder):
            pair = memory["keys"][layer], memory["values"][layer]
            rows = block(
                rows,
                batch=batch,
                bias=bias,
                memory=pair,
                memory_bias=memory["bias"][:, None, None, :],
                training=training,
            )
        if self.decoder_norm is not None:
            rows = self.decoder_norm(rows)
        return ops.reshape(rows, (batch, width, self.config.d_model))

    def project(self, hidden):
        """Logits from hidden vectors: [..., D] -> [..., V].

        There is no bias: it would cost two more passes over all logits, and a constant component of hidden does the same.
        """
        weight = self.target_embedding if self.config.tie_embeddings else self.output_weight
        return ops.matmul(hidden, ops.transpose(weight))

    def embed(self, table, ids, word_drop, drop, training):
        """Scaled embeddings plus sinusoidal positions, if configured: ids [B, T] -> [B * T, D]."""
        size, batch, width = self.config.d_model, ops.shape(ids)[0], ops.shape(ids)[1]
        rows = ops.take(table, ops.reshape(ids, (-1,)), axis=0) * size**0.5
        if self.config.word_dropout and training:
            rows = rows * word_drop.mask((batch * width, 1), rows.dtype)
        if self.config.positions == "sinusoidal":
            positions = ops.cast(sinusoidal(ops.arange(width), size), rows.dtype)
            rows = ops.reshape(ops.reshape(rows, (batch, width, size)) + positions, (-1, size))
        return drop(rows, training=training)

    def encode(self, inputs, training=False):
        """inputs {field: ids [B, T]} -> memory: a dict of tensors whose first axis is B."""
        source = single_feature(inputs)
        batch = ops.shape(source)[0]
        bias = padding_bias(ops.cast(ops.not_equal(source, PAD_ID), self.compute_dtype))  # [B, T]
        table = self.target_embedding if self.config.share_embeddings else self.source_embedding
        rows = self.embed(table, source, self.source_word_drop, self.source_drop, training)
        for block in self.encoder:
            rows = block(rows, batch=batch, bias=bias[:, None, None, :], training=training)
        norm = self.encoder_norm
        if norm is not None:
            rows = norm.normalize(rows)
        pairs = [block.cross_attention.project_memory(rows, batch, norm) for block in self.decoder]
        keys, values = zip(*pairs, strict=True)
        return {"bias": bias, "keys": tuple(keys), "values": tuple(values)}

    def start(self, memory):
        """memory -> state before the first step. state["memory"] is constant and the same for all hypotheses of a row."""
        bias, config = memory["bias"], self.config
        batch, zero = ops.shape(bias)[0], ops.shape(bias)[0] * 0

        def empty():
            shape = (batch, config.num_heads, zero, config.d_model // config.num_heads)
            return tuple(ops.zeros(shape, dtype=bias.dtype) for _ in self.decoder)

        return {
            "memory": memory,
            "cache": {"keys": empty(), "values": empty()},
            "ancestor_bias": ops.zeros((batch, zero), dtype=bias.dtype),
            "places": ops.zeros((batch,), dtype="int32"),
        }

    def step(self, state, ids, project=None):
        """The next token: ids [B * W] -> logits [B * W, V], state, attention [B * W, T].

        In a state, "memory" and "cache" have B rows and the rest has B * W, the W hypotheses of a row being adjacent. The
        cache holds the keys and values of every hypothesis a row ever had, and ancestor_bias [B * W, S] is 0 for the ancestors of a
        hypothesis and MASKED for others. So hypotheses are reordered without moving the cache, and a row's W queries are
        one matrix. W is 1 for decoders that reorder the whole state.

        The attention is the mean over heads of the next-to-last layer, which aligns translations best (Garg et al. 2019,
        section 4.1), or of the only layer. project: computes the logits; the method `project` by default.
        """
        memory, cache, size = state["memory"], state["cache"], self.config.d_model
        count = ops.shape(memory["bias"])[0]
        rows = ops.take(self.target_embedding, ids, axis=0) * size**0.5
        if self.config.positions == "sinusoidal":
            rows = rows + ops.cast(sinusoidal(state["places"], size), rows.dtype)
        positions = ops.reshape(state["places"], (count, -1))
        width = ops.shape(positions)[1]
        slots = ops.arange(width)
        own_slot = ops.where(slots[:, None] == slots[None, :], ops.cast(0, rows.dtype), ops.cast(MASKED, rows.dtype))
        ancestor_bias = ops.concatenate([state["ancestor_bias"], ops.tile(own_slot, (count, 1))], axis=1)
        bias = ops.reshape(ancestor_bias, (count, 1, width, ops.shape(ancestor_bias)[1]))
        memory_bias = memory["bias"][:, None, None, :]
        keys, values, attention = [], [], None
        reported_layer = max(len(self.decoder) - 2, 0)
        for layer, block in enumerate(self.decoder):
            rows, layer_cache, weights = block.step(
                rows,
                (cache["keys"][layer], cache["values"][layer]),
                positions,
                bias,
                (memory["keys"][layer], memory["values"][layer]),
                memory_bias,
            )
            keys.append(layer_cache[0])
            values.append(layer_cache[1])
            if layer == reported_layer:
                attention = ops.reshape(ops.mean(weights, axis=1), (-1, ops.shape(weights)[3]))
        if self.decoder_norm is not None:
            rows = self.decoder_norm(rows)
        after = {
            "memory": memory,
            "cache": {"keys": tuple(keys), "values": tuple(values)},
            "ancestor_bias": ancestor_bias,
            "places": state["places"] + 1,
        }
        return (project or self.project)(rows), after, attention

    def step_function(self):
        """`step` for use in a loop: the softmax weight is transposed once."""
        weight = ops.transpose(self.target_embedding if self.config.tie_embeddings else self.output_weight)
        return lambda state, ids: self.step(state, ids, lambda hidden: ops.matmul(hidden, weight))
