"""No codec, for features that need none (counts and TF-IDF of words and characters)."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section
from textpipe.errors import ConfigError


class Config(Section):
    kind: Literal["none"] = "none"


def learn(config: Config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, seed: int) -> None:
    """Do nothing, without reading the lines."""


def load(table: dict, folder: Path):
    """Raise ConfigError, because the caller needs a codec."""
    raise ConfigError(
        "[tokenize] codec: 'none' makes no token ids, but the features or the target need them; use 'unigram'"
    )
