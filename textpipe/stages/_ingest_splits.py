"""Rows of ingest on their way to the splits, written again where a label would be missing from one."""

from collections import Counter
from collections.abc import Sequence

from textpipe.data import cleaning, sources, split_assignment, statistics
from textpipe.data.rows import Repairs
from textpipe.data.splits import Split
from textpipe.errors import DataError
from textpipe.runtime import engine
from textpipe.stages import _ingest_files

SPOOL = "spool"  # in the output while files are read by workers


def write(
    reader: cleaning.RowReader,
    assigner: split_assignment.SplitAssigner,
    name: str,
    files: Sequence[sources.Source],
    shares: dict[str, float],
    new_reader: _ingest_files.NewReader,
) -> None:
    """Write the rows of one split's files to it and to the splits that take shares of it.

    Several files are read by the workers of the engine, unless max_rows may make the later ones unnecessary.
    new_reader: builds a reader for a worker.
    """
    targets = [assigner.splits[split] for split in (name, *shares)]
    batches = (
        _ingest_files.batches(reader, new_reader, name, files, targets[0].output / SPOOL)
        if len(files) > 1 and assigner.max_rows is None and engine.is_parallel()
        else reader.batches(name, files)
    )
    for batch in batches:
        assigner.assign(batch, name, shares)
        if assigner.max_rows is not None and all(split.counts["rows"] >= assigner.max_rows for split in targets):
            break
    if not reader.read[name]:
        paths = ", ".join(str(source) for source in files)
        raise DataError(f"{paths}: no rows for {name}; give a file with rows below its header")


def rebalance_labels(
    reader: cleaning.RowReader,
    assigner: split_assignment.SplitAssigner,
    files: Sequence[sources.Source],
    shares: dict[str, float],
    new_reader: _ingest_files.NewReader,
) -> None:
    """Rewrite the splits where the hash left train without a label, or a split without a label that its share calls for."""
    moves = split_assignment.moves_into_train(assigner, shares)
    if assigner.max_rows is not None:
        if moves:  # the rows to move may come after the kept ones
            rewrite_train(
                reader,
                assigner,
                files,
                shares,
                {},
                frozenset(split_assignment.label_counts(assigner.splits["train"]) or ()),
                new_reader,
            )
        return
    moves |= split_assignment.moves_out_of_train(assigner, shares)
    while moves:
        rewrite_train(reader, assigner, files, shares, assigner.moves | moves, None, new_reader)
        moves = split_assignment.moves_into_train(assigner, shares)


def rewrite_train(
    reader: cleaning.RowReader,
    assigner: split_assignment.SplitAssigner,
    files: Sequence[sources.Source],
    shares: dict[str, float],
    moves: dict[int, str],
    classes: frozenset[str] | None,
    new_reader: _ingest_files.NewReader,
) -> None:
    """Write the rows of the train files again with other moves and classes."""
    for name in ("train", *shares):
        split = assigner.splits[name]
        split.discard()
        assigner.splits[name] = Split(name, split.fields, split.output)
    assigner.first, assigner.moves, assigner.classes = split_assignment.FirstKeys(), moves, classes
    reader.forget("train")
    write(reader, assigner, "train", files, shares, new_reader)


def require_rows(
    split: Split,
    rows_read: Counter[str],
    repairs: Repairs,
    shares: dict[str, float],
    num_sources: int,
    assigner: split_assignment.SplitAssigner,
    identify_by: Sequence[str] = (),
) -> None:
    """Raise DataError when a split has no rows, or train fails a check of a field's profile (fewer than two classes).

    num_sources: the number of different sources in all splits.
    """
    rows = split.counts["rows"]
    if not rows and split.name == "train":
        causes = [
            f"{(statistics.REPAIRS | statistics.MAIL_REPAIRS)[name]}: {count:,}"
            for name, count in repairs.counts.items()
            if count
        ]
        causes.append(f"dropped for leaking into valid or test: {split.counts['leaks_dropped']:,}")
        raise DataError(
            f"train: no rows left of {rows_read['train']:,} read ({'; '.join(causes)}); repair the file or relax [ingest]"
        )
    if not rows and split.name in shares:
        if cause := split_assignment.why_emptied(assigner, split.name, shares):
            cure = f"choose another column as label, drop rare labels with min_count = 2, or set split.{split.name} = 0"
            raise DataError(f"{split.name}: no rows left: {cause}; {cure}")
        share = f"a share of {shares[split.name]:g} of the {rows_read['train']:,} rows read"
        if num_sources < rows_read["train"] / 2:
            compared = [item.name for item in split.fields if item.side == "source" and item.has_text]
            others = [item.name for item in split.fields if item.side == "source" and not item.has_text]
            fields = f" in {' and '.join(compared)}" if compared and others else ""
            share += f", of which {num_sources:,} differ{fields}; equal ones stay together"
            if fields and not identify_by:
                names = ", ".join(f'"{name}"' for name in (*others, *compared))
                share += f", unless [ingest] identify_by = [{names}]"
        cure = f"give more rows, a larger share in split (0 for no {split.name}), or a file for it"
        raise DataError(f"{split.name}: no rows fell into it ({share}); {cure}")
    if not rows:
        raise DataError(
            f"{split.name}: no rows left of {rows_read[split.name]:,} read; repair the file or relax [ingest]"
        )
    for name, profile in split.profiles.items():
        fault = profile.fault(name, rows) if split.name == "train" and hasattr(profile, "fault") else None
        if fault:
            raise DataError(f"train: {fault}")
