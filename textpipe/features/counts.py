"""Hashed n-gram counts."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textpipe.features import _ngrams

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "sparse"
OF = ("text",)


class Config(_ngrams.Ngrams):
    kind: Literal["counts"] = "counts"


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Write folder/name.buckets.npy, the hash buckets of the training texts; values() yields string tensors [N]."""
    from textpipe.text import document_frequency

    buckets, _, _ = document_frequency.learn(config, values, codec)
    document_frequency.save(folder, f"{name}.buckets", buckets)


def load(config: Config, folder: Path, name: str, *, codec: Any) -> Any:
    """The feature: [N] string -> SparseTensor [N, D] float32.

    ["no no"] with words = [1, 2] -> {"no": 2, "no no": 1}, each in its own column
    """
    from textpipe.features._text import Counts

    return Counts(config, _ngrams.load_array(Path(folder) / f"{name}.buckets.npy"), codec=codec)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Sparse":
    """The n-grams of each row, from vectorize's tables, without copying them."""
    return _ngrams.column(tables, name, size)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The average number of n-grams per row of a split, and the number of rows without any."""
    return _ngrams.line(stats, size, rows)
