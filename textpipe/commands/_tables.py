"""What verbs that read a table have in common."""

from typing import Any

import click

columns_option = click.option(
    "--columns", metavar="FIELD=COLUMN,...", default="", help="Which column, or column number, holds which field."
)
format_option = click.option(
    "--format",
    "form",
    metavar="FORMAT",
    help="When the file's name does not tell: tsv, csv, jsonl, parquet, ... or a table.",
)


def read_columns(text: str) -> dict[str, str | int]:
    """source=en,target=2 -> {"source": "en", "target": 2}"""
    from textpipe.pipeline import columns_option

    return {field: int(name) if name.isdigit() else name for field, name in columns_option.pairs(text).items()}


def read_format(form: str | None) -> Any:
    """--format as [ingest] format takes it: a name, or a table as TOML writes it."""
    from textpipe.config import sections

    return None if form is None else sections.override({}, (f"format={form}",))["format"]
