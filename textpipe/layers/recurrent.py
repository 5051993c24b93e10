"""The recurrent sequence-to-sequence model.   Shapes: B batch, T source, U target, E embedding, H units, M memory,
V vocabulary. Inside, sequences are time-major: [T, B, .]."""

import itertools

import keras
from keras import ops

from textpipe.layers.attention import KINDS, bias_of
from textpipe.layers.rnn import CELLS

PAD_ID, START_ID, END_ID = 0, 2, 3


class Encoder(keras.layers.Layer):
    """Embedded source -> memory and one last state for each decoder layer to start from.

    A layer reads the sequence in one direction or in both; what both say is set side by side.
    """

    def __init__(self, config, seeds, **kwargs):
        super().__init__(**kwargs)
        self.input_size = config.embedding_size
        self.memory_size = config.memory_size
        units = config.memory_size // config.directions

        def cell(layer, direction):
            return CELLS[config.cell](
                units, seeds=seeds, kernel=config.initialization, name=f"{direction}_{layer}"
            )

        directions = ("forward", "backward")[: config.directions]
        self.cells = [[cell(layer, name) for name in directions] for layer in range(config.layers)]
        self.drops = [keras.layers.Dropout(config.dropout, seed=next(seeds)) for _ in range(config.layers - 1)]

    def build(self, *shapes):
        size = self.input_size
        for cells in self.cells:
            for cell in cells:
                cell.build((None, None, size))
            size = self.memory_size
        for drop in self.drops:
            drop.build((None, None, size))
        self.built = True

    def call(self, inputs, real, training=False):
        """inputs [T, B, E], real [T, B] -> outputs [T, B, M], last state of the top layer (tuple of [B, M])."""
        outputs = inputs
        for layer, cells in enumerate(self.cells):
            if layer:
                outputs = self.drops[layer - 1](outputs, training=training)
            read = [cell(outputs, real=real, reverse=index == 1) for index, cell in enumerate(cells)]
            outputs = ops.concatenate([states for states, _ in read], axis=-1) if len(read) == 2 else read[0][0]
        parts = zip(*(last for _, last in read), strict=True)
        return outputs, tuple(ops.concatenate(part, axis=-1) for part in parts)


class Decoder(keras.layers.Layer):
    """Embedded target -> readout, asking the memory.

    The lowest layer reads the embedded target; the layers above read what is below them and the context; the readout
    is tanh(W [h; c]), Luong's attentional state (Luong et al. 2015, equation 5).
    """

    def __init__(self, config, seeds, **kwargs):
        super().__init__(**kwargs)
        self.input_size, self.units, self.memory_size = config.embedding_size, config.units, config.memory_size
        self.readout_size = config.embedding_size if config.tie_embeddings else config.units
        layers = config.decoder_layers or config.layers
        options = {"seeds": seeds, "kernel": config.initialization}
        self.cells = [CELLS[config.cell](config.units, name=f"cell_{layer}", **options) for layer in range(layers)]

        def dense(units, activation, name):
            initializer = {"class_name": config.initialization, "config": {"seed": next(seeds)}}
            return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name)

        # A gated unit's state lies in (-1, 1), an LSTM's cell anywhere.
        squash = ("tanh", None)
        self.bridges = [
            [dense(config.units, squash[part], f"bridge_{layer}_{part}") for part in range(cell.num_states)]
            for layer, cell in enumerate(self.cells)
        ]
        self.attention = None
        if config.attention != "none":
            self.attention = KINDS[config.attention](
                config.units, config.memory_size, attention_size=config.attention_size, name="attention", **options
            )
        self.readout = dense(self.readout_size, "tanh", "readout")
        self.drops = [keras.layers.Dropout(config.dropout, seed=next(seeds)) for _ in self.cells]

    def build(self, *shapes):
        context = self.memory_size if self.attention is not None else 0
        for layer, cell in enumerate(self.cells):
            cell.build((None, None, self.units + context if layer else self.input_size))
            self.drops[layer].build((None, None, self.units))
            for bridge in self.bridges[layer]:
                bridge.build((None, self.memory_size))
        if self.attention is not None:
            self.attention.build()
        self.readout.build((None, None, self.units + context))
        self.built = True

    def first_states(self, last):
        """The encoder's last state -> the first state of each layer."""
        return tuple(
            tuple(bridge(part) for bridge, part in zip(bridges, last, strict=True)) for bridges in self.bridges
        )

    def call(self, inputs, states, keys, memory, bias, training=False):
        """All steps: inputs [U, B, E] -> readout [B, U, R].

        keys and memory [B, T, .] and bias [B, T] are None without attention.
        """
        outputs, context = inputs, None
        for layer, cell in enumerate(self.cells):
            if layer:
                outputs = self.drops[layer - 1](outputs, training=training)
                outputs = outputs if context is None else ops.concatenate([outputs, context], axis=-1)
            outputs, _ = cell(outputs, state=states[layer])
            if layer == 0 and self.attention is not None:
                context, _ = self.attention(ops.transpose(outputs, (1, 0, 2)), keys, memory, bias)
                if len(self.cells) > 1:
                    context = ops.transpose(context, (1, 0, 2))
        if len(self.cells) == 1 and context is not None:
            return self.read(ops.concatenate([ops.transpose(outputs, (1, 0, 2)), context], axis=-1), training)
        outputs = outputs if context is None else ops.concatenate([outputs, context], axis=-1)
        return self.read(ops.transpose(outputs, (1, 0, 2)), training)

    def read(self, outputs, training):
        return self.drops[-1](self.readout(outputs), training=training)

    def step(self, inputs, states, memory):
        """One step without dropout: inputs [B, E] -> readout [B, R], states, attention [B, T]."""
        after, outputs, context = [], inputs, None
        weights = ops.zeros_like(memory["bias"])
        for layer, cell in enumerate(self.cells):
            if context is not None:
                outputs = ops.concatenate([outputs, context], axis=-1)
            outputs, state = cell.step(outputs, states[layer])
            after.append(state)
            if layer == 0 and self.attention is not None:
                found = self.attention(outputs[:, None, :], memory["keys"], memory["values"], memory["bias"])
                context, weights = found[0][:, 0], found[1][:, 0]
        outputs = outputs if context is None else ops.concatenate([outputs, context], axis=-1)
        return self.readout(outputs), tuple(after), weights


