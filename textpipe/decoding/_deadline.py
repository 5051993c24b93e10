"""A search that ends at a time given by its caller, since nothing outside of the graph can end it.

A deadline is a float64 scalar of seconds since 1970-01-01 UTC, 0 for none. A search that it cuts short has no answer:
the call fails with a message that begins with EXCEEDED.
"""

import tensorflow as tf

EXCEEDED = "DEADLINE_EXCEEDED"


def checked(deadline):
    """The deadline as a tensor that fails in graph where it has passed, or is no time at all."""
    deadline = tf.cast(deadline, tf.float64)
    time = tf.math.is_finite(deadline) & (deadline >= 0)
    checks = [
        tf.debugging.Assert(time, ["option deadline must be seconds since 1970, or 0 for none, found", deadline]),
        tf.debugging.Assert(
            ~time | time_left(deadline), [f"{EXCEEDED}: the deadline had passed before the search began"]
        ),
    ]
    with tf.control_dependencies([check for check in checks if check is not None]):  # None when run eagerly
        return tf.identity(deadline)


def time_left(deadline):
    """Whether there is time left: [] bool."""
    return tf.equal(deadline, 0) | (tf.timestamp() < deadline)


def deadline_of(config):
    """A search's deadline, or None: then nothing is added to the graph."""
    return getattr(config, "deadline", None)


def in_time(config, step):
    """What a loop's condition asks beside its own: one step is always taken, so that there is something to return."""
    deadline = deadline_of(config)
    return tf.constant(True) if deadline is None else tf.equal(step, 0) | time_left(deadline)


def check_finished(config, unfinished, found):
    """The outputs of a search, which fail in graph where it was cut short: unfinished [] bool, when the loop was left."""
    if deadline_of(config) is None:
        return found
    check = tf.debugging.Assert(~unfinished, [f"{EXCEEDED}: the search was ended at its deadline"])
    with tf.control_dependencies([] if check is None else [check]):  # None when run eagerly
        return {name: tf.identity(part) for name, part in found.items()}
