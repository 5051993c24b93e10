"""Assign rows to splits by a hash of their source text, with corrections so that splits have the labels they need.

Each split owns a share of the unit interval, so equal texts stay together and appending rows does not move existing
ones. If this leaves a label without rows in train, its first text in another split is moved to train; if it leaves a
split without a label that has enough rows for it, the label's first text in train is moved there. Only such texts
move, each with all its rows. A label with fewer rows occurs only in train.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from textpipe.data import shards
from textpipe.data.profile import MAX_CLASSES
from textpipe.data.splits import Batch, Split

if TYPE_CHECKING:
    import numpy as np

KEYS_PER_LABEL = 3  # source keys stored per label and split
ROWS_PER_LABEL = 50  # rows per label scanned in a batch
NO_LABEL = ""  # the label of all rows of a task without labels


@dataclass
class FirstKeys:
    """The first few source keys of each label in each split, collected while rows are written."""

    keys: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add(self, split: str, labels: Any, keys: "np.ndarray") -> None:
        """Scan rows of a split: labels [N], an array of strings or of lists of strings, None for a task without labels;
        and source keys [N] uint64.
        """
        import numpy as np
        import pyarrow as pa
        import pyarrow.compute as pc

        known = self.keys.setdefault(split, {})
        if labels is None:
            if len(known.get(NO_LABEL, ())) < KEYS_PER_LABEL:
                self._extend(known, NO_LABEL, keys)
            return
        if pa.types.is_list(labels.type):
            labels, keys = labels.flatten(), keys[pc.list_parent_indices(labels).to_numpy()]
        encoded = labels.dictionary_encode()
        names = encoded.dictionary.to_pylist()
        incomplete = [number for number, name in enumerate(names) if len(known.get(name, ())) < KEYS_PER_LABEL]
        if not incomplete or len(known) > MAX_CLASSES:
            return
        numbers = encoded.indices.to_numpy()
        order = np.argsort(numbers, kind="stable")
        starts = np.searchsorted(numbers[order], incomplete)
        ends = np.searchsorted(numbers[order], incomplete, "right")
        for number, start, end in zip(incomplete, starts, ends, strict=True):
            self._extend(known, names[number], keys[order[start:end]])

    @staticmethod
    def _extend(known: dict[str, list[int]], label: str, keys: "np.ndarray") -> None:
        first = known.setdefault(label, [])
        for key in keys[:ROWS_PER_LABEL].tolist():
            if len(first) < KEYS_PER_LABEL and key not in first:
                first.append(key)


@dataclass
class SplitAssigner:
    """Writes the rows of batches to their splits.

    label: index of the label column, None for a task without labels. moves: {source key: split}, overrides the hash.
    classes: labels allowed in splits cut from train, all if None; rows with others are counted in left_out.
    """

    splits: dict[str, Split]
    label: int | None
    drop_duplicates: bool = False
    on_leak: str = "count"
    max_rows: int | None = None
    moves: dict[int, str] = field(default_factory=dict)
    classes: frozenset[str] | None = None
    first: FirstKeys = field(default_factory=FirstKeys)
    left_out: int = 0

    def assign(self, batch: Batch, name: str, shares: Mapping[str, float]) -> None:
        """Write a batch from the files of split `name` to that split and to the splits cut from it by shares."""
        import numpy as np

        if not shares:
            self._add(batch, self.splits[name], cut=())
            return
        position = batch.source_keys / 2.0**64  # [N], from 0 to 1
        assigned = np.full(len(batch), shards.SPLITS.index(name))
        unassigned = np.ones(len(batch), bool)
        limit = 0.0
        for other in ("test", "valid"):  # test owns the lowest part of the interval, valid the next
            if other in shares:
                limit += shares[other]
                chosen = unassigned & (position < limit)
                unassigned &= ~chosen
                assigned[chosen] = shards.SPLITS.index(other)
        if self.moves:
            moved = np.isin(batch.source_keys, np.array(list(self.moves), np.uint64))
            for row in np.flatnonzero(moved).tolist():
                assigned[row] = shards.SPLITS.index(self.moves[int(batch.source_keys[row])])
        for number in (2, 1, 0):
            rows = batch.select(assigned == number)
            if len(rows):
                self._add(rows, self.splits[shards.SPLITS[number]], cut=shares)

    def _add(self, batch: Batch, split: Split, *, cut: Collection[str]) -> None:
        """Write a batch to a split, up to max_rows; cut: splits that are cut from the same files."""
        import numpy as np

        if self.classes is not None and split.name in cut and self.label is not None:
            names = split.fields[self.label].cells.names
            cells = batch.columns[self.label].to_pylist()
            known = np.array([self.classes.issuperset(names(cell)) for cell in cells], bool)
            self.left_out += int((~known).sum())
            batch = batch.select(known)
        while self.max_rows is not None and len(batch):
            remaining = self.max_rows - split.counts["rows"]
            if remaining <= 0:
                return
            head = np.arange(len(batch)) < remaining
            self._write(batch.select(head), split, cut)
            batch = batch.select(~head)
        self._write(batch, split, cut)

    def _write(self, batch: Batch, split: Split, cut: Collection[str]) -> None:
        """Count duplicates and leaks of a batch, drop them if configured, and write the rest."""
        import numpy as np

        if not len(batch):
            return
        first = split.add_keys(batch)
        keep = first if self.drop_duplicates else np.ones(len(batch), bool)
        drop = self.on_leak == "drop"
        # Leaks into train are counted at the end. Splits cut from the same files share no texts.
        disjoint = {split.name, *cut} if split.name in cut else {split.name}
        leaked = np.zeros(len(batch), bool)
        for other_split in self.splits.values() if drop or split.name != "train" else ():
            if other_split.name != "train" and other_split.name not in disjoint:
                leaked |= other_split.source_keys.contains(batch.source_keys)
        split.counts["leaks_dropped" if drop else "leaks_held_out"] += int((keep & leaked).sum())
        kept_batch = batch.select(keep & ~leaked if drop else keep)
        if len(kept_batch):
            split.write(kept_batch)
            if cut:
                self.first.add(
                    split.name, None if self.label is None else kept_batch.columns[self.label], kept_batch.source_keys
                )


def label_counts(split: Split) -> dict[str, int] | None:
    """Return {label: rows} of a split, {NO_LABEL: rows} without labels; None if there are more than MAX_CLASSES."""
    for item in split.fields:
        profile = split.profiles[item.name]
        if item.side == "target" and hasattr(item.cells, "names"):
            return None if profile.too_many else dict(profile.classes)
    return {NO_LABEL: split.counts["rows"]} if split.counts["rows"] else {}


def moves_into_train(assigner: SplitAssigner, shares: Iterable[str]) -> dict[int, str]:
    """Return moves into train for labels that have no row there."""
    train = label_counts(assigner.splits["train"])
    moves: dict[int, str] = {}
    present = set(train or ())
    for other in sorted(shares, reverse=True) if train is not None else ():
        for label in label_counts(assigner.splits[other]) or ():
            key = next(iter(assigner.first.keys.get(other, {}).get(label, ())), None)
            if label not in present and key is not None and assigner.moves.get(key) != "train":
                present.add(label)
                moves[key] = "train"
    return moves


def why_emptied(assigner: SplitAssigner, name: str, shares: Mapping[str, float]) -> str | None:
    """Why a split cut from train lost the rows that the hash gave it: their labels occur nowhere else; None if it got none."""
    first = shares.get("test", 0.0) if name == "valid" else 0.0
    moved = [key for key, split in assigner.moves.items() if split == "train"]
    lost = sum(first <= key / 2.0**64 < first + shares[name] for key in moved)
    labels = label_counts(assigner.splits["train"]) or {}
    if NO_LABEL in labels or not (lost or assigner.left_out):
        return None
    once = sum(rows == 1 for rows in labels.values())
    return (
        f"every label stays in train, and {once:,} of its {len(labels):,} labels occur in one row only"
        if once
        else "the labels of all rows that fell into it occur in no other, and every label stays in train"
    )


def moves_out_of_train(assigner: SplitAssigner, shares: Mapping[str, float]) -> dict[int, str]:
    """Return moves out of train for labels that are missing in a split although they have enough rows for it."""
    tables = {name: label_counts(assigner.splits[name]) for name in ("train", *shares)}
    train = tables["train"]
    moves: dict[int, str] = {}
    if train is None or any(table is None for table in tables.values()):
        return moves
    for label in train:
        rows = sum((table or {}).get(label, 0) for table in tables.values())
        keys = list(assigner.first.keys.get("train", {}).get(label, ()))
        for other, share in shares.items():
            # At least one text stays in train; another label's move may have used one already.
            keys = [key for key in keys if key not in moves]
            if label not in (tables[other] or {}) and rows * share >= 1 and len(keys) > 1:
                moves[keys.pop(0)] = other
    return moves


def labels_only_in_train(splits: Mapping[str, Split], shares: Iterable[str]) -> dict[str, dict[str, int]]:
    """Return {split cut from train: {label missing there: its rows in train}}, most frequent first."""
    train = label_counts(splits["train"]) or {}
    result = {}
    for split in shares:
        present = label_counts(splits[split])
        missing = (
            {}
            if present is None or NO_LABEL in train
            else {name: rows for name, rows in train.items() if name not in present}
        )
        if missing:
            result[split] = dict(sorted(missing.items(), key=lambda item: (-item[1], item[0])))
    return result
