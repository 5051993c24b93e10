"""The items of an answer as keys, which equal those of cells with the same words, and its value if it is a number."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from textpipe.config.sections import Section

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "denotation"
OF = ("denotation",)


class Config(Section):
    """key_words: maximum number of words of an item that is compared with cells; the same as key_words of the cells."""

    kind: Literal["denotation"] = "denotation"
    max_items: int = Field(default=64, ge=1, le=1000)  # answers with more items are not learned
    key_words: int = Field(default=10, ge=1, le=50)


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Nothing is learned."""


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] string -> [N, T] int32; see _denotation.py for the layout."""
    from textpipe.features._denotation import Denotation

    return Denotation(config)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Ids":
    """The integers of each row, from vectorize's tables."""
    from textpipe.data import columns

    return columns.list_column(tables, name)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """Items per answer, and answers that are numbers."""
    return f"{stats.get('items', 0) / max(1, rows):.2f} items per row, {stats.get('numbers', 0):,} numbers"
