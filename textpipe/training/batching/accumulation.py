"""Gradient accumulation: one update from several batches, whose summed gradients are divided once by all their tokens.

Up to rounding, this is the update of one large batch, at the memory of a small one. A mean of the batches' means would
not be: it weighs the tokens of a short batch more. An update starts and ends between two steps of the loop, so the sums
are empty whenever a checkpoint is written.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from textpipe.training.batching.batches import Batch, Plan


def group_batches(order: list[Batch], size: int) -> list[list[Batch]]:
    """The batches of each update: at most `size` consecutive ones, distributed evenly.

    7 batches, size 3: 3, 2 and 2   (3, 3 and 1 would give the last batch three times the weight)
    """
    if not order:
        return []
    groups = np.array_split(np.arange(len(order)), num_updates(len(order), size))
    return [[order[position] for position in part] for part in groups]


def num_updates(num_batches: int, size: int) -> int:
    """Number of updates that `num_batches` make."""
    return -(-num_batches // size)


def total_updates(plan: Plan, epochs: int, size: int) -> int:
    """Number of updates in `epochs` epochs of a plan."""
    return sum(num_updates(num_batches, size) for num_batches in plan.batches_by_epoch(epochs))


class Accumulator:
    """Sums of gradients for each variable and replica: a further copy of the trainable weights in memory."""

    def __init__(self, variables: Sequence[Any]):
        self.sums = [
            tf.Variable(
                tf.zeros(variable.shape, tf.as_dtype(variable.dtype)),
                trainable=False,
                synchronization=tf.VariableSynchronization.ON_READ,
                aggregation=tf.VariableAggregation.SUM,
            )
            for variable in variables
        ]

    def add(self, gradients: Sequence[tf.Tensor]) -> None:
        """Adds the gradients of a batch, in replica context."""
        for total, gradient in zip(self.sums, gradients, strict=True):
            total.assign_add(gradient)

    def pop(self) -> list[tf.Tensor]:
        """Returns the sums and resets them, in replica context."""
        totals = [tf.identity(total.read_value()) for total in self.sums]
        with tf.control_dependencies(totals):
            for total in self.sums:
                total.assign(tf.zeros_like(total))
        return totals
