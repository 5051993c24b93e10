"""Deadlines of searches: nothing outside of the graph can stop a search.

A deadline is a float64 scalar, in seconds since 1970-01-01 UTC, 0 for none. A search that it interrupts has no answer: the
call fails with a message that starts with EXCEEDED.
"""

import tensorflow as tf

EXCEEDED = "DEADLINE_EXCEEDED"


def checked(deadline):
    """The deadline as a tensor that fails in graph if it has passed or is not a valid time."""
    deadline = tf.cast(deadline, tf.float64)
    valid = tf.math.is_finite(deadline) & (deadline >= 0)
    checks = [
        tf.debugging.Assert(valid, ["option deadline must be seconds since 1970, or 0 for none, found", deadline]),
        tf.debugging.Assert(
            ~valid | time_left(deadline), [f"{EXCEEDED}: the deadline had passed before the search began"]
        ),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):  # None when run eagerly
        return tf.identity(deadline)


def time_left(deadline):
    """Whether there is time left: [] bool."""
    return tf.equal(deadline, 0) | (tf.timestamp() < deadline)


def deadline_of(config):
    """The deadline of a search, or None, which adds nothing to the graph."""
    return getattr(config, "deadline", None)


def in_time(config, step):
    """Loop condition: whether the deadline has not passed. The first step always runs, so that there is a result."""
    deadline = deadline_of(config)
    return tf.constant(True) if deadline is None else tf.equal(step, 0) | time_left(deadline)


def check_finished(config, unfinished, outputs):
    """The outputs of a search, which fail in graph if the deadline ended it: unfinished [] bool, after the loop."""
    if deadline_of(config) is None:
        return outputs
    check = tf.debugging.Assert(~unfinished, [f"{EXCEEDED}: the search was ended at its deadline"])
    with tf.control_dependencies([] if check is None else [check]):  # None when run eagerly
        return {name: tf.identity(part) for name, part in outputs.items()}
