"""What a model is given: {field: feature}."""

from collections.abc import Mapping
from typing import Any


def dim_of(size: Mapping[str, Any]) -> int:
    """Rows of the matrix that a feature is multiplied by, from its size table: {"kind": "scalar"} is one number."""
    return int(size.get("vocab_size") or size.get("dim") or 1)


def only(inputs: Mapping[str, Any]) -> Any:
    """The feature of a model that reads one field, whatever the field's name.

    {"text": ids} -> ids
    """
    (feature,) = inputs.values()
    return feature
