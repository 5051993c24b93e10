"""Sample segmentations from a unigram language model.   Kudo (2018), Subword Regularization, section 3.1.

A segmentation x of a text has probability P(x), the product of its pieces' probabilities, and is sampled with
probability P(x)**alpha / sum over all segmentations of P**alpha. With alpha = 0 all are equally likely; a large alpha
gives the best one.
"""

import math
from collections.abc import Sequence

import numpy as np

from textpipe.text.sampling_random import random_bits
from textpipe.text.sentencepiece_model import Pieces

SCALE = 1 << 32  # probabilities are multiples of 1 / SCALE


class Lattices:
    """All segmentations of each distinct unit, as one table of edges from which paths are sampled step by step.

    Backward filtering and forward sampling, the mirror image of Kudo's forward filtering and backward sampling: an edge
    (a piece at a position of the text) is sampled in proportion to its probability times the mass of all continuations.

    A node is a position in a unit. The edges of node v have `bounds` from above v * SCALE to (v + 1) * SCALE, so a
    single search in a sorted array samples an edge for every unit at once, whatever its node.
    """

    def __init__(self, pieces: Pieces, units: Sequence[Sequence[int]], alpha: float):
        known = {name: (number, alpha * pieces.scores[number]) for name, number in pieces.ids().items()}
        longest = max(map(len, known), default=0)
        bounds: list[int] = []
        edge_pieces: list[int] = []
        edge_nodes: list[int] = []  # the end of each edge; -1 is the end of the unit
        firsts: list[int] = []
        node = 0
        for unit in units:
            firsts.append(node)
            if not pieces.plain[unit[0]]:
                edges_of = [[(unit[0], 1, 0.0)]]
            else:
                edges_of = lattice_edges("".join(pieces.names[number] for number in unit), known, longest)
            for position, options in enumerate(edges_of):
                mass = 0.0
                for number, (piece, end, log_probability) in enumerate(options):
                    mass += math.exp(log_probability)
                    last = number == len(options) - 1
                    bounds.append((node + position) * SCALE + (SCALE if last else min(round(mass * SCALE), SCALE)))
                    edge_pieces.append(piece)
                    edge_nodes.append(-1 if end == len(edges_of) else node + end)
            node += len(edges_of)
        self.bounds = np.array(bounds, np.uint64)
        self.pieces = np.array(edge_pieces, np.int32)
        self.nodes = np.array(edge_nodes, np.int64)
        self.firsts = np.array(firsts, np.int64)

    def draw(self, units: np.ndarray, streams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units [N] and their random streams [N] -> the concatenated ids, and the lengths [N]."""
        lengths = np.zeros(len(units), np.int64)
        nodes, active = self.firsts[units], np.arange(len(units))
        steps: list[tuple[np.ndarray, np.ndarray]] = []
        while len(active):
            bits = random_bits(streams[active], len(steps))
            edges = np.searchsorted(self.bounds, nodes.astype(np.uint64) * np.uint64(SCALE) + bits, side="right")
            steps.append((active, self.pieces[edges]))
            lengths[active] += 1
            nodes = self.nodes[edges]
            unfinished = nodes >= 0
            active, nodes = active[unfinished], nodes[unfinished]
        ids = np.empty(lengths.sum(), np.int32)
        starts = np.cumsum(lengths) - lengths
        for number, (members, pieces) in enumerate(steps):
            ids[starts[members] + number] = pieces
        return ids, lengths


def lattice_edges(text: str, known: dict[str, tuple[int, float]], longest: int) -> list[list[tuple[int, int, float]]]:
    """For each position of a text, the pieces that may begin there: (id, end position, log probability).

    known: {piece: (id, alpha * log probability)}. The probabilities of a position add up to 1; positions from which the
    end of the text cannot be reached have no pieces.
    """
    log_mass = [-math.inf] * len(text) + [0.0]  # of all segmentations of the text from a position on
    edges: list[list[tuple[int, int, float]]] = [[] for _ in text]
    for start in reversed(range(len(text))):
        options = []
        for end in range(start + 1, min(start + longest, len(text)) + 1):
            piece = known.get(text[start:end])
            if piece is not None and log_mass[end] > -math.inf:
                options.append((piece[0], end, piece[1] + log_mass[end]))
        if options:
            top = max(option[2] for option in options)
            log_mass[start] = top + math.log(sum(math.exp(option[2] - top) for option in options))
            edges[start] = [(piece, end, score - log_mass[start]) for piece, end, score in options]
    return edges
