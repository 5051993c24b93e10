"""Which split a row goes to: that of a hash of its source text, unless a label would then be missing where it must not.

Each share of the unit interval is a split's, so equal texts never part and a row appended tomorrow does not move the
old ones. Where that leaves a label without a row in train, its first text that fell elsewhere is moved there; where it
leaves a split without a label that has rows enough for it, the label's first text in train is moved. Only such texts
move, each with all its rows. A label with fewer rows stays in train alone.
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from textpipe.data import shards
from textpipe.data.profile import MAX_CLASSES
from textpipe.data.splits import Batch, Split

if TYPE_CHECKING:
    import numpy as np

KEYS_PER_LABEL = 3  # source texts remembered of each label in each split
ROWS_PER_LABEL = 50  # rows of one label looked at in a batch
NO_LABEL = ""  # stands for the label where a task has none


@dataclass
class FirstTexts:
    """The first few source keys of each label in each split, from rows as they are written."""

    keys: dict[str, dict[str, list[int]]] = field(default_factory=dict)

    def add(self, split: str, labels: Any, keys: "np.ndarray") -> None:
        """Look at rows of a split: labels [N], an array of strings, of lists of them, or None for a task without; and
        source keys [N] uint64.
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
        short = [number for number, name in enumerate(names) if len(known.get(name, ())) < KEYS_PER_LABEL]
        if not short or len(known) > MAX_CLASSES:
            return
        numbers = encoded.indices.to_numpy()
        order = np.argsort(numbers, kind="stable")
        begins = np.searchsorted(numbers[order], short)
        ends = np.searchsorted(numbers[order], short, "right")
        for number, begin, end in zip(short, begins, ends, strict=True):
            self._extend(known, names[number], keys[order[begin:end]])

    @staticmethod
    def _extend(known: dict[str, list[int]], label: str, keys: "np.ndarray") -> None:
        first = known.setdefault(label, [])
        for key in keys[:ROWS_PER_LABEL].tolist():
            if len(first) < KEYS_PER_LABEL and key not in first:
                first.append(key)


@dataclass
class Dealer:
    """Writes batches to the splits they belong to.

    label: the number of the label's column, None for a task without. moves: {source key: split} against the hash.
    classes: labels that a split cut from train may hold, all when None; rows of others are counted in left_out.
    """

    splits: dict[str, Split]
    label: int | None
    drop_duplicates: bool = False
    on_leak: str = "count"
    max_rows: int | None = None
    moves: dict[int, str] = field(default_factory=dict)
    classes: frozenset[str] | None = None
    first: FirstTexts = field(default_factory=FirstTexts)
    left_out: int = 0

    def deal(self, batch: Batch, name: str, shares: Mapping[str, float]) -> None:
        """Write a batch from the files of split `name`, some of it to the splits cut from it."""
        import numpy as np

        if not shares:
            self._add(batch, self.splits[name], cut=())
            return
        place = batch.source_keys / 2.0**64  # [N], from 0 to 1
        owner = np.full(len(batch), shards.SPLITS.index(name))
        left = np.ones(len(batch), bool)
        below = 0.0
        for other in ("test", "valid"):  # test has the lowest part of the interval, valid the next
            if other in shares:
                below += shares[other]
                chosen = left & (place < below)
                left &= ~chosen
                owner[chosen] = shards.SPLITS.index(other)
        if self.moves:
            moved = np.isin(batch.source_keys, np.array(list(self.moves), np.uint64))
            for row in np.flatnonzero(moved).tolist():
                owner[row] = shards.SPLITS.index(self.moves[int(batch.source_keys[row])])
        for number in (2, 1, 0):
            part = batch.take(owner == number)
            if len(part):
                self._add(part, self.splits[shards.SPLITS[number]], cut=shares)

    def _add(self, batch: Batch, split: Split, *, cut: Collection[str]) -> None:
        """Write a batch to a split, as far as max_rows leaves room; cut: splits that get parts of the same files."""
        import numpy as np

        if self.classes is not None and split.name in cut and self.label is not None:
            names = split.fields[self.label].cells.names
            cells = batch.columns[self.label].to_pylist()
            known = np.array([self.classes.issuperset(names(cell)) for cell in cells], bool)
            self.left_out += int((~known).sum())
            batch = batch.take(known)
        while self.max_rows is not None and len(batch):
            room = self.max_rows - split.counts["rows"]
            if room <= 0:
                return
            head = np.arange(len(batch)) < room
            self._add_whole(batch.take(head), split, cut)
            batch = batch.take(~head)
        self._add_whole(batch, split, cut)

    def _add_whole(self, batch: Batch, split: Split, cut: Collection[str]) -> None:
        """Count duplicates and leaks of a batch, drop what is to be dropped, and write the rest."""
        import numpy as np

        if not len(batch):
            return
        first = split.see(batch)
        keep = first if self.drop_duplicates else np.ones(len(batch), bool)
        drop = self.on_leak == "drop"
        # Leaks into train are counted at the end. Splits cut from the same files have no text in common.
        same = {split.name, *cut} if split.name in cut else {split.name}
        leaked = np.zeros(len(batch), bool)
        for other in self.splits.values() if drop or split.name != "train" else ():
            if other.name != "train" and other.name not in same:
                leaked |= other.source_keys.contains(batch.source_keys)
        split.counts["leaks_dropped" if drop else "leaks_held_out"] += int((keep & leaked).sum())
        kept = batch.take(keep & ~leaked if drop else keep)
        if len(kept):
            split.write(kept)
            if cut:
                self.first.add(split.name, None if self.label is None else kept.columns[self.label], kept.source_keys)


