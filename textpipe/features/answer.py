"""The class of an answer; answers of valid and test that do not occur in train have no class and count as wrong."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from textpipe.config.sections import Section
from textpipe.features import _classes, label
from textpipe.features.label import column, line

KIND = "label"
OF = ("answer",)


class Config(Section):
    """The classes are the answers of train, sorted by code point."""

    kind: Literal["answer"] = "answer"


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Write folder/name.classes.json; values() yields string tensors [N]. Raises DataError for fewer than two answers."""
    label.learn(label.Config(), values, folder, name)


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] string -> [N] int32, -1 for an answer that train does not have.

    ["yes", "maybe"] -> [1, -1]
    """
    from textpipe.features._labels import Labels

    return Labels(_classes.read(folder, name), unseen="kept")


__all__ = ["KIND", "OF", "Config", "column", "learn", "line", "load"]
