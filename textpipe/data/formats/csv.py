"""Comma-separated values (RFC 4180): quoted fields may contain commas, doubled quotes and line breaks."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from textpipe.data import delimited
from textpipe.data.rows import Repairs, Rows

TAKES_ENCODING = True
SUFFIXES = (".csv",)


class Config(delimited.Delimited):
    """format = "csv", or { kind = "csv", delimiter = ";" }."""

    kind: Literal["csv"] = "csv"
    delimiter: str = ","  # separator between cells
    quoting: Literal["none", "csv"] = "csv"


def read(source: Path, config: Config, repairs: Repairs, columns: Sequence[str | int]) -> Iterator[Rows]:
    """Yield the requested columns of a CSV file."""
    return delimited.read(source, config, repairs, columns)
