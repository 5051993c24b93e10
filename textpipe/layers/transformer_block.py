"""A transformer's blocks: attention and feed-forward, each added to what it read.   Shapes: B batch, T source, U target,
Q queries, K keys, D model, F feed-forward, H heads, d = D / H.

All tokens of a batch are the rows of one matrix [B * T, D], so that every product with a weight is one large matrix product.
"""

import keras
from keras import ops

from textpipe.layers.dropout import Dropout
from textpipe.layers.normalization import LayerNorm, plain_softmax, softmax
from textpipe.layers.positions import rotate


class Linear(keras.layers.Layer):
    """x W + b, with kernels side by side that each start as Glorot and Bengio (2010) say: [N, D] -> [N, sum(outputs)]."""

    def __init__(self, inputs: int, *outputs: int, seeds, **kwargs):
        super().__init__(**kwargs)
        self.inputs, self.outputs = inputs, outputs
        self.initializers = [keras.initializers.GlorotUniform(seed=next(seeds)) for _ in outputs]

    def build(self, input_shape=None):
        def side_by_side(shape, dtype=None):
            parts = zip(self.initializers, self.outputs, strict=True)
            return ops.concatenate([one((self.inputs, width), dtype=dtype) for one, width in parts], axis=1)

        width = sum(self.outputs)
        self.kernel = self.add_weight(shape=(self.inputs, width), initializer=side_by_side, name="kernel")
        self.bias = self.add_weight(shape=(width,), initializer="zeros", name="bias")
        self.built = True

    def call(self, inputs, norm=None):
        """norm: the LayerNorm whose normalize() made the inputs and whose gain and shift are still to be applied."""
        if norm is None:
            return ops.matmul(inputs, self.kernel) + self.bias
        kernel, bias = norm.fold(ops.convert_to_tensor(self.kernel), ops.convert_to_tensor(self.bias))
        return ops.matmul(inputs, kernel) + bias


class Attention(keras.layers.Layer):
    """Multi-head attention (Vaswani et al. 2017, section 3.2) of rows over themselves or over a memory."""

    def __init__(self, config, seeds, *, own: bool, **kwargs):
        super().__init__(**kwargs)
        size = config.d_model
        self.num_heads, self.size = config.num_heads, size
        self.own, self.rotary = own, own and config.positions == "rotary"
        # Queries, keys and values of self-attention read the same rows: one product for the three.
        self.reads = Linear(size, *[size] * (3 if own else 1), seeds=seeds, name="reads")
        self.remembers = None if own else Linear(size, size, size, seeds=seeds, name="remembers")
        self.writes = Linear(size, size, seeds=seeds, name="writes")
        self.drop = Dropout(config.attention_dropout, seed=next(seeds), name="drop")

    def build(self, input_shape=None):
        for part in (self.reads, self.remembers, self.writes, self.drop):
            if part is not None:
                part.build()
        self.built = True

    def heads(self, rows, batch, parts):
        """[B * T, parts * D] -> one [B, H, T, d] for each part."""
        size = self.size // self.num_heads
        rows = ops.reshape(rows, (batch, -1, parts, self.num_heads, size))
        # The parts come first, so that each is one piece of memory: cutting it off copies nothing.
        return ops.unstack(ops.transpose(rows, (2, 0, 3, 1, 4)), axis=0)

    def remember(self, memory, batch, norm=None):
        """Keys and values of a memory [B * T, D]: two [B, H, T, d]."""
        return self.heads(self.remembers(memory, norm=norm), batch, 2)

    def attend(self, query, key, value, bias, training=False):
        """[B, H, Q, d] over [B, H, K, d] -> [B * Q, D], weights [B, H, Q, K]; bias is added to the scores."""
        query = query * (self.size // self.num_heads) ** -0.5
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2)))
        weights = (softmax if training else plain_softmax)(scores if bias is None else scores + bias)
        context = ops.matmul(self.drop(weights, training=training), value)
        rows = ops.reshape(ops.transpose(context, (0, 2, 1, 3)), (-1, self.size))
        return self.writes(rows), weights

    def over_itself(self, rows, batch, bias, norm, training):
        """[B * T, D] -> [B * T, D]"""
        query, key, value = self.heads(self.reads(rows, norm=norm), batch, 3)
        if self.rotary:
            places = ops.arange(ops.shape(query)[2])
            query, key = rotate(query, places), rotate(key, places)
        return self.attend(query, key, value, bias, training)[0]

    def over_memory(self, rows, batch, memory, bias, norm, training=False):
        """[B * U, D] over keys and values [B, H, T, d] -> [B * U, D], weights [B, H, U, T]."""
        (query,) = self.heads(self.reads(rows, norm=norm), batch, 1)
        return self.attend(query, *memory, bias, training)

    def step(self, rows, cache, places, bias):
        """One more place: rows [B * W, D], places [B, W], keys and values [B, H, S, d] -> [B * W, D], cache with S + W.

        bias [B, 1, W, S + W] says what of a batch row's cache belongs to which of its W hypotheses.
        """
        query, key, value = self.heads(self.reads(rows), ops.shape(places)[0], 3)
        if self.rotary:
            query, key = rotate(query, places), rotate(key, places)
        keys, values = (ops.concatenate(pair, axis=2) for pair in zip(cache, (key, value), strict=True))
        return self.attend(query, keys, values, bias)[0], (keys, values)


