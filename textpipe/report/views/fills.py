"""The report of a language model: how well it predicts tokens, and how it learned."""

from collections.abc import Mapping
from typing import Any

from textpipe.report.page import Section
from textpipe.report.results import Run
from textpipe.report.views import _texts_compared as compared


def tiles(metrics: Mapping[str, Any]) -> tuple[str, ...]:
    """Metrics shown as tiles."""
    return ("perplexity", "token_accuracy", "unchanged")


def sections(run: Run) -> list[Section]:
    """None beside the metrics and the curves: answers to texts without masks are the texts."""
    return []


__all__ = ["compared", "sections", "tiles"]
