"""Words and spellings in a row of ids, as models read them.   Shapes: B batch, T tokens, W words of the longest row,
N spellings of a batch, L letters of the longest spelling.

Ids: special tokens and words are below num_words, </unk> is num_words, letters follow (text/hybrid_codec.py). A spelling is
<unk> and the letters after it; letters without an <unk> before them are a spelling too, so that every row is valid. Words are
packed into [B, W] and spellings into [L, N], so that each network processes only its own tokens.
"""

from keras import ops

UNK_ID = 1


def in_spelling(ids, num_words):
    """Which tokens belong to a spelling, </unk> excluded: [...] -> [...] bool."""
    return ops.logical_or(ops.equal(ids, UNK_ID), ops.greater(ids, num_words))


def spelling_starts(ids, num_words):
    """Which tokens start a spelling: [B, T] -> [B, T] bool."""
    inside = in_spelling(ids, num_words)
    before = ops.concatenate([ops.zeros_like(inside[:, :1]), inside[:, :-1]], axis=1)
    return ops.logical_and(inside, ops.logical_or(ops.equal(ids, UNK_ID), ops.logical_not(before)))


class Packing:
    """The selected positions of each row, moved to its front.

    selected [B, T] bool -> positions [B, W], real [B, W] bool, and rank [B, T], the index of the last selected position up
    to each position, from 0.

    [[x, ., ., x, x]] -> positions [[0, 3, 4]], rank [[0, 0, 0, 1, 2]]
    """

    def __init__(self, selected):
        count = ops.cumsum(ops.cast(selected, "int32"), axis=1)  # [B, T]
        self.length = ops.maximum(ops.max(count), 1)
        position = ops.arange(ops.shape(selected)[1], dtype="int32")[None, :]
        # Positions are their own sort keys: all different, so the order is deterministic.
        keys = ops.where(selected, position, position + ops.shape(selected)[1])
        order = ops.sort(keys, axis=1)[:, : self.length]
        self.real = ops.less(order, ops.shape(selected)[1])
        self.positions = ops.where(self.real, order, 0)
        self.rank = ops.maximum(count - 1, 0)

    def pack(self, values):
        """[B, T] -> [B, W]."""
        return ops.take_along_axis(values, self.positions, axis=1)

    def flat_rank(self):
        """rank as indices into a [B * W, .] tensor: [B, T]."""
        rows = ops.arange(ops.shape(self.rank)[0], dtype="int32")[:, None]
        return self.rank + rows * self.length

    def unpack(self, values):
        """[B, W, D] -> [B, T, D]: each position gets the value of the last selected position up to it."""
        return ops.take(ops.reshape(values, (-1, values.shape[-1])), self.flat_rank(), axis=0)


class Spellings:
    """The spellings of a batch as columns; an empty one is added, so that there is always one.

    ids [B, T] -> letters [L, N], real [L, N] bool, starts [N] (in the flattened ids), and for each position of the ids the
    index of its spelling, number [B, T], and its index in a flattened [L, N], flat_index [B, T].
    """

    def __init__(self, ids, num_words):
        inside, first = (
            ops.reshape(mask, (-1,)) for mask in (in_spelling(ids, num_words), spelling_starts(ids, num_words))
        )
        self.shape = ops.shape(ids)
        self.inside = ops.reshape(inside, self.shape)
        size = ops.shape(inside)[0]
        number = ops.maximum(ops.cumsum(ops.cast(first, "int32")) - 1, 0)  # [B * T]
        starts = ops.cast(ops.nonzero(first)[0], "int32")
        self.starts = ops.concatenate([starts, ops.zeros((1,), "int32")], axis=0)  # [N]
        count = ops.shape(self.starts)[0]
        offset = ops.where(inside, ops.arange(size, dtype="int32") - ops.take(self.starts, number), 0)
        positions = self.starts[None, :] + ops.arange(ops.max(offset) + 1, dtype="int32")[:, None]  # [L, N]
        valid = ops.minimum(positions, size - 1)
        same_spelling = ops.equal(ops.take(number, valid), ops.arange(count, dtype="int32")[None, :])
        self.real = ops.logical_and(ops.logical_and(ops.less(positions, size), ops.take(inside, valid)), same_spelling)
        self.number = ops.reshape(number, self.shape)
        self.flat_index = ops.reshape(ops.where(inside, offset * count + number, 0), self.shape)
        self.letters = ops.take(ops.reshape(ids, (-1,)), valid)  # [L, N]

    def unpack(self, values):
        """[L, N, D] -> [B, T, D]; values outside spellings are meaningless."""
        return ops.take(ops.reshape(values, (-1, values.shape[-1])), self.flat_index, axis=0)
