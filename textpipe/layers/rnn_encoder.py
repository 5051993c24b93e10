"""The recurrent encoder.   Shapes: T source, B batch, E embedding, M memory. Sequences are time-major: [T, B, .]."""

import keras
from keras import ops

from textpipe.layers.rnn_cells import CELLS
from textpipe.layers.uniform_dropout import Dropout


def dropout(config, seeds, rate=None, *, time_axis=0):
    """Dropout over [time, B, .], or with time_axis = 1 over [B, time, .].

    variational: a row's mask is the same at all time steps (Gal & Ghahramani 2016).
    """
    noise_shape = None
    if config.dropout_kind == "variational":
        noise_shape = tuple(1 if axis == time_axis else None for axis in range(3))
    return Dropout(config.dropout if rate is None else rate, noise_shape=noise_shape, seed=next(seeds))


class Encoder(keras.layers.Layer):
    """Embedded source -> memory and the last state of each layer, for a decoder to start from.

    A layer reads the sequence in one direction or in both; what both say is set side by side. With `residual` every
    layer but the lowest adds what it read to what it says (Wu et al. 2016, equation 5).
    """

    def __init__(self, config, seeds, **kwargs):
        super().__init__(**kwargs)
        self.input_size = config.embedding_size
        self.memory_size = config.memory_size
        self.residual = config.residual
        units = config.memory_size // config.directions

        def cell(layer, direction):
            options = {"seeds": seeds, "kernel": config.initialization, "recurrent_dropout": config.recurrent_dropout}
            return CELLS[config.cell](units, name=f"{direction}_{layer}", **options)

        directions = ("forward", "backward")[: config.directions]
        self.cells = [[cell(layer, name) for name in directions] for layer in range(config.layers)]
        self.drops = [dropout(config, seeds) for _ in range(config.layers - 1)]

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
        """inputs [T, B, E], real [T, B] -> outputs [T, B, M], the last state of each layer (tuples of [B, M])."""
        outputs, lasts = inputs, []
        for layer, cells in enumerate(self.cells):
            below = self.drops[layer - 1](outputs, training=training) if layer else outputs
            read = [cell(below, real=real, reverse=index == 1, training=training) for index, cell in enumerate(cells)]
            states = ops.concatenate([states for states, _ in read], axis=-1) if len(read) == 2 else read[0][0]
            outputs = outputs + states if self.residual and layer else states
            parts = zip(*(last for _, last in read), strict=True)
            lasts.append(tuple(ops.concatenate(part, axis=-1) for part in parts))
        return outputs, tuple(lasts)
