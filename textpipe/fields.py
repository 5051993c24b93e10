"""What a task reads and answers: named columns of a row."""

import json
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from textpipe import rooms

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
        return rooms.find("kinds", self.kind)

    @property
    def has_text(self) -> bool:
        """Whether there is text in its cells, to be normalized and tokenized."""
        return hasattr(self.cells, "texts")


@dataclass(frozen=True)
class Sizes:
    """What vectorize tells a model: the size tables of the source and the target feature.

    {"kind": "ids", "vocab_size": V, "max_length": L}, {"kind": "sparse", "dim": D}, {"kind": "label", "classes": [...]}
    """

    source_name: str
    source: dict[str, Any]
    target_name: str
    target: dict[str, Any]

    @classmethod
    def read(cls, path: Path, fields: tuple[Field, ...]) -> "Sizes":
        """From vectorize's features.json and a task's FIELDS."""
        return cls.from_tables(json.loads(path.read_text(encoding="utf-8")), fields)

    @classmethod
    def from_tables(cls, tables: dict[str, Any], fields: tuple[Field, ...]) -> "Sizes":
        """From {field name: size table} and a task's FIELDS."""
        source = next(field.name for field in fields if field.side == "source")
        target = next(field.name for field in fields if field.side == "target")
        return cls(source, tables[source], target, tables[target])
