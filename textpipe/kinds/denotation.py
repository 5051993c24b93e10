r"""The answer to a question about a table: items separated by "|" ("Austria|Spain"); in an item \p is a bar and \n a line feed."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data import table_syntax
from textpipe.data.profile import add_counts, distribution

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "an answer", "answers"
FEATURE = "denotation"
OPTIONAL = False  # rows with an empty cell are dropped


class DenotationProfile:
    """Items per answer."""

    def __init__(self) -> None:
        from collections import Counter

        self.lengths: Counter[int] = Counter()

    def add(self, rows: "np.ndarray", texts: "pa.StringArray") -> None:
        """Add a batch of answers."""
        import numpy as np

        add_counts(self.lengths, np.array([len(table_syntax.split_items(text)) for text in texts.to_pylist()]))

    def table(self) -> dict[str, Any]:
        """{"items": {"mean": 1.1, ...}}"""
        return {"items": distribution(self.lengths)}


profile = DenotationProfile


def arrow() -> "pa.DataType":
    """string"""
    import pyarrow as pa

    return pa.string()


def spec() -> "tf.TensorSpec":
    """[B] string."""
    import tensorflow as tf

    return tf.TensorSpec([None], tf.string)


def parse(cell: str) -> str:
    """White space around items is removed: "Austria | Spain" -> "Austria|Spain". Raises ValueError if no item is left."""
    items = [item.strip() for item in cell.split("|")]
    if not any(items):
        raise ValueError(f"an answer without items: {cell[:40]!r}")
    return "|".join(items)


def tensor(column: "pa.Array") -> "tf.Tensor":
    """Convert a column to the tensor that callers send: [N] string."""
    from textpipe.data import arrow

    return arrow.to_tensor(column)


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: items per answer."""
    items = table["items"]
    return f"items per answer {items.get('mean', 0):.2f}, at most {items.get('max', 0)}"
