"""Limits of a single request, for REST and gRPC."""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from textpipe.serve.engine.errors import invalid_argument

# TensorFlow takes 254, but aborts the process when it converts a NumPy array of strings with more than 32.
MAX_RANK = 32


@dataclass(frozen=True)
class RequestLimits:
    """max_rows: of a request; max_text_bytes: of one text; max_tensor_bytes: of all its tensors, in memory."""

    max_rows: int = 1024
    max_text_bytes: int = 1 << 20
    max_tensor_bytes: int = 64 << 20

    def check_rows(self, name: str, count: int) -> None:
        """Raises ServingError for more rows than a request may have."""
        if count > self.max_rows:
            raise invalid_argument(f"{name}: {count} rows where this server takes {self.max_rows} at once")

    def check_text(self, name: str, size: int) -> None:
        """Raises ServingError for a text that is too long."""
        if size > self.max_text_bytes:
            raise invalid_argument(f"{name}: a text of {size} bytes where this server takes {self.max_text_bytes}")

    def check_bytes(self, name: str, size: int) -> None:
        """Raises ServingError when a request's tensors take too many bytes."""
        if size > self.max_tensor_bytes:
            raise invalid_argument(
                f"{name}: {size} bytes as a tensor where this server takes {self.max_tensor_bytes} in a request"
            )

    def check_shape(self, name: str, shape: Iterable[int], item_bytes: int) -> None:
        """Raises ServingError for a tensor that is too large, from its shape alone, before it is allocated."""
        sizes = list(shape)
        if sizes:
            self.check_rows(name, sizes[0])
        self.check_bytes(name, math.prod(sizes) * item_bytes)
        self.check_bytes(name, max(sizes, default=0))  # an empty tensor may still have a large axis

    def check_tensors(self, tensors: dict[str, np.ndarray]) -> None:
        """Raises ServingError when a request's tensors are too large."""
        total = 0
        for name, array in tensors.items():
            if array.ndim:
                self.check_rows(name, len(array))
            if array.dtype.char == "O":
                sizes = list(map(len, array.reshape(-1).tolist()))
                self.check_text(name, max(sizes, default=0))
                total += sum(sizes)
            total += array.nbytes
            self.check_bytes(name, total)
