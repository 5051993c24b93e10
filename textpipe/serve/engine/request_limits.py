"""How much one request may ask for, whichever way it comes in."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from textpipe.serve.engine.errors import invalid_argument

# TensorFlow takes 254, but ends the process when it is given texts as a NumPy array of more than 32.
MAX_RANK = 32


@dataclass(frozen=True)
class RequestLimits:
    """most_rows: of a request; most_text: bytes of one text; most_bytes: of all its tensors, as they are in memory."""

    most_rows: int = 1024
    most_text: int = 1 << 20
    most_bytes: int = 64 << 20

    def rows(self, name: str, count: int) -> None:
        """Raises Fault for more rows than a request may have."""
        if count > self.most_rows:
            raise invalid_argument(f"{name}: {count} rows where this server takes {self.most_rows} at once")

    def text(self, name: str, size: int) -> None:
        """Raises Fault for a text of more bytes than one may have."""
        if size > self.most_text:
            raise invalid_argument(f"{name}: a text of {size} bytes where this server takes {self.most_text}")

    def size(self, name: str, size: int) -> None:
        """Raises Fault for more bytes than the tensors of a request may have."""
        if size > self.most_bytes:
            raise invalid_argument(
                f"{name}: {size} bytes as a tensor where this server takes {self.most_bytes} in a request"
            )

    def shape(self, name: str, shape: Iterable[int], item_bytes: int) -> None:
        """Raises Fault for a tensor that is too large, from its shape alone: before anything of it is made."""
        sizes = list(shape)
        if sizes:
            self.rows(name, sizes[0])
        self.size(name, math.prod(sizes) * item_bytes)
        self.size(name, max(sizes, default=0))  # a tensor of no values may still have an axis of any size

    def tensors(self, tensors: dict[str, np.ndarray]) -> None:
        """Raises Fault where a request's tensors are too many or too large."""
        total = 0
        for name, array in tensors.items():
            if array.ndim:
                self.rows(name, len(array))
            if array.dtype == object:
                sizes = list(map(len, array.reshape(-1)))
                self.text(name, max(sizes, default=0))
                total += sum(sizes)
            total += array.nbytes
            self.size(name, total)
