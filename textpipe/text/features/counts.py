"""Hashed n-gram counts."""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

from textpipe.text.features import _ngrams


class Config(_ngrams.Ngrams):
    kind: Literal["counts"] = "counts"


def learn(config: Config, texts: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Write folder/name.buckets.npy, the buckets of the training texts; texts() gives string tensors [N]."""
    from textpipe.text import document_frequency

    seen, _, _ = document_frequency.learn(config, texts, codec)
    document_frequency.save(folder, f"{name}.buckets", seen)


def load(config: Config, folder: Path, name: str, *, codec: Any):
    """The feature: [N] string -> SparseTensor [N, D] float32.

    ["no no"] with words = [1, 2] -> {"no": 2, "no no": 1}, each in its column
    """
    from textpipe.text.feature import Counts

    return Counts(config, _ngrams.load(Path(folder) / f"{name}.buckets.npy"), codec=codec)
