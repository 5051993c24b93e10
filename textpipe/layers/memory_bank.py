"""The memory of a neural Turing machine and how its two heads address it (Graves et al. 2014, section 3).

Shapes: B batch, N slots, M width of a slot, O outputs of the controller for the heads.

A step and its gradient are written out, because differentiating a loop of so many small operations automatically takes twice the time.
"""

from typing import Any

import keras
import numpy as np
from keras import ops

SHIFTS = (-1, 0, 1)  # the slots that a head can move by in one step
WRITE, READ = 0, 1  # the heads, in the order of their outputs
INITIAL_CONTENT = (
    1e-6  # of each component of the memory: Collier & Beel (2018) find that a constant trains most reliably
)
SEQUENTIAL_BIAS = 2.0  # of the sharpnesses and of the likeliest shifts of heads that start out sequential
FIRST_SLOT = 10.0  # initial logit of slot 0, where both heads begin
EPSILON = 1e-6  # keeps norms and logarithms finite


class MemoryBank(keras.layers.Layer):
    """A matrix of N slots, a head that writes and then one that reads.

    Its state: {"bank": [B, N, M], "write", "read": [B, N], the weightings of the heads, "content": [B, M], what was read}.

    The outputs of the controller are ordered by their nonlinearity: tanh of both keys and of what is added; softplus of both strengths and
    both sharpnesses; sigmoid of both gates and of what is erased; softmax of both heads' shifts.
    """

    def __init__(self, slots: int, width: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.slots, self.width = slots, width
        self.num_outputs = 4 * width + 6 + 2 * len(SHIFTS)

    def build(self, input_shape: Any = None) -> None:
        def first_slot(shape: Any, dtype: Any = None) -> Any:
            return ops.cast(FIRST_SLOT * ops.one_hot(ops.zeros((shape[0],), "int32"), shape[1]), dtype or "float32")

        self.initial_logits = self.add_weight(shape=(2, self.slots), initializer=first_slot, name="initial_logits")
        self.initial_content = self.add_weight(shape=(self.width,), initializer="zeros", name="initial_content")
        self.built = True

    def sequential_bias(self) -> np.ndarray:
        """Bias of the controller's outputs with which, before training, the writing head moves on by one slot a step and the reading head stays: [O].

        Both are sharp enough to keep to one slot. With a bias of zeros each step blurs the weightings: a third of each moves to either side.
        """
        bias = np.zeros(self.num_outputs, "float32")
        bias[3 * self.width + 2 : 3 * self.width + 4] = SEQUENTIAL_BIAS
        shifts = bias[4 * self.width + 6 :].reshape(2, len(SHIFTS))
        shifts[WRITE, SHIFTS.index(1)] = shifts[READ, SHIFTS.index(0)] = SEQUENTIAL_BIAS
        return bias

    def start(self, batch_size: Any) -> dict[str, Any]:
        """The state before the first step."""
        write, read = ops.unstack(ops.softmax(self.initial_logits), 2)
        return {
            "bank": ops.full((batch_size, self.slots, self.width), INITIAL_CONTENT, dtype=self.compute_dtype),
            "write": ops.tile(write[None], (batch_size, 1)),
            "read": ops.tile(read[None], (batch_size, 1)),
            "content": ops.tile(ops.tanh(self.initial_content)[None], (batch_size, 1)),
        }

    def forward_step(
        self, outputs: Any, state: dict[str, Any], real: Any = None
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """One step: outputs [B, O], state -> state, residuals for `backward_step`.

        real: [B, 1], 1 for tokens and 0 for padding, where nothing is written and no head moves.
        """
        heads = self.activate(outputs)
        write, write_residuals = self.address(heads, WRITE, state["bank"], state["write"], real)
        # Equations 3 and 4: erase first, then add.
        amount = (write if real is None else write * real)[:, :, None]
        bank = state["bank"] * (1 - amount * heads["erase"][:, None, :]) + amount * heads["add"][:, None, :]
        read, read_residuals = self.address(heads, READ, bank, state["read"], real)
        content = ops.squeeze(ops.matmul(read[:, None, :], bank), 1)  # equation 2
        after = {"bank": bank, "write": write, "read": read, "content": content}
        return after, {"outputs": outputs, "write": write_residuals, "read": read_residuals}

    def zero_residuals(self, state: dict[str, Any]) -> dict[str, Any]:
        """Zeros of the shapes of the residuals."""
        batch_size = ops.shape(state["read"])[0]
        by_slot = ops.zeros((batch_size, 6, self.slots), dtype=self.compute_dtype)
        return {
            "outputs": ops.zeros((batch_size, self.num_outputs), dtype=self.compute_dtype),
            "write": by_slot,
            "read": by_slot,
        }

    def activate(self, outputs: Any) -> dict[str, Any]:
        """The parameters of the heads, section 3.3: outputs [B, O] -> "keys", "add", "erase" [B, M]; [B, 1] or [B, 3] for a head."""
        width = self.width
        tanh = ops.tanh(outputs[:, : 3 * width])
        softplus = ops.softplus(outputs[:, 3 * width : 3 * width + 4])
        sigmoid = ops.sigmoid(outputs[:, 3 * width + 4 : 4 * width + 6])
        shifts = outputs[:, 4 * width + 6 :]
        return {
            "keys": (tanh[:, :width], tanh[:, width : 2 * width]),
            "add": tanh[:, 2 * width :],
            "strengths": (softplus[:, 0:1], softplus[:, 1:2]),
            "sharpnesses": (1 + softplus[:, 2:3], 1 + softplus[:, 3:4]),
            "gates": (sigmoid[:, 0:1], sigmoid[:, 1:2]),
            "erase": sigmoid[:, 2:],
            "shifts": (ops.softmax(shifts[:, : len(SHIFTS)]), ops.softmax(shifts[:, len(SHIFTS) :])),
        }

    def address(self, heads: Any, head: int, bank: Any, before: Any, real: Any) -> tuple[Any, Any]:
        """The weighting of a head: bank [B, N, M], before [B, N] -> [B, N], residuals [B, 6, N]."""
        key, shifts = heads["keys"][head], heads["shifts"][head]
        # Equations 5 and 6: by content.
        squares = ops.sum(bank * bank, axis=2)
        norms = ops.sqrt(squares * ops.sum(key * key, axis=1, keepdims=True) + EPSILON * EPSILON)
        similarity = ops.squeeze(ops.matmul(bank, key[:, :, None]), 2) / norms
        by_content = ops.softmax(heads["strengths"][head] * similarity)
        mixed = before + heads["gates"][head] * (by_content - before)  # equation 7: interpolation
        # Equation 8: circular convolution.
        moved = ops.roll(mixed, -1, axis=1) * shifts[:, 0:1] + mixed * shifts[:, 1:2]
        moved = moved + ops.roll(mixed, 1, axis=1) * shifts[:, 2:3]
        logarithms = ops.log(moved + EPSILON)
        weights = ops.softmax(heads["sharpnesses"][head] * logarithms)  # equation 9: powers, normalized
        residuals = ops.stack([squares, norms, similarity, by_content, logarithms, weights], axis=1)
        if real is not None:
            weights = ops.where(real > 0, weights, before)
        return weights, residuals

    def backward_step(
        self, d_after: Any, before: Any, after: Any, residuals: Any, real: Any = None
    ) -> tuple[Any, dict[str, Any]]:
        """The gradients of `outputs` [B, O] and of the state before a step, from that of the state after it."""
        heads = self.activate(residuals["outputs"])
        d_content = d_after["content"]
        # The content is matmul(read, bank).
        d_read = d_after["read"] + ops.squeeze(ops.matmul(after["bank"], d_content[:, :, None]), 2)
        d_bank = d_after["bank"] + after["read"][:, :, None] * d_content[:, None, :]
        d_heads_read, d_from_read, d_read_before = self.address_gradients(
            d_read, heads, READ, residuals["read"], after["bank"], before["read"], real
        )
        d_bank = d_bank + d_from_read
        # The bank is before * (1 - amount * erase) + amount * add.
        amount = residuals["write"][:, 5]
        amount = amount if real is None else amount * real
        scaled = d_bank * before["bank"]
        d_amount = ops.squeeze(
            ops.matmul(d_bank, heads["add"][:, :, None]) - ops.matmul(scaled, heads["erase"][:, :, None]), 2
        )
        d_add = ops.squeeze(ops.matmul(amount[:, None, :], d_bank), 1)
        d_erase = -ops.squeeze(ops.matmul(amount[:, None, :], scaled), 1)
        d_bank_before = d_bank * (1 - amount[:, :, None] * heads["erase"][:, None, :])
        d_write = d_after["write"] + (d_amount if real is None else d_amount * real)
        d_heads_write, d_from_write, d_write_before = self.address_gradients(
            d_write, heads, WRITE, residuals["write"], before["bank"], before["write"], real
        )
        d_outputs = self.activation_gradients(heads, d_heads_write, d_heads_read, d_add, d_erase)
        return d_outputs, {
            "bank": d_bank_before + d_from_write,
            "write": d_write_before,
            "read": d_read_before,
            "content": ops.zeros_like(d_content),
        }

    def address_gradients(
        self, d_weights: Any, heads: Any, head: int, residuals: Any, bank: Any, before: Any, real: Any
    ) -> tuple[dict[str, Any], Any, Any]:
        """The gradients of a head's parameters, of the bank and of the weighting before, from that of its weighting [B, N]."""
        squares, norms, similarity, by_content, logarithms, weights = ops.unstack(residuals, 6, axis=1)
        key, shifts, gate = heads["keys"][head], heads["shifts"][head], heads["gates"][head]
        d_padding = None
        if real is not None:
            d_padding, d_weights = d_weights * (1 - real), d_weights * real
        d_powers = weights * (d_weights - ops.sum(d_weights * weights, axis=1, keepdims=True))
        d_moved = heads["sharpnesses"][head] * d_powers * ops.exp(-logarithms)
        mixed = before + gate * (by_content - before)
        d_shifts = [
            ops.sum(d_moved * moved, axis=1, keepdims=True)
            for moved in (ops.roll(mixed, -1, axis=1), mixed, ops.roll(mixed, 1, axis=1))
        ]
        d_mixed = ops.roll(d_moved, 1, axis=1) * shifts[:, 0:1] + d_moved * shifts[:, 1:2]
        d_mixed = d_mixed + ops.roll(d_moved, -1, axis=1) * shifts[:, 2:3]
        d_content = gate * d_mixed
        d_before = d_mixed - d_content
        d_logits = by_content * (d_content - ops.sum(d_content * by_content, axis=1, keepdims=True))
        d_similarity = heads["strengths"][head] * d_logits
        d_products = d_similarity / norms
        d_norms = -0.5 * d_similarity * similarity / (norms * norms)  # of the square of the norms
        d_squares = d_norms * ops.sum(key * key, axis=1, keepdims=True)
        d_key = ops.squeeze(ops.matmul(d_products[:, None, :], bank), 1)
        d_key = d_key + 2 * key * ops.sum(d_norms * squares, axis=1, keepdims=True)
        d_bank = d_products[:, :, None] * key[:, None, :] + (2 * d_squares)[:, :, None] * bank
        d_head = {
            "key": d_key,
            "strength": ops.sum(d_logits * similarity, axis=1, keepdims=True),
            "sharpness": ops.sum(d_powers * logarithms, axis=1, keepdims=True),
            "gate": ops.sum(d_mixed * (by_content - before), axis=1, keepdims=True),
            "shifts": ops.concatenate(d_shifts, axis=1),
        }
        return d_head, d_bank, d_before if d_padding is None else d_before + d_padding

    def activation_gradients(self, heads: Any, write: Any, read: Any, d_add: Any, d_erase: Any) -> Any:
        """The gradient of the outputs [B, O], from those of what `activate` gives."""
        tanh = ops.concatenate([*heads["keys"], heads["add"]], axis=1)
        # softplus(x) = s has the derivative sigmoid(x) = 1 - exp(-s).
        strengths = ops.concatenate(heads["strengths"], axis=1)
        sharpnesses = ops.concatenate(heads["sharpnesses"], axis=1) - 1
        softplus = ops.concatenate([strengths, sharpnesses], axis=1)
        sigmoid = ops.concatenate([*heads["gates"], heads["erase"]], axis=1)
        d_softplus = [write["strength"], read["strength"], write["sharpness"], read["sharpness"]]
        d_shifts = [
            shifts * (d_head["shifts"] - ops.sum(d_head["shifts"] * shifts, axis=1, keepdims=True))
            for shifts, d_head in zip(heads["shifts"], (write, read), strict=True)
        ]
        return ops.concatenate(
            [
                ops.concatenate([write["key"], read["key"], d_add], axis=1) * (1 - tanh * tanh),
                ops.concatenate(d_softplus, axis=1) * (1 - ops.exp(-softplus)),
                ops.concatenate([write["gate"], read["gate"], d_erase], axis=1) * sigmoid * (1 - sigmoid),
                *d_shifts,
            ],
            axis=1,
        )
