"""Rates of dropout: which ones there can be, and how many random bits a decision needs to act with its rate.

Nothing here needs Keras, so that a pipeline file is checked without it.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

# What a rate must leave: keras.layers.Dropout compares with floats of 23 bits, which at 1e-4 still act to a thousandth.
SMALLEST = 1e-4

# How far what acts may lie from what is asked for, as a share of the rate and of what is kept. Eight bits are the
# cheapest: all multiples of 0.05 lie within 1/60 of a multiple of 1/256. What they miss gets a thousandth.
COARSE, FINE = 1 / 50, 1 / 1000


def checked(rate: float) -> float:
    """The rate; raises ValueError for one that would drop, or keep, next to nothing."""
    if rate and not SMALLEST <= rate <= 1 - SMALLEST:
        raise ValueError(
            f"a rate of {rate:g} cannot be drawn as asked; use 0, or a rate from {SMALLEST:g} to {1 - SMALLEST:g}"
        )
    return rate


# The type of a field of a model's Config that is a rate of dropout.
Rate = Annotated[float, Field(ge=0, lt=1), AfterValidator(checked)]


def resolved(rate: float) -> tuple[int, int]:
    """Bits of a decision, 8, 16 or 32, and below which of the 2 ** bits numbers it drops.

    0.3 -> (8, 77): 77 / 256 = 0.3008    0.001 -> (32, 4294967)    0.01 -> (16, 655)
    """
    for bits, tolerance in ((8, COARSE), (16, FINE)):
        level = round(rate * 2**bits)
        if abs(level / 2**bits - rate) <= tolerance * min(rate, 1 - rate):
            return bits, level
    return 32, round(rate * 2**32)
