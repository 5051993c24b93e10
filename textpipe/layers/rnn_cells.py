"""Recurrent layers over time-major sequences: the equations of the cells, with their gradients written out.

Shapes: T time, B batch, H units. How the parts of a cell work together is told in rnn_loop.py.
"""

from keras import ops

from textpipe.layers.rnn_loop import Recurrent, across


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014; z as in Chung et al. 2014, equation 5; r after the product, as cuDNN).

        z = sigmoid(x Wz + bz + h Uz)          update
        r = sigmoid(x Wr + br + h Ur)          reset
        n = tanh(x Wn + bn + r * (h Un + cn))  candidate
        h' = h + z * (n - h)

    Gates lie in the order z, r, n. Keras's z is 1 - z here; ours carries a state over exactly where z is 0.
    """

    num_gates = 3
    num_states = 1

    def build(self, input_shape):
        super().build(input_shape)
        self.candidate_bias = self.add_weight(shape=(self.units,), initializer="zeros", name="candidate_bias")

    def holding(self):
        return ops.concatenate([-ops.ones((self.units,)), ops.zeros((2 * self.units,))])

    def recurrent_weights(self):
        return ops.copy(self.recurrent_kernel), ops.copy(self.candidate_bias)

    def combine(self, gates, product, state, weights):
        size = self.units
        both = ops.sigmoid(gates[..., : 2 * size] + product[..., : 2 * size])
        update, reset = both[..., :size], both[..., size:]
        inner = product[..., 2 * size :] + weights[1]
        candidate = ops.tanh(gates[..., 2 * size :] + reset * inner)
        return (state[0] + update * (candidate - state[0]),), (both, inner, candidate)

    def nothing_kept(self, hidden):
        none = ops.zeros_like(hidden)
        return ops.concatenate([none, none], axis=-1), none, none

    def slopes(self, kept, before):
        both, inner, candidate = kept
        update, reset = both[..., : self.units], both[..., self.units :]
        kept = 1 - update
        to_update = (candidate - before[0]) * update * kept
        to_candidate = update * (1 - candidate * candidate)
        to_reset = to_candidate * inner * reset * (1 - reset)
        # As the product's gates lie; the input's share of the candidate is not reset.
        return (ops.stack([to_update, to_reset, to_candidate * reset], axis=-2), kept), to_candidate

    def retreat(self, d_state, read, transposed, mask=None):
        (total,), (slopes, kept) = d_state, read
        d_product = ops.reshape(total[:, None, :] * slopes, (-1, 3 * self.units))
        through = ops.matmul(d_product, transposed)
        return (total * kept + (through if mask is None else through * mask),), (total,)

    def to_gates(self, totals, read, rest):
        (total,), (slopes, _) = totals, read
        return ops.concatenate([total * slopes[..., 0, :], total * slopes[..., 1, :], total * rest], axis=-1)

    def collect(self, d_gates, totals, slopes, before, mask):
        (total,), ((slopes, _), _) = totals, slopes
        d_product = ops.reshape(total[..., None, :] * slopes, (-1, 3 * self.units))
        seen = before[0] if mask is None else before[0] * mask
        return across(seen, d_product), ops.sum(d_product[:, 2 * self.units :], axis=0)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

        i, f, o = sigmoid(x W + b + h U)       input, forget, output
        g = tanh(x Wg + bg + h Ug)             candidate
        c' = f * c + i * g
        h' = o * tanh(c')

    The forget bias starts at 1 (Jozefowicz et al. 2015). Gates lie in the order i, f, g, o.
    """

    num_gates = 4
    num_states = 2

    def initial_bias(self, shape, dtype=None):
        size = self.units
        return ops.concatenate(
            [ops.zeros((size,), dtype=dtype), ops.ones((size,), dtype=dtype), ops.zeros((2 * size,), dtype=dtype)]
        )

    def holding(self):
        size = self.units
        return ops.concatenate([-ops.ones((size,)), ops.ones((size,)), ops.zeros((2 * size,))])

    def combine(self, gates, product, state, weights):
        size, gates = self.units, gates + product
        both = ops.sigmoid(gates[..., : 2 * size])
        candidate, output = ops.tanh(gates[..., 2 * size : 3 * size]), ops.sigmoid(gates[..., 3 * size :])
        cell = both[..., size:] * state[1] + both[..., :size] * candidate
        squashed = ops.tanh(cell)
        return (output * squashed, cell), (both, candidate, output, squashed)

    def nothing_kept(self, hidden):
        none = ops.zeros_like(hidden)
        return ops.concatenate([none, none], axis=-1), none, none, none

    def slopes(self, kept, before):
        both, candidate, output, squashed = kept
        enter, forget = both[..., : self.units], both[..., self.units :]
        inward = ops.stack(
            [
                candidate * enter * (1 - enter),
                before[1] * forget * (1 - forget),
                enter * (1 - candidate * candidate),
            ],
            axis=-2,
        )  # [T, B, 3, H]
        return (inward, squashed * output * (1 - output), output * (1 - squashed * squashed), forget), ()

    def retreat(self, d_state, read, transposed, mask=None):
        _, _, to_cell, forget = read
        d_hidden, d_cell = d_state[0], d_state[1] + d_state[0] * to_cell
        through = ops.matmul(self.to_gates((d_hidden, d_cell), read, ()), transposed)
        return (through if mask is None else through * mask, d_cell * forget), (d_hidden, d_cell)

    def to_gates(self, totals, read, rest):
        (d_hidden, d_cell), (inward, to_output, *_) = totals, read
        shape = (*ops.shape(d_hidden)[:-1], 3 * self.units)
        d_inward = ops.reshape(d_cell[..., None, :] * inward, shape)
        return ops.concatenate([d_inward, d_hidden * to_output], axis=-1)

    def collect(self, d_gates, totals, slopes, before, mask):
        return (across(before[0] if mask is None else before[0] * mask, d_gates),)

    def end(self, hiddens, last, real, reverse):
        if reverse or real is None:
            return last
        # The cell was carried over the padding; the output there is not the last one, so take it from its place.
        real = ops.cast(real, hiddens.dtype)
        ends = real - ops.concatenate([real[1:], ops.zeros_like(real[:1])], axis=0)
        return ops.sum(hiddens * ends[:, :, None], axis=0), last[1]


CELLS = {"gru": GRU, "lstm": LSTM}
