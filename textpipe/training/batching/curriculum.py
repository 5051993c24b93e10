"""A curriculum: the first epochs train on the shortest rows, later ones on longer rows as well (Platanios et al. 2019; Bengio et al. 2009).

The difficulty of a row is its number of tokens. The competence, the share of the rows that an epoch trains on, is the square-root
competence of Platanios et al. with epochs in place of updates: min(1, sqrt(e (1 - c0^2) / E + c0^2)) after e epochs.
"""

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pydantic import Field

from textpipe.config.sections import Section

if TYPE_CHECKING:
    import numpy as np


class Curriculum(Section):
    """Trains on the shortest rows first.

    epochs: number of epochs before all rows are trained on.
    start: share of the rows that the first epoch trains on.
    """

    epochs: int = Field(ge=1)
    start: float = Field(default=0.1, gt=0, lt=1)


def competence(options: Curriculum, epoch: int) -> float:
    """The share of the rows that an epoch, counted from 1, trains on.

    epochs = 4, start = 0.1: 0.1, 0.51, 0.71, 0.87, 1, 1, ...
    """
    done = (epoch - 1) / options.epochs
    return min(1.0, math.sqrt(done * (1 - options.start**2) + options.start**2))


def ranks(lengths: "Mapping[str, Sequence[int] | np.ndarray]") -> "np.ndarray":
    """The rank of each row from the shortest to the longest, by the tokens of all fields: {field: [N]} -> [N].

    Rows of the same length keep their order.
    """
    import numpy as np

    total = np.sum([np.asarray(tokens, np.int64) for tokens in lengths.values()], axis=0)
    order = np.argsort(total, kind="stable")
    rank_of_row = np.empty(len(order), np.int64)
    rank_of_row[order] = np.arange(len(order))
    return rank_of_row
