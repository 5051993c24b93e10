"""The recurrent encoder.   Shapes: T source, B batch, E embedding, M memory. Sequences are time-major: [T, B, .]."""

import keras
from keras import ops

from textpipe.layers.rnn_cells import CELLS
from textpipe.layers.uniform_dropout import Dropout


def dropout(config, seeds, rate=None, *, time_axis=0):
    """Dropout over [time, B, .], or with time_axis = 1 over [B, time, .].

    variational: a row has the same mask at all time steps (Gal & Ghahramani 2016).
    """
    noise_shape = None
    if config.dropout_kind == "variational":
        noise_shape = tuple(1 if axis == time_axis else None for axis in range(3))
    return Dropout(config.dropout if rate is None else rate, noise_shape=noise_shape, seed=next(seeds))


class Encoder(keras.layers.Layer):
    """Embedded source -> memory and the last state of each layer, from which a decoder starts.

    A layer reads the sequence in one direction or in both, and concatenates their outputs. With `residual` each layer but
    the lowest adds its input to its output (Wu et al. 2016, equation 5).
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
        outputs, last_states = inputs, []
        for layer, cells in enumerate(self.cells):
            below = self.drops[layer - 1](outputs, training=training) if layer else outputs
            results = [cell(below, real=real, reverse=i == 1, training=training) for i, cell in enumerate(cells)]
            states = ops.concatenate([states for states, _ in results], axis=-1) if len(results) == 2 else results[0][0]
            outputs = outputs + states if self.residual and layer else states
            tensors = zip(*(last for _, last in results), strict=True)
            last_states.append(tuple(ops.concatenate(tensor, axis=-1) for tensor in tensors))
        return outputs, tuple(last_states)
