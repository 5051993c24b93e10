"""Words and spellings in a row of ids, as models read them.   Shapes: B batch, T tokens, W words of the longest row,
N spellings of a batch, L letters of the longest spelling.

Ids: marks and words lie below num_words, </unk> is num_words, letters follow (text/spelled_words.py). A spelling in a row of
ids is <unk> and the letters behind it; letters that follow no <unk> are one as well, so that any row has a meaning.
Words are read packed, [B, W], and spellings side by side, [L, N]: no network walks over what is not its own.
"""

from keras import ops

UNK_ID = 1


def spelled(ids, num_words):
    """Which places lie in a spelling, </unk> excepted: [...] -> [...] bool."""
    return ops.logical_or(ops.equal(ids, UNK_ID), ops.greater(ids, num_words))


def beginnings(ids, num_words):
    """Where spellings begin: [B, T] -> [B, T] bool."""
    inside = spelled(ids, num_words)
    before = ops.concatenate([ops.zeros_like(inside[:, :1]), inside[:, :-1]], axis=1)
    return ops.logical_and(inside, ops.logical_or(ops.equal(ids, UNK_ID), ops.logical_not(before)))


class Packing:
    """The words of each row, without what stands between them.

    chosen [B, T] bool -> places [B, W], which are real [B, W] bool, and rank [B, T], the number of the last word up to
    each place, counted from 0.

    [[x, ., ., x, x]] -> places [[0, 3, 4]], rank [[0, 0, 0, 1, 2]]
    """

    def __init__(self, chosen):
        count = ops.cumsum(ops.cast(chosen, "int32"), axis=1)  # [B, T]
        self.length = ops.maximum(ops.max(count), 1)
        place = ops.arange(ops.shape(chosen)[1], dtype="int32")[None, :]
        # Places are their own sort keys, so no two are alike and the order is certain.
        order = ops.sort(ops.where(chosen, place, place + ops.shape(chosen)[1]), axis=1)[:, : self.length]
        self.real = ops.less(order, ops.shape(chosen)[1])
        self.places = ops.where(self.real, order, 0)
        self.rank = ops.maximum(count - 1, 0)

    def pack(self, values):
        """[B, T] -> [B, W]."""
        return ops.take_along_axis(values, self.places, axis=1)

    def flat(self):
        """rank as places of a [B * W, .] tensor: [B, T]."""
        rows = ops.arange(ops.shape(self.rank)[0], dtype="int32")[:, None]
        return self.rank + rows * self.length

    def spread(self, values):
        """[B, W, D] -> [B, T, D]: each place gets the value of its last word."""
        return ops.take(ops.reshape(values, (-1, values.shape[-1])), self.flat(), axis=0)


class Spellings:
    """The spellings of a batch side by side; one without letters is added, so that there is always one.

    ids [B, T] -> places [L, N] in the flattened ids, which of them are real [L, N] bool, starts [N], and for each place
    of the ids its spelling, number [B, T], and its place in a flattened [L, N], home [B, T].
    """

    def __init__(self, ids, num_words):
        inside, first = (ops.reshape(part, (-1,)) for part in (spelled(ids, num_words), beginnings(ids, num_words)))
        self.shape = ops.shape(ids)
        self.inside = ops.reshape(inside, self.shape)
        size = ops.shape(inside)[0]
        number = ops.maximum(ops.cumsum(ops.cast(first, "int32")) - 1, 0)  # [B * T]
        starts = ops.cast(ops.nonzero(first)[0], "int32")
        self.starts = ops.concatenate([starts, ops.zeros((1,), "int32")], axis=0)  # [N]
        count = ops.shape(self.starts)[0]
        offset = ops.where(inside, ops.arange(size, dtype="int32") - ops.take(self.starts, number), 0)
        places = self.starts[None, :] + ops.arange(ops.max(offset) + 1, dtype="int32")[:, None]  # [L, N]
        known = ops.minimum(places, size - 1)
        own = ops.equal(ops.take(number, known), ops.arange(count, dtype="int32")[None, :])
        self.real = ops.logical_and(ops.logical_and(ops.less(places, size), ops.take(inside, known)), own)
        self.places = known
        self.number = ops.reshape(number, self.shape)
        self.home = ops.reshape(ops.where(inside, offset * count + number, 0), self.shape)
        self.letters = ops.take(ops.reshape(ids, (-1,)), known)  # [L, N]

    def spread(self, values):
        """[L, N, D] -> [B, T, D]; what stands outside spellings has no meaning."""
        return ops.take(ops.reshape(values, (-1, values.shape[-1])), self.home, axis=0)
