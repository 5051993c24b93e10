"""The hybrid word-character model; see models/hybrid.py.   Shapes: B batch, T source, U target, E embedding, H units,
M memory, V vocabulary, W words of the longest row, N spellings of a batch, L letters of the longest spelling.
layers/spelled_words.py extracts words and spellings from a row of ids.
"""

import itertools

import keras
from keras import ops

from textpipe.layers.attention import padding_bias
from textpipe.layers.attention_kinds import KINDS
from textpipe.layers.dropout import Dropout
from textpipe.layers.inputs import single_feature
from textpipe.layers.rnn_cells import CELLS
from textpipe.layers.spelled_words import UNK_ID, Packing, Spellings, in_spelling, spelling_starts

PAD_ID, START_ID, END_ID = 0, 2, 3
# The logit of letters outside spellings and of words inside them. Finite, because label smoothing takes the mean of all
# logits, and because an answer cut off inside a word must still be able to end.
MASKED = -30.0


class Stack(keras.layers.Layer):
    """Stacked recurrent layers in one direction, with dropout between them."""

    def __init__(self, cell, input_size, units, layers, dropout, seeds, **kwargs):
        super().__init__(**kwargs)
        self.input_size, self.units = input_size, units
        self.cells = [CELLS[cell](units, seeds=seeds, name=f"cell_{layer}") for layer in range(layers)]
        self.drops = [Dropout(dropout, seed=next(seeds), name=f"drop_{layer}") for layer in range(1, layers)]

    def build(self, *shapes):
        for layer, cell in enumerate(self.cells):
            cell.build((None, None, self.units if layer else self.input_size))
        self.built = True

    def call(self, inputs, states=None, real=None, training=False):
        """All steps: inputs [T, B, D], a state for each layer -> outputs [T, B, H], last states."""
        outputs, last = inputs, []
        for layer, cell in enumerate(self.cells):
            if layer:
                outputs = self.drops[layer - 1](outputs, training=training)
            outputs, state = cell(outputs, state=None if states is None else states[layer], real=real)
            last.append(tuple(state))
        return outputs, tuple(last)

    def step(self, inputs, states):
        """One step without dropout: inputs [B, D] -> output [B, H], states."""
        outputs, after = inputs, []
        for cell, state in zip(self.cells, states, strict=True):
            outputs, state = cell.step(outputs, state)
            after.append(tuple(state))
        return outputs, tuple(after)


class Bridge(keras.layers.Layer):
    """Vectors -> initial states of a stack: one dense layer for each tensor of a state."""

    def __init__(self, stack, input_size, seeds, **kwargs):
        super().__init__(**kwargs)
        self.input_size = input_size
        activations = ("tanh", None)  # a gated unit's state lies in (-1, 1); an LSTM's cell is unbounded
        self.parts = [
            [dense(stack.units, activations[i], seeds, f"layer_{layer}_{i}") for i in range(cell.num_states)]
            for layer, cell in enumerate(stack.cells)
        ]

    def build(self, *shapes):
        for layer in itertools.chain(*self.parts):
            layer.build((None, self.input_size))
        self.built = True

    def call(self, vectors):
        """vectors: [N, D], or one such for each tensor of a state."""
        if not isinstance(vectors, tuple | list):
            vectors = [vectors] * len(self.parts[0])
        return tuple(tuple(layer(vectors[i]) for i, layer in enumerate(layers)) for layers in self.parts)


