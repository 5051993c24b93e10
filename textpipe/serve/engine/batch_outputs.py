"""A batch's outputs, split among the requests the batch was made of."""

from collections.abc import Callable, Mapping

import numpy as np

Tensors = Mapping[str, np.ndarray]


class BatchOutputs:
    """The outputs of a whole batch; `row_texts` caches the text of each row."""

    def __init__(self, tensors: Tensors):
        self.tensors = tensors
        self.row_texts: list[str] | None = None


class OutputSlice(dict[str, np.ndarray]):
    """Rows [begin, end) of a batch: a plain dictionary that remembers its batch."""

    def __init__(self, batch: BatchOutputs, begin: int, end: int):
        super().__init__({name: array[begin:end] for name, array in batch.tensors.items()})
        self.batch, self.begin, self.end = batch, begin, end


def write_rows(tensors: Tensors, write: Callable[[Tensors], list[str]]) -> list[str]:
    """write(tensors), a text for each row. The first request of a batch writes all rows: 64 rows in one call cost a fraction
    of 64 calls."""
    if not isinstance(tensors, OutputSlice):
        return write(tensors)
    if tensors.batch.row_texts is None:
        tensors.batch.row_texts = write(tensors.batch.tensors)
    return tensors.batch.row_texts[tensors.begin : tensors.end]
