"""Everything in this process, one shard after another."""

from collections.abc import Iterable, Iterator
from typing import Any, Literal

from textpipe.config.sections import Section
from textpipe.runtime.engine import Make, start_here


class Config(Section):
    """Each operation may still use several cores."""

    kind: Literal["inline"] = "inline"


class Inline:
    """Shards run in this process, commands as its children."""

    parallel = False
    start = staticmethod(start_here)

    def map(self, make: Make, items: Iterable[Any]) -> Iterator[Any]:
        """make()(item) for each item."""
        return map(make(), items)

    def close(self) -> None:
        """Nothing was started."""


def open(config: Config) -> Inline:
    """The engine."""
    return Inline()
