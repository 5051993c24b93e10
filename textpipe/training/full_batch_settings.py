"""Settings of [train] under optimizers that work on all rows at once, and the choice among several values of l2."""

import logging
from collections.abc import Mapping, Sequence
from typing import Any

READS = ("seed", "optimizer", "init", "class_weight", "calibration")

log = logging.getLogger(__name__)


def unused(kind: str, name: str) -> str | None:
    """Why the optimizer `kind` does not read the setting `name` of [train], and the cure; None if it reads it."""
    if name in READS:
        return None
    if name in ("epochs", "max_steps", "max_minutes", "early_stopping"):
        return f"{kind} stops by optimizer.tolerance and optimizer.max_iterations; set those and leave this out"
    if name in ("freeze", "layer_rates", "unfreeze", "subword_sampling"):
        return f'{kind} minimizes one function of all weights; set optimizer to "adam" or leave this out'
    if name in ("checkpoint_steps", "checkpoint_minutes"):
        return f"{kind} takes seconds and is not resumed; leave it out"
    if name == "average":
        return f"{kind} ends in a single optimum, so there is nothing to average; leave average out"
    return f"{kind} works on all rows at once and does not use it; leave it out"


def choose_fit(lines: Sequence[dict[str, Any]], num_rows: int) -> int:
    """Index of the fit to keep: the lowest loss of those whose accuracy on num_rows rows (F1, of several labels) is within a standard
    error of the best.

    Accuracies on a few hundred rows differ by chance; the loss is the finer measure (Breiman et al. 1984, the 1 SE rule).
    """
    if not num_rows:
        return 0
    name = accuracy_of(lines[0])
    best = max(line[name] for line in lines)
    least = best - (best * (1 - best) / num_rows) ** 0.5
    close = [index for index, line in enumerate(lines) if line[name] >= least]
    return min(close, key=lambda index: lines[index]["valid_loss"])


def accuracy_of(line: Mapping[str, Any]) -> str:
    """The name of the accuracy in a line of validation metrics; of several labels, F1."""
    return "valid_accuracy" if "valid_accuracy" in line else "valid_f1"


def dominates(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    """Whether choose_fit prefers one fit to another, whatever other fits there are."""
    name = accuracy_of(first)
    return name in first and first[name] >= second[name] and first["valid_loss"] < second["valid_loss"]


def log_fit(line: dict[str, Any]) -> None:
    """Logs the validation metrics of one value of l2."""
    figures = (f"{name} {value:.4f}" for name, value in line.items() if name.startswith("valid_"))
    log.info("l2 %g: %s", line["l2"], ", ".join(figures))


def warn_at_the_ends(path: Sequence[float], best: float) -> None:
    """Warns if the best value of l2 is the least or the greatest of those tried."""
    for word, end in (("least", min(path)), ("greatest", max(path))):
        if len(path) > 1 and best == end:
            log.warning("[model] l2: the %s of the values, %g, is the best; try values beyond it", word, end)
