"""The vectorized rows of a split."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.columns import Ids, Labels, Sparse, column
from textpipe.errors import DataError
from textpipe.fields import Sizes
from textpipe.training.subword_sampling import SIDES


@dataclass(frozen=True)
class Rows:
    """The source and the target of a split, row by row.

    samplers: {"source" | "target": a text.sampling.Sampler} of sides that are segmented anew for each epoch, with seed.
    """

    source: Ids | Sparse
    target: Ids | Labels
    samplers: Mapping[str, Any] = field(default_factory=dict)
    seed: int = 0

    def __post_init__(self):
        if len(self.source) != len(self.target):
            raise DataError(
                f"rows: {len(self.source)} sources and {len(self.target)} targets; every source needs one target"
            )

    def __len__(self) -> int:
        return len(self.source)

    def for_epoch(self, number: int, widths: Mapping[str, int] | None = None) -> "Rows":
        """What is trained on in an epoch: sides with a sampler drawn by (seed, epoch, row), the others as they are.

        widths: by side; a row that is drawn longer, or longer than max_length, keeps the codec's own ids.
        """
        from textpipe.text import sampling_random

        drawn = {}
        for side, sampler in self.samplers.items():
            key = sampling_random.key_of(self.seed, number, SIDES.index(side))
            drawn[side] = Ids(sampler.draw(key, widths and widths[side]))
        return replace(self, **drawn, samplers={})


def read(folder: Path, split: str, sizes: Sizes) -> Rows:
    """A split of vectorize's output; values stay in the memory-mapped files."""
    import pyarrow as pa

    paths = sorted((folder / split).glob("*.arrow"))
    tables = [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]
    sides = []
    for name, size in ((sizes.source_name, sizes.source), (sizes.target_name, sizes.target)):
        if size["kind"] == "sparse":
            indices, values = column(tables, f"{name}.indices"), column(tables, f"{name}.values")
            sides.append(Sparse(indices, values, size["dim"]))
        elif size["kind"] == "label":
            chunks = [chunk.to_numpy() for table in tables for chunk in table[name].chunks]
            sides.append(Labels(np.concatenate([np.zeros(0, np.int32), *chunks]), len(size["classes"])))
        else:
            sides.append(column(tables, name))
    return Rows(*sides)
