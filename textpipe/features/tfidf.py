"""Hashed n-grams weighted by how rare they are: TF-IDF."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from textpipe.features import _ngrams

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "sparse"
OF = ("text",)


class Config(_ngrams.Ngrams):
    """norm: "l2" divides each row by its Euclidean length; "family" does so for its words, its characters and its
    pieces each, so that the many n-grams of characters do not drown those of words.
    """

    kind: Literal["tfidf"] = "tfidf"
    norm: Literal["l2", "family", "none"] = "l2"

    @property
    def separate_families(self) -> bool:
        return self.norm == "family"


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Write folder/name.buckets.npy and name.idf.npy, from training texts alone; values() gives string tensors [N].

    idf = ln((1 + n) / (1 + df)) + 1 with n texts, df of them holding the n-gram: scikit-learn's smooth_idf.
    """
    import numpy as np

    from textpipe.text import document_frequency

    seen, frequency, rows = document_frequency.learn(config, values, codec)
    document_frequency.save(folder, f"{name}.buckets", seen)
    idf = np.log((1.0 + rows) / (1.0 + frequency.astype(np.float64))) + 1.0
    document_frequency.save(folder, f"{name}.idf", idf.astype(np.float32))


def load(config: Config, folder: Path, name: str, *, codec: Any) -> Any:
    """The feature: [N] string -> SparseTensor [N, D] float32.

    ["no no"] with words = [1, 1], "no" in every training text -> {"no": 1.0}
    """
    from textpipe.features._text import Tfidf

    seen, idf = (_ngrams.load_array(Path(folder) / f"{name}.{part}.npy") for part in ("buckets", "idf"))
    return Tfidf(config, seen, idf, codec=codec)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Sparse":
    """The n-grams of each row, from vectorize's tables, without copying them."""
    return _ngrams.column(tables, name, size)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """How many n-grams a split's rows have, and how many rows have none."""
    return _ngrams.line(stats, size, rows)
