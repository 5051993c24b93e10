"""What a model is given: {field: feature}."""

from collections.abc import Mapping
from typing import Any


def only(inputs: Mapping[str, Any]) -> Any:
    """The feature of a model that reads one field, whatever the field's name.

    {"text": ids} -> ids
    """
    (feature,) = inputs.values()
    return feature
