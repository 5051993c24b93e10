"""Unpacks the integers of features/cells.py, question.py and denotation.py, and finds the parts of a question in a table.

Shapes: B batch, C columns, R rows, Q words of a question, W words of a name or cell, L longest key, I items, T integers.
"""

from typing import Any, NamedTuple

from keras import ops

NONE = 1  # no word; table_text.NONE
RARE = 2  # a word that is looked for in cells; _question.RARE
MULTIPLIER = 1_000_003  # table_text.MULTIPLIER


class Table(NamedTuple):
    """rows, columns: real ones [B, R], [B, C]; names: keys [B, C]; name_words [B, C, W]; keys, values [B, C, R]; words [B, C, R, W]."""

    rows: Any
    columns: Any
    names: Any
    name_words: Any
    keys: Any
    values: Any
    words: Any


class Question(NamedTuple):
    """real: words that are no padding; hashes; numbers, NaN for other words; rare: words looked for in cells. All [B, Q]."""

    real: Any
    hashes: Any
    numbers: Any
    rare: Any


class Matches(NamedTuple):
    """Cells [B, C, R] and names [B, C] that are in the question as a whole, or have a rare word of it; words [B, Q] of parts that are a cell."""

    cells: Any
    partial_cells: Any
    names: Any
    partial_names: Any
    covered: Any


def table(packed: Any, name_words: int, cell_words: int) -> Table:
    """[B, T] int32 -> Table."""
    num_rows, num_columns = packed[:, 0] - 1, packed[:, 1] - 1  # [B]
    height, width = ops.maximum(ops.max(num_rows), 1), ops.maximum(ops.max(num_columns), 1)
    row, column = ops.arange(height, dtype="int32"), ops.arange(width, dtype="int32")
    rows, columns = row[None] < num_rows[:, None], column[None] < num_columns[:, None]
    name_width, cell_width = 1 + name_words, 2 + cell_words

    starts = 2 + column * name_width  # [C]
    names = gather(packed, ops.broadcast_to(starts[None], ops.shape(columns)), columns, name_width)
    body = 2 + num_columns * name_width  # [B]
    number = row[None, None, :] * num_columns[:, None, None] + column[None, :, None]  # [B, C, R]
    real = ops.logical_and(columns[:, :, None], rows[:, None, :])
    cells = gather(packed, body[:, None, None] + number * cell_width, real, cell_width)
    values = floats(cells[..., 1])
    values = ops.where(real, values, float("nan"))
    return Table(rows, columns, names[..., 0], names[..., 1:], cells[..., 0], values, cells[..., 2:])


def gather(packed: Any, starts: Any, real: Any, width: int) -> Any:
    """`width` integers from `starts` [B, ...] on, NONE where not `real`: [B, ..., width]."""
    length = ops.shape(packed)[1]
    offsets = ops.reshape(
        ops.arange(ops.shape(packed)[0], dtype="int32") * length, (-1, *(1 for _ in range(len(starts.shape) - 1)))
    )
    indices = ops.where(real, starts + offsets, 0)[..., None] + ops.arange(width, dtype="int32")
    values = ops.take(ops.reshape(packed, (-1,)), ops.minimum(indices, ops.size(packed) - 1))
    return ops.where(real[..., None], values, NONE)


def floats(bits: Any) -> Any:
    """int32 as the float32 of the same bits: [...] -> [...]."""
    return ops.view(bits[..., None], "float32")[..., 0]  # the last axis must be of known size


