"""The transformer.   Shapes: B batch, T source, U target, Q queries, K keys, D model, F feed-forward, H heads,
d = D / H, V vocabulary.

Between attentions all tokens of a batch are the rows of one matrix [B * T, D], so that every product with a weight is
one large matrix product. Keys and values of the source are made once, when it is encoded. In a step, those of the
target so far come from the state, one place longer each time.
"""

import itertools

import keras
from keras import ops

from textpipe.layers.attention import bias_of
from textpipe.layers.dropout import Dropout
from textpipe.layers.normalization import LayerNorm, plain_softmax, softmax
from textpipe.layers.positions import rotate, sinusoidal

PAD_ID, START_ID, END_ID = 0, 2, 3
MASKED = -1e9


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


class TransformerModel(keras.Model):
    """Encoder, decoder and vocabulary; see models/transformer.py for the options.

    `hidden` and `project` are the halves of a call, so that a loss can project the positions it counts and no other.
    """

    pad_id, start_id, end_id = PAD_ID, START_ID, END_ID
    shares_memory = True  # among the hypotheses of a row: see step
    fixed_widths = False  # one traced training step does for batches of any width

    def __init__(self, config, source_size: int, target_size: int, *, seed: int):
        super().__init__(name="transformer")
        self.config = config
        self.source_size, self.target_size = source_size, target_size
        # Seeds of neighbouring models must not meet: model 1's second weight is not model 2's first.
        self.seeds = seeds = itertools.count(seed * 100_003)
        encoder_layers, decoder_layers = config.encoder_layers or config.layers, config.decoder_layers or config.layers
        self.encoder = [Block(config, seeds, decodes=False, name=f"encoder_{at}") for at in range(encoder_layers)]
        self.decoder = [Block(config, seeds, decodes=True, name=f"decoder_{at}") for at in range(decoder_layers)]
        # Post-norm blocks end with a normalization of their own.
        self.encoder_norm = LayerNorm(config.d_model, name="encoder_norm") if config.norm == "pre" else None
        self.decoder_norm = LayerNorm(config.d_model, name="decoder_norm") if config.norm == "pre" else None
        self.source_drop = Dropout(config.dropout, seed=next(seeds), name="source_drop")
        self.target_drop = Dropout(config.dropout, seed=next(seeds), name="target_drop")
        self.source_word_drop = Dropout(config.word_dropout, seed=next(seeds), name="source_word_drop")
        self.target_word_drop = Dropout(config.word_dropout, seed=next(seeds), name="target_word_drop")

    def build(self, input_shape=None):
        size = self.config.d_model

        def table(rows, name):
            # As a softmax weight a row must have length about 1; as an input it is scaled up in `embed`.
            normal = keras.initializers.RandomNormal(stddev=size**-0.5, seed=next(self.seeds))
            return self.add_weight(shape=(rows, size), initializer=normal, name=name)

        self.target_embedding = table(self.target_size, "target_embedding")
        if not self.config.share_embeddings:
            self.source_embedding = table(self.source_size, "source_embedding")
        if not self.config.tie_embeddings:
            self.output_weight = table(self.target_size, "output_weight")
        norms = [norm for norm in (self.encoder_norm, self.decoder_norm) if norm is not None]
        drops = (self.source_drop, self.target_drop, self.source_word_drop, self.target_word_drop)
        for part in (*self.encoder, *self.decoder, *norms, *drops):
            part.build()
        self.built = True

    def call(self, source, target_in, training=False):
        """source [B, T], target_in [B, U] with start_id first -> logits [B, U, V]."""
        return self.project(self.hidden(source, target_in, training=training))

    def hidden(self, source, target_in, training=False):
        """What the logits are a linear function of: source [B, T], target_in [B, U] -> [B, U, D]."""
        memory = self.encode(source, training=training)
        batch, width = ops.shape(target_in)[0], ops.shape(target_in)[1]
        rows = self.embed(self.target_embedding, target_in, self.target_word_drop, self.target_drop, training)
        places = ops.arange(width)
        # A place sees itself and those before it; padding comes after all that anybody reads.
        bias = ops.where(places[None, :] > places[:, None], ops.cast(MASKED, rows.dtype), ops.cast(0, rows.dtype))
        for layer, block in enumerate(self.decoder):
            pair = memory["keys"][layer], memory["values"][layer]
            rows = block(
                rows, batch=batch, bias=bias, memory=pair, memory_bias=memory["bias"][:, None, None, :], training=training
            )
        if self.decoder_norm is not None:
            rows = self.decoder_norm(rows)
        return ops.reshape(rows, (batch, width, self.config.d_model))

    def project(self, hidden):
        """Logits from hidden vectors: [..., D] -> [..., V].

        Without a bias: it would cost two more passes over all logits for what a constant direction of hidden can say.
        """
        weight = self.target_embedding if self.config.tie_embeddings else self.output_weight
        return ops.matmul(hidden, ops.transpose(weight))

    def embed(self, table, ids, word_drop, drop, training):
        """Scaled embeddings, with positions if they are added: ids [B, T] -> [B * T, D]."""
        size, batch, width = self.config.d_model, ops.shape(ids)[0], ops.shape(ids)[1]
        rows = ops.take(table, ops.reshape(ids, (-1,)), axis=0) * size**0.5
        if self.config.word_dropout and training:
            rows = rows * word_drop.mask((batch * width, 1), rows.dtype)
        if self.config.positions == "sinusoidal":
            places = ops.cast(sinusoidal(ops.arange(width), size), rows.dtype)
            rows = ops.reshape(ops.reshape(rows, (batch, width, size)) + places, (-1, size))
        return drop(rows, training=training)

    def encode(self, source, training=False):
        """source [B, T] -> memory: a dict of tensors whose first axis is B."""
        batch = ops.shape(source)[0]
        bias = bias_of(ops.cast(ops.not_equal(source, PAD_ID), self.compute_dtype))  # [B, T]
        table = self.target_embedding if self.config.share_embeddings else self.source_embedding
        rows = self.embed(table, source, self.source_word_drop, self.source_drop, training)
        for block in self.encoder:
            rows = block(rows, batch=batch, bias=bias[:, None, None, :], training=training)
        norm = self.encoder_norm
        if norm is not None:
            rows = norm.normalize(rows)
        pairs = [block.memory.remember(rows, batch, norm) for block in self.decoder]
        keys, values = zip(*pairs, strict=True)
        return {"bias": bias, "keys": tuple(keys), "values": tuple(values)}

    def start(self, memory):
        """memory -> state before the first step. state["memory"] never changes and is alike for a row's hypotheses."""
        bias, config = memory["bias"], self.config
        batch, nothing = ops.shape(bias)[0], ops.shape(bias)[0] * 0

        def empty():
            shape = (batch, config.num_heads, nothing, config.d_model // config.num_heads)
            return tuple(ops.zeros(shape, dtype=bias.dtype) for _ in self.decoder)

        return {
            "memory": memory,
            "cache": {"keys": empty(), "values": empty()},
            "own": ops.zeros((batch, nothing), dtype=bias.dtype),
            "places": ops.zeros((batch,), dtype="int32"),
        }

    def step(self, state, ids, project=None):
        """The next token: ids [B * W] -> logits [B * W, V], state, attention [B * W, T].

        Of a state, "memory" and "cache" have B rows and all else has B * W, the W hypotheses of a row standing together.
        A cache holds the keys and values of all hypotheses a row ever had, and own [B * W, S] is 0 for those a
        hypothesis comes from, MASKED for others. So hypotheses are reordered without moving a cache, and a row's W
        queries are one matrix. W is 1 for who reorders everything alike.

        The attention is the mean over heads of the last layer but one, where translations align best (Garg et al.
        2019, section 4.1); of the only layer if there is but one. project: what gives the logits, when not `project`.
        """
        memory, cache, size = state["memory"], state["cache"], self.config.d_model
        count = ops.shape(memory["bias"])[0]
        rows = ops.take(self.target_embedding, ids, axis=0) * size**0.5
        if self.config.positions == "sinusoidal":
            rows = rows + ops.cast(sinusoidal(state["places"], size), rows.dtype)
        places = ops.reshape(state["places"], (count, -1))
        width = ops.shape(places)[1]
        slots = ops.arange(width)
        mine = ops.where(slots[:, None] == slots[None, :], ops.cast(0, rows.dtype), ops.cast(MASKED, rows.dtype))
        own = ops.concatenate([state["own"], ops.tile(mine, (count, 1))], axis=1)
        bias = ops.reshape(own, (count, 1, width, ops.shape(own)[1]))
        memory_bias = memory["bias"][:, None, None, :]
        keys, values, attention = [], [], None
        aligning = max(len(self.decoder) - 2, 0)
        for layer, block in enumerate(self.decoder):
            rows, after, weights = block.step(
                rows,
                (cache["keys"][layer], cache["values"][layer]),
                places,
                bias,
                (memory["keys"][layer], memory["values"][layer]),
                memory_bias,
            )
            keys.append(after[0])
            values.append(after[1])
            if layer == aligning:
                attention = ops.reshape(ops.mean(weights, axis=1), (-1, ops.shape(weights)[3]))
        if self.decoder_norm is not None:
            rows = self.decoder_norm(rows)
        after = {
            "memory": memory,
            "cache": {"keys": tuple(keys), "values": tuple(values)},
            "own": own,
            "places": state["places"] + 1,
        }
        return (project or self.project)(rows), after, attention

    def stepper(self):
        """`step`, with what is alike at all steps made once: for a loop."""
        weight = ops.transpose(self.target_embedding if self.config.tie_embeddings else self.output_weight)
        return lambda state, ids: self.step(state, ids, lambda hidden: ops.matmul(hidden, weight))
