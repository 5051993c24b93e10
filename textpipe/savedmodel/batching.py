"""Run many rows through a function of tensors: in batches of similar length, several in parallel."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from textpipe.runtime import threads

BATCH_ROWS = 128
MIN_ROWS = 32  # batches are not made smaller than this to occupy every core
ROW_BYTES = 400  # average bytes of a row; batches of longer texts have fewer rows


def run_in_batches(
    function: Callable[..., Mapping[str, Any]],
    columns: Mapping[str, Sequence[Any]],
    *,
    batch_rows: int = BATCH_ROWS,
    fixed: Mapping[str, Any] | None = None,
) -> list[dict[str, Any]]:
    """One dict of outputs per row, in the rows' order.

    columns: texts as bytes, or numbers. function: takes them by name as tensors [B] (or arrays, see calls.call), strings or
    float32, and the tensors of `fixed`; returns tensors whose first axis is B.

    Rows are sorted by length to reduce padding; batches of long rows have fewer than batch_rows. Batches run in parallel
    because a search has many small operations: one batch at a time leaves a third of two cores idle.
    """
    import numpy as np

    from textpipe.savedmodel import calls

    dtypes = {
        name: np.dtype(object if isinstance(next(iter(values), b""), bytes) else np.float32)
        for name, values in columns.items()
    }
    texts = [values for name, values in columns.items() if dtypes[name].kind == "O"]
    lengths = [sum(map(len, values)) for values in zip(*texts, strict=True)]
    if not texts:
        lengths = [0] * len(next(iter(columns.values())))
    order = sorted(range(len(lengths)), key=lengths.__getitem__)
    rows: list[dict[str, Any]] = [{} for _ in order]

    def answer(batch: Sequence[int]) -> None:
        inputs = {name: np.array([values[at] for at in batch], dtypes[name]) for name, values in columns.items()}
        for name, values in calls.call(function, {**inputs, **(fixed or {})}).items():
            for at, value in zip(batch, values, strict=True):
                rows[at][name] = to_python(value)

    # The longest first: started last, it would run alone at the end.
    num_threads = min(threads.MAX_SHARDS, threads.num_cores())
    batch_rows = min(batch_rows, max(MIN_ROWS, -(-len(order) // num_threads)))
    queued = list(batches(order, lengths, batch_rows))[::-1]
    with ThreadPoolExecutor(max(1, min(num_threads, len(queued)))) as pool:
        for _ in pool.map(answer, queued):
            pass
    return rows


def batches(order: Sequence[int], lengths: Sequence[int], batch_rows: int) -> Iterator[list[int]]:
    """Split rows, ordered by increasing length, into batches of at most batch_rows and of bounded size."""
    batch: list[int] = []
    for row in order:
        if batch and (len(batch) == batch_rows or (len(batch) + 1) * lengths[row] > batch_rows * ROW_BYTES):
            yield batch
            batch = []
        batch.append(row)
    if batch:
        yield batch


def to_python(value: Any) -> Any:
    """Convert a NumPy value to Python types: b'x' -> 'x', float32 -> float, arrays -> nested lists."""
    if isinstance(value, bytes):
        return value.decode("utf-8", errors="replace")
    if hasattr(value, "tolist"):
        value = value.tolist()
    if isinstance(value, list):
        return [to_python(item) for item in value]
    return value.decode("utf-8", errors="replace") if isinstance(value, bytes) else value
