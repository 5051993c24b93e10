"""Hashed n-grams with one column per hash bucket: nothing is learned from train, and the number of columns is fixed."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from textpipe.features import _ngrams

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "sparse"
OF = ("text",)


class Config(_ngrams.Hashing):
    """The n-grams of a field as in Kannan et al. (2016, Smart Reply), section 4, to be embedded and summed by the model.

    num_buckets: number of hash buckets, each a column; at 2**15, a seventh of 5,000 different n-grams share one.
    frequency: as for counts; "binary" is the set of a text's n-grams. norm: "l2" divides each row by its Euclidean norm, so that the
        sum of embeddings does not grow with the length of the text.
    """

    kind: Literal["hashed"] = "hashed"
    frequency: Literal["raw", "binary", "log"] = "binary"
    num_buckets: int = Field(2**15, ge=2, le=2**20)
    norm: Literal["none", "l2"] = "none"


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Writes no files: nothing is learned."""


def load(config: Config, folder: Path, name: str, *, codec: Any) -> Any:
    """The feature: [N] string -> SparseTensor [N, num_buckets] float32.

    ["no no"] with words = [1, 2], frequency = "raw" -> {bucket of "no": 2, bucket of "no no": 1}
    """
    from textpipe.features._text import Hashed

    return Hashed(config, codec=codec)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Sparse":
    """The n-grams of each row, from vectorize's tables, without copying them."""
    return _ngrams.column(tables, name, size)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The average number of n-grams per row of a split, and the number of rows without any."""
    return _ngrams.line(stats, size, rows)
