"""The vectorized rows of a split."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.data.columns import Column, Ids
from textpipe.errors import DataError

log = logging.getLogger(__name__)

Lengths = dict[str, np.ndarray]  # {field: tokens of each row [N]}, of the padded fields


@dataclass(frozen=True)
class Rows:
    """Inputs and targets, row by row.

    inputs: {field: column}, in the order of the task's fields.
    samplers: {field: a text.sampling.Sampler} of the fields that are resegmented in each epoch.
    seed: of the samplers.
    """

    inputs: Mapping[str, Column]
    target: Column
    target_name: str = "target"
    samplers: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self):
        for column in self.inputs.values():
            if len(column) != len(self.target):
                raise DataError(
                    f"rows: {len(column)} sources and {len(self.target)} targets; every source needs one target"
                )

    def __len__(self) -> int:
        return len(self.target)

    @property
    def columns(self) -> dict[str, Column]:
        """The columns of all fields, the target last."""
        return {**self.inputs, self.target_name: self.target}

    @property
    def lengths(self) -> Lengths:
        """Tokens of each row, of the padded fields."""
        return {name: column.lengths for name, column in self.columns.items() if column.lengths is not None}

    def for_epoch(self, number: int, widths: Mapping[str, int] | None = None) -> "Rows":
        """The rows of an epoch: fields with a sampler are drawn by (seed, epoch, row), the others stay as they are.

        widths: by field; a row drawn longer, or longer than max_length, keeps the codec's own ids.
        """
        from textpipe.text import sampling_random

        drawn: dict[str, Column] = self.columns
        for position, name in enumerate(self.columns):
            if name in self.samplers:
                key = sampling_random.draw_key(self.seed, number, position)
                drawn[name] = Ids(self.samplers[name].draw(key, widths and widths[name]))
        target = drawn.pop(self.target_name)
        return replace(self, inputs=drawn, target=target, samplers={})


def read(folder: Path, split: str, sizes: Sizes) -> Rows:
    """Reads a split of vectorize's output; values stay in the memory-mapped files, unless rows without a class are left out."""
    import pyarrow as pa

    paths = sorted((folder / split).glob("*.arrow"))
    tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]
    if "out_of_scope" in sizes.target or "unseen" in sizes.target:
        tables = [in_scope(table, sizes.target_name, split) for table in tables]
    columns = {
        name: plugins.find("features", size["feature"]).column(tables, name, size)
        for name, size in sizes.tables.items()
    }
    target = columns.pop(sizes.target_name)
    return Rows(columns, target, sizes.target_name)


def in_scope(table: Any, target_name: str, split: str) -> Any:
    """The rows of an Arrow table that have a class."""
    import pyarrow.compute as pc

    in_scope_rows = table.filter(pc.greater_equal(table[target_name], 0))
    if in_scope_rows.num_rows < table.num_rows:
        log.info("%s: %d rows without a class of train are left out", split, table.num_rows - in_scope_rows.num_rows)
    return in_scope_rows
