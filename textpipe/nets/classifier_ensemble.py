"""Ensembles of classifiers.   Shapes: B batch, C classes, M further members."""

import math

import keras
from keras import ops

MEMBERS = "ensemble members"  # the input with their probabilities; no field has a space in its name
SMALLEST = 1e-37  # about the smallest normal float32, the floor of probabilities before their logarithm


class ClassifierEnsemble(keras.Model):
    """A classifier whose class probabilities are the mean of its own model's and those of further members.

    own_model: {field: feature} -> logits [B, C], or log-odds [B, 1] of the second of two classes. temperature: by which they are divided
    first (training/calibration.py), as probabilities on different scales have no meaningful mean. mean: "arithmetic", or "geometric" (the
    renormalized mean of log-probabilities).

    Hansen and Salamon (1990), Neural Network Ensembles.

    own .9 and .1, a member .5 and .5: arithmetic .7 and .3, geometric .75 and .25
    """

    def __init__(self, own_model, *, temperature=1.0, mean="arithmetic"):
        super().__init__(name="ensemble")
        assert temperature > 0 and mean in ("arithmetic", "geometric")
        self.own_model, self.temperature, self.mean = own_model, temperature, mean
        self.built = True  # its own model is built

    def call(self, inputs, training=False):
        """{field: feature, MEMBERS: probabilities [M, B, C]} -> log-probabilities [B, C]."""
        features = {name: value for name, value in inputs.items() if name != MEMBERS}
        logits = ops.cast(self.own_model(features, training=training), "float32") / self.temperature
        if logits.shape[-1] == 1:
            logits = ops.concatenate([ops.zeros_like(logits), logits], axis=-1)
        own_log_probs = ops.log_softmax(logits, axis=-1)
        members = ops.log(ops.maximum(inputs[MEMBERS], SMALLEST))
        log_probs = ops.concatenate([own_log_probs[None], members], axis=0)  # [1 + M, B, C]
        if self.mean == "geometric":
            return ops.log_softmax(ops.mean(log_probs, axis=0), axis=-1)
        return ops.logsumexp(log_probs, axis=0) - math.log(log_probs.shape[0])
