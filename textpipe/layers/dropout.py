"""Dropout whose masks are cheap on a CPU.

There, most of the time of dropout goes into drawing a uniform float for each entry. Here one random 32-bit word decides about
four entries, one byte each. So a rate is a multiple of 1/256: 0.3 becomes 77/256 = 0.3008, and the entries kept are scaled
by 256/179, which preserves the mean. A rate far from any multiple of 1/256, such as 0.01, takes 16 or 32 bits for each entry
(dropout_rate.py).
"""

import keras
from keras import ops

from textpipe.layers import dropout_rate


class Dropout(keras.layers.Layer):
    """Sets entries to zero with probability `rate` and scales up the others to preserve the mean (Srivastava et al. 2014).

    inputs of any shape -> the same shape. seed: int; the generator's state is a variable, so checkpoints contain it.
    Raises ValueError for a rate too close to 0 or 1.
    """

    def __init__(self, rate: float, *, seed: int, **kwargs):
        super().__init__(**kwargs)
        self.bits, self.level = dropout_rate.resolution(dropout_rate.check(rate))  # numbers below level are dropped
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
            else num_elements(shape)
        )
        per_word, number_dtype = 32 // self.bits, f"uint{self.bits}"
        words = keras.random.randint(
            ((count + per_word - 1) // per_word, 1), -(2**31), 2**31 - 1, dtype="int32", seed=self.generator
        )
        random = ops.reshape(ops.view(words, number_dtype), (-1,))[:count]
        keep = ops.cast(ops.greater_equal(random, ops.convert_to_tensor(self.level, number_dtype)), dtype)
        levels = 2**self.bits
        return ops.reshape(keep * (levels / (levels - self.level)), shape)


def num_elements(shape) -> int:
    """(2, 3, 4) -> 24"""
    count = 1
    for size in shape:
        count *= size
    return count
