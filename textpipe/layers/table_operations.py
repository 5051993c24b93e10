"""The operations of a program over a table, on soft or hard selections of rows.

Neelakantan, Le, Sutskever 2016 (arXiv 1511.04834) and Neelakantan et al. 2017 (arXiv 1611.08945), table 1.
A selection gives each row a number from 0 to 1.   Shapes: B batch, C columns, R rows, N numbers of the question, P a batch's rows as one axis.
"""

from typing import Any, NamedTuple

from keras import ops

# The first two give an answer, the others select rows. MATCHING are those of one column that do not depend on the rows selected before.
OPERATIONS = (
    "count", "print", "previous", "next", "first", "last", "greatest", "least", "reset",
    "greater", "less", "greater_equal", "less_equal", "most_frequent", "match",
)  # fmt: skip
NUM_ANSWERS = 2
MATCHING = OPERATIONS[9:]
COMPARISONS = MATCHING[:4]
OF_A_COLUMN = ("print", "greatest", "least", *MATCHING)
ALMOST_ONE = 1 - 1e-6


class Table(NamedTuple):
    """What the operations read. mask: real rows [B, R]; order, rank: rows by falling number of each column, and their places [B, C, R];
    rising_order, rising_rank: the same by rising number; number: whether a cell has one [B, C, R]; matching: the rows that each of MATCHING
    selects in each column [B, 6 * C, R]."""

    mask: Any
    order: Any
    rank: Any
    rising_order: Any
    rising_rank: Any
    number: Any
    matching: Any


def sorted_rows(values: Any, number: Any, sign: int) -> tuple[Any, Any]:
    """(order, rank) [B, C, R] of rows by rising sign * value, rows without a number last."""
    order = ops.argsort(ops.where(number, sign * values, float("inf")), axis=-1)
    return order, ops.argsort(order, axis=-1)


def comparisons(values: Any, number: Any, pivots: Any, weights: Any) -> Any:
    """The rows selected by COMPARISONS: cells [B, C, R] with the numbers of the question, pivots [B, N], of weights [B, 4, N] -> [B, 4, C, R].

    A mixture of the selections of all numbers, so that the weights have a gradient.
    """
    number = ops.cast(number, weights.dtype)[:, None]
    cells, pivots = values[:, None], pivots[:, :, None, None]
    greater = ops.cast(ops.greater(cells, pivots), weights.dtype) * number  # [B, N, C, R]
    less = ops.cast(ops.less(cells, pivots), weights.dtype) * number
    shape = ops.shape(greater)
    flat = (shape[0], shape[1], shape[2] * shape[3])
    greater, less = ops.reshape(greater, flat), ops.reshape(less, flat)
    total = ops.reshape(ops.broadcast_to(number, shape), flat)
    parts = [
        ops.matmul(weights[:, :1], greater),
        ops.matmul(weights[:, 1:2], less),
        ops.matmul(weights[:, 2:3], total - less),
        ops.matmul(weights[:, 3:4], total - greater),
    ]
    return ops.reshape(ops.concatenate(parts, axis=1), (shape[0], 4, shape[2], shape[3]))


def most_frequent(keys: Any, none: int) -> Any:
    """Cells with the most frequent entry of their column, the first of several; none where all differ: keys [B, C, R] -> [B, C, R] bool."""
    real = ops.not_equal(keys, none)
    equal = ops.logical_and(ops.equal(keys[..., :, None], keys[..., None, :]), real[..., None])
    counts = ops.sum(ops.cast(equal, "int32"), axis=-1)  # [B, C, R]
    best = ops.argmax(counts, axis=-1)[..., None]
    chosen = ops.take_along_axis(keys, best, axis=-1)
    often = ops.greater(ops.take_along_axis(counts, best, axis=-1), 1)
    return ops.logical_and(ops.logical_and(ops.equal(keys, chosen), often), real)


def first(selection: Any) -> Any:
    """The probability that a row is the first one selected: [..., R] -> [..., R].

    p_i = s_i * product of (1 - s_j) over the rows j before it; as a sum of logarithms, whose gradient is exact.
    """
    logs = ops.log1p(-ALMOST_ONE * selection)
    return selection * ops.exp(ops.cumsum(logs, axis=-1) - logs)


def last(selection: Any) -> Any:
    """The probability that a row is the last one selected: [..., R] -> [..., R]."""
    return ops.flip(first(ops.flip(selection, axis=-1)), axis=-1)


def extreme(selection: Any, order: Any, rank: Any, number: Any) -> Any:
    """The probability that a row has the first number in `order` among the rows selected, by column: [B, R] -> [B, C, R]."""
    batch, columns, rows = ops.shape(order)[0], ops.shape(order)[1], ops.shape(order)[2]
    offsets = (ops.arange(batch, dtype="int32") * rows)[:, None, None]
    ordered = ops.take(ops.reshape(selection, (-1,)), order + offsets)  # [B, C, R]
    offsets = (ops.arange(batch * columns, dtype="int32") * rows)[:, None]
    flat_rank = ops.reshape(rank, (-1, rows)) + offsets
    has_number = ops.take(ops.reshape(number, (-1,)), ops.reshape(order, (-1, rows)) + offsets)
    chosen = first(ops.reshape(ordered, (-1, rows)) * has_number)
    return ops.reshape(ops.take(ops.reshape(chosen, (-1,)), flat_rank), (batch, columns, rows))


def shifted(selection: Any, by: int) -> Any:
    """The rows before (by = -1) or after (by = 1) the selected ones: [B, R] -> [B, R]."""
    zero = ops.zeros_like(selection[:, :1])
    if by < 0:
        return ops.concatenate([selection[:, 1:], zero], axis=1)
    return ops.concatenate([zero, selection[:, :-1]], axis=1)


def apply(table: Table, selection: Any, operation: Any, column: Any) -> tuple[Any, Any, Any]:
    """One pass: the selection [B, R] under weights of operations [B, 15] and columns [B, C] -> (count [B], print [B, C, R], selection).

    count and print are those of the rows selected before the pass.
    """
    count = operation[:, 0] * ops.sum(selection, axis=1)
    printed = (operation[:, 1:2] * column)[:, :, None] * selection[:, None, :]
    greatest = ops.einsum("bc,bcr->br", column, extreme(selection, table.order, table.rank, table.number))
    least = ops.einsum("bc,bcr->br", column, extreme(selection, table.rising_order, table.rising_rank, table.number))
    alone = ops.stack(
        [shifted(selection, -1), shifted(selection, 1), first(selection), last(selection), greatest, least, table.mask],
        axis=1,
    )
    start = NUM_ANSWERS + alone.shape[1]
    weights = operation[:, start:, None] * column[:, None, :]  # [B, 6, C]
    matching = ops.matmul(ops.reshape(weights, (ops.shape(weights)[0], 1, -1)), table.matching)
    selection = ops.matmul(operation[:, None, NUM_ANSWERS:start], alone) + matching
    return count, printed, selection[:, 0] * table.mask
