"""Whole words and punctuation marks as tokens; unknown words are <unk>."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field

from textpipe.config.sections import Section


class Config(Section):
    """vocab_size: number of ids: the most frequent words and 4 special tokens; min_count: rarer words are unknown."""

    kind: Literal["words"] = "words"
    vocab_size: int = Field(20_000, gt=4)
    min_count: int = Field(1, gt=0)


def learn(config: Config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, seed: int) -> None:
    """Write folder/name.json: the known words by frequency."""
    from textpipe.text.counting import count, iter_words, select_vocabulary

    known = select_vocabulary(count(iter_words(lines())), config)
    (folder / f"{name}.json").write_text(json.dumps(known), encoding="utf-8")


def load(table: dict, folder: Path):
    """Load the codec of a field. table: its entry in codecs.json.

    "Don't panic!" -> ["Don't", "panic", "!"]
    """
    from textpipe.text.codec import WordCodec

    return WordCodec(json.loads((Path(folder) / f"{table['name']}.json").read_text(encoding="utf-8")))
