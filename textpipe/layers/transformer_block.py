"""Transformer blocks: attention and feed-forward layers with residual connections.   Shapes: B batch, T source, U target,
Q queries, K keys, D model, F feed-forward, H heads, d = D / H.

All tokens of a batch are the rows of one matrix [B * T, D], so that every product with a weight is one large matrix product.
"""

import keras
from keras import ops

from textpipe.layers.dropout import Dropout
from textpipe.layers.normalization import LayerNorm, plain_softmax, softmax
from textpipe.layers.positions import rotate


class Linear(keras.layers.Layer):
    """x W + b for several outputs at once, each with its own Glorot initialization: [N, D] -> [N, sum(outputs)]."""

    def __init__(self, inputs: int, *outputs: int, seeds, **kwargs):
        super().__init__(**kwargs)
        self.inputs, self.outputs = inputs, outputs
        self.initializers = [keras.initializers.GlorotUniform(seed=next(seeds)) for _ in outputs]

    def build(self, input_shape=None):
        def concatenated(shape, dtype=None):
            pairs = zip(self.initializers, self.outputs, strict=True)
            return ops.concatenate(
                [initialize((self.inputs, width), dtype=dtype) for initialize, width in pairs], axis=1
            )

        width = sum(self.outputs)
        self.kernel = self.add_weight(shape=(self.inputs, width), initializer=concatenated, name="kernel")
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs, norm=None):
        """norm: the LayerNorm whose normalize() produced the inputs; its gain and shift are folded into the kernel."""
        if norm is None:
            return ops.matmul(inputs, self.kernel) + self.bias
        kernel, bias = norm.fold(ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias))
        return ops.matmul(inputs, kernel) + bias


class Attention(keras.layers.Layer):
    """Multi-head attention (Vaswani et al. 2017, section 3.2): self-attention, or cross-attention to a memory."""

    def __init__(self, config, seeds, *, cross: bool, **kwargs):
        super().__init__(**kwargs)
        size = config.d_model
        self.num_heads, self.size = config.num_heads, size
        self.cross, self.rotary = cross, not cross and config.positions == "rotary"
        # In self-attention queries, keys and values are computed from the same rows, in one product.
        self.input_linear = Linear(size, *[size] * (1 if cross else 3), seeds=seeds, name="input_linear")
        self.memory_linear = Linear(size, size, size, seeds=seeds, name="memory_linear") if cross else None
        self.output_linear = Linear(size, size, seeds=seeds, name="output_linear")
        self.drop = Dropout(config.attention_dropout, seed=next(seeds), name="drop")

    def build(self, input_shape=None):
        for layer in (self.input_linear, self.memory_linear, self.output_linear, self.drop):
            if layer is not None:
                layer.build()
        self.built = True

    def split_heads(self, rows, batch, count):
        """[B * T, count * D] -> `count` tensors [B, H, T, d]."""
        size = self.size // self.num_heads
        rows = ops.reshape(rows, (batch, -1, count, self.num_heads, size))
        # With `count` as first axis each tensor is contiguous, and unstacking copies nothing.
        return ops.unstack(ops.transpose(rows, (2, 0, 3, 1, 4)), axis=0)

    def project_memory(self, memory, batch, norm=None):
        """Keys and values of a memory [B * T, D]: two [B, H, T, d]."""
        return self.split_heads(self.memory_linear(memory, norm=norm), batch, 2)

    def attend(self, query, key, value, bias, training=False):
        """query [B, H, Q, d], key and value [B, H, K, d] -> [B * Q, D], weights [B, H, Q, K]; bias is added to the scores."""
        query = query * (self.size // self.num_heads) ** -0.5
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = (softmax if training else plain_softmax)(scores if bias is None else scores + bias)
        context = ops.matmul(self.drop(weights, training=training), value)
        rows = ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (-1, self.size))
        return self.output_linear(rows), weights

    def attend_to_rows(self, rows, batch, bias, norm, training):
        """Self-attention: [B * T, D] -> [B * T, D]"""
        query, key, value = self.split_heads(self.input_linear(rows, norm=norm), batch, 3)
        if self.rotary:
            positions = ops.arange(ops.shape(query)[2])
            query, key = rotate(query, positions), rotate(key, positions)
        return self.attend(query, key, value, bias, training)[0]

    def attend_to_memory(self, rows, batch, memory, bias, norm, training=False):
        """Cross-attention: [B * U, D], keys and values [B, H, T, d] -> [B * U, D], weights [B, H, U, T]."""
        (query,) = self.split_heads(self.input_linear(rows, norm=norm), batch, 1)
        return self.attend(query, *memory, bias, training)

    def step(self, rows, cache, positions, bias):
        """One more position: rows [B * W, D], positions [B, W], keys and values [B, H, S, d] -> [B * W, D], cache of S + W.

        bias [B, 1, W, S + W] masks the entries of a batch row's cache that do not belong to each of its W hypotheses.
        """
        query, key, value = self.split_heads(self.input_linear(rows), ops.shape(positions)[0], 3)
        if self.rotary:
            query, key = rotate(query, positions), rotate(key, positions)
        keys, values = (ops.concatenate(pair, axis=2) for pair in zip(cache, (key, value), strict=True))
        return self.attend(query, keys, values, bias)[0], (keys, values)


