"""Unicode characters as tokens."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """vocab_size: number of ids: the most frequent characters and 4 special tokens; min_count: rarer characters are
    unknown.
    """

    kind: Literal["characters"] = "characters"
    vocab_size: int = Field(8000, gt=4)
    min_count: int = Field(1, gt=0)


def learn(config: Config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, seed: int) -> None:
    """Write folder/name.json: the known characters by frequency."""
    from textpipe.text.counting import count, select_vocabulary

    known = select_vocabulary(count(lines()), config)
    (folder / f"{name}.json").write_text(json.dumps(known), encoding="utf-8")


def load(table: dict, folder: Path):
    """Load the codec of a field. table: its entry in codecs.json.

    "née" -> ["n", "é", "e"]
    """
    from textpipe.text.codec import CharacterCodec

    known = json.loads((Path(folder) / f"{table['name']}.json").read_text(encoding="utf-8"))
    return CharacterCodec([ord(character) for character in known])
