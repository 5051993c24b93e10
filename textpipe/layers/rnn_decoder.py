"""The recurrent decoder.   Shapes: T source, U target, B batch, E embedding, H units, M memory, R readout.

Sequences are time-major, [U, B, .], except the readout.
"""

import keras
from keras import ops

from textpipe.layers.attention_kinds import KINDS
from textpipe.layers.decoder_loop import DecoderLoop, concat_context
from textpipe.layers.rnn_cells import CELLS
from textpipe.layers.rnn_encoder import dropout


class Decoder(keras.layers.Layer):
    """Embedded target and encoded source -> readout.

    The lowest layer reads the embedded target, with input feeding concatenated with the readout of the previous step; the
    layers above read the output of the layer below and the context; the readout is tanh(W [h; c]), Luong's attentional
    state (Luong et al. 2015, equation 5). With `residual` each layer but the lowest adds its input to its output.

    Without input feeding and coverage a layer runs over all positions at once; with either, all layers run in one loop.
    """

    def __init__(self, config, seeds, **kwargs):
        super().__init__(**kwargs)
        self.input_size, self.units, self.memory_size = config.embedding_size, config.units, config.memory_size
        self.readout_size = config.embedding_size if config.tie_embeddings else config.units
        self.input_feeding, self.coverage, self.residual = config.input_feeding, config.coverage, config.residual
        num_layers = config.decoder_layers or config.layers
        options = {"seeds": seeds, "kernel": config.initialization}
        self.cells = [
            CELLS[config.cell](
                config.units, recurrent_dropout=config.recurrent_dropout, name=f"cell_{layer}", **options
            )
            for layer in range(num_layers)
        ]

        def dense(units, activation, name):
            initializer = {"class_name": config.initialization, "config": {"seed": next(seeds)}}
            return keras.layers.Dense(units, activation, kernel_initializer=initializer, name=name)

        # A gated unit's state lies in (-1, 1); an LSTM's cell is unbounded.
        activations = ("tanh", None)
        self.bridge, self.bridges = config.bridge, []
        if config.bridge == "dense":
            self.bridges = [
                [dense(config.units, activations[i], f"bridge_{layer}_{i}") for i in range(cell.num_states)]
                for layer, cell in enumerate(self.cells)
            ]
        self.attention = None
        if config.attention != "none":
            options |= {"attention_size": config.attention_size, "num_heads": config.num_heads}
            self.attention = KINDS[config.attention](
                config.units, config.memory_size, coverage=config.coverage, name="attention", **options
            )
        self.readout = dense(self.readout_size, "tanh", "readout")
        # The readout of all positions at once is [B, U, R]; the loop's is [U, B, R].
        one_loop = config.input_feeding or config.coverage
        self.drops = [dropout(config, seeds) for _ in self.cells[1:]]
        self.drops.append(dropout(config, seeds, time_axis=0 if one_loop else 1))
        self.loop = DecoderLoop(self.cells, self.attention, residual=config.residual, dropout=config.dropout)

    def build(self, *shapes):
        context_size = self.memory_size if self.attention is not None else 0
        lowest_size = self.input_size + (self.readout_size if self.input_feeding else 0)
        for layer, cell in enumerate(self.cells):
            cell.build((None, None, self.units + context_size if layer else lowest_size))
            self.drops[layer].build((None, None, self.units))
        for bridges in self.bridges:
            for bridge in bridges:
                bridge.build((None, self.memory_size))
        if self.attention is not None:
            self.attention.build()
        self.readout.build((None, None, self.units + context_size))
        self.built = True

    def start(self, last, bias):
        """The carry before the first step, from the last states of the encoder's layers; bias [B, T].

        bridge "dense": each tensor of a layer's state is a dense layer of that of the encoder's top layer; "copy": it is that
        of the encoder's layer at the same height; "zero": it is zero.
        """
        if self.bridge == "dense":
            states = (
                tuple(bridge(state) for bridge, state in zip(bridges, last[-1], strict=True))
                for bridges in self.bridges
            )
        elif self.bridge == "copy":
            states = last
        else:
            states = (cell.zero_state(ops.shape(bias)[0]) for cell in self.cells)
        carry = {"states": tuple(states)}
        if self.input_feeding:
            carry["readout"] = ops.zeros((ops.shape(bias)[0], self.readout_size), dtype=self.compute_dtype)
        if self.coverage:
            carry["covered"] = ops.zeros_like(bias)
        return carry

    def call(self, inputs, carry, memory, bias, training=False):
        """All steps: inputs [U, B, E], the carry before the first -> readout [B, U, R].

        memory: from attention.prepare, {} without attention; bias [B, T] masks its padding.
        """
        if self.input_feeding or self.coverage:
            return ops.transpose(self.run_loop(inputs, carry, memory, bias, training), (1, 0, 2))
        outputs, context = inputs, None
        for layer, cell in enumerate(self.cells):
            below = concat_context(self.drops[layer - 1](outputs, training=training), context) if layer else inputs
            states, _ = cell(below, state=carry["states"][layer], training=training)
            outputs = outputs + states if self.residual and layer else states
            if layer == 0 and self.attention is not None:
                context, _ = self.attention(ops.transpose(outputs, (1, 0, 2)), bias=bias, **memory)
                if len(self.cells) > 1:
                    context = ops.transpose(context, (1, 0, 2))
        if len(self.cells) == 1 and context is not None:
            readout = self.readout(ops.concatenate([ops.transpose(outputs, (1, 0, 2)), context], axis=-1))
        else:
            readout = self.readout(ops.transpose(concat_context(outputs, context), (1, 0, 2)))
        return self.drops[-1](readout, training=training)

    def run_loop(self, inputs, carry, memory, bias, training):
        """`call`, step by step: inputs [U, B, E] -> readout [U, B, R]."""
        lowest, (num_steps, num_rows) = self.cells[0], ops.shape(inputs)[:2]
        weights = self.loop_weights()
        if self.input_feeding:
            kernel = ops.copy(lowest.kernel)
            input_kernel, weights["feedback"] = kernel[: self.input_size], kernel[self.input_size :]
            gates = ops.matmul(inputs, input_kernel) + lowest.bias
        else:
            gates = ops.matmul(inputs, lowest.kernel) + lowest.bias
        masks = {"recurrent": tuple(cell.dropout_mask(num_rows, training) for cell in self.cells)}
        if training and self.drops[-1].rate:
            ones = [
                ops.ones((num_steps, num_rows, size), dtype=gates.dtype) for size in (self.units, self.readout_size)
            ]
            masks["between"] = tuple(drop(ones[0], training=True) for drop in self.drops[:-1])
            masks["readout"] = self.drops[-1](ones[1], training=True)
        return self.loop.run(gates, carry, weights, memory, bias, masks)

    def loop_weights(self):
        """The weights of DecoderLoop, without the lowest layer's kernel."""
        return {
            "recurrent": tuple(cell.recurrent_weights() for cell in self.cells),
            "upper": tuple((ops.copy(cell.kernel), ops.copy(cell.bias)) for cell in self.cells[1:]),
            "attention": self.attention.loop_weights() if self.attention is not None else {},
            "readout": (ops.copy(self.readout.kernel), ops.copy(self.readout.bias)),
        }

    def step(self, inputs, carry, memory, bias):
        """One step without dropout: inputs [B, E] -> readout [B, R], the next carry, attention [B, T]."""
        lowest = self.cells[0]
        if self.input_feeding:
            inputs = ops.concatenate([inputs, carry["readout"]], axis=-1)
        gates = ops.matmul(inputs, lowest.kernel) + lowest.bias
        masks = {"recurrent": (None,) * len(self.cells)}
        after = self.loop.forward_step(gates, carry, self.loop_weights(), memory, bias, masks)
        attention = self.attention
        weights = ops.zeros_like(bias) if attention is None else attention.mean_over_heads(after["attention"])
        return after["readout"], {name: after[name] for name in carry}, weights
