"""Check the headers of ingest's files for the columns it reads, before anything is built."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.data import catalog, sources, text_file
from textpipe.data.rows import Repairs, list_columns
from textpipe.pipeline.runner import Pipeline, Step

MAX_JSON_BYTES = 1 << 25  # larger JSON documents are not checked, as one has to be read whole


def check_planned(pipeline: Pipeline, steps: Iterable[Step]) -> None:
    """Check the columns if a plan runs ingest; a cached ingest has read them."""
    if any(step.stage == "ingest" and step.state != "cached" for step in steps):
        check(pipeline)


def check(pipeline: Pipeline) -> None:
    """Raise DataError, as ingest would, when a file lacks a column of the task's fields or of a filter.

    Reads only the first block of each file. Skips files of a dataset that are not downloaded yet.
    """
    ingest = plugins.find("stages", "ingest")
    section: Any = pipeline.sections["ingest"]
    columns = ingest.required_columns(section, plugins.find("tasks", pipeline.task).FIELDS)
    if section.dataset is not None:
        origin = dataset_files(section.dataset, section.format, columns)
    else:
        origin = sources.locate(None, section.files, section.format, columns)
    for split, files in origin.items():
        for source in files:
            read_header(source, section, columns, split)


def dataset_files(name: str, form: Any, columns: Sequence[str | int]) -> dict[str, list[sources.Source]]:
    """{split: downloaded files of a dataset}. Where each column is a file, the card is checked instead."""
    card = catalog.load_card(name)
    root = catalog.root_folder(card)
    origin: dict[str, list[sources.Source]] = {}
    for split, value in card.splits.items():
        if isinstance(value, dict):
            text_file.column_indices(f"dataset {name!r}", list(value), columns)
        else:
            files = sources.split_sources([root / path for path in catalog.split_paths(value)], form)
            origin[split] = [path for path in files if isinstance(path, Path) and path.exists()]
    return origin


def read_header(source: sources.Source, section: Any, columns: Sequence[str | int], split: str) -> None:
    """Read as much of a file as its format needs to check the columns; damaged rows there are those of ingest."""
    form = section.format
    module = plugins.find(sources.PACKAGE, form.kind)
    if hasattr(module, "COLUMNS"):  # the same in every file
        text_file.column_indices(str(source), module.COLUMNS, columns)
    elif form.kind != "json" or (isinstance(source, Path) and source.stat().st_size <= MAX_JSON_BYTES):
        fields = zip(plugins.find("tasks", section.task).FIELDS, columns, strict=False)
        lists = list_columns((field.cells, column) for field, column in fields)
        repairs = Repairs("replace", section.on_bad_rows, encoding=section.encoding, list_columns=lists)
        next(sources.read(source, form, repairs, columns, split), None)
