"""Tab-separated values. Quotation marks are ordinary characters unless quoting = "csv"."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.data import delimited
from textpipe.data.rows import Repairs, Rows

TAKES_ENCODING = True
SUFFIXES = (".tsv", ".tab")


class Config(delimited.Delimited):
    """format = "tsv", or { kind = "tsv", header = false, columns = ["label", "text"] }."""

    kind: Literal["tsv"] = "tsv"


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns of a TSV file."""
    return delimited.read(source, config, repairs, columns)
