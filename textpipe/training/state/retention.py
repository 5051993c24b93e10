"""Weights of past validations that may become the result: the best ones, or those to be averaged.

Averaging the last or the best checkpoints of a run follows Vaswani et al. (2017), section 6.1. Which validations are
retained is a pure function of the history. The weights of each are a file named by its step. A file is deleted only after
a checkpoint whose history no longer needs it is on disk, so a run killed in between finds all its files.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from textpipe.errors import ArtifactError
from textpipe.training.settings import Average
from textpipe.training.state import checkpoint, early_stopping


class CheckpointRetention:
    """Files of weights in `folder`, by the step of their validation.

    metric: the one that makes a validation best; metrics: METRICS of the objective.
    average: None retains only the weights of the best validation.
    """

    def __init__(self, folder: Path, metric: str, metrics: Mapping[str, str], average: Average | None = None):
        self.folder, self.metric, self.metrics, self.average = folder, metric, metrics, average

    def positions(self, history: list[dict[str, Any]]) -> list[int]:
        """Positions of the validations whose weights would make the result if training ended now, oldest first.

        valid_loss 3, 1, 2, 4: [1]; average.best = 2: [1, 2]; average.last = 2: [2, 3]
        """
        if self.average and self.average.last:
            return list(range(len(history)))[-self.average.last :]
        return sorted(
            early_stopping.ranking(history, self.metric, self.metrics)[: self.average.best if self.average else 1]
        )

    def add(self, history: list[dict[str, Any]], weights: list[Any]) -> None:
        """Saves the weights of the last validation, if they are retained."""
        if len(history) - 1 in self.positions(history):
            checkpoint.save(self.path(history[-1]), weights, {})

    def prune(self, history: list[dict[str, Any]]) -> None:
        """Deletes the files that this history does not need; call it after the history is in a checkpoint."""
        names = {self.path(history[position]).name for position in self.positions(history)}
        for path in self.folder.glob("*"):
            if path.name not in names:
                path.unlink()

    def restore(self, line: dict[str, Any], weights: list[Any]) -> None:
        """Assigns the weights of an entry of the history."""
        if checkpoint.restore(self.path(line), weights) is None:
            raise ArtifactError(
                f"{self.path(line)}: the weights of step {line['step']} are missing; train from the start"
            )

    def restore_mean(self, lines: list[dict[str, Any]], weights: list[Any]) -> None:
        """Assigns the mean of the weights of these entries, computed in float64; integers are those of the last entry."""
        sums: list[Any] = [0.0] * len(weights)
        for line in lines:
            self.restore(line, weights)
            sums = [total + np.asarray(weight).astype(np.float64) for total, weight in zip(sums, weights, strict=True)]
        for total, weight in zip(sums, weights, strict=True):
            if np.issubdtype(np.asarray(weight).dtype, np.floating):
                weight.assign((total / len(lines)).astype(np.asarray(weight).dtype))

    def path(self, line: dict[str, Any]) -> Path:
        return self.folder / f"{line['step']:08d}"
