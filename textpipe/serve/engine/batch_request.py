"""Requests that wait for a batch, and the call that answers a batch."""

import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np

from textpipe.serve.engine.batch_outputs import BatchOutputs, OutputSlice
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.model_version import Signature, Version

log = logging.getLogger(__name__)

Tensors = dict[str, np.ndarray]
Outputs = Mapping[str, np.ndarray]
MAX_LENGTH_GAP = 2  # texts of a batch are at most 2^2 times longer or shorter than its oldest
TEXT = "O"  # the type character of arrays of texts


def ignore(request: "Request") -> None:
    pass


@dataclass(eq=False, slots=True)
class Request:
    """A waiting call. deadline: by time.monotonic(); on_end(request): called once, when `outcome` is set; disconnected: whether its
    client has gone; key: of its queue."""

    signature: Signature
    tensors: Tensors
    rows: int
    length: int
    deadline: float
    on_end: Callable[["Request"], None]
    disconnected: Callable[[], bool] | None = None
    key: tuple = ()
    started: bool = False
    outcome: Outputs | Exception | None = None
    enqueued_at: float = field(default_factory=time.monotonic)

    def end(self, outcome: Outputs | Exception) -> None:
        """Sets the outcome; a second one is ignored."""
        if self.outcome is None:
            # No longer referred to, or what waits for the request would be part of a cycle, which only the garbage collector frees.
            on_end, self.on_end, self.disconnected = self.on_end, ignore, None
            self.outcome = outcome
            try:
                on_end(self)
            except Exception:  # of one request, which must not keep others from their outcomes
                log.exception("a request for %s", self.signature.name)

    def result(self) -> Outputs:
        """The outputs; raises what the call raised."""
        if isinstance(self.outcome, Exception):
            raise self.outcome
        assert self.outcome is not None
        return self.outcome


@dataclass(eq=False)
class BatchQueue:
    """Requests that may share a batch, oldest first."""

    version: Version
    requests: list[Request] = field(default_factory=list)
    rows: int = 0

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self.rows += request.rows

    def remove(self, request: Request) -> None:
        self.requests.remove(request)
        self.rows -= request.rows

    def take(self, max_rows: int) -> list[Request]:
        """Removes and returns the oldest request and others of similar length, up to max_rows rows."""
        length, rows = self.requests[0].length, 0
        batch: list[Request] = []
        remaining: list[Request] = []
        for index, request in enumerate(self.requests):
            if batch and rows + request.rows > max_rows:
                remaining += self.requests[index:]
                break
            if abs(request.length - length) > MAX_LENGTH_GAP:
                remaining.append(request)
            else:
                batch.append(request)
                rows += request.rows
        self.requests = remaining
        self.rows -= rows
        return batch


def can_batch(signature: Signature, tensors: Tensors) -> bool:
    """Whether a request's rows may share a batch with others: only texts, of a signature that treats rows independently."""
    rows = None
    for array in tensors.values():
        if array.dtype.char != TEXT or array.ndim != 1 or rows not in (None, len(array)):
            return False
        rows = len(array)
    return bool(rows and signature.mergeable)


def length_bucket(tensors: Tensors) -> int:
    """The length of the longest text, as a power of 2: 32 to 63 bytes -> 6."""
    longest = 0
    for array in tensors.values():
        longest = max(longest, *map(len, array.tolist()))
    return max(4, longest.bit_length())


def run_batch(batch: list[Request]) -> tuple[list[Outputs | Exception], float]:
    """A result or an exception for each request, and the seconds it took; never raises."""
    start = time.monotonic()
    signature = batch[0].signature
    # The latest deadline, on the clock that a graph reads.
    deadline = time.time() + max(request.deadline for request in batch) - start
    try:
        if len(batch) == 1:
            return [signature.call(batch[0].tensors, deadline)], time.monotonic() - start
        outputs = signature.call(
            {name: np.concatenate([request.tensors[name] for request in batch]) for name in batch[0].tensors},
            deadline,
        )
    except Exception as error:
        if len(batch) == 1 or (isinstance(error, ServingError) and error.code == "DEADLINE_EXCEEDED"):
            return [error] * len(batch), time.monotonic() - start
        # One bad text must not fail the other requests.
        return [run_batch([request])[0][0] for request in batch], time.monotonic() - start
    results: list[Outputs | Exception] = []
    batch_outputs, begin = BatchOutputs(outputs), 0
    for request in batch:
        results.append(OutputSlice(batch_outputs, begin, begin + request.rows))
        begin += request.rows
    return results, time.monotonic() - start
