"""Comma-separated values as RFC 4180 has them: quoted fields may hold commas, doubled quotes and line ends."""

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
    delimiter: str = ","  # what stands between two cells
    quoting: Literal["none", "csv"] = "csv"


def read(source: Path, config: Config, repairs: Repairs, wanted: Sequence[str | int]) -> Iterator[Rows]:
    """The wanted columns of a CSV file."""
    return delimited.read(source, config, repairs, wanted)
