"""Selects weights by name, and freezes parts of a model.

The name of a weight is its path within the model: "encoder/forward_0/kernel", "target_embedding".
"""

import fnmatch
from collections.abc import Sequence
from typing import Any

from textpipe.errors import ConfigError, suggest


def weight_name(weight: Any) -> str:
    """The path of a weight without the model's name, which may be numbered.

    "recurrent/encoder/forward_0/kernel" -> "encoder/forward_0/kernel"
    """
    return weight.path.partition("/")[2] or weight.path


def weights_by_name(model: Any) -> dict[str, Any]:
    """The weights of a model by name, in order."""
    return {weight_name(weight): weight for weight in model.weights}


def all_prefixes(names: Sequence[str]) -> list[str]:
    """All names that a pattern may match: the names and their prefixes.

    ["encoder/forward_0/kernel"] -> ["encoder", "encoder/forward_0", "encoder/forward_0/kernel"]
    """
    return list(dict.fromkeys(name for full in names for name in prefixes(full)))


def prefixes(name: str) -> list[str]:
    steps = name.split("/")
    return ["/".join(steps[: number + 1]) for number in range(len(steps))]


def match_names(patterns: Sequence[str], names: Sequence[str], setting: str) -> set[str]:
    """The names that match patterns: a name, a prefix of one up to a slash, or a glob of either.

    ["encoder", "*_embedding"] of a recurrent model -> all of the encoder, and both embeddings

    setting: the key of the patterns, such as "[train] freeze". Raises ConfigError for a pattern that matches none.
    """
    matches: set[str] = set()
    for pattern in patterns:
        matching = {name for name in names if any(fnmatch.fnmatchcase(prefix, pattern) for prefix in prefixes(name))}
        if not matching:
            suggestion = suggest(pattern, all_prefixes(names))
            if suggestion.startswith("; known"):
                suggestion = f"; the model has {', '.join(dict.fromkeys(name.split('/')[0] for name in names))}"
            raise ConfigError(f"{setting} {pattern!r}: no weight has such a name{suggestion}")
        matches |= matching
    return matches


def freeze(model: Any, patterns: Sequence[str]) -> list[str]:
    """Makes the weights that match patterns untrainable and returns their names.

    A layer whose weights are all frozen is itself frozen, so that batch normalization in it keeps its averages.

    Raises ConfigError for a pattern that matches no weight, and if no weight is left to train.
    """
    weights = weights_by_name(model)
    frozen = match_names(patterns, list(weights), "[train] freeze")
    for name in frozen:
        weights[name].trainable = False
    for layer in model._flatten_layers(include_self=False):  # Keras has no public API for nested layers
        if layer.weights and all(weight_name(weight) in frozen for weight in layer.weights):
            layer.trainable = False
    if not model.trainable_weights:
        raise ConfigError(
            "[train] freeze: every weight of the model is frozen, nothing is left to train; name fewer parts"
        )
    return sorted(frozen)
