"""The fields of a task, its named source and target columns, and the sizes of their features."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from textpipe.config import plugins
from textpipe.errors import ConfigError

# Characters. ingest drops or cuts longer texts, and every normalizer cuts them first, in training and in the exported
# graph, so that no later step needs its own limit.
LONGEST_TEXT = 1_000_000


@dataclass(frozen=True)
class Field:
    """A column that a task needs.

    side: "source" for an input of the model, "target" for what it predicts, "about" for a column that ingest keeps and no model reads,
    such as who wrote a row; no task has one, [ingest] keep adds them.
    kind: the kind of its cells: a module of kinds/, or the dotted name of a user's module.
    column_of: the field whose column it is read from, unless [ingest] columns names another.
    """

    name: str
    side: Literal["source", "target", "about"]
    kind: str
    column_of: str | None = None

    @property
    def cells(self) -> ModuleType:
        """The module of its kind; raises ConfigError when there is no such kind."""
        return plugins.find("kinds", self.kind)

    @property
    def has_text(self) -> bool:
        """Whether its cells contain text, which is normalized and tokenized."""
        return hasattr(self.cells, "texts")


@dataclass(frozen=True)
class Sizes:
    """The size tables that vectorize writes for a model: {field: table} of its inputs, and the table of its target.

    {"kind": "ids", "vocab_size": V, "max_length": L}, {"kind": "sparse", "dim": D}, {"kind": "label", "classes": [...]}.
    Inputs are in the order of the task's FIELDS.
    """

    inputs: Mapping[str, dict[str, Any]]
    target_name: str
    target: dict[str, Any]

    @classmethod
    def read(cls, path: Path, fields: tuple[Field, ...]) -> "Sizes":
        """Build from vectorize's features.json and a task's FIELDS."""
        return cls.from_tables(json.loads(path.read_text(encoding="utf-8")), fields)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any], fields: tuple[Field, ...]) -> "Sizes":
        """Build from {field name: size table} and a task's FIELDS."""
        inputs = {field.name: tables[field.name] for field in fields if field.side == "source"}
        target = next(field.name for field in fields if field.side == "target")
        return cls(inputs, target, tables[target])

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The size tables of all fields, with the target last."""
        return {**self.inputs, self.target_name: self.target}

    @property
    def single_input(self) -> tuple[str, dict[str, Any]]:
        """The name and size table of the only input; raises ConfigError when there are several."""
        if len(self.inputs) != 1:
            names = ", ".join(map(repr, self.inputs))
            raise ConfigError(
                f"[model]: this model reads one field, but the task has {len(self.inputs)}: {names}; "
                "use logistic_regression or feed_forward, or a task with one source field"
            )
        return next(iter(self.inputs.items()))
