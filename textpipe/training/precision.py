"""Mixed precision: layers compute in bfloat16, variables stay float32 (Micikevicius et al., 2018).

bfloat16 has the exponent of float32, so gradients do not vanish and no loss scaling is needed. It has 8 bits of mantissa,
so the loss, its gradient of the logits, and the sums over shards and batches are computed in float32. The projection to
the vocabulary is computed in bfloat16 in updates, as half of their arithmetic, and in float32 in validation and decoding.

On hardware without bfloat16 units the results are right but slow to compute: TensorFlow converts back and forth.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import keras
import tensorflow as tf


@contextmanager
def policy(name: str) -> Iterator[None]:
    """While open, layers are built for "float32" or "mixed_bfloat16"."""
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(name)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


@contextmanager
def float32_layers(model) -> Iterator[None]:
    """While open, a model is traced in float32, as it will be served."""
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else ()  # no public API for nested layers
    before = [(layer, layer.dtype_policy) for layer in layers if layer.compute_dtype == "bfloat16"]
    for layer, _ in before:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy


class SplitModel:
    """A generator's hidden() and project() in any precision, with results in float32.

    `project` multiplies in float32, `project_in_updates` in the compute dtype of the model.
    """

    def __init__(self, model):
        self.hidden, self.project, self.project_in_updates = model.hidden, model.project, model.project
        if getattr(model, "compute_dtype", "float32") not in ("float32", "float64"):
            self.hidden = in_compute_dtype(model, model.hidden)
            self.project = project_in_float32(model.project)
            self.project_in_updates = in_compute_dtype(model, lambda hidden, training: model.project(hidden))


def in_compute_dtype(model, method: Callable) -> Callable:
    """Runs a method of a model like its call: arguments and variables are cast to the model's compute dtype.

    Keras casts only inside a layer's __call__, so the method is wrapped in a layer without weights. Keras passes on only
    the keyword arguments in the signature of `call`, hence `training`.
    """

    class Method(keras.layers.Layer):
        def build(self, *shapes):
            self.built = True

        def call(self, *arguments, training=False):
            return method(*arguments, training=training)

    layer = Method(dtype=model.dtype_policy)

    def run(*arguments: Any, training: bool = False):
        return tf.cast(layer(*arguments, training=training), tf.float32)

    return run


def project_in_float32(project: Callable) -> Callable:
    """project() with input and output in float32. Outside a layer's __call__, variables are read uncast: float32."""
    return lambda hidden: tf.cast(project(tf.cast(hidden, tf.float32)), tf.float32)
