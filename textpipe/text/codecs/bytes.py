"""The bytes of UTF-8 as tokens."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from textpipe.config.sections import Section


class Config(Section):
    kind: Literal["bytes"] = "bytes"


def learn(config: Config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, seed: int) -> None:
    """Do nothing: there is nothing to learn."""


def load(table: dict, folder: Path):
    """Load the codec of a field. table: its entry in codecs.json.

    "né" -> ["<0x6E>", "<0xC3>", "<0xA9>"]
    """
    from textpipe.text.codec import ByteCodec

    return ByteCodec()
