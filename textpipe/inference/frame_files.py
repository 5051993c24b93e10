"""DataFrames of a Python caller, written to a file for ingest."""

import hashlib
from collections.abc import Container, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.config import plugins
from textpipe.data import json_text, shards, text_file
from textpipe.data.rows import list_columns
from textpipe.errors import DataError, suggest
from textpipe.inference.cells import is_list
from textpipe.inference.frames import cell_text, cell_texts, column_names, describe_value, is_frame
from textpipe.pipeline.runner import Pipeline

if TYPE_CHECKING:
    import pandas as pd

FOLDER = "frames"  # below the artifacts
# Overrides that make a pipeline file without data files valid until the frames are written.
PLACEHOLDERS = ("ingest.dataset=", "ingest.files=frames", "ingest.format=parquet")


def pipeline_with_data(pipeline: Pipeline | str | Path, data: Any, artifacts: Path) -> Pipeline:
    """A pipeline that reads its rows from DataFrames: one, which is split, or {"train": ..., "valid": ..., "test": ...}.

    The columns that the pipeline reads are written to artifacts/frames under a content hash, so equal rows reuse their
    cached results. The other settings of [ingest] apply as for any file.
    """
    if not isinstance(pipeline, Pipeline):
        pipeline = Pipeline.load(pipeline, PLACEHOLDERS)
    section: Any = pipeline.sections["ingest"]
    ingest = plugins.find("stages", "ingest")
    fields = plugins.find("tasks", pipeline.task).FIELDS
    columns_read = ingest.required_columns(section, fields)
    lists = list_columns(zip((field.cells for field in fields), columns_read, strict=False))
    frames = dict(data) if isinstance(data, Mapping) else {"": data}
    if isinstance(data, Mapping):
        for split in frames:
            if split not in shards.SPLITS:
                raise DataError(f"data[{split!r}]: no such split{suggest(str(split), shards.SPLITS)}")
        if "train" not in frames:
            raise DataError(f"data: no train split, only {', '.join(frames) or 'an empty dict'}; give data['train']")
    files: dict[str, Path] = {}
    names: list[str] = []
    for split, frame in frames.items():
        source = f"data[{split!r}]" if split else "data"
        files[split], split_names = write_frame(frame, source, columns_read, artifacts / FOLDER, lists=lists)
        if names and split_names != names:
            raise DataError(
                f"{source}: its columns are {', '.join(split_names)} where other splits have {', '.join(names)}"
            )
        names = split_names
    columns = {field.name: name for field, name in zip(fields, names, strict=False)}
    table = {name: getattr(section, name) for name in section.model_fields_set}
    table |= {"dataset": None, "format": "parquet", "files": files.get("", files), "columns": columns}
    return replace(pipeline, sections={**pipeline.sections, "ingest": type(section)(**table)})


def store_rows(frame: "pd.DataFrame", artifacts: Path) -> Path:
    """Write a frame's columns of texts, numbers, Booleans and lists to a Parquet file below the artifacts, for commands that take a file.

    Lists are written as JSON.
    """
    names = column_names(frame, "rows")
    values = {name: frame.iloc[:, at].tolist() for at, name in enumerate(names)}
    lists = {name for name in names if any(is_list(value) for value in values[name])}
    readable = [
        name
        for at, name in enumerate(names)
        if name in lists or all(cell_text(value) is not None for value in frame.iloc[:, at].dropna())
    ]
    return write_frame(frame, "rows", readable, artifacts / FOLDER, lists=lists)[0]


def write_frame(
    frame: Any, source: str, columns_read: Sequence[str | int], folder: Path, *, lists: Container[str | int] = ()
) -> tuple[Path, list[str]]:
    """Write the columns to a Parquet file named by its content hash; returns its path and the column names in order.

    lists: those of columns_read whose cells may be lists, which are written as JSON.
    """
    if not is_frame(frame):
        raise DataError(f"{source}: expected a pandas DataFrame, found {describe_value(frame)}")
    names = column_names(frame, source)
    cure = "; say which column holds which field in [ingest] columns"
    positions = text_file.column_indices(source, names, columns_read, cure)
    if not len(frame):
        raise DataError(f"{source}: the DataFrame has no rows; add at least one")
    columns = {}
    for position, column in zip(positions, columns_read, strict=True):
        cells = cell_texts(frame.iloc[:, position], source, missing="", lists=column in lists)
        columns[names[position]] = [
            encode_text(json_text.write(cell) if isinstance(cell, list) else cell) for cell in cells
        ]
    path = folder / f"{content_digest(columns)[:32]}.parquet"
    if not path.exists():
        write_parquet(path, columns)
    return path, [names[position] for position in positions]


def encode_text(text: str) -> bytes:
    """Encode as UTF-8; lone surrogates become the bytes they were decoded from, others invalid bytes that ingest repairs."""
    try:
        return text.encode()
    except UnicodeEncodeError:
        pass
    try:
        return text.encode(errors="surrogateescape")
    except UnicodeEncodeError:
        return text.encode(errors="surrogatepass")


def content_digest(columns: Mapping[str, Sequence[bytes]]) -> str:
    """SHA-256 of the length-prefixed names and cells."""
    digest = hashlib.sha256()
    for name, cells in columns.items():
        for value in (name.encode(errors="surrogatepass"), *cells):
            digest.update(len(value).to_bytes(8, "little"))
            digest.update(value)
        digest.update(b"\n")
    return digest.hexdigest()


def write_parquet(path: Path, columns: Mapping[str, Sequence[bytes]]) -> None:
    """Write binary columns to a file atomically."""
    import os

    import pyarrow as pa
    import pyarrow.parquet as pq

    from textpipe.cache import store

    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    table = pa.table({name: pa.array(cells, pa.large_binary()) for name, cells in columns.items()})
    with store.explain_disk_errors(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            pq.write_table(table, temporary)
            os.replace(temporary, path)
        finally:
            temporary.unlink(missing_ok=True)
