"""Sentences in order, one per line: a story, a log, a conversation.

"Mary went to the garden.\\nJohn took the milk."

In JSON the cell may also be a list of texts, ["Mary went to the garden.", "John took the milk."].
"""

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from textpipe.data import json_text
from textpipe.data.profile import TextProfile, add_counts, distribution
from textpipe.kinds import text

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    import tensorflow as tf

NOUN, PLURAL = "sentences", "stories"
EXAMPLE = "Mary went to the garden.\nJohn took the milk."
FEATURE = "sentence_ids"
OPTIONAL = False  # rows with an empty cell are dropped
LISTS = True  # in JSON, a cell may be a list
MAX_SENTENCES = 10_000  # sentences that the graph reads
LINE_END = re.compile(r"\r\n|[\n\r\v\f\x1c-\x1e\x85\u2028\u2029]")


class SentencesProfile(TextProfile):
    """Lengths of whole cells, as of any text, and sentences per cell."""

    def __init__(self) -> None:
        from collections import Counter

        super().__init__()
        self.sentences: Counter[int] = Counter()

    def add(self, rows: "np.ndarray", texts: "pa.StringArray") -> None:
        """Add a batch of non-empty cells."""
        import pyarrow.compute as pc

        super().add(rows, texts)
        add_counts(self.sentences, pc.count_substring(texts, "\n").to_numpy() + 1)

    def table(self) -> dict[str, Any]:
        """The table of TextProfile, with "sentences": {"mean": 12.1, ...}."""
        return {**super().table(), "sentences": distribution(self.sentences)}


profile = SentencesProfile
arrow, spec, tensor = text.arrow, text.spec, text.tensor


def parse(cell: str) -> str:
    """One sentence per line, without blank ones and without white space at their ends.

    " Mary left.\\r\\n\\nJohn came. " and '["Mary left.", "John came."]' -> "Mary left.\\nJohn came."
    '[]' and '[""]' -> "", as a blank text: an empty cell.

    Raises ValueError for a list with other things than texts.
    """
    lines = LINE_END.split(cell)
    if cell.startswith("["):
        try:
            listed = json_text.parse(cell)
        except ValueError:
            listed = None
        if isinstance(listed, list):
            if others := [item for item in listed if type(item) is not str]:
                raise ValueError(
                    f"a list of sentences has {json_text.write(others[0])[:40]}, where every entry must be a text; "
                    "quote it or leave it out"
                )
            lines = [line for item in listed for line in LINE_END.split(item)]
    sentences = [line.strip() for line in lines]
    return "\n".join(sentence for sentence in sentences if sentence)


def texts(column: "pa.Array") -> "pa.StringArray":
    """Return the sentences of all cells, in order."""
    import pyarrow as pa
    import pyarrow.compute as pc

    column = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    return pc.list_flatten(pc.split_pattern(column, "\n"))


def map_text(column: "pa.Array", function: Callable[["pa.StringArray"], "pa.StringArray"]) -> "pa.Array":
    """Replace the sentences of a column by function(sentences); a line end in a new sentence becomes a space."""
    import pyarrow as pa
    import pyarrow.compute as pc

    lists = pc.split_pattern(column, "\n")
    sentences = pc.replace_substring(function(pc.list_flatten(lists)), "\n", " ")
    offsets = pc.cumulative_sum(pc.cast(pc.list_value_length(lists), pa.int32()))
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), offsets])
    return pc.binary_join(pa.ListArray.from_arrays(offsets, sentences), "\n")


def map_tensor(cells: "tf.Tensor", function: Callable[["tf.Tensor"], "tf.Tensor"]) -> "tf.Tensor":
    """As map_text, in the graph: [N] string -> [N] string. As in `parse`, every kind of line end separates sentences, and blank lines are none.

    Of more than MAX_SENTENCES sentences the last ones are kept, so that a request has a bound; no feature reads more.
    """
    import tensorflow as tf

    cells = tf.strings.regex_replace(cells, r"\r\n|[\n\r\v\f\x1c-\x1e\x{85}\x{2028}\x{2029}]", "\n")
    lines = tf.strings.split(cells, "\n")  # [N, None]
    blank = tf.strings.regex_full_match(lines.flat_values, r"\s*")
    sentences = tf.ragged.boolean_mask(lines, lines.with_flat_values(~blank))[:, -MAX_SENTENCES:]
    flat = tf.strings.regex_replace(function(sentences.flat_values), "\n", " ")
    return tf.strings.reduce_join(sentences.with_flat_values(flat), axis=1, separator="\n")


def line(table: Mapping[str, Any]) -> str:
    """Summarize a profile for the terminal: sentences per cell, then lengths and scripts."""
    sentences = table["sentences"]
    return f"sentences {sentences['p50']} median, {sentences['max']} max; {text.line(table)}"
