"""Other segmentations of rows of subword ids, drawn anew for each epoch (subword regularization).

Kudo (2018), Subword Regularization; Provilkov, Emelianenko and Voita (2020), BPE-Dropout.

A row of ids is its text: its pieces, joined, are what was encoded. So no text is encoded a second time, and what is
drawn always decodes to what the row decodes to. No piece reaches over a blank, a byte or a mark, so a row falls apart
into units, words mostly, that are segmented by themselves; the few distinct ones are prepared once, and an epoch is a
number of NumPy operations over all units of many rows.

Shapes: N units, R rows, V pieces.
"""

import functools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from textpipe.errors import ConfigError
from textpipe.text import vectorizer
from textpipe.text.ragged_arrays import range_indices
from textpipe.text.sampling_bpe import Merges
from textpipe.text.sampling_random import random_streams
from textpipe.text.sampling_unigram import Lattices
from textpipe.text.sentencepiece_model import Pieces

# Units drawn at once: enough to make NumPy's overhead small, few enough to need some tens of megabytes.
CHUNK_UNITS = 200_000

Block = tuple[np.ndarray, np.ndarray]  # ids int32 [total], offsets int64 [rows + 1]


class Segmenter(Protocol):
    """How a unit is cut anew: sampling_unigram.Lattices or sampling_bpe.Merges."""

    def draw(self, units: np.ndarray, streams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Units [N] (numbers of distinct ones) and their random streams [N] -> ids, unit after unit, and lengths [N]."""


class Sampler:
    """Draws one side of a split.

    blocks: the codec's own ids of the rows, as vectorize wrote them; kind(pieces, distinct units) gives the segmenter;
    max_length: tokens a row may have. A row that is drawn longer keeps its own ids: cut, it would teach a model to stop
    in the middle.
    """

    def __init__(self, blocks: Sequence[Block], pieces: Pieces, kind: Any, *, max_length: int):
        self.max_length = max_length
        self.blocks = [
            (np.asarray(values[offsets[0] : offsets[-1]]), offsets - offsets[0]) for values, offsets in blocks
        ]
        known: dict[bytes, int] = {}
        self.units, self.firsts = [], []  # by block: numbers of distinct units; the first unit of each row [R + 1]
        for values, offsets in self.blocks:
            starts = unit_starts(values, offsets, pieces)
            self.units.append(number_units(values, starts, known))
            self.firsts.append(np.searchsorted(starts, offsets))
        distinct = [np.frombuffer(unit, np.int32).tolist() for unit in known]
        self.segmenter: Segmenter = kind(pieces, distinct)

    def draw(self, key: int, width: int | None = None) -> list[Block]:
        """All rows, segmented by what `key` (sampling_random.key_of) says; one longer than width keeps its own ids.

        Blocks again, of other sizes.
        """
        limit = self.max_length if width is None else min(width, self.max_length)
        drawn, before = [], 0
        for block, (_, offsets) in enumerate(self.blocks):
            firsts = self.firsts[block]
            cuts = np.searchsorted(firsts, np.arange(0, max(firsts[-1], 1) + CHUNK_UNITS, CHUNK_UNITS))
            for start, end in zip(cuts[:-1], np.append(cuts[1:-1], len(offsets) - 1), strict=True):
                drawn.append(self.draw_rows(block, int(start), int(end), key, before, limit))
            before += len(offsets) - 1
        return drawn

    def draw_rows(self, block: int, start: int, end: int, key: int, before: int, limit: int) -> Block:
        """Rows start..end of a block; `before` rows lie in the blocks before it."""
        values, offsets = self.blocks[block]
        firsts = self.firsts[block][start : end + 1]
        units = self.units[block][firsts[0] : firsts[-1]]
        firsts = firsts - firsts[0]
        rows = np.repeat(np.arange(end - start), np.diff(firsts))
        streams = random_streams(key, rows + (before + start), np.arange(len(units)) - firsts[rows])
        ids, unit_lengths = self.segmenter.draw(units, streams)
        bounds = np.concatenate([[0], np.cumsum(unit_lengths)])[firsts]
        starts, lengths = bounds[:-1], np.diff(bounds)
        late = lengths > limit
        if late.any():
            starts = np.where(late, len(ids) + offsets[start:end] - offsets[start], starts)
            lengths = np.where(late, np.diff(offsets[start : end + 1]), lengths)
            ids = np.concatenate([ids, values[offsets[start] : offsets[end]]])
        return ids[range_indices(starts, lengths)], np.concatenate([[0], np.cumsum(lengths)])


def load(
    tokenize: Path, name: str, blocks: Sequence[Block], *, alpha: float | None, dropout: float | None, max_length: int
) -> Sampler:
    """The sampler of a field's rows: alpha for the unigram codec, dropout for BPE, the other None.

    tokenize: the stage's output. Raises ConfigError when the codec has no other segmentations, or is of the other kind.
    """
    table = json.loads((tokenize / vectorizer.CODECS).read_text(encoding="utf-8"))[name]
    option, value = ("alpha", alpha) if alpha is not None else ("dropout", dropout)
    codecs = {"alpha": "unigram", "dropout": "bpe"}
    if table["kind"] not in codecs.values():
        raise ConfigError(
            f"[train] subword_sampling: expected subwords, found codec {table['kind']!r} for {name!r}, which segments a "
            f"text in one way; leave subword_sampling out or set [tokenize] codec to {codecs[option]!r}"
        )
    if table["kind"] != codecs[option]:
        other = "dropout" if option == "alpha" else "alpha"
        raise ConfigError(
            f"[train] subword_sampling.{option}: is for codec {codecs[option]!r}, found {table['kind']!r} for {name!r}; "
            f"set subword_sampling = {{ {other} = 0.1 }}"
        )
    pieces = Pieces.read(tokenize / f"{table['name']}.model")
    option_of: dict[str, Any] = {option: value}
    kind = functools.partial(Lattices if option == "alpha" else Merges, **option_of)
    return Sampler(blocks, pieces, kind, max_length=max_length)


def unit_starts(values: np.ndarray, offsets: np.ndarray, pieces: Pieces) -> np.ndarray:
    """Where units begin among the ids of a block: at a blank, and before and after what is not a plain piece.

    ["▁a", "▁be", "d", "<0xC3>", "<0xA9>", "</s>"] -> [0, 1, 3, 4, 5]
    """
    alone = ~pieces.plain[values]
    begins = pieces.opens[values] | alone
    begins[1:] |= alone[:-1]
    begins[offsets[:-1][np.diff(offsets) > 0]] = True
    return np.flatnonzero(begins)


def number_units(values: np.ndarray, starts: np.ndarray, known: dict[bytes, int]) -> np.ndarray:
    """Each unit's number among the distinct ones, int32; new ones are added to `known` {its ids' bytes: number}."""
    raw = np.ascontiguousarray(values, np.int32).tobytes()
    ends = np.append(starts[1:], len(values))
    pairs = zip((4 * starts).tolist(), (4 * ends).tolist(), strict=True)
    return np.fromiter((known.setdefault(raw[start:end], len(known)) for start, end in pairs), np.int32, len(starts))
