"""Subwords by byte pair encoding.   Sennrich, Haddow and Birch (2016), section 3.2."""

from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Literal

from textpipe.text import subwords
from textpipe.text.codecs._subword_settings import SubwordSettings

RESERVES = True  # learn takes tokens that get a piece of their own


class Config(SubwordSettings):
    """vocab_size: number of pieces, including 256 bytes and 4 special tokens; character_coverage: share of the text's
    characters, from 0.98 to 1, that become pieces (the rest are encoded as bytes); split_digits: make every digit a
    separate piece; max_lines: train on a uniform sample of this many lines, which limits memory and time.
    model: reuse the subwords of another run instead of learning new ones, to continue from its weights ([train] init): a SentencePiece file
        NAME.model, a result of tokenize, or data/artifacts/latest/PIPELINE. The other settings of the codec are then those of that run.
    """

    kind: Literal["bpe"] = "bpe"


def learn(
    config: Config,
    lines: Callable[[], Iterable[str]],
    folder: Path,
    name: str,
    *,
    seed: int,
    reserved: Sequence[str] = (),
) -> None:
    """Train a model, or reuse config.model, and write folder/name.model; see subwords.learn."""
    subwords.learn(config, lines, folder, name, model_type="bpe", seed=seed, reserved=reserved)


def load(table: dict, folder: Path):
    """Load the codec of a field. table: its entry in codecs.json.

    "lowest" -> ["▁low", "est"]
    """
    from textpipe.text.codec import SubwordCodec

    return SubwordCodec((Path(folder) / f"{table['name']}.model").read_bytes())
