"""Weights by name: which ones a pattern means, and parts that are not trained.

A weight's name is its path inside the model: "encoder/forward_0/kernel", "target_embedding".
"""

import fnmatch
from collections.abc import Sequence
from typing import Any

from textpipe.errors import ConfigError, suggest


def weight_name(weight: Any) -> str:
    """A weight's path without the model's own name, which may be numbered.

    "recurrent/encoder/forward_0/kernel" -> "encoder/forward_0/kernel"
    """
    return weight.path.partition("/")[2] or weight.path


def weights_by_name(model: Any) -> dict[str, Any]:
    """A model's weights by name, in their order."""
    return {weight_name(weight): weight for weight in model.weights}


def all_prefixes(names: Sequence[str]) -> list[str]:
    """Everything a pattern may name: the names and all their beginnings.

    ["encoder/forward_0/kernel"] -> ["encoder", "encoder/forward_0", "encoder/forward_0/kernel"]
    """
    found = {name: None for full in names for name in prefixes(full)}
    return list(found)


def prefixes(name: str) -> list[str]:
    steps = name.split("/")
    return ["/".join(steps[: number + 1]) for number in range(len(steps))]


def match_names(patterns: Sequence[str], names: Sequence[str], place: str) -> set[str]:
    """The names that patterns mean: a name, the beginning of one up to a slash, or a glob of either.

    ["encoder", "*_embedding"] of a recurrent model -> all of the encoder, and both embeddings

    Raises ConfigError for a pattern that means none; place: where it stands, "[train] freeze".
    """
    found: set[str] = set()
    for pattern in patterns:
        meant = {name for name in names if any(fnmatch.fnmatchcase(part, pattern) for part in prefixes(name))}
        if not meant:
            near = suggest(pattern, all_prefixes(names))
            if near.startswith("; known"):
                near = f"; the model has {', '.join(dict.fromkeys(name.split('/')[0] for name in names))}"
            raise ConfigError(f"{place} {pattern!r}: no weight has such a name{near}")
        found |= meant
    return found


def freeze(model: Any, patterns: Sequence[str]) -> list[str]:
    """Marks the weights that patterns mean as not trained, and gives their names.

    A layer all of whose weights are frozen is frozen as a layer, so that batch normalization in it keeps its averages.

    Raises ConfigError for a pattern that means no weight, and when no weight is left to train.
    """
    weights = weights_by_name(model)
    frozen = match_names(patterns, list(weights), "[train] freeze")
    for name in frozen:
        weights[name].trainable = False
    for layer in model._flatten_layers(include_self=False):  # Keras has no public way to nested layers
        if layer.weights and all(weight_name(weight) in frozen for weight in layer.weights):
            layer.trainable = False
    if not model.trainable_weights:
        raise ConfigError(
            "[train] freeze: every weight of the model is frozen, nothing is left to train; name fewer parts"
        )
    return sorted(frozen)
