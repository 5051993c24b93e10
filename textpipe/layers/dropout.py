"""Dropout whose masks are cheap on a CPU.

Random numbers are what dropout costs there: a uniform float for each entry takes longer than everything else it does. Here one
random 32-bit word decides on four entries, a byte each. So a rate is a multiple of 1/256: 0.3 becomes 77/256 = 0.3008, and
what is kept is scaled by 256/179, so that the mean stays what it was. A rate that no byte comes near to, such as 0.01,
takes 16 or 32 bits for each entry (dropout_rate.py).
"""

import keras
from keras import ops

from textpipe.layers import dropout_rate


class Dropout(keras.layers.Layer):
    """Sets entries to zero with probability `rate` and scales the others up to keep the mean (Srivastava et al. 2014).

    inputs of any shape -> the same shape. seed: int; the state drawn from it is a variable, so a checkpoint holds it.
    Raises ValueError for a rate that cannot be drawn.
    """

    def __init__(self, rate: float, *, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.bits, self.level = dropout_rate.resolved(dropout_rate.checked(rate))  # numbers below level are dropped
        self.generator = keras.random.SeedGenerator(seed) if self.level else None

    def build(self, input_shape=None):
        self.built = True

    def call(self, inputs, training=False):
        if not training or not self.level:
            return inputs
        return inputs * self.mask(ops.shape(inputs), inputs.dtype)

    def mask(self, shape, dtype):
        """0 where an entry is dropped, 1 / (1 - rate) where it is kept."""
        count = (
            ops.prod(ops.convert_to_tensor(shape))
            if any(not isinstance(size, int) for size in shape)
            else size_of(shape)
        )
        numbers, dtype_of_numbers = 32 // self.bits, f"uint{self.bits}"  # of one word
        words = keras.random.randint(
            ((count + numbers - 1) // numbers, 1), -(2**31), 2**31 - 1, dtype="int32", seed=self.generator
        )
        random = ops.reshape(ops.view(words, dtype_of_numbers), (-1,))[:count]
        keep = ops.cast(ops.greater_equal(random, ops.convert_to_tensor(self.level, dtype_of_numbers)), dtype)
        levels = 2**self.bits
        return ops.reshape(keep * (levels / (levels - self.level)), shape)


def size_of(shape) -> int:
    """(2, 3, 4) -> 24"""
    size = 1
    for part in shape:
        size *= part
    return size
