"""Whether the columns that ingest will want are in its files, told by their headers before anything is built."""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.data import catalog, sources, text_file
from textpipe.data.rows import Repairs
from textpipe.pipeline.runner import Pipeline, Step

MAX_JSON_BYTES = 1 << 25  # bytes of a JSON document, which has to be read whole, up to which it is


def check_planned(pipeline: Pipeline, steps: Iterable[Step]) -> None:
    """Check the columns where a plan has ingest to be run; a cached one has found them."""
    if any(step.stage == "ingest" and step.state != "cached" for step in steps):
        check(pipeline)


def check(pipeline: Pipeline) -> None:
    """Raise DataError, as ingest would, when a file lacks a column that the task's fields or a filter want.

    Only the first block of a file is read. Files of a dataset that are not on this machine yet are left out.
    """
    ingest = plugins.find("stages", "ingest")
    section: Any = pipeline.sections["ingest"]
    wanted = ingest.wanted(section, plugins.find("tasks", pipeline.task).FIELDS)
    if section.dataset is not None:
        origin = dataset_files(section.dataset, section.format, wanted)
    else:
        origin = sources.locate(None, section.files, section.format, wanted)
    for split, files in origin.items():
        for source in files:
            read_header(source, section.format, wanted, split, section.encoding)


def dataset_files(name: str, form: Any, wanted: Sequence[str | int]) -> dict[str, list[sources.Source]]:
    """{split: files of a dataset that are on this machine}. Columns in files of their own are checked by the card."""
    card = catalog.card(name)
    root = catalog.root_of(card)
    origin: dict[str, list[sources.Source]] = {}
    for split, value in card.splits.items():
        if isinstance(value, dict):
            text_file.columns_at(f"dataset {name!r}", list(value), wanted)
        else:
            files = sources.sources_of([root / path for path in catalog.split_paths(value)], form)
            origin[split] = [path for path in files if isinstance(path, Path) and path.exists()]
    return origin


def read_header(
    source: sources.Source, form: Any, wanted: Sequence[str | int], split: str, encoding: str | None
) -> None:
    """Read as much of a file as its format needs to find the columns."""
    module = plugins.find(sources.ROOM, form.kind)
    if hasattr(module, "COLUMNS"):  # the same in every file
        text_file.columns_at(str(source), module.COLUMNS, wanted)
    elif form.kind != "json" or (isinstance(source, Path) and source.stat().st_size <= MAX_JSON_BYTES):
        next(sources.read(source, form, Repairs("replace", "drop", encoding=encoding), wanted, split), None)
