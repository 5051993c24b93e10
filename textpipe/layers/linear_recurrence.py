"""A linear recurrence over time as a parallel scan.   Shapes: B batch, S steps, D vector."""

from typing import Any

from keras import ops


def linear_recurrence(decay: Any, update: Any, *, most: int, reverse: bool = False) -> Any:
    """h_t = decay_t h_(t-1) + update_t with h_(-1) = 0, entry by entry: decay, update [B, S, D] -> h [B, S, D].

    most: an upper bound of S, known before the graph runs. reverse: from the last step to the first. Steps are composed in pairs, then in
    fours and so on (Hillis and Steele 1986), so that S steps take log2(S) rounds: (d2, u2) after (d1, u1) is (d1 d2, u1 d2 + u2).
    """
    shift = 1
    while shift < most:
        update = update + decay * shifted(update, shift, reverse)
        if 2 * shift < most:
            # Steps before the first leave h as it is, so a decay of 0 there and of 1 give the same: their update is 0.
            decay = decay * shifted(decay, shift, reverse)
        shift *= 2
    return update


def shifted(values: Any, by: int, reverse: bool) -> Any:
    """Values of the steps that are `by` earlier, or later in reverse; 0 where there are none: [B, S, D] -> [B, S, D]."""
    length = ops.shape(values)[1]
    if reverse:
        return ops.pad(values, [[0, 0], [0, by], [0, 0]])[:, by:]
    return ops.pad(values, [[0, 0], [by, 0], [0, 0]])[:, :length]
