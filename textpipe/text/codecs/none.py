"""No vocabulary, for features that need none (counts and TF-IDF of words and characters)."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section
from textpipe.errors import ConfigError


class Config(Section):
    kind: Literal["none"] = "none"


def learn(config: Config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, seed: int) -> None:
    """Nothing to learn and nothing to read."""


def load(table: dict, folder: Path):
    """Always raises ConfigError: whoever asks for a codec needs another one."""
    raise ConfigError(
        "[tokenize] codec: 'none' makes no token ids, and the features or the target ask for them; take 'unigram'"
    )
