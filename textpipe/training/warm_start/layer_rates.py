"""Learning rates by layer, and gradual unfreezing, for runs that start from trained weights (Howard and Ruder 2018, section 3.3).

A layer is a group of weights: the parts of an encoder one by one from the embedding up, then each other part of the model, in the order in which
they are built.
"""

import re
from collections.abc import Sequence
from typing import Any

from pydantic import Field, model_validator

from textpipe.config.sections import Section
from textpipe.training.warm_start import parameters

# Up to the number of a layer inside an encoder: "encoder/layers/forward_0", "field_body/encoder/block_1", "encoder/embedding".
PART = re.compile(r"(?:field_\w+/)?encoder/(?:layers/)?[^/]+")


class LayerRates(Section):
    """Factors of the learning rate; all that apply to a weight are multiplied.

    decay: the factor of each layer is that of the layer above times this; Howard and Ruder use 1 / 2.6.
    patterns: factors by name of weights, as in freeze: { encoder = 0.1 }.
    """

    decay: float | None = Field(default=None, gt=0, lt=1)
    patterns: dict[str, float] = {}

    @model_validator(mode="after")
    def any_given(self) -> "LayerRates":
        if self.decay is None and not self.patterns:
            raise ValueError("give decay or patterns, for example { decay = 0.8 }")
        for name, factor in self.patterns.items():
            if factor < 0:
                raise ValueError(f"patterns.{name}: expected a factor of at least 0, found {factor}")
        return self


class Unfreeze(Section):
    """Trains the last layer alone at first, and then one more layer below it at a time."""

    every: int = Field(default=1, ge=1)  # epochs until the next layer is trained too


def layers(names: Sequence[str]) -> list[list[str]]:
    """The names of a model's weights by layer, lowest first.

    ["encoder/embedding/table", "encoder/layer_0/kernel_0", "encoder/layer_0/bias", "hidden_0/bias", "output_linear/kernel", "bias"]
    -> [[embedding], [both of layer_0], [hidden_0], [output_linear and bias]]
    """
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(layer_of(name), []).append(name)
    bias = groups.pop("bias", [])  # of the logits
    groups_by_layer = list(groups.values())
    if bias:
        groups_by_layer = [*groups_by_layer[:-1], [*(groups_by_layer[-1] if groups_by_layer else []), *bias]]
    return groups_by_layer


def layer_of(name: str) -> str:
    """The layer of a weight; both directions of a recurrent layer are one, and so are the same layers of several fields' encoders."""
    part = PART.match(name)
    if part is None:
        return "fields" if name.startswith("field_") else name.split("/")[0]
    return re.sub(r"^field_\w+/", "", part[0]).replace("backward_", "forward_")


class Factors:
    """The factor of the learning rate of each trainable weight, epoch by epoch.

    Raises ConfigError for a pattern that matches no weight.
    """

    def __init__(self, model: Any, rates: LayerRates | None, unfreeze: Unfreeze | None):
        self.uniform, self.unfreeze = rates is None and unfreeze is None, unfreeze
        if self.uniform:
            return
        import tensorflow as tf

        self.names = [parameters.weight_name(weight) for weight in model.trainable_variables]
        by_layer = layers(self.names)
        self.depth = {
            name: len(by_layer) - 1 - at for at, group in enumerate(by_layer) for name in group
        }  # 0: the last
        self.fixed = dict.fromkeys(self.names, 1.0)
        if rates and rates.decay:
            self.fixed = {name: rates.decay ** self.depth[name] for name in self.names}
        for pattern, factor in (rates.patterns if rates else {}).items():
            for name in parameters.match_names([pattern], self.names, "[train] layer_rates.patterns"):
                self.fixed[name] *= factor
        self.current = tf.Variable(self.at(1), trainable=False)  # the factors of the epoch

    def at(self, epoch: int) -> list[float]:
        """The factors in an epoch, from 1, in the order of model.trainable_variables; 0 for a weight that is not trained yet."""
        trained = len(self.names) if self.unfreeze is None else 1 + (epoch - 1) // self.unfreeze.every
        return [self.fixed[name] if self.depth[name] < trained else 0.0 for name in self.names]

    def start_epoch(self, number: int) -> None:
        """Sets the factors of the updates that follow."""
        if not self.uniform:
            self.current.assign(self.at(number))

    def trained(self, gradients: Sequence[Any]) -> list[Any]:
        """The gradients, in graph; 0 of weights that are not trained in this epoch."""
        if self.uniform:
            return list(gradients)
        import tensorflow as tf

        factors = tf.unstack(self.current)
        return [
            tf.where(factor > 0, gradient, tf.zeros_like(gradient))
            for gradient, factor in zip(gradients, factors, strict=True)
        ]

    def apply(self, optimizer: Any, gradients: Sequence[Any], variables: Sequence[Any]) -> None:
        """An update by the optimizer, in graph. Its step is proportional to the learning rate, so a share of the step is one of the rate."""
        import tensorflow as tf

        before = [] if self.uniform else [tf.identity(variable.value) for variable in variables]
        optimizer.apply(gradients, variables)
        if self.uniform:
            return
        for variable, old, factor in zip(variables, before, tf.unstack(self.current), strict=True):
            step = tf.where(factor > 0, factor * (variable.value - old), tf.zeros_like(old))
            variable.assign(tf.where(factor == 1, variable.value, old + step))

    def described(self) -> dict[str, float]:
        """{layer: factor} of layers whose weights agree, else {weight: factor}, for train.json."""
        table: dict[str, float] = {}
        for group in layers(self.names):
            factors = {self.fixed[name] for name in group}
            single = len(factors) == 1
            table |= {layer_of(group[0]): factors.pop()} if single else {name: self.fixed[name] for name in group}
        return table
