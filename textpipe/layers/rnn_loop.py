"""What recurrent layers over time-major sequences share.   Shapes: T time, B batch, D input size, H units, G gates.

Time comes first, so that what a step reads and writes is one contiguous block. Three things keep the loop short:

- the input's share of every gate is one matrix product for all steps, made before the loop;
- the loop forward keeps its nonlinearities, so that the slopes the gradient needs are computed for all steps at once;
- the loop backward carries the state's gradient alone; the gradients of all weights are then one product each.

A cell's loop comes apart (`product`, `combine`, `slopes`, `retreat`, `to_gates`, `collect`), so that decoder_loop.py
can put the same parts into a loop of its own.

Padding: at a step where `real` is 0 a gate is forced so far open or shut that the state is carried over bit for bit.
Hence a sequence read backward begins at its true end, and the last state of one read forward is the one at its end.
"""

import itertools
from collections.abc import Iterator

import keras
from keras import ops

from textpipe.layers.scan import scan
from textpipe.layers.uniform_dropout import Dropout

# A sigmoid of this is 1 (of its negative 0) exactly, in float32 and in float64.
SATURATED = 1e4


class Recurrent(keras.layers.Layer):
    """The input product, the mask and the loop; the cells in rnn_cells.py give the equations.

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
            self.recurrent_drop = Dropout(recurrent_dropout, seed=next(self.seeds))
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
        state, _ = self.advance(ops.matmul(inputs, self.kernel) + self.bias, state, self.recurrent_weights())
        return state[0], state

    def mask(self, batch_size, training):
        """What the state is multiplied with before the gates see it: [B, H], or None when nothing is dropped."""
        if not (self.recurrent_dropout and training):
            return None
        return self.recurrent_drop(ops.ones((batch_size, self.units), dtype=self.compute_dtype), training=True)

    def advance(self, gates, state, weights, mask=None):
        """One step from the input's share of the gates [B, G * H]: state -> state, and what `slopes` needs of it."""
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

            def forward(carry, step_gates):
                after = self.advance(step_gates, carry[0], weights, mask)
                return after, after

            # What is kept is carried too: a scan gives what it carries.
            start = first, self.nothing_kept(first[0])
            (last, _), (states, kept) = scan(forward, start, gates, reverse=reverse)

            def gradient(*upstream):
                d_hiddens, d_last = upstream[0], upstream[1:]
                before = tuple(shift(states[part], first[part], reverse) for part in range(parts))
                slopes = self.slopes(kept, before)
                transposed = ops.transpose(weights[0])

                def backward(carry, step):
                    d_hidden, read = step
                    return self.retreat((carry[0] + d_hidden, *carry[1:]), read, transposed, mask)

                d_first, totals = scan(backward, d_last, (d_hiddens, slopes[0]), reverse=not reverse)
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
        """The cell's equations: both shares of the gates [B, G * H] and the state -> state, what `slopes` needs."""
        raise NotImplementedError

    def nothing_kept(self, hidden):
        """Zeros of the shapes of what `combine` gives for `slopes`; hidden [B, H]."""
        raise NotImplementedError

    def slopes(self, kept, before):
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
