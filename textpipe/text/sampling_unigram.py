"""Segmentations drawn from a unigram language model.   Kudo (2018), Subword Regularization, section 3.1.

A segmentation x of a text has probability P(x) = product of its pieces' probabilities; it is drawn with
P(x)**alpha / sum over all segmentations of P**alpha. alpha = 0 makes all alike, a large one leaves the most probable.
"""

import math
from collections.abc import Sequence

import numpy as np

from textpipe.text.sampling_random import random_bits
from textpipe.text.sentencepiece_model import Pieces

SCALE = 1 << 32  # probabilities are whole numbers of 1 / UNIT


class Lattices:
    """All segmentations of each distinct unit, as one table of edges from which a path is drawn step by step.

    Backward filtering, forward sampling, the mirror image of Kudo's forward filtering and backward sampling: an edge
    (piece) from a place in the text is taken with its probability times the mass of all that may follow it.

    A node is a place in a unit. Node v's edges have `bounds` from above v * UNIT to (v + 1) * UNIT, so one search in one
    sorted array draws an edge for every unit at once, whatever its node.
    """

    def __init__(self, pieces: Pieces, units: Sequence[Sequence[int]], alpha: float):
        known = {name: (number, alpha * pieces.scores[number]) for name, number in pieces.ids().items()}
        longest = max(map(len, known), default=0)
        bounds: list[int] = []
        edge_pieces: list[int] = []
        edge_nodes: list[int] = []  # where an edge leads; -1 is the unit's end
        firsts: list[int] = []
        node = 0
        for unit in units:
            firsts.append(node)
            if not pieces.plain[unit[0]]:
                edges_of = [[(unit[0], 1, 0.0)]]
            else:
                edges_of = lattice_edges("".join(pieces.names[number] for number in unit), known, longest)
            for place, found in enumerate(edges_of):
                mass = 0.0
                for position, (piece, following, log_share) in enumerate(found):
                    mass += math.exp(log_share)
                    last = position == len(found) - 1
                    bounds.append((node + place) * SCALE + (SCALE if last else min(round(mass * SCALE), SCALE)))
                    edge_pieces.append(piece)
                    edge_nodes.append(-1 if following == len(edges_of) else node + following)
            node += len(edges_of)
        self.bounds = np.array(bounds, np.uint64)
        self.pieces = np.array(edge_pieces, np.int32)
        self.nodes = np.array(edge_nodes, np.int64)
        self.firsts = np.array(firsts, np.int64)

    def draw(self, units: np.ndarray, streams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units [N] and their random streams [N] -> ids, unit after unit, and lengths [N]."""
        lengths = np.zeros(len(units), np.int64)
        nodes, active = self.firsts[units], np.arange(len(units))
        steps: list[tuple[np.ndarray, np.ndarray]] = []
        while len(active):
            bits = random_bits(streams[active], len(steps))
            chosen = np.searchsorted(self.bounds, nodes.astype(np.uint64) * np.uint64(SCALE) + bits, side="right")
            steps.append((active, self.pieces[chosen]))
            lengths[active] += 1
            nodes = self.nodes[chosen]
            on = nodes >= 0
            active, nodes = active[on], nodes[on]
        ids = np.empty(lengths.sum(), np.int32)
        starts = np.cumsum(lengths) - lengths
        for number, (members, pieces) in enumerate(steps):
            ids[starts[members] + number] = pieces
        return ids, lengths


def lattice_edges(text: str, known: dict[str, tuple[int, float]], longest: int) -> list[list[tuple[int, int, float]]]:
    """For each place in a text the pieces that may stand there: (piece, place behind it, log of its share).

    known: {piece: (id, alpha * log probability)}. The shares of a place add up to 1; places from which no piece leads
    on have none.
    """
    rest = [-math.inf] * len(text) + [0.0]  # log of the mass of all segmentations of what follows a place
    found: list[list[tuple[int, int, float]]] = [[] for _ in text]
    for place in reversed(range(len(text))):
        options = []
        for end in range(place + 1, min(place + longest, len(text)) + 1):
            piece = known.get(text[place:end])
            if piece is not None and rest[end] > -math.inf:
                options.append((piece[0], end, piece[1] + rest[end]))
        if options:
            top = max(option[2] for option in options)
            rest[place] = top + math.log(sum(math.exp(option[2] - top) for option in options))
            found[place] = [(piece, end, score - rest[place]) for piece, end, score in options]
    return found
