"""Whole words and punctuation marks as tokens; unknown words are spelled in characters within the same row of ids.

For models that read such rows as words and characters (models/hybrid.py): Luong & Manning (2016).
"""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Section


class Config(Section):
    """vocab_size: number of ids: 4 special tokens, the most frequent words, the end of a spelling, and the characters;
    min_count: rarer words are spelled. The model learns to spell from the spelled words of train, so keep it above 1.
    num_letters: number of characters for spelling, by frequency; others become U+FFFD.
    """

    kind: Literal["hybrid"] = "hybrid"
    vocab_size: int = Field(20_000, gt=6)
    min_count: int = Field(2, gt=0)
    num_letters: int = Field(500, gt=0)

    @model_validator(mode="after")
    def words_fit(self):
        if self.num_letters + 6 > self.vocab_size:
            raise ValueError(
                f"vocab_size = {self.vocab_size} leaves no ids for words next to num_letters = {self.num_letters}; "
                "raise vocab_size or lower num_letters"
            )
        return self


def learn(config: Config, lines: Callable[[], Iterable[str]], folder: Path, name: str, *, seed: int) -> None:
    """Write folder/name.json {"words", "letters"}, each by frequency.

    Letters come from all words, not only from the spelled ones, because any word of a new text may be unknown.

    Raises DataError when no word is frequent enough.
    """
    from collections import Counter

    from textpipe.errors import DataError
    from textpipe.text.counting import count, iter_words, most_common

    counter = count(iter_words(lines()))
    letter_counts: Counter[str] = Counter()
    for word, number in counter.items():
        for letter in word:
            letter_counts[letter] += number
    letters = most_common(letter_counts, config.num_letters)
    # 6 ids are the special tokens, the end of a spelling and U+FFFD.
    known = most_common(counter, config.vocab_size - 6 - len(letters), min_count=config.min_count)
    if not known:
        raise DataError(
            f"[tokenize] codec 'hybrid': no word of the training text occurs {config.min_count} times; lower "
            "min_count, or check that the rows are not empty"
        )
    table = {"words": known, "letters": letters}
    (folder / f"{name}.json").write_text(json.dumps(table), encoding="utf-8")


def load(table: dict, folder: Path):
    """Load the codec of a field. table: its entry in codecs.json.

    "a dog yodels" -> ["a", "dog", "<unk>", "y", "o", "d", "e", "l", "s", "</unk>"], where "yodels" is unknown
    """
    from textpipe.text.hybrid_codec import HybridCodec

    known = json.loads((Path(folder) / f"{table['name']}.json").read_text(encoding="utf-8"))
    return HybridCodec(known["words"], [ord(letter) for letter in known["letters"]])
