"""Requests that wait for a batch, and the call that answers a batch.

A call's memory grows with the bytes of its texts, up to 150 times as much for n-grams. Rows of more than CALL_BYTES are answered in
several calls, between which the requests may end.
"""

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

import numpy as np

from textpipe.serve.engine import search_limits
from textpipe.serve.engine.batch_outputs import BatchOutputs, OutputSlice
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.model_version import Signature, Version

log = logging.getLogger(__name__)

Tensors = dict[str, np.ndarray]
Outputs = Mapping[str, np.ndarray]
MAX_LENGTH_GAP = 2  # texts of a batch are at most 2^2 times longer or shorter than its oldest
TEXT = "O"  # the type character of arrays of texts
ENDED = ("DEADLINE_EXCEEDED", "CANCELLED")  # errors that end all requests of a batch
CALL_BYTES = 1 << 20  # of the texts of a call, unless one row has more


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
    # The latest deadline, on the clock that a graph reads.
    deadline = time.time() + max(request.deadline for request in batch) - start
    try:
        if len(batch) == 1:
            return [call_in_parts(batch, batch[0].tensors, deadline)], time.monotonic() - start
        joined = {name: np.concatenate([request.tensors[name] for request in batch]) for name in batch[0].tensors}
        outputs = call_in_parts(batch, joined, deadline)
    except Exception as error:
        if len(batch) == 1 or (isinstance(error, ServingError) and error.code in ENDED):
            return [error] * len(batch), time.monotonic() - start
        # One bad text must not fail the other requests.
        return [run_batch([request])[0][0] for request in batch], time.monotonic() - start
    results: list[Outputs | Exception] = []
    batch_outputs, begin = BatchOutputs(outputs), 0
    for request in batch:
        results.append(OutputSlice(batch_outputs, begin, begin + request.rows))
        begin += request.rows
    return results, time.monotonic() - start


def call_in_parts(batch: list[Request], tensors: Tensors, deadline: float) -> Outputs:
    """The outputs of a batch's tensors, in several calls if their texts have more than CALL_BYTES.

    Raises what a call raises; ServingError between two calls if the deadline, in Unix seconds, has passed or no client waits any more.
    """
    signature = batch[0].signature
    upper_bound = sum(request.rows << request.length for request in batch if request.length)
    if upper_bound <= CALL_BYTES:
        return signature.call(tensors, deadline)
    outputs: list[Outputs] = []
    for rows in parts(tensors):
        if outputs and time.time() > deadline:
            raise search_limits.deadline_exceeded()
        if outputs and all(is_abandoned(request) for request in batch):
            raise ServingError("CANCELLED", "the client disconnected")
        outputs.append(signature.call({name: array[rows] for name, array in tensors.items()}, deadline))
    return {name: np.concatenate([part[name] for part in outputs]) for name in outputs[0]}


def parts(tensors: Tensors) -> Iterator[slice]:
    """Consecutive rows of at most CALL_BYTES of text, or single rows."""
    sizes = np.sum([list(map(len, array.tolist())) for array in tensors.values()], axis=0)
    begin, total = 0, 0
    for row, size in enumerate(sizes.tolist()):
        if row > begin and total + size > CALL_BYTES:
            yield slice(begin, row)
            begin, total = row, 0
        total += size
    yield slice(begin, len(sizes))


def is_abandoned(request: Request) -> bool:
    """Whether nobody waits for a request that runs."""
    disconnected = request.disconnected
    return request.outcome is not None or (disconnected is not None and disconnected())
