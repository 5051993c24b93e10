"""Rows of ingest on their way to the splits, written again where a label would be missing from one."""

from collections.abc import Sequence

from textpipe.data import cleaning, sources, split_assignment
from textpipe.data.splits import Split
from textpipe.errors import DataError


def write(
    reader: cleaning.RowReader,
    dealer: split_assignment.SplitAssigner,
    name: str,
    files: Sequence[sources.Source],
    shares: dict[str, float],
) -> None:
    """Write the rows of one split's files to it and to the splits that take shares of it."""
    targets = [dealer.splits[split] for split in (name, *shares)]
    for batch in reader.batches(name, files):
        dealer.deal(batch, name, shares)
        if dealer.max_rows is not None and all(split.counts["rows"] >= dealer.max_rows for split in targets):
            break
    if not reader.read[name]:
        places = ", ".join(str(source) for source in files)
        raise DataError(f"{places}: no rows for {name}; give a file with rows below its header")


def rebalance_labels(
    reader: cleaning.RowReader,
    dealer: split_assignment.SplitAssigner,
    files: Sequence[sources.Source],
    shares: dict[str, float],
) -> None:
    """Rewrite the splits where the hash left train without a label, or a split without a label that its share calls for."""
    moves = split_assignment.moves_into_train(dealer, shares)
    if dealer.max_rows is not None:
        if moves:  # the rows to move may come after the kept ones
            rewrite_train(
                reader,
                dealer,
                files,
                shares,
                {},
                frozenset(split_assignment.label_counts(dealer.splits["train"]) or ()),
            )
        return
    moves |= split_assignment.moves_out_of_train(dealer, shares)
    while moves:
        rewrite_train(reader, dealer, files, shares, dealer.moves | moves, None)
        moves = split_assignment.moves_into_train(dealer, shares)


def rewrite_train(
    reader: cleaning.RowReader,
    dealer: split_assignment.SplitAssigner,
    files: Sequence[sources.Source],
    shares: dict[str, float],
    moves: dict[int, str],
    classes: frozenset[str] | None,
) -> None:
    """Write the rows of the train files again with other moves and classes."""
    for name in ("train", *shares):
        split = dealer.splits[name]
        split.discard()
        dealer.splits[name] = Split(name, split.fields, split.output)
    dealer.first, dealer.moves, dealer.classes = split_assignment.FirstKeys(), moves, classes
    reader.forget("train")
    write(reader, dealer, "train", files, shares)
