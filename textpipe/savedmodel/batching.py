"""Many rows through a function of tensors: in batches of similar length, several side by side."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from textpipe.runtime import threads

BATCH_ROWS = 128
MIN_ROWS = 32  # fewer rows are not cut into two batches, so that each core has one
ROW_BYTES = 400  # texts longer than this on average are answered fewer at a time


def answered(
    function: Callable[..., Mapping[str, Any]],
    columns: Mapping[str, Sequence[Any]],
    *,
    batch_rows: int = BATCH_ROWS,
    fixed: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """One dict of outputs per row, in the rows' order.

    columns: texts as bytes, or numbers. function: takes tensors [B] of these by name, strings and float32, and the tensors
    of `fixed`; gives tensors whose first axis is B.

    Rows go in sorted by length, so that a batch pads little; of long ones fewer than batch_rows go in at once. A search
    waits for its many small operations: with one batch at a time a third of two cores would stand idle.
    """
    import tensorflow as tf

    dtypes = {
        name: tf.string if isinstance(next(iter(values), b""), bytes) else tf.float32
        for name, values in columns.items()
    }
    texts = [values for name, values in columns.items() if dtypes[name] == tf.string]
    lengths = [sum(map(len, values)) for values in zip(*texts, strict=True)]
    if not texts:
        lengths = [0] * len(next(iter(columns.values())))
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    rows: list[dict[str, Any]] = [{} for _ in order]

    def answer(batch: Sequence[int]) -> None:
        given = {name: tf.constant([values[at] for at in batch], dtypes[name]) for name, values in columns.items()}
        for name, values in sorted(function(**given, **(fixed or {})).items()):
            for at, value in zip(batch, values.numpy(), strict=True):
                rows[at][name] = plain(value)

    # The longest first: begun last, one would be waited for alone.
    at_once = min(threads.MOST, threads.count())
    batch_rows = min(batch_rows, max(MIN_ROWS, -(-len(order) // at_once)))
    waiting = list(batches(order, lengths, batch_rows))[::-1]
    with ThreadPoolExecutor(max(1, min(at_once, len(waiting)))) as pool:
        for _ in pool.map(answer, waiting):
            pass
    return rows


def batches(order: Sequence[int], lengths: Sequence[int], batch_rows: int) -> Iterator[list[int]]:
    """Rows, in this order of rising length, cut into batches of at most batch_rows and of bounded size."""
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) == batch_rows or (len(batch) + 1) * lengths[row] > batch_rows * ROW_BYTES):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def plain(value: Any) -> Any:
    """A NumPy value as Python's own: b'x' -> 'x', float32 -> float, arrays -> nested lists."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [plain(item) for item in value]
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
