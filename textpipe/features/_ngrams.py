"""Options and functions shared by counts and tfidf."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field, field_validator, model_validator

from textpipe.config.sections import Section

FAMILIES = ("words", "characters", "pieces", "pairs")  # in the order of their buckets

if TYPE_CHECKING:
    from textpipe.data import columns


class Hashing(Section):
    """Which n-grams are counted, and how.

    words, characters, pieces: [shortest, longest] n-grams of words, of characters inside words, of the codec's tokens;
        [] for none.
    pairs: two words at most this far apart, 1 for neighbours, count as a pair in either order, in addition to n-grams of words; 0 for none.
        With 8, short texts have most of their pairs.
    punctuation: whether punctuation marks (? ! ,) count as words or are ignored.
    casefold: whether n-grams are counted after case folding, as by the step `casefold`; the text itself keeps its case. Not for pieces,
        whose case the codec determines.
    marks: whether n-grams of two or more words include a start and an end marker of the text.
    frequency: "raw" counts, "binary" 0 or 1, "log" 1 + ln(count), as scikit-learn's sublinear_tf.
    num_buckets: number of hash buckets; at 2**20, a tenth of 100,000 different n-grams share a bucket.
    """

    words: list[int] = [1, 2]
    characters: list[int] = []
    pieces: list[int] = []
    pairs: int = Field(0, ge=0, le=32)
    punctuation: bool = True
    casefold: bool = False
    marks: bool = False
    frequency: Literal["raw", "binary", "log"] = "raw"
    num_buckets: int = Field(2**20, ge=2, le=2**24)

    @field_validator("words", "characters", "pieces")
    @classmethod
    def check_range(cls, sizes: list[int]) -> list[int]:
        if sizes and (len(sizes) != 2 or not 1 <= sizes[0] <= sizes[1] <= 20):
            raise ValueError(f"expected [shortest, longest] with 1 <= shortest <= longest <= 20, or []; found {sizes}")
        return sizes

    @model_validator(mode="after")
    def check_any(self) -> "Hashing":
        if not self.families:
            raise ValueError(
                "words, characters and pieces are all [] and pairs is 0: no n-gram is left to count; set one of them to a range such as [1, 2]"
            )
        if self.casefold and self.pieces:
            raise ValueError(
                "casefold applies to n-grams of words and characters, not to pieces; set casefold = false or pieces = [], or add the "
                "step casefold to [normalize]"
            )
        if self.marks and (not self.words or self.words[1] < 2):
            raise ValueError(
                f"marks applies to n-grams of two or more words, but words = {self.words}; set words = [1, 2], or marks = false"
            )
        return self

    @property
    def needs_codec(self) -> bool:
        return bool(self.pieces)

    @property
    def separate_families(self) -> bool:
        """Whether words, characters, pieces and pairs are hashed into separate buckets."""
        return False

    @property
    def families(self) -> list[str]:
        """The families that are counted, in the order of their buckets."""
        return [name for name in FAMILIES if getattr(self, name)]

    @property
    def total_buckets(self) -> int:
        return self.num_buckets * (len(self.families) if self.separate_families else 1)


class Ngrams(Hashing):
    """N-grams that have a column only if they occur in train.

    min_df: buckets in fewer training texts than this are dropped.
    """

    min_df: int = Field(1, gt=0)


def load_array(path: Any) -> Any:
    """Load an array of the feature's assets."""
    import numpy as np

    return np.load(path)


def column(tables: list[Any], name: str, size: Mapping[str, Any]) -> "columns.Sparse":
    """The n-grams of each row, from vectorize's tables, without copying them."""
    from textpipe.data import columns

    indices, values = (columns.list_column(tables, f"{name}.{suffix}") for suffix in ("indices", "values"))
    return columns.Sparse(indices, values, size["dim"])


def line(stats: Mapping[str, int], size: Mapping[str, Any], rows: int) -> str:
    """The average number of n-grams per row of a split, and the number of rows without any."""
    empty = f", {stats['empty']:,} rows without any" if stats.get("empty") else ""
    return f"{stats.get('nonzeros', 0) / max(rows, 1):.1f} of {size['dim']:,} n-grams a row{empty}"
