"""A controller with a memory, step by step over a sequence.   Shapes: T time, B batch, H units, G gates, N slots, M width of a slot,
O outputs of the controller for the heads. Sequences are time-major: [T, B, .].

Organized as rnn_loop.py: what the tokens contribute to the gates is computed before the loop, the backward loop carries only the gradient of the
carry, and the gradient of each weight is one product after it.
"""

from typing import Any

from keras import ops, tree

from textpipe.layers.memory_bank import MemoryBank
from textpipe.layers.rnn_cells import LSTM
from textpipe.layers.rnn_loop import kernel_gradient, previous_states
from textpipe.layers.scan import scan

KEYS = ("bank", "write", "read", "content")


class MemoryLoop:
    """One step of controller and memory (`forward_step`), and all steps with their gradient (`run`).

    The carry: {"controller": (h, c) [B, H] each, "slots": the state of the memory}.
    weights: {"recurrent": [M + H, G * H] for what was read and for h, "heads": (kernel [H, O], bias [O])}, as tensors.
    """

    def __init__(self, controller: LSTM, memory: MemoryBank):
        self.controller, self.memory = controller, memory

    def forward_step(self, gates: Any, carry: Any, weights: Any, real: Any = None) -> tuple[Any, Any]:
        """One step: gates [B, G * H] from the tokens -> carry, residuals. real [B, 1]: 0 where the carry stays."""
        before = carry["controller"]
        inputs = ops.concatenate([carry["slots"]["content"], before[0]], axis=1)
        state, residuals = self.controller.combine(gates, ops.matmul(inputs, weights["recurrent"]), before, ())
        kernel, bias = weights["heads"]
        slots, slot_residuals = self.memory.forward_step(ops.matmul(state[0], kernel) + bias, carry["slots"], real)
        if real is not None:
            state = tuple(ops.where(real > 0, new, old) for new, old in zip(state, before, strict=True))
        return {"controller": state, "slots": slots}, {"controller": residuals, "slots": slot_residuals}

    def run(self, gates: Any, carry: Any, weights: Any, real: Any = None) -> tuple[Any, Any, Any]:
        """All steps: gates [T, B, G * H], real [T, B, 1] or None -> readouts [T, B, H + M], write weightings [T, B, N], last carry."""
        structure, width = (carry, weights), self.memory.width

        @ops.custom_gradient
        def loop(gates: Any, *rest: Any) -> Any:
            first, weights = tree.pack_sequence_as(structure, list(rest))
            sequences = (gates,) if real is None else (gates, real)

            def forward(carried: Any, inputs: Any) -> Any:
                after = self.forward_step(inputs[0], carried[0], weights, *inputs[1:])
                return after, after

            zeros = {
                "controller": self.controller.zero_residuals(first["controller"][0]),
                "slots": self.memory.zero_residuals(first["slots"]),
            }
            (last, _), (steps, residuals) = scan(forward, (first, zeros), sequences)
            readouts = ops.concatenate([steps["controller"][0], steps["slots"]["content"]], axis=-1)

            def gradient(*upstream: Any) -> Any:
                d_readouts, _, *d_last = upstream
                d_last = tree.pack_sequence_as(first, list(d_last))
                before = tree.map_structure(previous_states, steps, first)
                # The controller's own state after a step, also where padding leaves it out of the carry.
                own_grads = self.controller.local_gradients(residuals["controller"], before["controller"])
                transposed = ops.transpose(weights["recurrent"])
                heads = ops.transpose(weights["heads"][0])

                def backward(carried: Any, inputs: Any) -> Any:
                    d_carry = carried["carry"]
                    keep = None if real is None else inputs["real"]
                    d_hidden = d_carry["controller"][0] + inputs["upstream"][:, :-width]
                    d_slots = {**d_carry["slots"]}
                    d_slots["content"] = d_slots["content"] + inputs["upstream"][:, -width:]
                    d_outputs, d_slots = self.memory.backward_step(
                        d_slots, inputs["before"], inputs["after"], inputs["residuals"], keep
                    )
                    d_state = (d_hidden, d_carry["controller"][1])
                    d_padding = None
                    if keep is not None:
                        d_padding = tuple(part * (1 - keep) for part in d_state)
                        d_state = tuple(part * keep for part in d_state)
                    d_state = (d_state[0] + ops.matmul(d_outputs, heads), d_state[1])
                    (d_inputs, d_cell), d_states = self.controller.backward_step(d_state, inputs["local"], transposed)
                    d_before = (d_inputs[:, width:], d_cell)
                    if d_padding is not None:
                        d_before = tuple(a + b for a, b in zip(d_before, d_padding, strict=True))
                    d_slots["content"] = d_slots["content"] + d_inputs[:, :width]
                    after = {
                        "carry": {"controller": d_before, "slots": d_slots},
                        "states": d_states,
                        "outputs": d_outputs,
                    }
                    return after, after

                inputs = {
                    "upstream": d_readouts,
                    "before": {name: before["slots"][name] for name in KEYS[:3]},
                    "after": {name: steps["slots"][name] for name in KEYS[:3]},
                    "residuals": residuals["slots"],
                    "local": own_grads[0],
                }
                if real is not None:
                    inputs["real"] = real
                zero = {
                    "carry": d_last,
                    "states": tree.map_structure(ops.zeros_like, first["controller"]),
                    "outputs": ops.zeros_like(residuals["slots"]["outputs"][0]),
                }
                d_first, grads = scan(backward, zero, inputs, reverse=True)
                d_gates = self.controller.gate_gradients(grads["states"], *own_grads)
                inside = ops.concatenate([before["slots"]["content"], before["controller"][0]], axis=-1)
                hidden = self.own_hidden(residuals["controller"])
                d_weights = {
                    "recurrent": kernel_gradient(inside, d_gates),
                    "heads": (kernel_gradient(hidden, grads["outputs"]), ops.sum(grads["outputs"], axis=(0, 1))),
                }
                return d_gates, *tree.flatten((d_first["carry"], d_weights))

            return (readouts, steps["slots"]["write"], *tree.flatten(last)), gradient

        readouts, write_weights, *last = loop(gates, *tree.flatten(structure))
        return readouts, write_weights, tree.pack_sequence_as(carry, list(last))

    @staticmethod
    def own_hidden(residuals: Any) -> Any:
        """The LSTM's output h = o tanh(c) at each step, from its residuals: [T, B, H]."""
        _, _, output, squashed = residuals
        return output * squashed
