"""Recurrent layers over time-major sequences.   Shapes: T time, B batch, D input size, H units, G gates.

Time comes first, so that what a step reads and writes is one contiguous block. Three things keep the loop short:

- the input's share of every gate is one matrix product for all steps, made before the loop;
- the loop forward keeps the states alone; the gates are recomputed for all steps at once when gradients are wanted;
- the loop backward carries the state's gradient alone; the gradients of all weights are then one product each.

Padding: at a step where `real` is 0 a gate is forced so far open or shut that the state is carried over bit for bit.
Hence a sequence read backward begins at its true end, and the last state of one read forward is the one at its end.
"""

import itertools
from collections.abc import Iterator

import keras
from keras import ops

# A sigmoid of this is 1 (of its negative 0) exactly, in float32 and in float64.
SATURATED = 1e4


class Recurrent(keras.layers.Layer):
    """What the cells have in common: the input product, the mask, the weights; GRU and LSTM give the equations.

    units: H. seeds: one int is drawn from it for each weight. kernel: initializer of the input weights, by name.
    Recurrent weights start orthogonal gate by gate (Saxe et al. 2014).
    """

    num_gates: int
    num_states: int

    def __init__(self, units: int, *, seeds: Iterator[int] | None = None, kernel: str = "glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        self.units = units
        self.seeds = seeds or itertools.count()
        self.kernel_name = kernel

    def build(self, input_shape):
        def fresh(name):
            return keras.initializers.get(
                {"class_name": name, "config": {"seed": next(self.seeds)}}
            )

        # One block for each gate: its fan is D -> H, not D -> G * H.
        blocks = [fresh(self.kernel_name) for _ in range(self.num_gates)]
        squares = [fresh("orthogonal") for _ in range(self.num_gates)]

        def side_by_side(parts):
            def initializer(shape, dtype=None):
                part = (shape[0], shape[1] // len(parts))
                return ops.concatenate([one(part, dtype=dtype) for one in parts], axis=1)

            return initializer

        width = self.num_gates * self.units
        self.kernel = self.add_weight(shape=(input_shape[-1], width), initializer=side_by_side(blocks), name="kernel")
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, width), initializer=side_by_side(squares), name="recurrent_kernel"
        )
        self.bias = self.add_weight(shape=(width,), initializer=self.initial_bias, name="bias")
        self.built = True

    def initial_bias(self, shape, dtype=None):
        return ops.zeros(shape, dtype=dtype)

    def zero_state(self, batch_size):
        """The state before the first step: a tuple of [B, H]."""
        return tuple(ops.zeros((batch_size, self.units), dtype=self.compute_dtype) for _ in range(self.num_states))

    def call(self, inputs, state=None, real=None, reverse=False):
        """All steps: inputs [T, B, D] -> outputs [T, B, H], last state (tuple of [B, H]).

        state: tuple of [B, H]; zeros when absent. real: [T, B], 1 for tokens, 0 for padding; None when padding is only
        at the end of outputs nobody reads. reverse: from the last step to the first; outputs keep their places.
        """
        gates = ops.matmul(inputs, self.kernel) + self.bias  # [T, B, G * H]
        if real is not None:
            hold = ops.cast(SATURATED * self.holding(), gates.dtype)
            gates = gates + (1 - ops.cast(real, gates.dtype))[:, :, None] * hold
        if state is None:
            state = self.zero_state(ops.shape(inputs)[1])
        return self.recur(gates, tuple(state), real, reverse)

    def step(self, inputs, state):
        """One step: inputs [B, D], state -> output [B, H], state."""
        gates = ops.matmul(inputs, self.kernel) + self.bias
        state = self.advance(gates, state, self.recurrent_weights())
        return state[0], state

    def holding(self):
        """[G * H]: signs that, times SATURATED and added to the gates, carry the state over a step."""
        raise NotImplementedError

    def recurrent_weights(self):
        """What the loop reads at each step, as tensors: a custom gradient must not meet variables."""
        raise NotImplementedError

    def advance(self, gates, state, weights):
        """One step from the input's share of the gates [B, G * H]: the cell's equations."""
        raise NotImplementedError

    def recur(self, gates, state, real, reverse):
        """The loop, with its gradient written out."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape, **kwargs):
        steps, batch, _ = input_shape
        return (steps, batch, self.units), ((batch, self.units),) * self.num_states


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

    def advance(self, gates, state, weights):
        (hidden,), (kernel, bias) = state, weights
        size = self.units
        product = ops.matmul(hidden, kernel)
        both = ops.sigmoid(gates[..., : 2 * size] + product[..., : 2 * size])
        update, reset = both[..., :size], both[..., size:]
        candidate = ops.tanh(gates[..., 2 * size :] + reset * (product[..., 2 * size :] + bias))
        return (hidden + update * (candidate - hidden),)

    def recur(self, gates, state, real, reverse):
        size = self.units

        @ops.custom_gradient
        def run(gates, first, kernel, bias):
            def forward(carry, step_gates):
                (hidden,) = self.advance(step_gates, (carry,), (kernel, bias))
                return hidden, hidden

            last, hiddens = ops.scan(forward, first, gates, reverse=reverse)

            def gradient(*upstream):
                d_hiddens, d_last = upstream
                before = shift(hiddens, first, reverse)  # [T, B, H]: the state each step began with
                product = ops.matmul(before, kernel)
                both = ops.sigmoid(gates[..., : 2 * size] + product[..., : 2 * size])
                update, reset = both[..., :size], both[..., size:]
                inner = product[..., 2 * size :] + bias
                candidate = ops.tanh(gates[..., 2 * size :] + reset * inner)
                # What the state's gradient is multiplied with to give that of each gate before its nonlinearity.
                kept = 1 - update
                to_update = (candidate - before) * update * kept
                to_candidate = update * (1 - candidate * candidate)
                to_reset = to_candidate * inner * reset * (1 - reset)
                slopes = ops.stack([to_update, to_reset, to_candidate * reset], axis=2)  # [T, B, 3, H]
                transposed = ops.transpose(kernel)

                def backward(carry, step):
                    d_hidden, slope, share = step
                    total = carry + d_hidden
                    d_product = ops.reshape(total[:, None, :] * slope, (-1, 3 * size))
                    return total * share + ops.matmul(d_product, transposed), total

                d_first, totals = ops.scan(backward, d_last, (d_hiddens, slopes, kept), reverse=not reverse)
                d_product = ops.reshape(totals[:, :, None, :] * slopes, (-1, 3 * size))
                d_kernel = ops.matmul(ops.transpose(ops.reshape(before, (-1, size))), d_product)
                d_bias = ops.sum(d_product[:, 2 * size :], axis=0)
                d_both = ops.reshape(d_product[:, : 2 * size], ops.shape(both))
                d_gates = ops.concatenate([d_both, totals * to_candidate], axis=-1)
                return d_gates, d_first, d_kernel, d_bias

            return (hiddens, last), gradient

        hiddens, last = run(gates, state[0], *self.recurrent_weights())
        return hiddens, (last,)


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

    def recurrent_weights(self):
        return (ops.copy(self.recurrent_kernel),)

    def activate(self, gates):
        """i, f, g, o from what stands before their nonlinearities, [..., 4 * H]."""
        size = self.units
        both = ops.sigmoid(gates[..., : 2 * size])
        candidate, output = ops.tanh(gates[..., 2 * size : 3 * size]), ops.sigmoid(gates[..., 3 * size :])
        return both[..., :size], both[..., size:], candidate, output

    def advance(self, gates, state, weights):
        hidden, cell = state
        enter, forget, candidate, output = self.activate(gates + ops.matmul(hidden, weights[0]))
        cell = forget * cell + enter * candidate
        return output * ops.tanh(cell), cell

    def recur(self, gates, state, real, reverse):
        size = self.units

        @ops.custom_gradient
        def run(gates, first_hidden, first_cell, kernel):
            def forward(carry, step_gates):
                carry = self.advance(step_gates, carry, (kernel,))
                return carry, carry

            (_, last), (hiddens, cells) = ops.scan(forward, (first_hidden, first_cell), gates, reverse=reverse)

            def gradient(*upstream):
                d_hiddens, d_last = upstream
                before = shift(hiddens, first_hidden, reverse)
                cell_before = shift(cells, first_cell, reverse)
                enter, forget, candidate, output = self.activate(gates + ops.matmul(before, kernel))
                squashed = ops.tanh(cells)
                to_output = squashed * output * (1 - output)
                to_cell = output * (1 - squashed * squashed)
                slopes = ops.stack(
                    [
                        candidate * enter * (1 - enter),
                        cell_before * forget * (1 - forget),
                        enter * (1 - candidate * candidate),
                    ],
                    axis=2,
                )  # [T, B, 3, H]
                transposed = ops.transpose(kernel)

                def backward(carry, step):
                    d_hidden, slope, output_slope, cell_slope, kept = step
                    d_output = carry[0] + d_hidden
                    d_cell = carry[1] + d_output * cell_slope
                    inward = ops.reshape(d_cell[:, None, :] * slope, (-1, 3 * size))
                    d_gates = ops.concatenate([inward, d_output * output_slope], axis=-1)
                    return (ops.matmul(d_gates, transposed), d_cell * kept), (d_output, d_cell)

                carry, totals = ops.scan(
                    backward,
                    (ops.zeros_like(d_last), d_last),
                    (d_hiddens, slopes, to_output, to_cell, forget),
                    reverse=not reverse,
                )
                d_hidden, d_cell = totals
                inward = ops.reshape(d_cell[:, :, None, :] * slopes, (*ops.shape(d_hidden)[:2], 3 * size))
                d_gates = ops.concatenate([inward, d_hidden * to_output], axis=-1)
                flat = ops.reshape(d_gates, (-1, 4 * size))
                d_kernel = ops.matmul(ops.transpose(ops.reshape(before, (-1, size))), flat)
                return d_gates, carry[0], carry[1], d_kernel

            return (hiddens, last), gradient

        hiddens, cell = run(gates, *state, *self.recurrent_weights())
        if reverse:
            return hiddens, (hiddens[0], cell)
        if real is None:
            return hiddens, (hiddens[-1], cell)
        # The cell was carried over the padding; the output there is not the last one, so take it from its place.
        real = ops.cast(real, hiddens.dtype)
        ends = real - ops.concatenate([real[1:], ops.zeros_like(real[:1])], axis=0)
        return hiddens, (ops.sum(hiddens * ends[:, :, None], axis=0), cell)


def shift(states, first, reverse):
    """The state each step began with: states [T, B, H], first [B, H] -> [T, B, H].

    shift([a, b, c], s, False) -> [s, a, b];   shift([a, b, c], s, True) -> [b, c, s]
    """
    if reverse:
        return ops.concatenate([states[1:], first[None]], axis=0)
    return ops.concatenate([first[None], states[:-1]], axis=0)


CELLS = {"gru": GRU, "lstm": LSTM}
