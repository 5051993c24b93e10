"""A question about a table: its words as hashes, the numbers among them, and which words are rare enough to be looked for in cells."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from textpipe.config.sections import Section

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "question"
OF = ("text",)

NUMBER_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
)  # fmt: skip


class Config(Section):
    """Words are folded: without case, accents and punctuation.

    min_count: words in fewer training questions share one embedding, as in Neelakantan et al. (2017), section 4.1.
    common: a word in a larger share of the training questions, such as "the" or "of", is not searched for in single cells.
    number_words: the words for 0, 1, 2 and so on.
    """

    kind: Literal["question"] = "question"
    max_words: int = Field(default=48, ge=1, le=1000)  # further words of a question are ignored
    min_count: int = Field(default=10, ge=1)
    common: float = Field(default=0.01, gt=0, le=1)
    number_words: tuple[str, ...] = NUMBER_WORDS


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any = None) -> None:
    """Write folder/name.words.json: {"words": [...], "common": [...]}; values() yields string tensors."""
    from textpipe.features import _packed
    from textpipe.text import table_text

    counts, rows = _packed.count_words(values, table_text.words)
    words = sorted(word for word, count in counts.items() if count >= config.min_count and not word[0].isdigit())
    common = sorted(word for word, count in counts.items() if count > config.common * rows)
    table = {"words": words, "common": common}
    _packed.asset(folder, name).write_text(json.dumps(table, ensure_ascii=False), encoding="utf-8")


def load(config: Config, folder: Path, name: str, *, codec: Any = None) -> Any:
    """The feature: [N] string -> [N, T] int32; see _question.py for the layout."""
    from textpipe.features import _packed
    from textpipe.features._question import Question

    return Question(config, **json.loads(_packed.asset(folder, name).read_text(encoding="utf-8")))


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Ids":
    """The integers of each row, from vectorize's tables."""
    from textpipe.data import columns

    return columns.list_column(tables, name)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """Words, unknown words, and the questions that were cut."""
    unknown = stats.get("unknown", 0) / max(1, stats.get("words", 0))
    return f"{stats.get('words', 0) / max(1, rows):.1f} words per row, {unknown:.1%} unknown, {stats.get('cut', 0):,} rows cut"