class RecurrentModel(keras.Model):
    """Encoder, decoder and vocabulary; see models/recurrent.py for the options.

    `hidden` and `project` are the halves of a call, so that a loss can project the positions it counts and no other.
    """

    pad_id, start_id, end_id = PAD_ID, START_ID, END_ID

    def __init__(self, config, source_size: int, target_size: int, *, seed: int):
        super().__init__(name="recurrent")
        self.config = config
        self.source_size, self.target_size = source_size, target_size
        # Seeds of neighbouring models must not meet: model 1's second weight is not model 2's first.
        self.seeds = itertools.count(seed * 100_003)
        self.encoder = Encoder(config, self.seeds, name="encoder")
        self.decoder = Decoder(config, self.seeds, name="decoder")
        self.source_drop = keras.layers.Dropout(config.embedding_dropout, seed=next(self.seeds))
        self.target_drop = keras.layers.Dropout(config.embedding_dropout, seed=next(self.seeds))

    def build(self, input_shape=None):
        config, size = self.config, self.config.embedding_size

        def table(rows, name, width=size):
            # As a softmax weight a row must have length about 1; as an input it is scaled up in `embed`.
            normal = keras.initializers.RandomNormal(stddev=size**-0.5, seed=next(self.seeds))
            return self.add_weight(shape=(rows, width), initializer=normal, name=name)

        self.target_embedding = table(self.target_size, "target_embedding")
        if not config.share_embeddings:
            self.source_embedding = table(self.source_size, "source_embedding")
        self.encoder.build()
        self.decoder.build()
        if not config.tie_embeddings:
            self.output_weight = table(self.target_size, "output_weight", self.decoder.readout_size)
        for drop in (self.source_drop, self.target_drop):
            drop.build((None, None, size))
        self.built = True

    def call(self, source, target_in, training=False):
        """source [B, T], target_in [B, U] with start_id first -> logits [B, U, V]."""
        return self.project(self.hidden(source, target_in, training=training))

    def hidden(self, source, target_in, training=False):
        """What the logits are a linear function of: source [B, T], target_in [B, U] -> [B, U, R]."""
        memory = self.encode(source, training=training)
        inputs = self.embed(self.target_embedding, ops.transpose(target_in), self.target_drop, training)
        state = self.start(memory)
        return self.decoder(
            inputs,
            state["states"],
            memory.get("keys"),
            memory.get("values"),
            memory["bias"],
            training=training,
        )

    def project(self, hidden):
        """Logits from hidden vectors: [..., R] -> [..., V].

        Without a bias: it would cost two more passes over all logits for what a constant direction of hidden can say.
        """
        weight = self.target_embedding if self.config.tie_embeddings else self.output_weight
        return ops.matmul(hidden, ops.transpose(weight))

    def encode(self, source, training=False):
        """source [B, T] -> memory: a dict of tensors whose first axis is B."""
        ids = ops.transpose(source)
        real = ops.cast(ops.not_equal(ids, PAD_ID), self.compute_dtype)  # [T, B]
        table = self.target_embedding if self.config.share_embeddings else self.source_embedding
        outputs, last = self.encoder(self.embed(table, ids, self.source_drop, training), real, training=training)
        memory = {"bias": bias_of(ops.transpose(real)), "last": last}
        if self.decoder.attention is not None:
            memory["values"] = ops.transpose(outputs, (1, 0, 2))
            memory["keys"] = self.decoder.attention.prepare(memory["values"])
        return memory

    def start(self, memory):
        """memory -> state before the first step. state["memory"] never changes and is alike for a row's hypotheses."""
        kept = {name: memory[name] for name in ("bias", "values", "keys") if name in memory}
        return {"memory": kept, "states": self.decoder.first_states(memory["last"])}

    def step(self, state, ids):
        """The next token: ids [B] -> logits [B, V], state, attention [B, T] (zeros without attention)."""
        inputs = self.embed(self.target_embedding, ids, self.target_drop, False)
        hidden, states, weights = self.decoder.step(inputs, state["states"], state["memory"])
        return self.project(hidden), {"memory": state["memory"], "states": states}, weights

    def embed(self, table, ids, drop, training):
        """ids [...] -> [..., E] of about unit variance."""
        return drop(ops.take(table, ids, axis=0) * self.config.embedding_size**0.5, training=training)