def question(packed: Any) -> Question:
    """[B, T] int32 -> Question; at least one word wide."""
    packed = ops.pad(packed, ((0, 0), (0, 3)))
    width = ops.maximum((ops.shape(packed)[1] - 4) // 3, 1)
    words = ops.reshape(packed[:, 1 : 1 + 3 * width], (-1, width, 3))
    real = ops.arange(width, dtype="int32")[None] < (packed[:, :1] - 1)
    hashes = ops.where(real, words[..., 0], 0)
    numbers = ops.where(real, floats(words[..., 1]), float("nan"))
    return Question(real, hashes, numbers, ops.logical_and(real, ops.equal(words[..., 2], RARE)))


def denotation(packed: Any) -> tuple[Any, Any]:
    """[B, T] int32 -> (keys of the items [B, I], 0 for none; value [B], NaN if it is no number)."""
    packed = ops.pad(packed, ((0, 0), (0, 2)))
    keys = packed[:, 2:]
    real = ops.arange(ops.shape(keys)[1], dtype="int32")[None] < (packed[:, :1] - 1)
    longest = ops.maximum(ops.max(packed[:, 0]) - 1, 1)
    return ops.where(real, keys, 0)[:, :longest], floats(packed[:, 1])


def parts(words: Question, longest: int) -> tuple[Any, Any]:
    """The keys of all parts of a question of 1 to `longest` words, 0 where there is none, and whether they have a rare word: [B, L, Q]."""
    hashes = ops.pad(words.hashes, ((0, 0), (0, longest)))
    rare = ops.pad(ops.cast(words.rare, "int32"), ((0, 0), (0, longest)))
    width = ops.shape(words.hashes)[1]
    total, any_rare, factor = 0, 0, 1
    keys, have_rare = [], []
    for length in range(longest):
        following = hashes[:, length : length + width]
        # Products wrap around at 2 ** 32, as in table_text.sequence_hashes.
        total = total + following * signed(factor)
        any_rare = any_rare + rare[:, length : length + width]
        keys.append(ops.where(ops.equal(following, 0), 0, total))
        have_rare.append(any_rare)
        factor = factor * MULTIPLIER % 2**32
    return ops.stack(keys, axis=1), ops.greater(ops.stack(have_rare, axis=1), 0)


def signed(number: int) -> int:
    """A number below 2 ** 32 as int32."""
    return number - 2**32 if number >= 2**31 else number


def matches(cells: Table, words: Question, longest: int) -> Matches:
    """What a table and a question have in common.

    A cell matches in part if it has a rare word of the question and no cell of its column has more of them, where none of the column is in
    the question as a whole.
    """
    keys, has_rare = parts(words, longest)  # [B, L, Q]
    batch, width = ops.shape(keys)[0], ops.shape(keys)[2]
    flat = ops.reshape(keys, (batch, 1, -1))  # [B, 1, L * Q]
    shape = ops.shape(cells.keys)
    entries = ops.reshape(cells.keys, (batch, -1, 1))
    equal = ops.logical_and(ops.equal(entries, flat), ops.not_equal(entries, NONE))  # [B, C * R, L * Q]
    exact = ops.reshape(ops.any(equal, axis=2), shape)
    part = ops.logical_and(ops.reshape(ops.any(equal, axis=1), (batch, longest, width)), has_rare)

    # A part of n words that is a cell covers its words: places start .. start + n - 1.
    position, start = ops.arange(width, dtype="int32"), ops.arange(width, dtype="int32")[:, None]
    lengths = ops.arange(1, longest + 1, dtype="int32")[:, None, None]
    covers = ops.logical_and(position >= start, position < start + lengths)  # [L, Q, Q]
    covered = ops.matmul(
        ops.cast(ops.reshape(part, (batch, -1)), "float32"), ops.cast(ops.reshape(covers, (-1, width)), "float32")
    )

    rare = ops.where(words.rare, words.hashes, 0)
    common = ops.any(ops.equal(cells.words[..., None], rare[:, None, None, None]), axis=-1)  # [B, C, R, W]
    count = ops.sum(ops.cast(common, "int32"), axis=-1)
    best = ops.max(count, axis=2, keepdims=True)
    partial = ops.logical_and(count > 0, ops.equal(count, best))
    partial = ops.logical_and(partial, ops.logical_not(ops.any(exact, axis=2, keepdims=True)))

    names = ops.logical_and(ops.any(ops.equal(cells.names[:, :, None], flat), axis=2), ops.not_equal(cells.names, NONE))
    shared = ops.any(ops.equal(cells.name_words[..., None], rare_or_real(words)[:, None, None]), axis=-1)  # [B, C, W]
    real = ops.sum(ops.cast(ops.not_equal(cells.name_words, NONE), "float32"), axis=-1)
    share = ops.sum(ops.cast(shared, "float32"), axis=-1) / ops.maximum(real, 1.0)
    return Matches(exact, partial, names, share, ops.greater(covered, 0.0))


def rare_or_real(words: Question) -> Any:
    """The words compared with those of names: all, as names have few words: [B, Q]."""
    return ops.where(words.real, words.hashes, 0)
