"""The order in which rows are trained on: a pure function of (lengths, batch size, seed, epoch).

Rows of similar length share a batch, so that little of it is padding. If a step is traced for each padded width, batches
come in a few widths; if it takes any width, in as many as save padding (training/batching/grouping.py). The position
(epoch, step) is the whole iterator state, so a killed run resumes exactly.
"""

import logging
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from textpipe.errors import ConfigError
from textpipe.training.batching import curriculum
from textpipe.training.batching.curriculum import Curriculum
from textpipe.training.batching.grouping import group_rows
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

log = logging.getLogger(__name__)

# Widths are multiples of this many tokens: finer widths cost traces and save little padding.
WIDTH_MULTIPLE = 4

# Share of all padded tokens that another width must save to be worth the seconds of tracing its step.
MIN_SAVING = 0.02

# Default number of padded widths if a step is traced for each.
NUM_SHAPES = 6

# Default batch size: tokens for texts, rows for classifiers.
BATCH_TOKENS, BATCH_ROWS = 4096, 64


class Batch(NamedTuple):
    """Row indices, and the padded width of each field."""

    rows: np.ndarray
    widths: dict[str, int]


class Bucket(NamedTuple):
    """Rows that share a shape, the width of each padded field, and rows per batch."""

    rows: np.ndarray
    widths: dict[str, int]
    limit: int

    @property
    def tokens(self) -> int:
        """Padded tokens of a row."""
        return sum(self.widths.values())


