"""Recurrent layers over time-major sequences: the equations of the cells and their gradients.

Shapes: T time, B batch, H units. rnn_loop.py documents each method.
"""

from keras import ops

from textpipe.layers.rnn_loop import Recurrent, kernel_gradient


class GRU(Recurrent):
    """Gated recurrent unit (Cho et al. 2014; z as in Chung et al. 2014, equation 5; r after the product, as cuDNN).

        z = sigmoid(x Wz + bz + h Uz)          update
        r = sigmoid(x Wr + br + h Ur)          reset
        n = tanh(x Wn + bn + r * (h Un + cn))  candidate
        h' = h + z * (n - h)

    The gates are ordered z, r, n. Our z is 1 - z in Keras: where it is 0, the state is carried over exactly.
    """

    num_gates = 3
    num_states = 1

    def build(self, input_shape):
        super().build(input_shape)
        self.candidate_bias = self.add_weight(shape=(self.units,), initializer="zeros", name="candidate_bias")

    def hold_signs(self):
        return ops.concatenate([-ops.ones((self.units,)), ops.zeros((2 * self.units,))])

    def recurrent_weights(self):
        return ops.copy(self.recurrent_kernel), ops.copy(self.candidate_bias)

    def combine(self, gates, product, state, weights):
        size = self.units
        sigmoids = ops.sigmoid(gates[..., : 2 * size] + product[..., : 2 * size])
        update, reset = sigmoids[..., :size], sigmoids[..., size:]
        inner = product[..., 2 * size :] + weights[1]
        candidate = ops.tanh(gates[..., 2 * size :] + reset * inner)
        return (state[0] + update * (candidate - state[0]),), (sigmoids, inner, candidate)

    def zero_residuals(self, hidden):
        zeros = ops.zeros_like(hidden)
        return ops.concatenate([zeros, zeros], axis=-1), zeros, zeros

    def local_gradients(self, residuals, before):
        sigmoids, inner, candidate = residuals
        update, reset = sigmoids[..., : self.units], sigmoids[..., self.units :]
        carried = 1 - update
        to_update = (candidate - before[0]) * update * carried
        to_candidate = update * (1 - candidate * candidate)
        to_reset = to_candidate * inner * reset * (1 - reset)
        # In the order of the recurrent product's gates; the input's contribution to the candidate is not reset.
        return (ops.stack([to_update, to_reset, to_candidate * reset], axis=-2), carried), to_candidate

    def backward_step(self, d_state, local_grads, transposed, mask=None):
        (d_hidden,), (to_product, carried) = d_state, local_grads
        d_product = ops.reshape(d_hidden[:, None, :] * to_product, (-1, 3 * self.units))
        through_gates = ops.matmul(d_product, transposed)
        return (d_hidden * carried + (through_gates if mask is None else through_gates * mask),), (d_hidden,)

    def gate_gradients(self, d_states, local_grads, to_candidate):
        (d_hidden,), (to_product, _) = d_states, local_grads
        return ops.concatenate(
            [d_hidden * to_product[..., 0, :], d_hidden * to_product[..., 1, :], d_hidden * to_candidate], axis=-1
        )

    def weight_gradients(self, d_gates, d_states, local_grads, before, mask):
        (d_hidden,), ((to_product, _), _) = d_states, local_grads
        d_product = ops.reshape(d_hidden[..., None, :] * to_product, (-1, 3 * self.units))
        masked = before[0] if mask is None else before[0] * mask
        return kernel_gradient(masked, d_product), ops.sum(d_product[:, 2 * self.units :], axis=0)


class LSTM(Recurrent):
    """Long short-term memory (Hochreiter & Schmidhuber 1997; forget gate: Gers et al. 2000).

        i, f, o = sigmoid(x W + b + h U)       input, forget, output
        g = tanh(x Wg + bg + h Ug)             candidate
        c' = f * c + i * g
        h' = o * tanh(c')

    The forget bias starts at 1 (Jozefowicz et al. 2015). The gates are ordered i, f, g, o.
    """

    num_gates = 4
    num_states = 2

    def initial_bias(self, shape, dtype=None):
        size = self.units
        return ops.concatenate(
            [ops.zeros((size,), dtype=dtype), ops.ones((size,), dtype=dtype), ops.zeros((2 * size,), dtype=dtype)]
        )

    def hold_signs(self):
        size = self.units
        return ops.concatenate([-ops.ones((size,)), ops.ones((size,)), ops.zeros((2 * size,))])

    def combine(self, gates, product, state, weights):
        size, gates = self.units, gates + product
        sigmoids = ops.sigmoid(gates[..., : 2 * size])
        candidate, output = ops.tanh(gates[..., 2 * size : 3 * size]), ops.sigmoid(gates[..., 3 * size :])
        cell = sigmoids[..., size:] * state[1] + sigmoids[..., :size] * candidate
        squashed = ops.tanh(cell)
        return (output * squashed, cell), (sigmoids, candidate, output, squashed)

    def zero_residuals(self, hidden):
        zeros = ops.zeros_like(hidden)
        return ops.concatenate([zeros, zeros], axis=-1), zeros, zeros, zeros

    def local_gradients(self, residuals, before):
        sigmoids, candidate, output, squashed = residuals
        input_gate, forget = sigmoids[..., : self.units], sigmoids[..., self.units :]
        to_cell_gates = ops.stack(
            [
                candidate * input_gate * (1 - input_gate),
                before[1] * forget * (1 - forget),
                input_gate * (1 - candidate * candidate),
            ],
            axis=-2,
        )  # [T, B, 3, H]
        return (to_cell_gates, squashed * output * (1 - output), output * (1 - squashed * squashed), forget), ()

    def backward_step(self, d_state, local_grads, transposed, mask=None):
        _, _, to_cell, forget = local_grads
        d_hidden, d_cell = d_state[0], d_state[1] + d_state[0] * to_cell
        through_gates = ops.matmul(self.gate_gradients((d_hidden, d_cell), local_grads, ()), transposed)
        return (through_gates if mask is None else through_gates * mask, d_cell * forget), (d_hidden, d_cell)

    def gate_gradients(self, d_states, local_grads, other_local_grads):
        (d_hidden, d_cell), (to_cell_gates, to_output, *_) = d_states, local_grads
        shape = (*ops.shape(d_hidden)[:-1], 3 * self.units)
        d_cell_gates = ops.reshape(d_cell[..., None, :] * to_cell_gates, shape)
        return ops.concatenate([d_cell_gates, d_hidden * to_output], axis=-1)

    def weight_gradients(self, d_gates, d_states, local_grads, before, mask):
        return (kernel_gradient(before[0] if mask is None else before[0] * mask, d_gates),)

    def final_state(self, hiddens, last, real, reverse):
        if reverse or real is None:
            return last
        # The cell state was carried over the padding, the output was not: take it from the last token.
        real = ops.cast(real, hiddens.dtype)
        ends = real - ops.concatenate([real[1:], ops.zeros_like(real[:1])], axis=0)
        return ops.sum(hiddens * ends[:, :, None], axis=0), last[1]


CELLS = {"gru": GRU, "lstm": LSTM}
