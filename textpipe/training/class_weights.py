"""Weights of classes in the loss of a classifier.   N rows, C classes."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from textpipe.errors import ConfigError, suggest


def resolve(setting: str | Mapping[str, float] | None, target: Any, classes: Sequence[str]) -> np.ndarray | None:
    """[train] class_weight as factors of the loss, float32 [2, C]: of rows without and with a class; None without the setting.

    target: the column of train. "balanced" is rows / (C * rows of the class) for one label, scikit-learn's formula; for each of
    several labels it is that of the rows without and with it, rows / (2 * rows). A table gives the rows with a label, 1 where it is silent.

    Raises ConfigError for a label that is no class.
    """
    if setting is None:
        return None
    weights = np.ones((2, len(classes)), np.float32)
    if not isinstance(setting, str):
        for label in setting:
            if label not in classes:
                raise ConfigError(f"[train] class_weight: {label!r} is not a label of train{suggest(label, classes)}")
        weights[1] = [setting.get(label, 1.0) for label in classes]
        return weights
    rows = len(target)
    values = target.gather(np.arange(rows))
    if values.ndim == 1:  # one label per row
        weights[1] = rows / (len(classes) * np.maximum(np.bincount(values, minlength=len(classes)), 1))
        return weights
    present = values.sum(axis=0)
    return (rows / (2 * np.maximum(np.stack([rows - present, present]), 1))).astype(np.float32)