class Plan:
    """The batches of every epoch.

    lengths: tokens per row, {field: [N]}, of the padded fields.
    num_rows: N, needed if no field is padded.
    batch_tokens: upper bound on rows * widest field of a batch.
    batch_rows: upper bound on the rows of a batch. At least one of the two is given.
    num_shapes: maximum number of padded widths; None if a step takes any width.
    redrawn: lengths differ between epochs. The given lengths then fix the shapes, so that no step is traced again:
        `epoch` puts each row into the smallest shape that holds it, and the last shape is as wide as the longest row in
        every field. If a step takes any width, rows are regrouped in each epoch.
    options: the curriculum, if the first epochs leave long rows out.
    """

    def __init__(
        self,
        lengths: Mapping[str, Sequence[int] | np.ndarray],
        *,
        num_rows: int | None = None,
        batch_tokens: int | None = None,
        batch_rows: int | None = None,
        seed: int,
        num_shapes: int | None = NUM_SHAPES,
        redrawn: bool = False,
        options: Curriculum | None = None,
    ):
        assert batch_tokens or batch_rows, "batch_tokens or batch_rows"
        self.seed, self.num_shapes, self.redrawn = seed, num_shapes, redrawn
        self.batch_tokens, self.batch_rows = batch_tokens, batch_rows
        self.num_rows = len(next(iter(lengths.values()))) if lengths else num_rows or 0
        self.buckets = self.make_buckets(lengths)
        self.curriculum = options
        self.ranks = curriculum.ranks(lengths) if options else None

    def make_buckets(self, lengths: Mapping[str, Sequence[int] | np.ndarray]) -> list[Bucket]:
        """Groups rows of similar widths."""
        multiple = WIDTH_MULTIPLE if self.num_shapes else 1
        widths = np.zeros((self.num_rows, len(lengths)), np.int64)
        for column, tokens in enumerate(lengths.values()):
            widths[:, column] = -(-np.maximum(np.asarray(tokens), 1) // multiple) * multiple
        if self.num_shapes:
            groups = partition(widths, self.num_shapes)
        else:
            assert self.batch_tokens or self.batch_rows
            groups = group_rows(widths, self.batch_tokens or (self.batch_rows or 1) * int(widths.max(initial=1)))
        buckets = []
        for number, rows in enumerate(groups):
            widest_rows = widths if self.num_shapes and self.redrawn and number == len(groups) - 1 else widths[rows]
            shape = dict(zip(lengths, map(int, widest_rows.max(axis=0)), strict=True))
            limit = self.batch_rows or self.num_rows
            widest = max(shape.values(), default=0)
            if self.batch_tokens and widest:
                limit = min(limit, self.batch_tokens // widest)
            if limit < 1:
                raise ConfigError(
                    f"[train] batch_tokens {self.batch_tokens}: a row is padded to {widest} tokens; "
                    f"raise batch_tokens to at least {widest} or lower the features' max_length"
                )
            buckets.append(Bucket(rows, shape, limit))
        return buckets

    @property
    def num_batches(self) -> int:
        """Batches of an epoch with all rows; approximate if lengths are redrawn."""
        return count_batches(self.buckets)

    def batches_by_epoch(self, epochs: int) -> list[int]:
        """Batches of each of the epochs; approximate if lengths are redrawn."""
        return [count_batches(self.select(self.buckets, number)) for number in range(1, epochs + 1)]

    def select(self, buckets: list[Bucket], epoch: int) -> list[Bucket]:
        """The buckets with the rows that the curriculum allows in an epoch; all rows in epoch 0, which is that of validation."""
        if self.curriculum is None or self.ranks is None or not 0 < epoch <= self.curriculum.epochs:
            return buckets
        allowed = self.ranks < max(1, round(curriculum.competence(self.curriculum, epoch) * self.num_rows))
        chosen = (bucket._replace(rows=bucket.rows[allowed[bucket.rows]]) for bucket in buckets)
        return [bucket for bucket in chosen if len(bucket.rows)]

    @property
    def widths(self) -> dict[str, int]:
        """The largest width of each field; redrawn rows must not be longer."""
        names = self.buckets[0].widths if self.buckets else {}
        return {name: max(bucket.widths[name] for bucket in self.buckets) for name in names}

    def epoch(self, number: int, lengths: Mapping[str, np.ndarray] | None = None) -> list[Batch]:
        """The batches of an epoch: each row that the curriculum allows once, shuffled by (seed, epoch).

        lengths: those of this epoch, if they are redrawn.
        """
        random = np.random.Generator(np.random.Philox(np.random.SeedSequence([self.seed, number])))
        buckets = self.buckets
        if lengths is not None:
            buckets = self.reassign(lengths) if self.num_shapes else self.make_buckets(lengths)
        batches = []
        for rows, widths, limit in self.select(buckets, number):
            # Split evenly: in a remainder of three rows, each row would weigh as much as many rows of a full batch.
            for part in np.array_split(random.permutation(rows), max(1, -(-len(rows) // limit))):
                if len(part):
                    batches.append(Batch(part, widths))
        return [batches[position] for position in random.permutation(len(batches))]

    def reassign(self, lengths: Mapping[str, np.ndarray]) -> list[Bucket]:
        """Puts every row into the existing shape of fewest padded tokens that holds it."""
        chosen = np.full(self.num_rows, -1)
        for shape in np.argsort([bucket.tokens for bucket in self.buckets], kind="stable")[::-1]:
            holds = np.ones(len(chosen), bool)
            for name, tokens in lengths.items():
                holds &= np.asarray(tokens) <= self.buckets[shape].widths[name]
            chosen[holds] = shape
        assert (chosen >= 0).all(), "rows longer than every shape"
        return [bucket._replace(rows=np.flatnonzero(chosen == number)) for number, bucket in enumerate(self.buckets)]


def count_batches(buckets: list[Bucket]) -> int:
    """Batches of all buckets."""
    return sum(-(-len(bucket.rows) // bucket.limit) for bucket in buckets)


def epoch(plan: Plan, rows: Rows, number: int) -> tuple[Rows, list[Batch]]:
    """The rows of an epoch, resegmented where they have samplers, and its batches, each row once.

    A pure function of its arguments. A row that would be longer than the widest shape keeps the codec's own ids.
    """
    if not rows.samplers:
        return rows, plan.epoch(number)
    resampled = rows.for_epoch(number, plan.widths)
    return resampled, plan.epoch(number, resampled.lengths)


def plan(rows: Rows, settings: Settings, *, fixed_widths: bool = True) -> Plan:
    """The plan of a split: by default batches are limited in tokens if the target is padded, and in rows otherwise.

    fixed_widths: a step is traced for each padded width, so there must be few.
    If rows are resegmented in each epoch, the maximum of the codec's and the first epoch's lengths fixes the shapes.
    """
    lengths = rows.lengths
    texts = rows.target_name in lengths
    batch_tokens, batch_rows = settings.batch_tokens, settings.batch_rows
    if batch_tokens and not lengths:
        raise ConfigError("[train] batch_tokens: sparse rows have no tokens to count; set batch_rows")
    if settings.curriculum and not lengths:
        raise ConfigError("[train] curriculum: sparse rows have no tokens to order them by; leave curriculum out")
    assert batch_tokens != "auto", "batch_budget resolves it"
    if batch_tokens is None and batch_rows is None:
        batch_tokens, batch_rows = (BATCH_TOKENS, None) if texts else (None, BATCH_ROWS)
    if rows.samplers:
        resampled = rows.for_epoch(1).lengths
        for name in rows.samplers:
            unsampled, sampled = lengths[name].mean(), resampled[name].mean()
            log.info("subword_sampling: %s: %.1f tokens per row, %.1f without sampling", name, sampled, unsampled)
        lengths = {name: np.maximum(unsampled, resampled[name]) for name, unsampled in lengths.items()}
    return Plan(
        lengths,
        num_rows=len(rows),
        batch_tokens=batch_tokens,
        batch_rows=batch_rows,
        seed=settings.seed,
        num_shapes=settings.num_shapes or (NUM_SHAPES if fixed_widths or not texts else None),
        redrawn=bool(rows.samplers),
        options=settings.curriculum,
    )


def partition(widths: np.ndarray, num_shapes: int) -> list[np.ndarray]:
    """Row indices in at most num_shapes groups with the fewest padded tokens over all rows.

    widths: [N, F], of F fields. Rows are sorted by their summed widths, and dynamic programming over the distinct sums
    finds the cuts of least padding; a cut that saves almost nothing is omitted.
    """
    if len(widths) == 0:
        return []
    sums, group = np.unique(widths.sum(axis=1), return_inverse=True)
    num_groups = len(sums)
    counts = np.bincount(group)
    largest = np.zeros((num_groups, widths.shape[1]), np.int64)
    np.maximum.at(largest, group, widths)
    costs = np.full((num_groups, num_groups), np.inf)  # costs[i, j]: tokens when groups i..j share a shape
    for first in range(num_groups):
        running = np.maximum.accumulate(largest[first:], axis=0).sum(axis=1)
        costs[first, first:] = running * np.cumsum(counts[first:])
    best, boundaries = costs[0], []
    for _ in range(min(num_shapes, num_groups) - 1):
        # best[j]: groups 0..j in one shape more than before; the last shape begins at cut[j].
        options = np.vstack([np.full(num_groups, np.inf), best[:-1, None] + costs[1:]])
        better = np.minimum(best, options.min(axis=0))
        if better[-1] > (1 - MIN_SAVING) * best[-1]:
            break
        boundaries.append(np.where(better < best, options.argmin(axis=0), -1))
        best = better
    firsts, last = [], num_groups - 1
    for boundary in reversed(boundaries):
        if last >= 0 and boundary[last] > 0:
            firsts.append(int(boundary[last]))
            last = int(boundary[last]) - 1
    shape = np.searchsorted(sorted(firsts), group, side="right")
    return [np.flatnonzero(shape == number) for number in range(len(firsts) + 1)]
