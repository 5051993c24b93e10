"""A single training run with textpipe's own loop, and what experiments read from it."""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.laboratory._data import Data
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings


@dataclass(frozen=True)
class Trial:
    """A trained model, the content of train.json, and a line for each validation."""

    model: Any
    summary: dict[str, Any]
    history: list[dict[str, Any]]

    def updates_to(self, accuracy: float) -> int | None:
        """Updates until a validation first reached this accuracy; None if none did."""
        return next((line["step"] for line in self.history if line["valid_accuracy"] >= accuracy), None)

    @property
    def best(self) -> float:
        """The best validation accuracy."""
        return max(line["valid_accuracy"] for line in self.history)

    @property
    def last(self) -> float:
        """The validation accuracy at the end."""
        return self.history[-1]["valid_accuracy"]


def build(data: Data, model: Mapping[str, Any], *, seed: int) -> Any:
    """A new model of textpipe for these rows."""
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    config = Plugin.check("models", dict(model))
    return plugins.find("models", config.kind).build(config, data.sizes, seed=seed)


def fit(
    data: Data,
    model: Any,
    settings: Mapping[str, Any],
    *,
    seed: int,
    train: Rows | None = None,
    valid: Rows | None = None,
    objective: ModuleType | None = None,
) -> Trial:
    """Train with training.loop.fit. model: a [model] table, or a built model; settings: of [train].

    train, valid: other rows than those of `data`. Raises ConfigError if training diverges.
    """
    from textpipe.training import loop

    built = build(data, model, seed=seed) if isinstance(model, Mapping) else model
    rows = {"train": train or data.train, "valid": valid or data.valid}
    checked = Settings(**{"epochs": 1000, "seed": seed, "curve_steps": 10_000, **settings})
    with tempfile.TemporaryDirectory() as folder:
        summary = loop.fit(built, rows, checked, Path(folder), objective=objective)
        lines = (Path(folder) / "history.jsonl").read_text(encoding="utf-8").splitlines()
    return Trial(built, summary, [json.loads(line) for line in lines])


def accuracy(model: Any, rows: Rows, *, batch_rows: int = 256) -> float:
    """The share of rows whose likeliest class is right."""
    return float(correct(model, rows, batch_rows=batch_rows).mean())


def correct(model: Any, rows: Rows, *, batch_rows: int = 256) -> Any:
    """Whether the likeliest class of each row is right [N]."""
    import numpy as np

    parts = [np.zeros(0, bool)]
    for first in range(0, len(rows), batch_rows):
        chosen = np.arange(first, min(first + batch_rows, len(rows)))
        inputs = {name: gather(column, chosen) for name, column in rows.inputs.items()}
        logits = np.asarray(model(inputs, training=False))
        predicted = (logits[:, 0] > 0).astype(int) if logits.shape[1] == 1 else logits.argmax(axis=1)
        parts.append(predicted == rows.target.gather(chosen, 0))
    return np.concatenate(parts)


def gather(column: Any, chosen: Any) -> Any:
    """Rows of a column as a model's input, padded to the longest."""
    return column.gather(chosen, int(column.lengths[chosen].max()) if column.lengths is not None else 0)
