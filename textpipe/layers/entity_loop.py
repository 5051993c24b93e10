"""Memory slots that read a story sentence by sentence.   Shapes: S sentences, B batch, M slots, D vector. Sequences are time-major: [S, B, .].

Organized as rnn_loop.py: what does not depend on the state is computed before the loop, the backward loop carries only the gradient of the
state, and the gradient of each weight is one product after it.
"""

from typing import Any

from keras import ops

from textpipe.layers.rnn_loop import kernel_gradient, previous_states
from textpipe.layers.scan import scan

EPSILON = 1e-12  # under the root of a slot's norm


def write_slots(
    first: Any, sentences: Any, key_scores: Any, from_sentences: Any, from_keys: Any, kernel: Any, slope: Any, real: Any
) -> tuple[Any, Any]:
    """The slots after a story [B, M, D], and the gate of each slot at each sentence [S, B, M].

    A sentence s changes the state h of a slot with key w by the gate g = sigmoid(s.h + s.w) and the candidate c = prelu(U h + V w + W s):
    h' = (h + g c) / ||h + g c||   (Henaff et al. 2017, equations 2 to 5).

    first: h before the story [B, M, D]. sentences: s [S, B, D]. key_scores: s.w [S, B, M]. from_sentences: W s [S, B, D].
    from_keys: V w [M, D]. kernel: U [D, D]. slope: of the prelu [D]. real: 1 where there is a sentence, 0 for padding, which leaves
    the slots as they are, bit for bit [S, B]. All are tensors: a custom gradient must not capture variables.
    """

    @ops.custom_gradient
    def run(
        first: Any, sentences: Any, key_scores: Any, from_sentences: Any, from_keys: Any, kernel: Any, slope: Any
    ) -> Any:
        shape = ops.shape(first)

        def forward(carry: Any, inputs: Any) -> tuple[Any, Any]:
            state = carry[0]
            sentence, key_score, from_sentence, exists = inputs
            gate = ops.sigmoid(ops.sum(state * sentence[:, None], axis=2) + key_score) * exists  # [B, M]
            product = ops.reshape(ops.matmul(ops.reshape(state, (-1, shape[2])), kernel), shape)
            drive = product + (from_sentence[:, None] + from_keys)  # what prelu reads
            new = state + gate[:, :, None] * prelu(drive, slope)
            scale = ops.rsqrt(ops.sum(new * new, axis=2) + EPSILON) * exists + (1 - exists)  # [B, M]
            after = new * scale[:, :, None], drive, gate, scale
            return after, after

        empty = ops.zeros_like(first[:, :, 0])
        inputs = sentences, key_scores, from_sentences, real[:, :, None]
        (last, *_), (states, drives, gates, scales) = scan(forward, (first, first, empty, empty), inputs)

        def gradient(*upstream: Any) -> Any:
            d_last, d_gates = upstream
            before = previous_states(states, first)
            local = gates * (real[:, :, None] - gates)  # of the sigmoid; 0 for padding
            transposed = ops.transpose(kernel)

            def backward(carry: Any, inputs: Any) -> tuple[Any, Any]:
                d_state = carry[0]
                sentence, after, drive, gate, scale, of_gate, d_gate, exists = inputs
                along = ops.sum(d_state * after, axis=2) * exists  # the part that the norm removes
                d_new = (d_state - along[:, :, None] * after) * scale[:, :, None]
                d_score = (ops.sum(d_new * prelu(drive, slope), axis=2) + d_gate) * of_gate  # [B, M]
                d_candidate = d_new * gate[:, :, None]
                d_drive = d_candidate * ops.where(drive > 0, ops.ones_like(slope), slope)
                product = ops.reshape(ops.matmul(ops.reshape(d_drive, (-1, shape[2])), transposed), shape)
                d_before = d_new + product + d_score[:, :, None] * sentence[:, None]
                after_step = d_before, d_drive, d_candidate, d_score
                return after_step, after_step

            start = d_last, first, first, empty
            steps = sentences, states, drives, gates, scales, local, d_gates, real[:, :, None]
            (d_first, *_), (_, d_drives, d_candidates, d_scores) = scan(backward, start, steps, reverse=True)
            return (
                d_first,
                ops.matmul(d_scores[:, :, None], before)[:, :, 0],
                d_scores,
                ops.sum(d_drives, axis=2),
                ops.sum(d_drives, axis=(0, 1)),
                kernel_gradient(before, d_drives),
                ops.sum(d_candidates * ops.minimum(drives, 0), axis=(0, 1, 2)),
            )

        return (last, gates), gradient

    last, gates = run(first, sentences, key_scores, from_sentences, from_keys, kernel, slope)
    return last, gates


def prelu(values: Any, slope: Any) -> Any:
    """Values above 0, and slope times those below, by entry (He et al. 2015): [..., D], [D] -> [..., D]."""
    return ops.maximum(values, 0) + slope * ops.minimum(values, 0)
