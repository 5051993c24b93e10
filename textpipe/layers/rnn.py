"""Recurrent layers over time-major sequences.   Shapes: T time, B batch, D input size, H units, G gates.

Time comes first, so that what a step reads and writes is one contiguous block. Three things keep the loop short:

- the input's share of every gate is one matrix product for all steps, made before the loop;
- the loop forward makes one product, the state's share of the gates; nonlinearities are taken again for all steps at
  once when gradients are wanted;
- the loop backward carries the state's gradient alone; the gradients of all weights are then one product each.

A cell's loop comes apart (`product`, `combine`, `slopes`, `retreat`, `to_gates`, `collect`), so that decoder_loop.py can
put the same parts into a loop of its own.

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
    """What the cells have in common: the input product, the mask, the loop; GRU and LSTM give the equations.

    units: H. seeds: one int is drawn from it for each weight. kernel: initializer of the input weights, by name.
    Recurrent weights start orthogonal gate by gate (Saxe et al. 2014).
    recurrent_dropout: share of the units that the gates do not see of the state, the same ones at every step of a
    sequence (Gal & Ghahramani 2016, equation 7). What is carried to the next step past the gates is left whole.
    """

    num_gates: int
    num_states: int

    def __init__(
        self,
        units: int,
        *,
        seeds: Iterator[int] | None = None,
        kernel: str = "glorot_uniform",
        recurrent_dropout: float = 0.0,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.units = units
        self.seeds = seeds or itertools.count()
        self.kernel_name = kernel
        if recurrent_dropout:
            self.recurrent_drop = keras.layers.Dropout(recurrent_dropout, seed=next(self.seeds))
        self.recurrent_dropout = recurrent_dropout

    def build(self, input_shape):
        def fresh(name):
            return keras.initializers.get({"class_name": name, "config": {"seed": next(self.seeds)}})

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
        if self.recurrent_dropout:
            self.recurrent_drop.build((None, self.units))
        self.built = True

    def initial_bias(self, shape, dtype=None):
        return ops.zeros(shape, dtype=dtype)

    def zero_state(self, batch_size):
        """The state before the first step: a tuple of [B, H]."""
        return tuple(ops.zeros((batch_size, self.units), dtype=self.compute_dtype) for _ in range(self.num_states))

    def call(self, inputs, state=None, real=None, reverse=False, training=False):
        """All steps: inputs [T, B, D] -> outputs [T, B, H], last state (tuple of [B, H]).

        state: tuple of [B, H]; zeros when absent. real: [T, B], 1 for tokens, 0 for padding; None when padding is only
        at the end of outputs nobody reads. reverse: from the last step to the first; outputs keep their places.
        """
        gates = ops.matmul(inputs, self.kernel) + self.bias  # [T, B, G * H]
        if real is not None:
            hold = ops.cast(SATURATED * self.holding(), gates.dtype)
            gates = gates + (1 - ops.cast(real, gates.dtype))[:, :, None] * hold
        batch_size = ops.shape(inputs)[1]
        if state is None:
            state = self.zero_state(batch_size)
        hiddens, last = self.recur(gates, tuple(state), reverse, self.mask(batch_size, training))
        return hiddens, self.end(hiddens, last, real, reverse)

    def step(self, inputs, state):
        """One step: inputs [B, D], state -> output [B, H], state."""
        state = self.advance(ops.matmul(inputs, self.kernel) + self.bias, state, self.recurrent_weights())
        return state[0], state

    def mask(self, batch_size, training):
        """What the state is multiplied with before the gates see it: [B, H], or None when nothing is dropped."""
        if not (self.recurrent_dropout and training):
            return None
        return self.recurrent_drop(ops.ones((batch_size, self.units), dtype=self.compute_dtype), training=True)

    def advance(self, gates, state, weights, mask=None):
        """One step from the input's share of the gates [B, G * H]: state -> state."""
        return self.combine(gates, self.product(state[0], weights, mask), state, weights)

    def product(self, hidden, weights, mask=None):
        """The state's share of the gates: [..., H] -> [..., G * H]."""
        return ops.matmul(hidden if mask is None else hidden * mask, weights[0])

    def recur(self, gates, state, reverse, mask):
        """The loop with its gradient written out: gates [T, B, G * H] -> outputs [T, B, H], last state."""
        parts = self.num_states

        @ops.custom_gradient
        def run(gates, *rest):
            first, weights = rest[:parts], rest[parts:]

            # The product is emitted beside the state: it is most of the work, and the gradient needs it again.
            def forward(carry, step_gates):
                product = self.product(carry[0], weights, mask)
                after = (*self.combine(step_gates, product, carry[:parts], weights), product)
                return after, after

            last, states = ops.scan(forward, (*first, ops.zeros_like(gates[0])), gates, reverse=reverse)
            last, states, products = last[:parts], states[:parts], states[parts]

            def gradient(*upstream):
                d_hiddens, d_last = upstream[0], upstream[1:]
                before = tuple(shift(states[part], first[part], reverse) for part in range(parts))
                slopes = self.slopes(gates, products, before, states, weights)
                transposed = ops.transpose(weights[0])

                def backward(carry, step):
                    d_hidden, read = step
                    return self.retreat((carry[0] + d_hidden, *carry[1:]), read, transposed, mask)

                d_first, totals = ops.scan(backward, d_last, (d_hiddens, slopes[0]), reverse=not reverse)
                d_gates = self.to_gates(totals, *slopes)
                return d_gates, *d_first, *self.collect(d_gates, totals, slopes, before, mask)

            return (states[0], *last), gradient

        hiddens, *last = run(gates, *state, *self.recurrent_weights())
        return hiddens, tuple(last)

    def end(self, hiddens, last, real, reverse):
        """The state at the end of each row, from that at the end of the batch."""
        return last

    def holding(self):
        """[G * H]: signs that, times SATURATED and added to the gates, carry the state over a step."""
        raise NotImplementedError

    def recurrent_weights(self):
        """What the loop reads at each step, the recurrent kernel first, as tensors: a custom gradient must not meet
        variables."""
        return (ops.copy(self.recurrent_kernel),)

    def combine(self, gates, product, state, weights):
        """The cell's equations: both shares of the gates [..., G * H] and the state -> state."""
        raise NotImplementedError

    def slopes(self, gates, products, before, after, weights):
        """What gradients are multiplied with, for all steps at once: what `retreat` reads, and the rest."""
        raise NotImplementedError

    def retreat(self, d_state, read, transposed, mask=None):
        """One step back: the gradients of the state after it -> of the state before it, and totals of their shapes."""
        raise NotImplementedError

    def to_gates(self, totals, read, rest):
        """The gradient of the input's share of the gates, from the totals of one step or of all: [..., G * H]."""
        raise NotImplementedError

    def collect(self, d_gates, totals, slopes, before, mask):
        """The gradient of each recurrent weight, from all steps."""
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

    def activate(self, gates, product, bias):
        """z, r, h Un + cn, n; each [..., H]."""
        size = self.units
        both = ops.sigmoid(gates[..., : 2 * size] + product[..., : 2 * size])
        update, reset = both[..., :size], both[..., size:]
        inner = product[..., 2 * size :] + bias
        return update, reset, inner, ops.tanh(gates[..., 2 * size :] + reset * inner)

    def combine(self, gates, product, state, weights):
        update, _, _, candidate = self.activate(gates, product, weights[1])
        return (state[0] + update * (candidate - state[0]),)

    def slopes(self, gates, products, before, after, weights):
        update, reset, inner, candidate = self.activate(gates, products, weights[1])
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

    def activate(self, gates):
        """i, f, g, o from what stands before their nonlinearities, [..., 4 * H]."""
        size = self.units
        both = ops.sigmoid(gates[..., : 2 * size])
        candidate, output = ops.tanh(gates[..., 2 * size : 3 * size]), ops.sigmoid(gates[..., 3 * size :])
        return both[..., :size], both[..., size:], candidate, output

    def combine(self, gates, product, state, weights):
        enter, forget, candidate, output = self.activate(gates + product)
        cell = forget * state[1] + enter * candidate
        return output * ops.tanh(cell), cell

    def slopes(self, gates, products, before, after, weights):
        enter, forget, candidate, output = self.activate(gates + products)
        squashed = ops.tanh(after[1])
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


def shift(states, first, reverse=False):
    """The state each step began with: states [T, B, H], first [B, H] -> [T, B, H].

    shift([a, b, c], s, False) -> [s, a, b];   shift([a, b, c], s, True) -> [b, c, s]
    """
    if reverse:
        return ops.concatenate([states[1:], first[None]], axis=0)
    return ops.concatenate([first[None], states[:-1]], axis=0)


def across(left, right):
    """The gradient of a weight W in `left W`, summed over all steps and rows: [..., I], [..., J] -> [I, J]."""
    rows = ops.reshape(left, (-1, left.shape[-1]))
    return ops.matmul(ops.transpose(rows), ops.reshape(right, (-1, right.shape[-1])))


CELLS = {"gru": GRU, "lstm": LSTM}
