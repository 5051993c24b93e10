"""Options shared by the commands that read a table."""

from typing import Any

import click

MAX_DIGITS = 9  # of a column's number

columns_option = click.option(
    "--columns", metavar="FIELD=COLUMN,...", default="", help="Column name or number of each field."
)
format_option = click.option(
    "--format",
    "form",
    metavar="FORMAT",
    help="File format, if the file name does not show it: tsv, csv, jsonl, parquet, ... or a TOML table.",
)


def read_columns(text: str) -> dict[str, str | int]:
    """source=en,target=2 -> {"source": "en", "target": 2}"""
    from textpipe.pipeline import columns_option

    return {field: column_of(name) for field, name in columns_option.parse_pairs(text).items()}


def column_of(text: str) -> str | int:
    """A column as an option names it: its number from 0, or its name. "2" -> 2;   "en" -> "en";   "²" -> "²" """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= MAX_DIGITS else text


def read_format(form: str | None) -> Any:
    """--format as [ingest] format takes it: a name, or a TOML table."""
    from textpipe.config import sections

    return None if form is None else sections.override({}, (f"format={form}",))["format"]