class FeedForward(keras.layers.Layer):
    """Two products with a nonlinearity between (Vaswani et al. 2017, equation 2; swiglu: Shazeer 2020, equation 6)."""

    def __init__(self, config, seeds, **kwargs):
        super().__init__(**kwargs)
        self.activation, self.size = config.activation, config.d_ff
        widths = [config.d_ff] * (2 if config.activation == "swiglu" else 1)
        self.reads = Linear(config.d_model, *widths, seeds=seeds, name="reads")
        self.writes = Linear(config.d_ff, config.d_model, seeds=seeds, name="writes")
        self.drop = Dropout(config.activation_dropout, seed=next(seeds), name="drop")

    def build(self, input_shape=None):
        for part in (self.reads, self.writes, self.drop):
            part.build()
        self.built = True

    def call(self, rows, norm=None, training=False):
        """[N, D] -> [N, D]"""
        inner = self.reads(rows, norm=norm)
        if self.activation == "swiglu":
            inner = ops.silu(inner[:, : self.size]) * inner[:, self.size :]
        else:
            inner = ops.relu(inner) if self.activation == "relu" else ops.gelu(inner, approximate=False)
        return self.writes(self.drop(inner, training=training))


class Block(keras.layers.Layer):
    """Self-attention, in a decoder attention over the memory, feed-forward: each added to what it read."""

    def __init__(self, config, seeds, *, decodes: bool, **kwargs):
        super().__init__(**kwargs)
        self.pre = config.norm == "pre"
        self.itself = Attention(config, seeds, own=True, name="itself")
        self.memory = Attention(config, seeds, own=False, name="memory") if decodes else None
        self.feed_forward = FeedForward(config, seeds, name="feed_forward")
        count = 3 if decodes else 2
        self.norms = [LayerNorm(config.d_model, name=f"norm_{place}") for place in range(count)]
        self.drops = [Dropout(config.dropout, seed=next(seeds), name=f"drop_{place}") for place in range(count)]

    def build(self, input_shape=None):
        for part in (self.itself, self.memory, self.feed_forward, *self.norms, *self.drops):
            if part is not None:
                part.build()
        self.built = True

    def call(self, rows, batch, bias, memory=None, memory_bias=None, training=False):
        """All places: rows [B * T, D] -> [B * T, D]; memory: keys and values [B, H, T, d] for a decoder's block."""

        def itself(rows, norm):
            return self.itself.over_itself(rows, batch, bias, norm, training)

        def over_memory(rows, norm):
            return self.memory.over_memory(rows, batch, memory, memory_bias, norm, training)[0]

        def feed_forward(rows, norm):
            return self.feed_forward(rows, norm=norm, training=training)

        parts = [itself, feed_forward] if self.memory is None else [itself, over_memory, feed_forward]
        for part, norm, drop in zip(parts, self.norms, self.drops, strict=True):
            if self.pre:
                rows = rows + drop(part(norm.normalize(rows), norm), training=training)
            else:
                rows = norm(rows + drop(part(rows, None), training=training))
        return rows

    def step(self, rows, cache, places, bias, memory, memory_bias):
        """One more place of a decoder: rows [B * W, D] -> rows [B * W, D], cache, weights [B, H, W, T]."""

        def added(rows, norm, part):
            found, *more = part(norm(rows) if self.pre else rows)
            return rows + found if self.pre else norm(rows + found), more

        rows, (cache,) = added(rows, self.norms[0], lambda rows: self.itself.step(rows, cache, places, bias))
        rows, (weights,) = added(
            rows,
            self.norms[1],
            lambda rows: self.memory.over_memory(rows, ops.shape(places)[0], memory, memory_bias, None),
        )
        rows, _ = added(rows, self.norms[2], lambda rows: (self.feed_forward(rows),))
        return rows, cache, weights
