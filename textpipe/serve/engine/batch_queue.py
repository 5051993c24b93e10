"""Requests are queued, merged into batches, and run by TensorFlow outside the event loop.

There is one batch queue per version and signature, and one for each request that cannot be batched. A free worker takes
the queue whose oldest request has waited longest: that request, and as many of those behind it as fit into a batch and
are of similar length, so that there is little padding. On an idle server a request runs at once. While another worker is
busy, a small batch waits up to BATCH_WAIT_SECONDS for more rows: that costs least per row.

The number of waiting rows is bounded; beyond that requests are refused. A request whose deadline has passed or whose client
has disconnected is dropped before it runs.
"""

import asyncio
import functools
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

import numpy as np

from textpipe.serve.engine import search_limits
from textpipe.serve.engine.batch_outputs import BatchOutputs, OutputSlice
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.model_version import Signature, Version

Tensors = dict[str, np.ndarray]
# Extra workers for full batches: otherwise cores are idle while workers with a result wait for the interpreter.
SPARE_WORKERS = 2
BATCH_WAIT_SECONDS = 0.002  # that fewer than ENOUGH_ROWS rows wait while another worker is busy
ENOUGH_ROWS = 16  # with so many rows the fixed cost of a call no longer matters
MAX_LENGTH_GAP = 2  # texts of a batch are at most 2^2 times longer or shorter than its oldest
REFUSALS_PER_SECOND = 200  # sent without delay
MAX_REFUSAL_DELAY = 1.0  # seconds


@dataclass(eq=False)
class Request:
    """A waiting call. deadline: by time.monotonic(); disconnected: whether its client has gone."""

    signature: Signature
    tensors: Tensors
    rows: int
    length: int
    deadline: float
    result: asyncio.Future
    disconnected: Callable[[], bool] | None = None
    started: bool = False
    enqueued_at: float = field(default_factory=time.monotonic)

    def fail(self, error: Exception) -> None:
        if not self.result.done():
            self.result.set_exception(error)


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


@dataclass(frozen=True)
class QueueLimits:
    """workers: concurrent TensorFlow calls, plus SPARE_WORKERS when full batches wait; batch_rows: rows of a batch;
    waiting_rows: rows in all queues."""

    workers: int = 2
    batch_rows: int = 64
    waiting_rows: int = 2048