class HybridModel(keras.Model):
    """Word encoder and decoder, letter encoder and decoder; see models/hybrid.py for the options.

    source and target: (num_words, vocab_size) of the two sides. `hidden` returns vectors
    [word readout, letter readout, 1 outside spellings, 1 inside them], and `project` is linear in them: the last two
    add MASKED to the logits of letters or words.
    """

    pad_id, start_id, end_id = PAD_ID, START_ID, END_ID
    fixed_widths = False  # the number of words and the length of spellings are dynamic too

    def __init__(self, config, source, target, *, seed: int):
        super().__init__(name="hybrid")
        self.config = config
        (self.source_words, self.source_size), (self.target_words, self.target_size) = source, target
        # Models with consecutive seeds must not share weight seeds.
        self.seeds = itertools.count(seed * 100_003)
        seeds, units, size = self.seeds, config.units, config.embedding_size
        letter_size, dropout = config.letter_embedding_size, config.dropout
        letter_options = (config.cell, letter_size, config.letter_units, config.letter_layers, dropout, seeds)
        self.spell_reader = Stack(*letter_options, name="spell_reader")
        self.spelling_to_word = dense(size, None, seeds, "spelling_to_word")
        self.encoder = [
            [CELLS[config.cell](units // 2, seeds=seeds, name=f"{name}_{layer}") for name in ("forward", "backward")]
            for layer in range(config.layers)
        ]
        self.encoder_widths = [size, *[units] * (config.layers - 1)]
        upper = range(1, config.layers)
        self.encoder_drops = [Dropout(dropout, seed=next(seeds), name=f"encoder_drop_{layer}") for layer in upper]
        self.decoder = Stack(config.cell, size, units, config.layers, dropout, seeds, name="decoder")
        self.bridge = Bridge(self.decoder, units, seeds, name="bridge")
        self.attention = KINDS[config.attention](
            units, units, attention_size=config.attention_size, seeds=seeds, name="attention"
        )
        self.readout_size = size if config.tie_embeddings else units
        self.readout = dense(self.readout_size, "tanh", seeds, "readout")
        self.writer = Stack(*letter_options, name="writer")
        self.writer_bridge = Bridge(self.writer, 2 * units, seeds, name="writer_bridge")
        self.letter_readout = dense(letter_size, "tanh", seeds, "letter_readout")
        self.source_drop, self.target_drop = (
            Dropout(config.embedding_dropout, seed=next(seeds), name=f"{side}_drop") for side in ("source", "target")
        )
        self.readout_drop, self.letter_drop = (
            Dropout(dropout, seed=next(seeds), name=f"{name}_drop") for name in ("readout", "letter")
        )

    def build(self, input_shape=None):
        config, size = self.config, self.config.embedding_size

        def table(rows, name, width):
            # Rows have length about 1 as softmax weights; `embed` scales them up as inputs.
            normal = keras.initializers.RandomNormal(stddev=width**-0.5, seed=next(self.seeds))
            return self.add_weight(shape=(rows, width), initializer=normal, name=name)

        target_letters = self.target_size - self.target_words
        letter_size = config.letter_embedding_size
        self.target_embedding = table(self.target_words, "target_embedding", size)
        self.target_letters = table(target_letters, "target_letters", letter_size)
        self.source_embedding, self.source_letters = self.target_embedding, self.target_letters
        if not config.share_embeddings:
            self.source_embedding = table(self.source_words, "source_embedding", size)
            self.source_letters = table(self.source_size - self.source_words, "source_letters", letter_size)
        self.output_words = self.target_embedding
        if not config.tie_embeddings:
            self.output_words = table(self.target_words, "output_words", self.readout_size)
        self.output_letters = table(target_letters, "output_letters", letter_size)
        for cells, width in zip(self.encoder, self.encoder_widths, strict=True):
            for cell in cells:
                cell.build((None, None, width))
        for layer in (self.spell_reader, self.decoder, self.bridge, self.attention, self.writer, self.writer_bridge):
            layer.build()
        self.spelling_to_word.build((None, config.letter_units))
        self.readout.build((None, None, 2 * config.units))
        self.letter_readout.build((None, None, config.letter_units))
        self.built = True

    def call(self, inputs, target_in, training=False):
        """inputs {field: [B, T]}, target_in [B, U] with start_id first -> logits [B, U, V]."""
        return self.project(self.hidden(inputs, target_in, training=training))

    def encode(self, inputs, training=False):
        """inputs {field: ids [B, T]} -> memory: a dict of tensors whose first axis is B."""
        source = single_feature(inputs)
        first = spelling_starts(source, self.source_words)
        known = ops.logical_and(ops.not_equal(source, PAD_ID), ops.less(source, self.source_words))
        visible = ops.logical_or(known, first)
        words, spellings = Packing(visible), Spellings(source, self.source_words)
        inputs = self.read_words(words, source, first, spellings, training)
        real = ops.cast(words.real, inputs.dtype)  # [B, W]
        outputs, real_steps = ops.transpose(inputs, (1, 0, 2)), ops.transpose(real)
        for layer, cells in enumerate(self.encoder):
            if layer:
                outputs = self.encoder_drops[layer - 1](outputs, training=training)
            results = [cell(outputs, real=real_steps, reverse=i == 1) for i, cell in enumerate(cells)]
            outputs = ops.concatenate([states for states, _ in results], axis=-1)
        last = tuple(ops.concatenate(pair, axis=-1) for pair in zip(*(last for _, last in results), strict=True))
        values = ops.transpose(outputs, (1, 0, 2))
        return {
            **self.attention.prepare(values),
            "bias": padding_bias(real),
            "last": last,
            "rank": words.rank,
            "shown": ops.cast(visible, inputs.dtype),
        }

    def read_words(self, words, source, first, spellings, training):
        """Representations of the source's words [B, W, E]: embeddings, or for unknown words the encoded letters."""
        letters = embed(self.source_letters, ops.maximum(spellings.letters - self.source_words, 0))  # [L, N, .]
        _, last = self.spell_reader(letters, real=ops.cast(spellings.real, letters.dtype), training=training)
        encoded = self.spelling_to_word(last[-1][0])  # [N, E]
        ids = ops.minimum(words.pack(source), self.source_words - 1)
        number = words.pack(spellings.number)
        unknown = ops.logical_and(words.pack(first), words.real)
        inputs = ops.where(unknown[..., None], ops.take(encoded, number, axis=0), embed(self.source_embedding, ids))
        return self.source_drop(inputs, training=training)

    def hidden(self, inputs, target_in, training=False):
        """The vectors that `project` maps to logits: inputs {field: [B, T]}, target_in [B, U] -> [B, U, R]."""
        memory = self.encode(inputs, training=training)
        words = Packing(self.advances_words(target_in))
        inputs = self.target_drop(self.embed_word(words.pack(target_in)), training=training)
        first = self.start(memory)["words"]
        outputs, _ = self.decoder(ops.transpose(inputs, (1, 0, 2)), first, training=training)
        attentional, _ = self.attend(ops.transpose(outputs, (1, 0, 2)), memory)  # [B, W, H + M]
        readout = self.readout_drop(self.readout(attentional), training=training)
        spellings = Spellings(target_in, self.target_words)
        # A spelling starts from the state that predicted its <unk>.
        origin = ops.take(ops.reshape(words.flat_rank(), (-1,)), spellings.starts)
        vectors = ops.take(ops.reshape(attentional, (-1, attentional.shape[-1])), origin, axis=0)  # [N, H + M]
        letters, _ = self.writer(self.embed_letter(spellings.letters), self.writer_bridge(vectors), training=training)
        letters = self.letter_drop(self.letter_readout(letters), training=training)
        return self.hidden_vectors(words.unpack(readout), spellings.unpack(letters), spellings.inside)

    def project(self, hidden):
        """Logits from hidden vectors: [..., R] -> [..., V]."""
        words, letters = (ops.cast(weight, hidden.dtype) for weight in (self.output_words, self.output_letters))
        num_words, num_letters = words.shape[0], letters.shape[0]

        def filled(rows, columns, value=0.0):
            return ops.full((rows, columns), value, dtype=hidden.dtype)

        zeros, allowed = filled(num_words, letters.shape[1]), filled(num_words, 1)
        words = ops.concatenate([words, zeros, allowed, filled(num_words, 1, MASKED)], axis=1)
        zeros, allowed = filled(num_letters, self.readout_size), filled(num_letters, 1)
        letters = ops.concatenate([zeros, letters, filled(num_letters, 1, MASKED), allowed], axis=1)
        return ops.matmul(hidden, ops.transpose(ops.concatenate([words, letters], axis=0)))

    def start(self, memory):
        """memory -> state before the first step. state["memory"] is constant and the same for all hypotheses of a row."""
        last = memory["last"]
        rows, units = ops.shape(last[0])[0], self.config.letter_units
        letter_states = tuple(
            tuple(ops.zeros((rows, units), last[0].dtype) for _ in range(cell.num_states)) for cell in self.writer.cells
        )
        constant = {name: value for name, value in memory.items() if name != "last"}
        inside = ops.zeros((rows,), "bool")
        return {"memory": constant, "words": self.bridge(last), "letters": letter_states, "inside": inside}

    def step(self, state, ids):
        """The next token: ids [B] -> logits [B, V], state, attention [B, T].

        Inside a spelling the word decoder does not advance, so its letters have the attention of its <unk>.
        """
        memory, inside = state["memory"], in_spelling(ids, self.target_words)
        _, after = self.decoder.step(self.embed_word(ids), state["words"])
        words = select_states(self.advances_words(ids), after, state["words"])
        attentional, weights = self.attend(words[-1][0][:, None], memory)
        attentional = attentional[:, 0]
        begins = ops.logical_or(ops.equal(ids, UNK_ID), ops.logical_and(inside, ops.logical_not(state["inside"])))
        before = select_states(begins, self.writer_bridge(attentional), state["letters"])
        letter, after = self.writer.step(self.embed_letter(ids), before)
        hidden = self.hidden_vectors(self.readout(attentional), self.letter_readout(letter), inside)
        weights = ops.take_along_axis(weights[:, 0], memory["rank"], axis=1) * memory["shown"]
        letters = select_states(inside, after, state["letters"])
        state = {"memory": memory, "words": words, "letters": letters, "inside": inside}
        return self.project(hidden), state, weights

    def exchangeable(self, ids):
        """Which tokens may replace each other without changing where spellings are: known words, [...] -> [...] bool."""
        return ops.logical_and(ops.not_equal(ids, UNK_ID), ops.less(ids, self.target_words))

    def advances_words(self, ids):
        """At which tokens the word decoder advances: words, the start, and </unk>, which it reads as <unk>."""
        return ops.logical_and(ops.not_equal(ids, PAD_ID), ops.logical_not(in_spelling(ids, self.target_words)))

    def embed_word(self, ids):
        """Target ids [...] -> [..., E]; </unk> is embedded as <unk>."""
        return embed(self.target_embedding, ops.where(ops.less(ids, self.target_words), ids, UNK_ID))

    def embed_letter(self, ids):
        """Target ids [...] -> [..., letter E]; row 0 is the start of a spelling."""
        return embed(self.target_letters, ops.maximum(ids - self.target_words, 0))

    def attend(self, outputs, memory):
        """outputs [B, W, H] -> outputs and context concatenated [B, W, H + M], weights over packed words."""
        context, weights = self.attention(outputs, memory["keys"], memory["values"], memory["bias"])
        return ops.concatenate([outputs, context], axis=-1), weights

    def hidden_vectors(self, words, letters, inside):
        """Readouts of words [..., Rw] and letters [..., Rl], inside [...] bool -> hidden vectors [..., Rw + Rl + 2]."""
        inside = ops.cast(inside, words.dtype)[..., None]
        return ops.concatenate([words * (1 - inside), letters * inside, 1 - inside, inside], axis=-1)


def select_states(condition, states, otherwise):
    """`states` where condition [B] is true, `otherwise` elsewhere; both are tuples of tuples of [B, H]."""
    return tuple(
        tuple(ops.where(condition[:, None], selected, fallback) for selected, fallback in zip(*pair, strict=True))
        for pair in zip(states, otherwise, strict=True)
    )


def embed(table, ids):
    """ids [...] -> [..., E] of about unit variance."""
    return ops.take(table, ids, axis=0) * table.shape[1] ** 0.5


def dense(units, activation, seeds, name):
    initializer = keras.initializers.GlorotUniform(seed=next(seeds))
    return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name)
