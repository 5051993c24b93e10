"""Subword regularization: sample another segmentation of each row of subword ids in each epoch.

Kudo (2018), Subword Regularization; Provilkov, Emelianenko and Voita (2020), BPE-Dropout.

The joined pieces of a row are its text, so no text is encoded again, and every sample decodes to the same text as the
row. No piece spans a space, a byte or a special token, so a row consists of units, mostly words, that are segmented
independently. The few distinct units are prepared once, and an epoch takes NumPy operations over all units of many
rows.

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

# Units sampled at once: enough to hide NumPy's overhead, few enough to need only tens of megabytes.
CHUNK_UNITS = 200_000

Block = tuple[np.ndarray, np.ndarray]  # ids int32 [total], offsets int64 [rows + 1]


class Segmenter(Protocol):
    """Samples segmentations of units: sampling_unigram.Lattices or sampling_bpe.Merges."""

    def draw(self, units: np.ndarray, streams: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Indices of distinct units [N] and their random streams [N] -> the concatenated ids, and the lengths [N]."""


class Sampler:
    """Samples segmentations of one side of a split.

    blocks: the rows' ids as encoded by the codec and written by vectorize; make_segmenter(pieces, distinct units);
    max_length: the maximum number of tokens of a row. A longer sample is replaced by the row's own ids: truncated, it
    would teach a model to stop in the middle.
    """

    def __init__(self, blocks: Sequence[Block], pieces: Pieces, make_segmenter: Any, *, max_length: int):
        self.max_length = max_length
        self.blocks = [
            (np.asarray(values[offsets[0] : offsets[-1]]), offsets - offsets[0]) for values, offsets in blocks
        ]
        unit_index: dict[bytes, int] = {}
        self.units, self.firsts = [], []  # by block: indices of distinct units; the first unit of each row [R + 1]
        for values, offsets in self.blocks:
            starts = unit_starts(values, offsets, pieces)
            self.units.append(number_units(values, starts, unit_index))
            self.firsts.append(np.searchsorted(starts, offsets))
        distinct = [np.frombuffer(unit, np.int32).tolist() for unit in unit_index]
        self.segmenter: Segmenter = make_segmenter(pieces, distinct)

    def draw(self, key: int, width: int | None = None) -> list[Block]:
        """A sample of all rows for a key (sampling_random.draw_key), in blocks of other sizes.

        Rows whose sample is longer than width keep their own ids.
        """
        limit = self.max_length if width is None else min(width, self.max_length)
        samples, first_row = [], 0
        for block, (_, offsets) in enumerate(self.blocks):
            firsts = self.firsts[block]
            cuts = np.searchsorted(firsts, np.arange(0, max(firsts[-1], 1) + CHUNK_UNITS, CHUNK_UNITS))
            for start, end in zip(cuts[:-1], np.append(cuts[1:-1], len(offsets) - 1), strict=True):
                samples.append(self.draw_rows(block, int(start), int(end), key, first_row, limit))
            first_row += len(offsets) - 1
        return samples

    def draw_rows(self, block: int, start: int, end: int, key: int, first_row: int, limit: int) -> Block:
        """Sample rows start..end of a block, whose first row has the number first_row in the split."""
        values, offsets = self.blocks[block]
        firsts = self.firsts[block][start : end + 1]
        units = self.units[block][firsts[0] : firsts[-1]]
        firsts = firsts - firsts[0]
        rows = np.repeat(np.arange(end - start), np.diff(firsts))
        streams = random_streams(key, rows + (first_row + start), np.arange(len(units)) - firsts[rows])
        ids, unit_lengths = self.segmenter.draw(units, streams)
        bounds = np.concatenate([[0], np.cumsum(unit_lengths)])[firsts]
        starts, lengths = bounds[:-1], np.diff(bounds)
        too_long = lengths > limit
        if too_long.any():
            starts = np.where(too_long, len(ids) + offsets[start:end] - offsets[start], starts)
            lengths = np.where(too_long, np.diff(offsets[start : end + 1]), lengths)
            ids = np.concatenate([ids, values[offsets[start] : offsets[end]]])
        return ids[range_indices(starts, lengths)], np.concatenate([[0], np.cumsum(lengths)])


def load(
    tokenize: Path, name: str, blocks: Sequence[Block], *, alpha: float | None, dropout: float | None, max_length: int
) -> Sampler:
    """The sampler of a field's rows. Set alpha for the unigram codec or dropout for BPE, and the other to None.

    tokenize: the stage's output. Raises ConfigError when the codec cannot sample, or needs the other option.
    """
    table = json.loads((tokenize / vectorizer.CODECS_FILE).read_text(encoding="utf-8"))[name]
    option, value = ("alpha", alpha) if alpha is not None else ("dropout", dropout)
    codecs = {"alpha": "unigram", "dropout": "bpe"}
    if table["kind"] not in codecs.values():
        raise ConfigError(
            f"[train] subword_sampling: codec {table['kind']!r} of {name!r} has only one segmentation of a text; "
            f"leave subword_sampling out or set [tokenize] codec to {codecs[option]!r}"
        )
    if table["kind"] != codecs[option]:
        other = "dropout" if option == "alpha" else "alpha"
        raise ConfigError(
            f"[train] subword_sampling.{option}: is for codec {codecs[option]!r}, but {name!r} has codec {table['kind']!r}; "
            f"set subword_sampling = {{ {other} = 0.1 }}"
        )
    pieces = Pieces.read(tokenize / f"{table['name']}.model")
    options: dict[str, Any] = {option: value}
    make_segmenter = functools.partial(Lattices if option == "alpha" else Merges, **options)
    return Sampler(blocks, pieces, make_segmenter, max_length=max_length)


def unit_starts(values: np.ndarray, offsets: np.ndarray, pieces: Pieces) -> np.ndarray:
    """The positions at which units begin in a block: at spaces, and before and after ids that are not plain pieces.

    ["▁a", "▁be", "d", "<0xC3>", "<0xA9>", "</s>"] -> [0, 1, 3, 4, 5]
    """
    special = ~pieces.plain[values]
    begins = pieces.opens[values] | special
    begins[1:] |= special[:-1]
    begins[offsets[:-1][np.diff(offsets) > 0]] = True
    return np.flatnonzero(begins)


def number_units(values: np.ndarray, starts: np.ndarray, unit_index: dict[bytes, int]) -> np.ndarray:
    """The index of each unit among the distinct ones, int32; new ones are added to `unit_index` {id bytes: index}."""
    raw = np.ascontiguousarray(values, np.int32).tobytes()
    ends = np.append(starts[1:], len(values))
    pairs = zip((4 * starts).tolist(), (4 * ends).tolist(), strict=True)
    return np.fromiter(
        (unit_index.setdefault(raw[start:end], len(unit_index)) for start, end in pairs), np.int32, len(starts)
    )
