"""The files of a split, each read and cleaned by a worker of the engine.

A worker writes the batches of its file to a spool file, from which they are assigned to splits one after another: duplicates and leaks
are known only in order.
"""

import functools
import pickle
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

from textpipe.data import cleaning, sources
from textpipe.data.hashes import stable_keys
from textpipe.data.splits import Batch
from textpipe.runtime.engine import map_shards

NewReader = Callable[[], cleaning.RowReader]
Task = tuple[int, str, sources.Source]  # number of the file, split, file


def batches(
    reader: cleaning.RowReader, new_reader: NewReader, split: str, files: Sequence[sources.Source], folder: Path
) -> Iterator[Batch]:
    """What reader.batches(split, files) yields and counts. new_reader: builds an equal reader, in a worker; folder: of the spool."""
    folder.mkdir(exist_ok=True)
    tasks = [(number, split, file) for number, file in enumerate(files)]
    start = 0
    reader.begin(split)
    for path, counted in map_shards(functools.partial(file_reader, new_reader, folder), tasks):
        with path.open("rb") as spool:
            for _ in range(counted["batches"]):
                batch = pickle.load(spool)
                batch.rows += start
                yield batch
        path.unlink()
        start += counted["rows"]
        reader.read[split] += counted["read"]
        reader.repairs.counts.update(counted["repairs"])
        for place, encoding in counted["encodings"].items():
            reader.repairs.record_encoding(place, encoding)
        for name in counted["rare"]:
            reader.rare.rare.setdefault(name, 0)
    folder.rmdir()


def file_reader(new_reader: NewReader, folder: Path) -> Callable[[Task], tuple[Path, dict[str, Any]]]:
    """A function that writes the batches of a file to the spool, and returns its path and what was counted."""

    def read(task: Task) -> tuple[Path, dict[str, Any]]:
        number, split, file = task
        reader = new_reader()
        path = folder / f"{number:05d}"
        num_batches = 0
        with path.open("wb") as spool:
            for batch in reader.batches(split, [file], hash_rows=stable_keys):
                pickle.dump(batch, spool, protocol=pickle.HIGHEST_PROTOCOL)
                num_batches += 1
        counts: Counter[str] = reader.repairs.counts
        return path, {
            "batches": num_batches, "rows": reader.num_rows, "read": reader.read[split], "repairs": counts,
            "encodings": reader.repairs.encodings, "rare": list(reader.rare.rare),
        }  # fmt: skip

    return read
