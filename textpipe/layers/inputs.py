"""Inputs of a model: {field: feature}."""

from collections.abc import Mapping
from typing import Any


def dim_of(size: Mapping[str, Any]) -> int:
    """Rows of the matrix that multiplies a feature, from its size table; 1 for {"kind": "scalar"}."""
    return int(size.get("vocab_size") or size.get("dim") or 1)


def single_feature(inputs: Mapping[str, Any]) -> Any:
    """The feature of the only field, whatever its name.

    {"text": ids} -> ids
    """
    (feature,) = inputs.values()
    return feature
