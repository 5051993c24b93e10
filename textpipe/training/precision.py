"""Mixed precision: layers compute in bfloat16, variables stay float32 (Micikevicius et al., 2018).

bfloat16 has float32's exponent, so gradients do not vanish and no loss scale is needed; it has 8 bits of mantissa, so
the product that gives the vocabulary's logits, the loss, and the sums over shares and batches are float32.

On hardware without bfloat16 units this computes the right thing slowly: TensorFlow converts back and forth.
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
    """While open, what is traced of a model computes in float32, as the model will that is served."""
    layers = model._flatten_layers() if hasattr(model, "_flatten_layers") else ()  # no public way to nested layers
    before = [(layer, layer.dtype_policy) for layer in layers if layer.compute_dtype == "bfloat16"]
    for layer, _ in before:
        layer.dtype_policy = "float32"
    try:
        yield
    finally:
        for layer, policy in before:
            layer.dtype_policy = policy


class SplitModel:
    """hidden and project of a generator, whatever the model computes in: hidden vectors come as float32, and `project` makes
    the logits of them by a float32 product with the float32 variables.
    """

    def __init__(self, model):
        self.hidden, self.project = model.hidden, model.project
        if getattr(model, "compute_dtype", "float32") != "float32":
            self.hidden, self.project = in_compute_dtype(model, model.hidden), project_in_float32(model.project)


def in_compute_dtype(model, method: Callable) -> Callable:
    """A method of a model as if it were its call: arguments and variables are read in the model's compute dtype.

    Keras converts them inside a layer's __call__ alone, so the method runs as that of a layer without weights. Of what is
    given by name Keras passes on what the signature of `call` names, so `training` stands there.
    """

    class Method(keras.layers.Layer):
        def build(self, *shapes):
            self.built = True

        def call(self, *arguments, training=False):
            return method(*arguments, training=training)

    layer = Method(dtype=model.dtype_policy)

    def run(*arguments: Any, training: bool):
        return tf.cast(layer(*arguments, training=training), tf.float32)

    return run


def project_in_float32(project: Callable) -> Callable:
    """project with hidden vectors and result in float32. Outside a layer's __call__ variables are read as they are: float32."""
    return lambda hidden: tf.cast(project(tf.cast(hidden, tf.float32)), tf.float32)
