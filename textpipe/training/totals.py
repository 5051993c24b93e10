"""Sums over steps, their means, and an entry of the history as text."""

from typing import Any


def empty_sums() -> dict[str, float]:
    return dict.fromkeys(("loss", "weight", "penalty", "gradient_norm", "steps", "seconds"), 0.0)


def means(sums: dict[str, float]) -> dict[str, float]:
    """loss per row or token including the penalty, and gradient_norm per step."""
    loss = sums["loss"] / sums["weight"] + sums["penalty"] / sums["steps"]
    return {"loss": loss, "gradient_norm": sums["gradient_norm"] / sums["steps"]}


def describe(line: dict[str, Any]) -> str:
    """epoch 3, loss 1.234, valid_loss 1.3, valid_accuracy 0.71"""
    shown = [f"{name} {line[name]:.4g}" for name in line if name == "loss" or name.startswith("valid_")]
    return f"epoch {line['epoch']}, " + ", ".join(shown)
