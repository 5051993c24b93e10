"""Keras's dropout, with float32 random numbers whatever the compute dtype."""

import keras
from keras import ops


class Dropout(keras.layers.Dropout):
    """keras.layers.Dropout: a uniform number for each entry, or each entry of `noise_shape`, decides whether it is dropped.

    For bfloat16 inputs Keras draws bfloat16 numbers, multiples of 1/128, and a rate of 0.001 drops eight times as many
    entries. Here the numbers are float32 in that case too.
    """

    def call(self, inputs, training=False):
        if not (training and self.rate) or keras.backend.standardize_dtype(inputs.dtype) not in ("bfloat16", "float16"):
            return super().call(inputs, training=training)
        noise_shape = self.noise_shape or (None,) * len(inputs.shape)
        shape = [size or ops.shape(inputs)[axis] for axis, size in enumerate(noise_shape)]
        mask = keras.random.dropout(ops.ones(shape, dtype="float32"), self.rate, seed=self.seed_generator)
        return inputs * ops.cast(mask, inputs.dtype)
