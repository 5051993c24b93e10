"""A linear recurrence over time as a parallel scan.   Shapes: B batch, S steps, D vector."""

from typing import Any

from keras import ops


def linear_recurrence(decay: Any, update: Any, *, most: int, reverse: bool = False) -> Any:
    """h_t = decay_t h_(t-1) + update_t with h_(-1) = 0, entry by entry: decay [B, S, D or 1], update [B, S, D] -> h [B, S, D].

    most: an upper bound of S, known before the graph runs. reverse: from the last step to the first. The gradient is a recurrence of the
    same form in the other direction: that of update_t is g_t = dL/dh_t + decay_(t+1) g_(t+1), and that of decay_t is g_t h_(t-1).
    """

    @ops.custom_gradient
    def run(decay: Any, update: Any) -> tuple[Any, Any]:
        states = scan(decay, update, most, reverse)

        def gradients(*arguments: Any, upstream: Any = None) -> tuple[Any, Any]:
            upstream = arguments[0] if upstream is None else upstream
            of_update = scan(shifted(decay, 1, not reverse), upstream, most, not reverse)
            of_decay = of_update * shifted(states, 1, reverse)
            if decay.shape[-1] == 1:
                of_decay = ops.sum(of_decay, axis=-1, keepdims=True)
            return of_decay, of_update

        return states, gradients

    return run(decay, update)


def scan(decay: Any, update: Any, most: int, reverse: bool) -> Any:
    """The recurrence, by composing steps in pairs, then in fours and so on (Hillis and Steele 1986): log2(S) rounds.

    (d2, u2) after (d1, u1) is (d1 d2, u1 d2 + u2). Before the first step h is 0, so it does not matter that decays are 0 there.
    """
    shift = 1
    while shift < most:
        update = update + decay * shifted(update, shift, reverse)
        if 2 * shift < most:
            decay = decay * shifted(decay, shift, reverse)
        shift *= 2
    return update


def shifted(values: Any, by: int, reverse: bool) -> Any:
    """Values of the steps that are `by` earlier, or later in reverse; 0 where there are none: [B, S, D] -> [B, S, D]."""
    length = ops.shape(values)[1]
    if reverse:
        return ops.pad(values, [[0, 0], [0, by], [0, 0]])[:, by:]
    return ops.pad(values, [[0, 0], [by, 0], [0, 0]])[:, :length]
