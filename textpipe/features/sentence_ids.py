"""The token ids of sentences, one sentence after the other, each followed by the end id."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from textpipe.config.sections import Section

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "ids"
OF = ("sentences",)


class Config(Section):
    """max_sentences: maximum number of sentences; of a longer story, the last ones are kept.
    max_words: maximum number of tokens of a sentence; the rest of a longer one is cut.
    """

    kind: Literal["sentence_ids"] = "sentence_ids"
    max_sentences: int = Field(50, ge=1, le=10_000)
    max_words: int = Field(40, ge=1, le=10_000)

    @property
    def needs_codec(self) -> bool:
        return True


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Write folder/name.sentences.json: the numbers of tokens of the longest sentence and of sentences of the longest story of train."""
    import json

    from textpipe.features import _sentences

    feature = _sentences.SentenceIds(codec, config.max_sentences, config.max_words)
    words, sentences = 1, 1
    for batch in values():
        shape = [int(number) for number in feature.longest(batch)]
        words, sentences = max(words, shape[0]), max(sentences, shape[1])
    sentences_path(folder, name).write_text(json.dumps({"words": words, "sentences": sentences}), encoding="utf-8")


def sentences_path(folder: Path, name: str) -> Path:
    """The file that holds the longest sentence and story of train."""
    return Path(folder) / f"{name}.sentences.json"


def load(config: Config, folder: Path, name: str, *, codec: Any) -> Any:
    """The feature: [N] string -> [N, T] int32; the sentences of a row one after the other, right-padded with 0.

    ["to be\\nor not", "so"] -> [[17, 9, 3, 12, 20, 3], [31, 3, 0, 0, 0, 0]]   (3 is the end id)
    """
    import json

    from textpipe.features import _sentences

    longest = json.loads(sentences_path(folder, name).read_text(encoding="utf-8"))
    return _sentences.SentenceIds(codec, config.max_sentences, config.max_words, longest)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Ids":
    """The ids of each row, from vectorize's tables, without copying them."""
    from textpipe.data import columns

    return columns.list_column(tables, name)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """Sentences per row of a split, and how many rows and sentences were cut."""
    parts = [f"{stats.get('sentences', 0) / max(rows, 1):.1f} of at most {size['max_sentences']} sentences a row"]
    for name, what in (("truncated", "rows with older sentences left out"), ("cut", "sentences cut")):
        if stats.get(name):
            parts.append(f"{stats[name]:,} {what}")
    return ", ".join(parts)
