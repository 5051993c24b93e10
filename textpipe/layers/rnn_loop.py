"""The base of recurrent layers over time-major sequences.   Shapes: T time, B batch, D input size, H units, G gates.

Time comes first, so that what a step reads and writes is one contiguous block. Three things keep the loop short:

- the input's contribution to every gate is one matrix product for all steps, computed before the loop;
- the forward loop stores its activations, so that the local gradients are computed for all steps at once;
- the backward loop carries only the gradient of the state; the gradient of each weight is then one product.

The parts of a cell's loop (`recurrent_product`, `combine`, `local_gradients`, `backward_step`, `gate_gradients`,
`weight_gradients`) are separate, so that decoder_loop.py can use them in a loop over several layers.

Padding: where `real` is 0, a gate is saturated so that the state is carried over bit for bit. Hence a sequence read backward
begins at its last token, and the last state of one read forward is the state at its last token.
"""

import itertools
from collections.abc import Iterator

import keras
from keras import ops

from textpipe.layers.scan import scan
from textpipe.layers.uniform_dropout import Dropout

# sigmoid(SATURATED) is exactly 1 and sigmoid(-SATURATED) exactly 0, in float32 and in float64.
SATURATED = 1e4


class Recurrent(keras.layers.Layer):
    """The input product, the dropout mask and the loop; subclasses in rnn_cells.py give the equations.

    units: H. seeds: one int is drawn from it for each weight. kernel: name of the initializer of the input weights.
    Recurrent weights start orthogonal gate by gate (Saxe et al. 2014).
    recurrent_dropout: share of the state's units hidden from the gates, the same units at every step of a sequence (Gal &
    Ghahramani 2016, equation 7). The part of the state that bypasses the gates is not masked.
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
        def seeded(name):
            return keras.initializers.get({"class_name": name, "config": {"seed": next(self.seeds)}})

        # One block for each gate: its fan is D -> H, not D -> G * H.
        input_blocks = [seeded(self.kernel_name) for _ in range(self.num_gates)]
        recurrent_blocks = [seeded("orthogonal") for _ in range(self.num_gates)]

        def gate_by_gate(initializers):
            def initializer(shape, dtype=None):
                block = (shape[0], shape[1] // len(initializers))
                return ops.concatenate([initialize(block, dtype=dtype) for initialize in initializers], axis=1)

            return initializer

        width = self.num_gates * self.units
        self.kernel = self.add_weight(
            shape=(input_shape[-1], width), initializer=gate_by_gate(input_blocks), name="kernel"
        )
        self.recurrent_kernel = self.add_weight(
            shape=(self.units, width), initializer=gate_by_gate(recurrent_blocks), name="recurrent_kernel"
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

        state: tuple of [B, H]; zeros by default. real: [T, B], 1 for tokens, 0 for padding; None when padding comes only at
        the end and its outputs are ignored. reverse: from the last step to the first; outputs keep their positions.
        """
        gates = ops.matmul(inputs, self.kernel) + self.bias  # [T, B, G * H]
        if real is not None:
            hold = ops.cast(SATURATED * self.hold_signs(), gates.dtype)
            gates = gates + (1 - ops.cast(real, gates.dtype))[:, :, None] * hold
        batch_size = ops.shape(inputs)[1]
        if state is None:
            state = self.zero_state(batch_size)
        hiddens, last = self.run_loop(gates, tuple(state), reverse, self.dropout_mask(batch_size, training))
        return hiddens, self.final_state(hiddens, last, real, reverse)

    def step(self, inputs, state):
        """One step: inputs [B, D], state -> output [B, H], state."""
        state, _ = self.forward_step(ops.matmul(inputs, self.kernel) + self.bias, state, self.recurrent_weights())
        return state[0], state

    def dropout_mask(self, batch_size, training):
        """The factor applied to the state before the gates: [B, H], or None without dropout."""
        if not (self.recurrent_dropout and training):
            return None
        return self.recurrent_drop(ops.ones((batch_size, self.units), dtype=self.compute_dtype), training=True)

    def forward_step(self, gates, state, weights, mask=None):
        """One step from the input's contribution to the gates [B, G * H]: state -> state, residuals."""
        return self.combine(gates, self.recurrent_product(state[0], weights, mask), state, weights)

    def recurrent_product(self, hidden, weights, mask=None):
        """The state's contribution to the gates: [..., H] -> [..., G * H]."""
        return ops.matmul(hidden if mask is None else hidden * mask, weights[0])

    def run_loop(self, gates, state, reverse, mask):
        """The loop with its gradient: gates [T, B, G * H] -> outputs [T, B, H], last state."""
        num_states = self.num_states

        @ops.custom_gradient
        def run(gates, *rest):
            first, weights = rest[:num_states], rest[num_states:]

            def forward(carry, step_gates):
                after = self.forward_step(step_gates, carry[0], weights, mask)
                return after, after

            # The residuals are carried too, because a scan returns what it carries.
            start = first, self.zero_residuals(first[0])
            (last, _), (states, residuals) = scan(forward, start, gates, reverse=reverse)

            def gradient(*upstream):
                d_hiddens, d_last = upstream[0], upstream[1:]
                before = tuple(previous_states(states[i], first[i], reverse) for i in range(num_states))
                local_grads = self.local_gradients(residuals, before)
                transposed = ops.transpose(weights[0])

                def backward(carry, step):
                    d_hidden, step_local_grads = step
                    return self.backward_step((carry[0] + d_hidden, *carry[1:]), step_local_grads, transposed, mask)

                d_first, d_states = scan(backward, d_last, (d_hiddens, local_grads[0]), reverse=not reverse)
                d_gates = self.gate_gradients(d_states, *local_grads)
                return d_gates, *d_first, *self.weight_gradients(d_gates, d_states, local_grads, before, mask)

            return (states[0], *last), gradient

        hiddens, *last = run(gates, *state, *self.recurrent_weights())
        return hiddens, tuple(last)

    def final_state(self, hiddens, last, real, reverse):
        """The state at the end of each row, from the state at the end of the batch."""
        return last

    def hold_signs(self):
        """[G * H]: the signs of the saturated gates that carry the state over a step."""
        raise NotImplementedError

    def recurrent_weights(self):
        """The weights used at each step, the recurrent kernel first, as tensors: a custom gradient must not capture
        variables."""
        return (ops.copy(self.recurrent_kernel),)

    def combine(self, gates, product, state, weights):
        """The cell's equations: both contributions to the gates [B, G * H] and the state -> state, residuals.

        The residuals are the activations that `local_gradients` needs.
        """
        raise NotImplementedError

    def zero_residuals(self, hidden):
        """Zeros of the shapes of the residuals; hidden [B, H]."""
        raise NotImplementedError

    def local_gradients(self, residuals, before):
        """Derivatives inside the cell, for all steps at once: those that `backward_step` reads, and the rest.

        before: the state before each step, [T, B, H] each.
        """
        raise NotImplementedError

    def backward_step(self, d_state, local_grads, transposed, mask=None):
        """One step back: the gradient of the state after it -> of the state before it; and the former once more, for
        `gate_gradients`. local_grads: the first part of `local_gradients`; transposed: the recurrent kernel."""
        raise NotImplementedError

    def gate_gradients(self, d_states, local_grads, other_local_grads):
        """The gradient of the input's contribution to the gates, from the states' of one step or of all: [..., G * H]."""
        raise NotImplementedError

    def weight_gradients(self, d_gates, d_states, local_grads, before, mask):
        """The gradient of each recurrent weight, from all steps; local_grads: both parts of `local_gradients`."""
        raise NotImplementedError

    def compute_output_shape(self, input_shape, **kwargs):
        steps, batch, _ = input_shape
        return (steps, batch, self.units), ((batch, self.units),) * self.num_states


def previous_states(states, first, reverse=False):
    """The state before each step: states [T, B, H], first [B, H] -> [T, B, H].

    previous_states([a, b, c], s, False) -> [s, a, b];   previous_states([a, b, c], s, True) -> [b, c, s]
    """
    if reverse:
        return ops.concatenate([states[1:], first[None]], axis=0)
    return ops.concatenate([first[None], states[:-1]], axis=0)


def kernel_gradient(inputs, d_outputs):
    """The gradient of W in `inputs W`, summed over all steps and rows: [..., I], [..., J] -> [I, J]."""
    rows = ops.reshape(inputs, (-1, inputs.shape[-1]))
    return ops.matmul(ops.transpose(rows), ops.reshape(d_outputs, (-1, d_outputs.shape[-1])))
