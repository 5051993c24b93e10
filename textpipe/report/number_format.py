"""Figures of a comparison, as people read them."""

from collections.abc import Sequence
from typing import Any


def figure(value: float) -> str:
    """Four digits."""
    return f"{value:.4g}"


def signed(value: float) -> str:
    """Three digits and a sign: 2.518 -> +2.52"""
    return f"{value:+.3g}"


def span(bounds: Sequence[float], write: Any = figure) -> str:
    """[35.05, 38.01]"""
    return f"[{write(bounds[0])}, {write(bounds[1])}]"


def p_value(value: float) -> str:
    """.031, or <.001"""
    return "<.001" if value < 0.001 else f"{value:.3f}".removeprefix("0")
