"""Requests are queued, merged into batches, and run by TensorFlow outside the event loop.

There is one batch queue per version and signature, and one for each request that cannot be batched. A free worker takes
the queue whose oldest request has waited longest: that request, and as many of those behind it as fit into a batch and
are of similar length, so that there is little padding. On an idle server a request runs at once. While another worker is
busy, a small batch waits up to BATCH_WAIT_SECONDS for more rows: that costs least per row. A lone short text of a quick model runs on
the event loop itself: handing it to a thread and back takes as long as the call.

The number of waiting rows is bounded; beyond that requests are refused. A request whose deadline has passed or whose client
has disconnected is dropped before it runs.
"""

import asyncio
import contextlib
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from textpipe.serve.engine import search_limits
from textpipe.serve.engine.batch_request import (
    BatchQueue,
    Outputs,
    Request,
    Tensors,
    can_batch,
    length_bucket,
    run_batch,
)
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.model_version import Signature, Version

Results = tuple[list[Outputs | Exception], float]
# Extra workers for full batches: otherwise cores are idle while workers with a result wait for the interpreter.
SPARE_WORKERS = 2
BATCH_WAIT_SECONDS = 0.002  # that fewer than ENOUGH_ROWS rows wait while another worker is busy
ENOUGH_ROWS = 16  # with so many rows the fixed cost of a call no longer matters
QUICK_SECONDS, QUICK_BYTES = 0.001, 1024  # a lone row of so quick a signature, and so short, runs on the event loop
REFUSALS_PER_SECOND = 200  # sent without delay
MAX_REFUSAL_DELAY = 1.0  # seconds


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
        self.running: dict[int, tuple[float, list[Request]]] = {}  # start time and batch, by the batch's id
        self.queues: dict[tuple, BatchQueue] = {}
        self.waiting_rows = 0
        self.timer: asyncio.TimerHandle | None = None
        self.deadline_timer: asyncio.TimerHandle | None = None
        self.next_deadline = math.inf  # the earliest of open requests, or an earlier time
        self.is_dispatching = False  # at the end of this turn of the event loop
        self.last_refusal = 0.0  # when it is sent, by time.monotonic()

    def enqueue(
        self, version: Version, signature: Signature, tensors: Tensors, *, deadline: float, on_end: Callable[[Request], None],
        disconnected: Callable[[], bool] | None = None, internal: bool = False,
    ) -> Request:  # fmt: skip
        """Queues a request's tensors; `dispatch` or `dispatch_soon` starts it. on_end(request): called once it has its outcome, never by
        this method; deadline: by time.monotonic(); internal: the server's own request, which does not count against the limit of
        waiting rows.

        Raises ServingError: RESOURCE_EXHAUSTED when the queue is full. The outcome may be DEADLINE_EXCEEDED, CANCELLED when
        the client disconnected before the request was started, or the model's own error.
        """
        batched = can_batch(signature, tensors)
        rows = 0 if internal else max([len(array) for array in tensors.values() if array.ndim], default=1) or 1
        self.admit(rows)
        length = length_bucket(tensors) if batched else 0
        request = Request(signature, tensors, rows, length, deadline, on_end, disconnected)
        request.key = key = (id(version), signature.name if batched else id(request))
        if key not in self.queues:
            self.queues[key] = BatchQueue(version)
        self.queues[key].add(request)
        self.waiting_rows += rows
        if deadline < self.next_deadline:
            self.check_deadlines_at(deadline)
        return request

    def future(self, *arguments: Any, **options: Any) -> asyncio.Future:
        """A future of the outputs; cancelling it withdraws the request. Arguments and errors are those of `enqueue`."""
        result = asyncio.get_running_loop().create_future()

        def on_end(request: Request) -> None:
            if isinstance(request.outcome, Exception):
                if not result.done():
                    result.set_exception(request.outcome)
            elif not result.done():
                result.set_result(request.outcome)

        request = self.enqueue(*arguments, on_end=on_end, **options)
        result.add_done_callback(lambda result: self.withdraw(request) if result.cancelled() else None)
        self.dispatch()
        return result

    async def submit(self, version: Version, signature: Signature, tensors: Tensors, **options: Any) -> Outputs:
        """The outputs; arguments and errors are those of `future`."""
        outputs: Outputs = await self.future(version, signature, tensors, **options)
        return outputs

    def check_deadlines_at(self, deadline: float) -> None:
        if self.deadline_timer is not None:
            self.deadline_timer.cancel()
        self.next_deadline = deadline
        self.deadline_timer = asyncio.get_running_loop().call_later(deadline - time.monotonic(), self.check_deadlines)

    def check_deadlines(self) -> None:
        """Fails the requests whose deadline has passed. One timer serves all: most requests have theirs in the same order as they came,
        and are answered long before."""
        self.deadline_timer, self.next_deadline = None, math.inf
        now = time.monotonic()
        for request in self.open_requests():
            if request.deadline <= now:
                self.fail(request, search_limits.deadline_exceeded())
        deadlines = [request.deadline for request in self.open_requests() if request.outcome is None]
        if deadlines:
            self.check_deadlines_at(min(deadlines))

    def open_requests(self) -> list[Request]:
        """Those that wait or run."""
        running = [request for _, batch in self.running.values() for request in batch]
        return running + [request for queue in self.queues.values() for request in queue.requests]

    def withdraw(self, request: Request) -> None:
        """Nobody waits for the request any more."""
        if request.outcome is None:
            self.fail(request, ServingError("CANCELLED", "the request was withdrawn"))

    def fail(self, request: Request, error: Exception) -> None:
        """Ends a request, and removes it from its queue if it was not started."""
        if not request.started and request.outcome is None:
            self.queues[request.key].remove(request)
            self.count_removed(request.key, request.rows)
        request.end(error)

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
            key = next(iter(self.queues))
            if len(self.queues) > 1:
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
            if not self.running and is_quick(batch):
                self.deliver(batch, queue.version, run_batch(batch))
            elif batch:
                self.free_workers -= 1
                self.running[id(batch)] = time.monotonic(), batch
                self.pool.submit(self.work, batch, queue.version, asyncio.get_running_loop())

    def dispatch_soon(self) -> None:
        """Dispatches once the event loop has read what has arrived: these requests share a batch."""
        if not self.is_dispatching:
            self.is_dispatching = True
            asyncio.get_running_loop().call_soon(self.dispatch_now)

    def dispatch_now(self) -> None:
        self.is_dispatching = False
        self.dispatch()

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
                request.end(ServingError("CANCELLED", "the client disconnected"))
            else:
                batch.append(request)
        self.count_removed(key, 0)
        return batch

    def work(self, batch: list[Request], version: Version, loop: asyncio.AbstractEventLoop) -> None:
        """Runs a batch in a worker's thread."""
        results = run_batch(batch)
        with contextlib.suppress(RuntimeError):  # the loop was closed meanwhile
            loop.call_soon_threadsafe(self.finish_batch, batch, version, results)

    def finish_batch(self, batch: list[Request], version: Version, results: Results) -> None:
        self.free_workers += 1
        del self.running[id(batch)]
        self.deliver(batch, version, results)
        self.dispatch()

    def deliver(self, batch: list[Request], version: Version, results: Results) -> None:
        """Gives the requests of a batch their outcomes."""
        outcomes, seconds = results
        rows = sum([request.rows for request in batch])
        for request, outcome in zip(batch, outcomes, strict=True):
            request.end(outcome)
        if rows:
            self.on_batch(version, rows, seconds)

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
        for request in self.open_requests():
            self.fail(request, error)

    def close(self) -> bool:
        """Whether all calls have ended; one that has not keeps its thread."""
        for timer in (self.timer, self.deadline_timer):
            if timer is not None:
                timer.cancel()
        self.pool.shutdown(wait=not self.running, cancel_futures=True)
        return not self.running


def is_quick(batch: list[Request]) -> bool:
    """Whether a batch takes so little time that it may run on the event loop."""
    if len(batch) != 1 or batch[0].rows != 1:
        return False
    (request,) = batch
    return (
        request.length > 0
        and 1 << request.length <= QUICK_BYTES
        and getattr(request.signature, "quickest", QUICK_SECONDS) < QUICK_SECONDS
    )
