"""A batch's outputs, split among the requests the batch was made of."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

Tensors = Mapping[str, np.ndarray]


class BatchOutputs:
    """The outputs of a whole batch; `row_texts` caches the text of each row."""

    def __init__(self, tensors: Tensors):
        self.tensors = tensors
        self.row_texts: list[str] | None = None


class OutputSlice(Mapping[str, np.ndarray]):
    """Rows [begin, end) of a batch. Arrays are sliced when they are read: whoever writes texts of whole batches reads none."""

    __slots__ = ("batch", "begin", "end")

    def __init__(self, batch: BatchOutputs, begin: int, end: int):
        self.batch, self.begin, self.end = batch, begin, end

    def __getitem__(self, name: str) -> np.ndarray:
        return self.batch.tensors[name][self.begin : self.end]

    def __iter__(self) -> Iterator[str]:
        return iter(self.batch.tensors)

    def __len__(self) -> int:
        return len(self.batch.tensors)


def write_rows(tensors: Tensors, write: Callable[[Tensors], list[str]]) -> list[str]:
    """write(tensors), a text for each row. The first request of a batch writes all rows: 64 rows in one call cost a fraction
    of 64 calls."""
    if not isinstance(tensors, OutputSlice):
        return write(tensors)
    if tensors.batch.row_texts is None:
        tensors.batch.row_texts = write(tensors.batch.tensors)
    return tensors.batch.row_texts[tensors.begin : tensors.end]