def counts(split: Split) -> dict[str, int] | None:
    """{label: rows} of a split, {ANY: rows} of one without labels; None when there are too many labels to be labels."""
    for item in split.fields:
        profile = split.profiles[item.name]
        if item.side == "target" and hasattr(item.cells, "names"):
            return None if profile.too_many else dict(profile.classes)
    return {NO_LABEL: split.counts["rows"]} if split.counts["rows"] else {}


def pulls(dealer: Dealer, shares: Iterable[str]) -> dict[int, str]:
    """Moves into train that labels need which have no row there."""
    train = counts(dealer.splits["train"])
    found: dict[int, str] = {}
    served = set(train or ())
    for other in sorted(shares, reverse=True) if train is not None else ():
        for label in counts(dealer.splits[other]) or ():
            key = next(iter(dealer.first.keys.get(other, {}).get(label, ())), None)
            if label not in served and key is not None and dealer.moves.get(key) != "train":
                served.add(label)
                found[key] = "train"
    return found


def pushes(dealer: Dealer, shares: Mapping[str, float]) -> dict[int, str]:
    """Moves out of train for labels with rows enough for a split that has none of them."""
    tables = {name: counts(dealer.splits[name]) for name in ("train", *shares)}
    train = tables["train"]
    found: dict[int, str] = {}
    if train is None or any(table is None for table in tables.values()):
        return found
    for label in train:
        rows = sum((table or {}).get(label, 0) for table in tables.values())
        keys = list(dealer.first.keys.get("train", {}).get(label, ()))
        for other, share in shares.items():
            # One text at least stays; another label's move may have taken one already.
            keys = [key for key in keys if key not in found]
            if label not in (tables[other] or {}) and rows * share >= 1 and len(keys) > 1:
                found[keys.pop(0)] = other
    return found


def train_only(splits: Mapping[str, Split], shares: Iterable[str]) -> dict[str, dict[str, int]]:
    """{split cut from train: {label it has no row of: rows of it in train}}, the most frequent first."""
    train = counts(splits["train"]) or {}
    found = {}
    for other in shares:
        there = counts(splits[other])
        missing = (
            {}
            if there is None or NO_LABEL in train
            else {name: rows for name, rows in train.items() if name not in there}
        )
        if missing:
            found[other] = dict(sorted(missing.items(), key=lambda item: (-item[1], item[0])))
    return found
