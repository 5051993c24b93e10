"""The data sets of `textpipe data report`."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from textpipe.data import catalog, shards
from textpipe.errors import ConfigError, DataError, ThresholdError, suggest
from textpipe.pipeline import bundled

SECONDS = 5  # between two lines of progress


@dataclass(frozen=True)
class Choice:
    """The options that say which columns are read; () and None choose by usual names."""

    texts: tuple[str, ...]
    label: str | None
    form: Any
    overrides: tuple[str, ...]
    artifacts: Path

    def load(self, data: Sequence[str]) -> Any:
        """Read a dataset, a pipeline's rows, or files. Raises DataError or ConfigError."""
        from textpipe.quality import corpus

        columns = corpus.Columns(
            tuple(map(as_column, self.texts)), None if self.label is None else as_column(self.label)
        )
        name = data[0]
        is_dataset = len(data) == 1 and not Path(name).exists() and name in catalog.dataset_names()
        is_bundled = not is_dataset and not Path(name).exists() and name in bundled.pipelines()
        is_pipeline = len(data) == 1 and (name.endswith(".toml") or is_bundled)
        if self.overrides and not is_pipeline:
            raise ConfigError(f"-s: overrides a setting of a pipeline file, but {name} is not one; leave it out")
        if is_pipeline:
            if self.texts or self.label is not None or self.form is not None:
                raise ConfigError(
                    f"{name}: a pipeline file names its columns and format; leave out --text, --label and --format"
                )
            return self.ingested(name)
        if is_dataset:
            return corpus.read_dataset(name, columns)
        return corpus.read_files(", ".join(data), split_files(data), columns, self.form)

    def ingested(self, name: str) -> Any:
        """The rows of a pipeline after ingest, which runs if its result is not in the store."""
        from textpipe.commands._pipeline import StageLog
        from textpipe.config import plugins
        from textpipe.pipeline import runner
        from textpipe.quality import corpus
        from textpipe.report import results

        pipeline = runner.Pipeline.load(name, self.overrides)
        try:
            result = runner.run(pipeline, until="ingest", artifacts=self.artifacts, on_event=StageLog())
        except ThresholdError as error:  # the report shows the rows that miss it
            click.echo(f"warning: {error}", err=True)
            result = error.result
        folder = result.artifacts["ingest"].path
        fields = plugins.find("tasks", pipeline.task).FIELDS
        return corpus.read_ingested(pipeline.name, folder, fields, results.read_json(folder / "stats.json"))


def as_column(text: str) -> str | int:
    """A column's name, or its number from 0."""
    return int(text) if text.isdecimal() else text


def split_files(data: Sequence[str]) -> dict[str, list[Path]]:
    """("train=a.tsv", "test=b.tsv") -> {"train": [a.tsv], "test": [b.tsv]}; files without a split are those of train."""
    files: dict[str, list[Path]] = {}
    for item in data:
        split, equals, name = item.partition("=")
        if not equals or split not in shards.SPLITS:
            split, name = "train", item
        if not Path(name).exists():
            known = [*catalog.dataset_names(), *(path.name for path in Path(name).parent.glob("*"))]
            raise DataError(f"{name}: no such file or dataset{suggest(Path(name).name, known)}")
        files.setdefault(split, []).append(Path(name))
    return files


def progress() -> Callable[[str, int, int], None]:
    """A callback that prints a line on stderr when a measurement begins, and while it takes long."""
    shown: dict[str, float] = {}

    def notify(task: str, done: int, total: int) -> None:
        now = time.monotonic()
        if task not in shown:
            click.echo(f"{task} ...", err=True)
        elif now - shown[task] >= SECONDS and 0 < done < total:
            click.echo(f"{task}: {done:,} of {total:,}", err=True)
        else:
            return
        shown[task] = now

    return notify
