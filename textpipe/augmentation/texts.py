"""Monolingual texts on their way to a model: read from files, and dropped where they must not become training rows."""

import dataclasses
import glob
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.augmentation.languages import LanguagePair
from textpipe.data.hashes import KeySet, normal_forms, text_keys
from textpipe.errors import DataError

BATCH = 1024  # texts checked at once
NUM_PROBED = 20_000  # texts at the start of each file that decide whether it is in the right language
LONGEST_PROBED = 1000  # characters of each
REASONS = {
    "empty": "empty",
    "too_long": "longer than --max-characters",
    "cut": "cut to --max-characters",
    "held_out": "equal to a text of valid or test",
    "held_out_normalized": "equal to a text of valid or test but for case, punctuation and spaces",
    "duplicates": "equal to an earlier text but for case, punctuation and spaces",
    "foreign": "in another language",
}  # in the order in which a text is tried


class HeldOut:
    """The texts of valid and test that no synthetic row may have."""

    def __init__(self, texts: Iterable[Sequence[str]]):
        self.exact, self.normalized = KeySet(), KeySet()
        for batch in filter(None, texts):
            self.exact.add(exact_keys(batch))
            self.normalized.add(text_keys(normal_forms(batch)))

    def contains(self, texts: Sequence[str]) -> np.ndarray:
        """[N] bool: texts that are held out, whatever their case, punctuation and spaces."""
        return self.normalized.contains(text_keys(normal_forms(texts))) if texts else np.zeros(0, bool)


@dataclasses.dataclass
class TextFilter:
    """Drops texts, and counts them by reason in `counts`.

    languages: the pair whose `expected` language the texts should have; None checks nothing. on_too_long: "drop" or "cut" texts of more than
    max_characters.
    """

    held_out: HeldOut
    languages: LanguagePair | None
    max_characters: int
    on_too_long: str = "drop"
    counts: Counter[str] = dataclasses.field(default_factory=Counter)

    def __post_init__(self) -> None:
        self.seen = KeySet()

    def __call__(self, texts: Iterable[str]) -> Iterator[str]:
        """The texts that are left, in order."""
        stream = iter(texts)
        while batch := list(islice(stream, BATCH)):
            yield from self.keep(batch)

    def keep(self, texts: Sequence[str]) -> list[str]:
        """The texts of a batch that are left."""
        self.counts["read"] += len(texts)
        texts = [text.strip() for text in texts]
        texts = self.without([not text for text in texts], texts, "empty")
        long = [len(text) > self.max_characters for text in texts]
        if self.on_too_long == "cut":
            self.counts["cut"] += sum(long)
            texts = [text[: self.max_characters].rstrip() for text in texts]
        else:
            texts = self.without(long, texts, "too_long")
        texts = self.without(self.held_out.exact.contains(exact_keys(texts)), texts, "held_out") if texts else []
        if not texts:
            return []
        keys = text_keys(normal_forms(texts))
        leaked = self.held_out.normalized.contains(keys)
        texts, keys = self.without(leaked, texts, "held_out_normalized"), keys[~leaked]
        texts = self.without(~self.seen.add(keys), texts, "duplicates")
        if texts and self.languages is not None:
            texts = self.without(self.languages.is_foreign(texts), texts, "foreign")
        self.counts["kept"] += len(texts)
        return texts

    def without(self, mask: Sequence[bool] | np.ndarray, texts: Sequence[str], reason: str) -> list[str]:
        """The texts whose mask is false; the others are counted."""
        remaining = [text for text, dropped in zip(texts, mask, strict=True) if not dropped]
        self.counts[reason] += len(texts) - len(remaining)
        return remaining

    def table(self) -> dict[str, int]:
        """How many texts were read, dropped for each reason, and kept."""
        return {
            name: self.counts[name]
            for name in ("read", *REASONS, "kept")
            if name in ("read", "kept") or self.counts[name]
        }


def exact_keys(texts: Sequence[str]) -> np.ndarray:
    """The keys of texts as they are, without the spaces around them."""
    return text_keys(text.strip().encode("utf-8", "surrogatepass") for text in texts)


def expand(patterns: Sequence[str]) -> list[Path]:
    """The files of names and of patterns that the shell left alone: "mono/*.de.gz". Raises DataError where there are none."""
    files: list[Path] = []
    for pattern in patterns:
        matches = [pattern] if Path(pattern).exists() else sorted(glob.glob(pattern, recursive=True))
        if not matches:
            raise DataError(
                f"{pattern}: no such file; give a file of texts, a table with --column, or a pattern that matches some"
            )
        files += map(Path, matches)
    return files


def read(files: Sequence[Path], column: str | int | None, form: Any) -> Iterator[str]:
    """The texts of files, one after the other: lines, or a column of a table, repaired as in ingest."""
    for file in files:
        yield from read_file(file, column, form)


def read_file(file: Path, column: str | int | None, form: Any) -> Iterator[str]:
    """The texts of one file."""
    from textpipe.inference import bulk

    field = "text"
    for row in bulk.read_rows(file, (field,), {} if column is None else {field: column}, form):
        yield row[field]


def check_language(
    files: Sequence[Path],
    column: str | int | None,
    form: Any,
    languages: LanguagePair | None,
    name: str,
    max_foreign: float,
) -> None:
    """Raise DataError for a file that cannot be read, or of which too many texts are in another language.

    languages: None to read the files only. name: of the pipeline's column that has the language.
    """
    for file in files:
        texts = [text[:LONGEST_PROBED] for text in islice(read_file(file, column, form), NUM_PROBED) if text.strip()]
        if not texts or languages is None:
            continue
        foreign = languages.is_foreign(texts)
        share = float(foreign.mean())
        if share > max_foreign:
            swapped = float(languages.swapped_texts(texts).mean()) > 0.5
            example = texts[int(np.argmax(foreign))]
            cause = (
                "most are in the language of the pipeline's other side"
                if swapped
                else "the language or the script is another"
            )
            raise DataError(
                f"{file}: {share:.0%} of the first {len(texts):,} texts are not in the language of the pipeline's {name!r} ({cause}), for "
                f"example {example[:60]!r}; give texts in that language"
                + (", or the other --direction" if swapped else "")
                + ", or allow more with --max-foreign"
            )
