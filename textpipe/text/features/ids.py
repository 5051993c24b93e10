"""Token ids, right-padded."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from textpipe.config import Section


class Config(Section):
    """max_length: tokens kept of a text, the end among them."""

    kind: Literal["ids"] = "ids"
    max_length: int = Field(256, gt=1)

    @property
    def needs_codec(self) -> bool:
        return True


def learn(config: Config, texts: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Nothing to learn: the codec has the vocabulary."""


def load(config: Config, folder: Path, name: str, *, codec: Any):
    """The feature: [N] string -> [N, T] int32, T the tokens of the longest row, at most max_length.

    ["to be", "so"] -> [[17, 9, 3], [31, 3, 0]]   (3 ends, 0 pads)
    """
    from textpipe.text.feature import Ids

    return Ids(codec, config.max_length)
