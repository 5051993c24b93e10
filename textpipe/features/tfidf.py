"""TF-IDF of hashed n-grams."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import Field, model_validator

from textpipe.features import _ngrams

if TYPE_CHECKING:
    from textpipe.data import columns

KIND = "sparse"
OF = ("text",)


class Config(_ngrams.Ngrams):
    """idf_power: exponent of the inverse document frequency; below 1, rare n-grams weigh less, and with 0 all weigh the same.
    norm: "l2" divides each row by its Euclidean length; "family" normalizes n-grams of words, characters and pieces, and
    pairs, separately, so that the many character n-grams do not outweigh the word n-grams.
    weights: with norm "family", factors of the families' lengths, such as { characters = 0.7 }; 1 for the others.
    """

    kind: Literal["tfidf"] = "tfidf"
    norm: Literal["l2", "family", "none"] = "l2"
    idf_power: float = Field(1.0, ge=0, le=4)
    weights: dict[Literal["words", "characters", "pieces", "pairs"], Annotated[float, Field(gt=0, le=100)]] = {}

    @model_validator(mode="after")
    def check_weights(self) -> "Config":
        if self.weights and self.norm != "family":
            raise ValueError(
                f'weights: applies to norm = "family", but norm is "{self.norm}"; set norm = "family" or leave weights out'
            )
        for name in self.weights:
            if not getattr(self, name):
                raise ValueError(
                    f"weights: {name} are not counted, because {name} = {getattr(self, name)}; leave out weights.{name}"
                )
        return self

    @property
    def family_weights(self) -> list[float]:
        """The factor of each counted family, in the order of their buckets."""
        weights: dict[str, float] = {str(name): weight for name, weight in self.weights.items()}
        return [weights.get(name, 1.0) for name in self.families]

    @property
    def separate_families(self) -> bool:
        return self.norm == "family"


def learn(config: Config, values: Callable[[], Iterable[Any]], folder: Path, name: str, *, codec: Any) -> None:
    """Write folder/name.buckets.npy and name.idf.npy, from the training texts; values() yields string tensors [N].

    idf = (ln((1 + n) / (1 + df)) + 1) ** idf_power for n texts, of which df contain the n-gram: scikit-learn's smooth_idf with an exponent of 1.
    """
    import numpy as np

    from textpipe.text import document_frequency

    buckets, frequency, num_texts = document_frequency.learn(config, values, codec)
    document_frequency.save(folder, f"{name}.buckets", buckets)
    idf = np.log((1.0 + num_texts) / (1.0 + frequency.astype(np.float64))) + 1.0
    document_frequency.save(folder, f"{name}.idf", (idf**config.idf_power).astype(np.float32))


def load(config: Config, folder: Path, name: str, *, codec: Any) -> Any:
    """The feature: [N] string -> SparseTensor [N, D] float32.

    ["no no"] with words = [1, 1], "no" in every training text -> {"no": 1.0}
    """
    from textpipe.features._text import Tfidf

    buckets, idf = (_ngrams.load_array(Path(folder) / f"{name}.{suffix}.npy") for suffix in ("buckets", "idf"))
    return Tfidf(config, buckets, idf, codec=codec)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Sparse":
    """The n-grams of each row, from vectorize's tables, without copying them."""
    return _ngrams.column(tables, name, size)


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The average number of n-grams per row of a split, and the number of rows without any."""
    return _ngrams.line(stats, size, rows)