class FeedForward(keras.layers.Layer):
    """Two linear maps with a nonlinearity between them (Vaswani et al. 2017, equation 2; swiglu: Shazeer 2020, equation 6)."""

    def __init__(self, config, seeds, **kwargs):
        super().__init__(**kwargs)
        self.activation, self.size = config.activation, config.d_ff
        widths = [config.d_ff] * (2 if config.activation == "swiglu" else 1)
        self.inner_linear = Linear(config.d_model, *widths, seeds=seeds, name="inner_linear")
        self.output_linear = Linear(config.d_ff, config.d_model, seeds=seeds, name="output_linear")
        self.drop = Dropout(config.activation_dropout, seed=next(seeds), name="drop")

    def build(self, input_shape=None):
        for layer in (self.inner_linear, self.output_linear, self.drop):
            layer.build()
        self.built = True

    def call(self, rows, norm=None, training=False):
        """[N, D] -> [N, D]"""
        inner = self.inner_linear(rows, norm=norm)
        if self.activation == "swiglu":
            inner = ops.silu(inner[:, : self.size]) * inner[:, self.size :]
        else:
            inner = ops.relu(inner) if self.activation == "relu" else ops.gelu(inner, approximate=False)
        return self.output_linear(self.drop(inner, training=training))


class Block(keras.layers.Layer):
    """Self-attention, in a decoder cross-attention, and feed-forward, each with a residual connection."""

    def __init__(self, config, seeds, *, in_decoder: bool, **kwargs):
        super().__init__(**kwargs)
        self.pre = config.norm == "pre"
        self.self_attention = Attention(config, seeds, cross=False, name="self_attention")
        self.cross_attention = Attention(config, seeds, cross=True, name="cross_attention") if in_decoder else None
        self.feed_forward = FeedForward(config, seeds, name="feed_forward")
        count = 3 if in_decoder else 2
        self.norms = [LayerNorm(config.d_model, name=f"norm_{index}") for index in range(count)]
        self.drops = [Dropout(config.dropout, seed=next(seeds), name=f"drop_{index}") for index in range(count)]

    def build(self, input_shape=None):
        for layer in (self.self_attention, self.cross_attention, self.feed_forward, *self.norms, *self.drops):
            if layer is not None:
                layer.build()
        self.built = True

    def call(self, rows, batch, bias, memory=None, memory_bias=None, training=False):
        """All positions: rows [B * T, D] -> [B * T, D]; memory: keys and values [B, H, T, d] for a decoder's block."""

        def self_attention(rows, norm):
            return self.self_attention.attend_to_rows(rows, batch, bias, norm, training)

        def cross_attention(rows, norm):
            return self.cross_attention.attend_to_memory(rows, batch, memory, memory_bias, norm, training)[0]

        def feed_forward(rows, norm):
            return self.feed_forward(rows, norm=norm, training=training)

        sublayers = [self_attention, feed_forward]
        if self.cross_attention is not None:
            sublayers.insert(1, cross_attention)
        for sublayer, norm, drop in zip(sublayers, self.norms, self.drops, strict=True):
            if self.pre:
                rows = rows + drop(sublayer(norm.normalize(rows), norm), training=training)
            else:
                rows = norm(rows + drop(sublayer(rows, None), training=training))
        return rows

    def step(self, rows, cache, positions, bias, memory, memory_bias):
        """One more position of a decoder: rows [B * W, D] -> rows [B * W, D], cache, weights [B, H, W, T]."""

        def residual(rows, norm, sublayer):
            outputs, *extra = sublayer(norm(rows) if self.pre else rows)
            return rows + outputs if self.pre else norm(rows + outputs), extra

        rows, (cache,) = residual(
            rows, self.norms[0], lambda rows: self.self_attention.step(rows, cache, positions, bias)
        )
        rows, (weights,) = residual(
            rows,
            self.norms[1],
            lambda rows: self.cross_attention.attend_to_memory(
                rows, ops.shape(positions)[0], memory, memory_bias, None
            ),
        )
        rows, _ = residual(rows, self.norms[2], lambda rows: (self.feed_forward(rows),))
        return rows, cache, weights
