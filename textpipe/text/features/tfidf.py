"""Hashed n-grams weighted by how rare they are: TF-IDF."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from textpipe.text.features import _ngrams


class Config(_ngrams.Ngrams):
    """norm: "l2" divides each row by its Euclidean length; "family" does so for its words, its characters and its
    pieces each, so that the many n-grams of characters do not drown those of words.
    """

    kind: Literal["tfidf"] = "tfidf"
    norm: Literal["l2", "family", "none"] = "l2"

    @property
    def separate_families(self) -> bool:
        return self.norm == "family"


def learn(config: Config, texts: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Write folder/name.buckets.npy and name.idf.npy, from training texts alone; texts() gives string tensors [N].

    idf = ln((1 + n) / (1 + df)) + 1 with n texts, df of them holding the n-gram: scikit-learn's smooth_idf.
    """
    import numpy as np

    from textpipe.text import document_frequency

    seen, frequency, rows = document_frequency.learn(config, texts, codec)
    document_frequency.save(folder, f"{name}.buckets", seen)
    idf = np.log((1.0 + rows) / (1.0 + frequency.astype(np.float64))) + 1.0
    document_frequency.save(folder, f"{name}.idf", idf.astype(np.float32))


def load(config: Config, folder: Path, name: str, *, codec: Any):
    """The feature: [N] string -> SparseTensor [N, D] float32.

    ["no no"] with words = [1, 1], "no" in every training text -> {"no": 1.0}
    """
    from textpipe.text.feature import Tfidf

    seen, idf = (_ngrams.load(Path(folder) / f"{name}.{part}.npy") for part in ("buckets", "idf"))
    return Tfidf(config, seen, idf, codec=codec)
