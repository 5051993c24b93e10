"""Token ids, right-padded."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from textpipe.config.sections import Section

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "ids"
OF = ("text",)


class Config(Section):
    """max_length: maximum number of tokens of a text, including the end; longer texts are truncated."""

    kind: Literal["ids"] = "ids"
    max_length: int = Field(256, gt=1)

    @property
    def needs_codec(self) -> bool:
        return True


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Nothing to learn: the codec has the vocabulary."""


def load(config: Config, folder: Path, name: str, *, codec: Any) -> Any:
    """The feature: [N] string -> [N, T] int32, with T the length of the longest row, at most max_length.

    ["to be", "so"] -> [[17, 9, 3], [31, 3, 0]]   (3 is the end id, 0 padding)
    """
    from textpipe.features._text import Ids

    return Ids(codec, config.max_length)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Ids":
    """The ids of each row, from vectorize's tables, without copying them."""
    from textpipe.data import columns

    return columns.list_column(tables, name)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The average number of tokens per row of a split, and the number of truncated rows."""
    cut = f", {stats['truncated']:,} rows cut" if stats.get("truncated") else ""
    return f"{stats.get('tokens', 0) / max(rows, 1):.1f} of at most {size['max_length']} tokens a row{cut}"
