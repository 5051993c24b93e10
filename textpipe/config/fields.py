"""What a task reads and answers: named columns of a row."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from textpipe.config import plugins
from textpipe.errors import ConfigError

# Characters. ingest leaves longer texts out or cuts them, and the first step of every normalizer, in training and in
# the exported graph alike, cuts them: what comes after need not bound what one text can ask for.
LONGEST_TEXT = 1_000_000


@dataclass(frozen=True)
class Field:
    """A column a task needs.

    side: "source" goes into the model, "target" is what it must answer.
    kind: what its cells are: a module of kinds/, or a user's own by its dotted name.
    """

    name: str
    side: Literal["source", "target"]
    kind: str

    @property
    def cells(self) -> ModuleType:
        """The module of its kind; raises ConfigError when there is none."""
        return plugins.find("kinds", self.kind)

    @property
    def has_text(self) -> bool:
        """Whether there is text in its cells, to be normalized and tokenized."""
        return hasattr(self.cells, "texts")


@dataclass(frozen=True)
class Sizes:
    """What vectorize tells a model: the size tables of the fields it reads, {field: table}, and of the one it answers.

    {"kind": "ids", "vocab_size": V, "max_length": L}, {"kind": "sparse", "dim": D}, {"kind": "label", "classes": [...]}.
    inputs are in the order of the task's FIELDS.
    """

    inputs: Mapping[str, dict[str, Any]]
    target_name: str
    target: dict[str, Any]

    @classmethod
    def read(cls, path: Path, fields: tuple[Field, ...]) -> "Sizes":
        """From vectorize's features.json and a task's FIELDS."""
        return cls.from_tables(json.loads(path.read_text(encoding="utf-8")), fields)

    @classmethod
    def from_tables(cls, tables: Mapping[str, Any], fields: tuple[Field, ...]) -> "Sizes":
        """From {field name: size table} and a task's FIELDS."""
        inputs = {field.name: tables[field.name] for field in fields if field.side == "source"}
        target = next(field.name for field in fields if field.side == "target")
        return cls(inputs, target, tables[target])

    @property
    def tables(self) -> dict[str, dict[str, Any]]:
        """The size tables of all fields, the target's last."""
        return {**self.inputs, self.target_name: self.target}

    @property
    def one_input(self) -> tuple[str, dict[str, Any]]:
        """The name and the size table of the only input; raises ConfigError where there are several."""
        if len(self.inputs) != 1:
            names = ", ".join(map(repr, self.inputs))
            raise ConfigError(
                f"[model]: this model reads one field, and the task has {len(self.inputs)}: {names}; "
                "use logistic_regression or feed_forward, or a task with one source field"
            )
        return next(iter(self.inputs.items()))