class BatchScheduler:
    """For use from one event loop. on_batch(version, rows, seconds): called after each TensorFlow call."""

    def __init__(self, limits: QueueLimits, on_batch: Callable[[Version, int, float], None] = lambda *batch: None):
        self.limits, self.on_batch = limits, on_batch
        self.pool = ThreadPoolExecutor(limits.workers + SPARE_WORKERS, thread_name_prefix="tensorflow")
        self.free_workers = limits.workers
        self.running: dict[asyncio.Future, tuple[float, list[Request]]] = {}  # start time and batch
        self.queues: dict[tuple, BatchQueue] = {}
        self.waiting_rows = 0
        self.timer: asyncio.TimerHandle | None = None
        self.last_refusal = 0.0  # when it is sent, by time.monotonic()

    async def submit(
        self, version: Version, signature: Signature, tensors: Tensors, *, deadline: float,
        disconnected: Callable[[], bool] | None = None, internal: bool = False,
    ) -> Tensors:  # fmt: skip
        """The outputs for a request's tensors. deadline: by time.monotonic(); internal: the server's own request, which
        does not count against the limit of waiting rows.

        Raises ServingError: RESOURCE_EXHAUSTED when the queue is full, DEADLINE_EXCEEDED, CANCELLED when the client
        disconnected before the request was started, or the model's own error.
        """
        loop = asyncio.get_running_loop()
        batched = can_batch(signature, tensors)
        rows = 0 if internal else max((len(array) for array in tensors.values() if array.ndim), default=1) or 1
        self.admit(rows)
        length = length_bucket(tensors) if batched else 0
        request = Request(signature, tensors, rows, length, deadline, loop.create_future(), disconnected)
        key = (id(version), signature.name if batched else id(request))
        self.queues.setdefault(key, BatchQueue(version)).add(request)
        self.waiting_rows += rows
        timer = loop.call_later(deadline - request.enqueued_at, request.fail, search_limits.deadline_exceeded())
        self.dispatch()
        try:
            return await request.result
        finally:
            timer.cancel()
            if not request.started:
                self.queues[key].remove(request)
                self.count_removed(key, request.rows)

    def admit(self, rows: int) -> None:
        """Raises ServingError when so many rows do not fit; an empty queue takes any request."""
        if self.waiting_rows and self.waiting_rows + rows > self.limits.waiting_rows:
            raise ServingError(
                "RESOURCE_EXHAUSTED", f"{self.waiting_rows} rows are waiting; try again later", retry_after=1
            )

    def count_removed(self, key: tuple, rows: int) -> None:
        """Counts rows that left a queue, and deletes the queue when it is empty."""
        self.waiting_rows -= rows
        if not self.queues[key].requests:
            del self.queues[key]

    def dispatch(self) -> None:
        """Starts batches on free workers, longest-waiting queue first."""
        while self.free_workers > -SPARE_WORKERS and self.queues:
            key = min(self.queues, key=lambda key: self.queues[key].requests[0].enqueued_at)
            queue = self.queues[key]
            if self.free_workers <= 0 and queue.rows < self.limits.batch_rows:
                return
            if self.free_workers < self.limits.workers and queue.rows < min(ENOUGH_ROWS, self.limits.batch_rows):
                wait = BATCH_WAIT_SECONDS - (time.monotonic() - queue.requests[0].enqueued_at)
                if wait > 0:
                    self.dispatch_later(wait)
                    return
            batch = self.take_batch(key)
            if batch:
                self.free_workers -= 1
                task = asyncio.get_running_loop().run_in_executor(self.pool, run_batch, batch)
                self.running[task] = time.monotonic(), batch
                task.add_done_callback(functools.partial(self.finish_batch, batch=batch, version=queue.version))

    def dispatch_later(self, seconds: float) -> None:
        """Dispatches after so many seconds, unless a timer is already set."""
        if self.timer is None:
            self.timer = asyncio.get_running_loop().call_later(seconds, self.on_timer)

    def on_timer(self) -> None:
        self.timer = None
        self.dispatch()

    def take_batch(self, key: tuple) -> list[Request]:
        """The next batch of a queue; empty when all its clients have disconnected."""
        batch = []
        for request in self.queues[key].take(self.limits.batch_rows):
            request.started = True
            self.waiting_rows -= request.rows
            if request.disconnected is not None and request.disconnected():
                request.fail(ServingError("CANCELLED", "the client disconnected"))
            else:
                batch.append(request)
        self.count_removed(key, 0)
        return batch

    def finish_batch(self, task: asyncio.Future, batch: list[Request], version: Version) -> None:
        self.free_workers += 1
        self.running.pop(task, None)
        results, seconds = task.result()
        if rows := sum(request.rows for request in batch):
            self.on_batch(version, rows, seconds)
        for request, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                request.fail(result)
            elif not request.result.done():
                request.result.set_result(result)
        self.dispatch()

    async def delay_refusal(self) -> None:
        """Returns when a refusal may be sent: at once, or rate-limited when there are many, after MAX_REFUSAL_DELAY at most.

        Reading and refusing a request takes time from accepted ones. Under ten times the load that can be answered, clients
        refused at once would retry at once.
        """
        now = time.monotonic()
        self.last_refusal = min(max(now, self.last_refusal + 1 / REFUSALS_PER_SECOND), now + MAX_REFUSAL_DELAY)
        await asyncio.sleep(self.last_refusal - now)

    def stalled(self, seconds: float) -> bool:
        """Whether every worker has been busy with one call for longer than so many seconds."""
        now = time.monotonic()
        return sum(now - start > seconds for start, _ in self.running.values()) >= self.limits.workers

    def abort(self, error: ServingError) -> None:
        """Fails all waiting and running requests; TensorFlow calls are not interrupted."""
        requests = [request for _, batch in self.running.values() for request in batch]
        requests += [request for queue in self.queues.values() for request in queue.requests]
        for request in requests:
            request.fail(error)

    def close(self) -> bool:
        """Whether all calls have ended; one that has not keeps its thread."""
        if self.timer is not None:
            self.timer.cancel()
        self.pool.shutdown(wait=not self.running, cancel_futures=True)
        return not self.running


def can_batch(signature: Signature, tensors: Tensors) -> bool:
    """Whether a request's rows may share a batch with others: only texts, of a signature that treats rows independently."""
    return (
        signature.mergeable
        and all(array.dtype == object and array.ndim == 1 for array in tensors.values())
        and len({len(array) for array in tensors.values()}) == 1
        and all(map(len, tensors.values()))
    )


def length_bucket(tensors: Tensors) -> int:
    """The length of the longest text, as a power of 2: 33 to 64 bytes -> 6."""
    longest = max(len(text) for array in tensors.values() for text in array)
    return max(4, math.ceil(math.log2(longest + 1)))


def run_batch(batch: list[Request]) -> tuple[list[Tensors | Exception], float]:
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
    results: list[Tensors | Exception] = []
    batch_outputs, begin = BatchOutputs(outputs), 0
    for request in batch:
        results.append(OutputSlice(batch_outputs, begin, begin + request.rows))
        begin += request.rows
    return results, time.monotonic() - start
