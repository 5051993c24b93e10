"""Dropout rates: the range allowed, and the number of random bits needed to realize a rate.

Does not import Keras: a pipeline file is checked without it.
"""

from typing import Annotated

from pydantic import AfterValidator, Field

# The smallest rate: keras.layers.Dropout compares floats of 23 bits, which at 1e-4 are still exact to a thousandth.
MIN_RATE = 1e-4

# Largest error of the realized rate, relative to the rate and to 1 - rate. Eight bits are the cheapest, and every
# multiple of 0.05 is within 1/60 of a multiple of 1/256. Other rates use more bits and a tolerance of a thousandth.
BYTE_TOLERANCE, TOLERANCE = 1 / 50, 1 / 1000


def check(rate: float) -> float:
    """Return the rate; raises ValueError if it is not 0 and closer than MIN_RATE to 0 or 1."""
    if rate and not MIN_RATE <= rate <= 1 - MIN_RATE:
        raise ValueError(
            f"dropout rate {rate:g} is too close to 0 or 1; use 0 or a rate from {MIN_RATE:g} to {1 - MIN_RATE:g}"
        )
    return rate


# The type of the dropout rates in a model's Config.
Rate = Annotated[float, Field(ge=0, lt=1), AfterValidator(check)]


def resolution(rate: float) -> tuple[int, int]:
    """Number of random bits, 8, 16 or 32, and the level below which a number of that many bits drops an entry.

    0.3 -> (8, 77): 77 / 256 = 0.3008    0.001 -> (32, 4294967)    0.01 -> (16, 655)
    """
    for bits, tolerance in ((8, BYTE_TOLERANCE), (16, TOLERANCE)):
        level = round(rate * 2**bits)
        if abs(level / 2**bits - rate) <= tolerance * min(rate, 1 - rate):
            return bits, level
    return 32, round(rate * 2**32)
