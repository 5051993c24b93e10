"""The recurrent sequence-to-sequence model.   Shapes: B batch, T source, U target, E embedding, R readout, M memory,
V vocabulary. Internally sequences are time-major: [T, B, .]."""

import itertools

import keras
from keras import ops

from textpipe.layers.attention import padding_bias
from textpipe.layers.inputs import single_feature
from textpipe.layers.rnn_decoder import Decoder
from textpipe.layers.rnn_encoder import Encoder, dropout
from textpipe.layers.uniform_dropout import Dropout

PAD_ID, START_ID, END_ID = 0, 2, 3


class RecurrentModel(keras.Model):
    """Encoder, decoder and vocabulary; see models/recurrent.py for the options.

    `hidden` and `project` are the two halves of a call, so that a loss projects only the positions it counts.
    """

    pad_id, start_id, end_id = PAD_ID, START_ID, END_ID
    fixed_widths = False  # one traced training step serves batches of any width

    def __init__(self, config, source_size: int, target_size: int, *, seed: int):
        super().__init__(name="recurrent")
        self.config = config
        self.source_size, self.target_size = source_size, target_size
        # Models with consecutive seeds must not share weight seeds.
        self.seeds = itertools.count(seed * 100_003)
        self.encoder = Encoder(config, self.seeds, name="encoder")
        self.decoder = Decoder(config, self.seeds, name="decoder")
        self.source_drop = dropout(config, self.seeds, config.embedding_dropout)
        self.target_drop = dropout(config, self.seeds, config.embedding_dropout)

    def build(self, input_shape=None):
        config, size = self.config, self.config.embedding_size

        def table(rows, name, width=size):
            # Rows have length about 1 as softmax weights; `embed` scales them up as inputs.
            normal = keras.initializers.RandomNormal(stddev=size**-0.5, seed=next(self.seeds))
            return self.add_weight(shape=(rows, width), initializer=normal, name=name)

        self.target_embedding = table(self.target_size, "target_embedding")
        if not config.share_embeddings:
            self.source_embedding = table(self.source_size, "source_embedding")
        self.encoder.build()
        self.decoder.build()
        if not config.tie_embeddings:
            self.output_weight = table(self.target_size, "output_weight", self.decoder.readout_size)
        drops = [self.source_drop, self.target_drop]
        if config.word_dropout:
            # Drops whole words, each occurrence independently (Sennrich et al. 2016, Edinburgh's systems for WMT 16).
            self.source_word_drop, self.target_word_drop = (
                Dropout(config.word_dropout, noise_shape=(None, None, 1), seed=next(self.seeds)) for _ in drops
            )
            drops += [self.source_word_drop, self.target_word_drop]
        for drop in drops:
            drop.build((None, None, size))
        self.built = True

    def call(self, inputs, target_in, training=False):
        """inputs {field: [B, T]}, target_in [B, U] with start_id first -> logits [B, U, V]."""
        return self.project(self.hidden(inputs, target_in, training=training))

    def hidden(self, inputs, target_in, training=False):
        """The vectors that `project` maps to logits: inputs {field: [B, T]}, target_in [B, U] -> [B, U, R]."""
        state = self.start(self.encode(inputs, training=training))
        embedded = self.embed(self.target_embedding, ops.transpose(target_in), "target", training)
        memory, bias, carry = split_state(state)
        return self.decoder(embedded, carry, memory, bias, training=training)

    def project(self, hidden):
        """Logits from hidden vectors: [..., R] -> [..., V].

        There is no bias: it would cost two more passes over all logits, and a constant component of hidden does the same.
        """
        return ops.matmul(hidden, ops.transpose(self.softmax_weight()))

    def softmax_weight(self):
        """[V, R]."""
        return self.target_embedding if self.config.tie_embeddings else self.output_weight

    def encode(self, inputs, training=False):
        """inputs {field: ids [B, T]} -> memory: a dict of tensors whose first axis is B."""
        source = single_feature(inputs)
        ids = ops.transpose(source)
        real = ops.cast(ops.not_equal(ids, PAD_ID), self.compute_dtype)  # [T, B]
        table = self.target_embedding if self.config.share_embeddings else self.source_embedding
        outputs, last = self.encoder(self.embed(table, ids, "source", training), real, training=training)
        memory = {"bias": padding_bias(ops.transpose(real)), "last": last}
        if self.decoder.attention is not None:
            memory |= self.decoder.attention.prepare(ops.transpose(outputs, (1, 0, 2)))
        return memory

    def start(self, memory):
        """memory -> state before the first step. state["memory"] is constant and the same for all hypotheses of a row."""
        constant = {name: value for name, value in memory.items() if name != "last"}
        return {"memory": constant, **self.decoder.start(memory["last"], memory["bias"])}

    def step(self, state, ids, project=None):
        """The next token: ids [B] -> logits [B, V], state, attention [B, T] (zeros without attention).

        project: computes the logits; the method `project` by default.
        """
        inputs = self.embed(self.target_embedding, ids, "target", False)
        memory, bias, carry = split_state(state)
        hidden, carry, weights = self.decoder.step(inputs, carry, memory, bias)
        return (project or self.project)(hidden), {"memory": state["memory"], **carry}, weights

    def step_function(self):
        """`step` for use in a loop: the softmax weight is transposed once.

        On a CPU a product of few rows with a wide transposed matrix is slow, and so is transposing it at each step.
        """
        weight = ops.transpose(self.softmax_weight())
        return lambda state, ids: self.step(state, ids, lambda hidden: ops.matmul(hidden, weight))

    def embed(self, table, ids, side, training):
        """ids [...] -> [..., E] of about unit variance; in training ids are [T, B]."""
        embedded = ops.take(table, ids, axis=0) * self.config.embedding_size**0.5
        if self.config.word_dropout:
            embedded = getattr(self, f"{side}_word_drop")(embedded, training=training)
        return getattr(self, f"{side}_drop")(embedded, training=training)


def split_state(state):
    """The decoder's arguments: prepared memory, padding bias, carry."""
    memory = {name: value for name, value in state["memory"].items() if name != "bias"}
    return memory, state["memory"]["bias"], {name: value for name, value in state.items() if name != "memory"}
