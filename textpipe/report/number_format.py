"""Number formats of a comparison."""

from collections.abc import Sequence
from typing import Any


def format_figure(value: float) -> str:
    """Four significant digits."""
    return f"{value:.4g}"


def format_signed(value: float) -> str:
    """Three significant digits and a sign: 2.518 -> +2.52"""
    return f"{value:+.3g}"


def format_interval(bounds: Sequence[float], format_bound: Any = format_figure) -> str:
    """[35.05, 38.01]"""
    return f"[{format_bound(bounds[0])}, {format_bound(bounds[1])}]"


def format_p_value(value: float) -> str:
    """.031, or <.001"""
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
