"""Requests wait in lanes, are put together, and go to TensorFlow outside the event loop.

There is a lane for each version and signature, and one for every request that cannot be put together with others. A
worker that comes free takes the lane whose oldest request has waited longest: that request, and as many of those behind
it as fit into a batch and are not much longer or shorter, so that little is padded. On an idle server nobody waits for
company. While another worker is at work, a few rows wait up to PATIENCE for more: they cost least together.

The queue is bounded in rows; beyond that a request is refused. A request whose deadline passes or whose client
left is dropped before it costs anything.
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
SPARE_WORKERS = (
    2  # workers more, for full batches: cores would be idle while those that have an answer wait for the interpreter
)
BATCH_WAIT_SECONDS = 0.002  # seconds that fewer rows than COMPANY wait while another worker is at work
ENOUGH_ROWS = 16  # rows: with so many, a call's fixed cost no longer matters
MAX_LENGTH_GAP = 2  # texts of a batch are up to 2^2 times as long or short as its oldest
REFUSALS_PER_SECOND = 200  # a second that are told at once
MAX_REFUSAL_DELAY = 1.0  # seconds that a refusal is held back


@dataclass(eq=False)
class Request:
    """A call that waits: its tensors, rows and length, until when by time.monotonic(), and whether its caller has left."""

    signature: Signature
    tensors: Tensors
    rows: int
    length: int
    until: float
    answer: asyncio.Future
    gone: Callable[[], bool] | None = None
    begun: bool = False
    since: float = field(default_factory=time.monotonic)

    def fail(self, fault: Exception) -> None:
        if not self.answer.done():
            self.answer.set_exception(fault)


@dataclass(eq=False)
class BatchQueue:
    """What may be answered together, the oldest first."""

    version: Version
    requests: list[Request] = field(default_factory=list)
    rows: int = 0

    def add(self, request: Request) -> None:
        self.requests.append(request)
        self.rows += request.rows

    def drop(self, request: Request) -> None:
        self.requests.remove(request)
        self.rows -= request.rows

    def take(self, most: int) -> list[Request]:
        """The oldest and others like it, up to so many rows."""
        length, rows = self.requests[0].length, 0
        chosen: list[Request] = []
        left: list[Request] = []
        for at, request in enumerate(self.requests):
            if chosen and rows + request.rows > most:
                left += self.requests[at:]
                break
            if abs(request.length - length) > MAX_LENGTH_GAP:
                left.append(request)
            else:
                chosen.append(request)
                rows += request.rows
        self.requests = left
        self.rows -= rows
        return chosen


@dataclass(frozen=True)
class QueueLimits:
    """Sizes of the queue. workers: calls of TensorFlow at a time, and SPARE more where full batches wait; rows: of a
    batch; waiting: rows in the queue."""

    workers: int = 2
    rows: int = 64
    waiting: int = 2048


class BatchScheduler:
    """To be used from one event loop. batch(rows, seconds): told of every call of TensorFlow."""

    def __init__(self, limits: QueueLimits, batch: Callable[[Version, int, float], None] = lambda *figures: None):
        self.limits, self.batch = limits, batch
        self.pool = ThreadPoolExecutor(limits.workers + SPARE_WORKERS, thread_name_prefix="tensorflow")
        self.free = limits.workers
        self.running: dict[asyncio.Future, tuple[float, list[Request]]] = {}  # since when, what for
        self.lanes: dict[tuple, BatchQueue] = {}
        self.waiting = 0
        self.later: asyncio.TimerHandle | None = None
        self.turn = 0.0  # of the last refusal, by time.monotonic()

    async def ask(
        self, version: Version, signature: Signature, tensors: Tensors, *, deadline: float,
        gone: Callable[[], bool] | None = None, own: bool = False,
    ) -> Tensors:  # fmt: skip
        """The outputs for a request's tensors. deadline: by time.monotonic(); own: asked by the server for itself, which
        takes no caller's place in the queue.

        Raises Fault: RESOURCE_EXHAUSTED when the queue is full, DEADLINE_EXCEEDED, CANCELLED when the caller has left
        before it was begun, or what the model says.
        """
        loop = asyncio.get_running_loop()
        together = can_batch(signature, tensors)
        rows = 0 if own else max((len(array) for array in tensors.values() if array.ndim), default=1) or 1
        self.admit(rows)
        request = Request(
            signature, tensors, rows, length_bucket(tensors) if together else 0, deadline, loop.create_future(), gone
        )
        lane = (id(version), signature.name if together else id(request))
        self.lanes.setdefault(lane, BatchQueue(version)).add(request)
        self.waiting += rows
        timer = loop.call_later(deadline - request.since, request.fail, search_limits.deadline_exceeded())
        self.pump()
        try:
            return await request.answer
        finally:
            timer.cancel()
            if not request.begun:
                self.lanes[lane].drop(request)
                self.left(lane, request.rows)

    def admit(self, rows: int) -> None:
        """Raises Fault when there is no room for so many; an empty queue has room for any request."""
        if self.waiting and self.waiting + rows > self.limits.waiting:
            raise ServingError("RESOURCE_EXHAUSTED", f"{self.waiting} rows are waiting; ask again later", retry_after=1)

    def left(self, lane: tuple, rows: int) -> None:
        """Rows of a lane wait no more."""
        self.waiting -= rows
        if not self.lanes[lane].requests:
            del self.lanes[lane]

    def pump(self) -> None:
        """Gives free workers what has waited longest."""
        while self.free > -SPARE_WORKERS and self.lanes:
            name = min(self.lanes, key=lambda name: self.lanes[name].requests[0].since)
            lane = self.lanes[name]
            if self.free <= 0 and lane.rows < self.limits.rows:
                return
            if self.free < self.limits.workers and lane.rows < min(ENOUGH_ROWS, self.limits.rows):
                patience = BATCH_WAIT_SECONDS - (time.monotonic() - lane.requests[0].since)
                if patience > 0:
                    self.again(patience)
                    return
            chosen = self.take(name)
            if chosen:
                self.free -= 1
                task = asyncio.get_running_loop().run_in_executor(self.pool, run_batch, chosen)
                self.running[task] = time.monotonic(), chosen
                task.add_done_callback(functools.partial(self.done, chosen=chosen, version=lane.version))

    def again(self, seconds: float) -> None:
        """Pumps after so many seconds, unless that is going to happen anyway."""
        if self.later is None:
            self.later = asyncio.get_running_loop().call_later(seconds, self.try_again)

    def try_again(self) -> None:
        self.later = None
        self.pump()

    def take(self, name: tuple) -> list[Request]:
        """A batch of a lane; none when all callers have left."""
        chosen = []
        for request in self.lanes[name].take(self.limits.rows):
            request.begun = True
            self.waiting -= request.rows
            if request.gone is not None and request.gone():
                request.fail(ServingError("CANCELLED", "the client left"))
            else:
                chosen.append(request)
        self.left(name, 0)
        return chosen

    def done(self, task: asyncio.Future, chosen: list[Request], version: Version) -> None:
        self.free += 1
        self.running.pop(task, None)
        answers, seconds = task.result()
        if rows := sum(request.rows for request in chosen):
            self.batch(version, rows, seconds)
        for request, answer in zip(chosen, answers, strict=True):
            if isinstance(answer, Exception):
                request.fail(answer)
            elif not request.answer.done():
                request.answer.set_result(answer)
        self.pump()

    async def refused(self) -> None:
        """Returns when a refusal may be told: at once, or in its turn where there are many, after LONGEST at most.

        To read and to refuse a request takes time from those that were let in; ten callers for each that can be
        answered, told at once, would ask again at once.
        """
        now = time.monotonic()
        self.turn = min(max(now, self.turn + 1 / REFUSALS_PER_SECOND), now + MAX_REFUSAL_DELAY)
        await asyncio.sleep(self.turn - now)

    def stuck(self, seconds: float) -> bool:
        """Whether every worker has been at one call for longer than so many seconds."""
        now = time.monotonic()
        return sum(now - since > seconds for since, _ in self.running.values()) >= self.limits.workers

    def break_off(self, fault: ServingError) -> None:
        """All that wait or are being answered get no answer; TensorFlow is not interrupted by that."""
        requests = [request for _, chosen in self.running.values() for request in chosen]
        requests += [request for lane in self.lanes.values() for request in lane.requests]
        for request in requests:
            request.fail(fault)

    def close(self) -> bool:
        """Whether all calls have ended; one that has not keeps its thread."""
        if self.later is not None:
            self.later.cancel()
        self.pool.shutdown(wait=not self.running, cancel_futures=True)
        return not self.running


def can_batch(signature: Signature, tensors: Tensors) -> bool:
    """Whether a request's rows may be answered beside another's: texts alone, of a signature whose rows do not mix."""
    return (
        signature.mergeable
        and all(array.dtype == object and array.ndim == 1 for array in tensors.values())
        and len({len(array) for array in tensors.values()}) == 1
        and all(map(len, tensors.values()))
    )


def length_bucket(tensors: Tensors) -> int:
    """The longest text's, as a power of 2: 33 to 64 bytes -> 6."""
    longest = max(len(text) for array in tensors.values() for text in array)
    return max(4, math.ceil(math.log2(longest + 1)))


def run_batch(requests: list[Request]) -> tuple[list[Tensors | Exception], float]:
    """What TensorFlow answers, request by request, and how long it took; never raises."""
    began = time.monotonic()
    signature = requests[0].signature
    # For as long as anyone waits, on the clock that a graph reads.
    until = time.time() + max(request.until for request in requests) - began
    try:
        if len(requests) == 1:
            return [signature.call(requests[0].tensors, until)], time.monotonic() - began
        found = signature.call(
            {name: np.concatenate([request.tensors[name] for request in requests]) for name in requests[0].tensors},
            until,
        )
    except Exception as error:
        if len(requests) == 1 or (isinstance(error, ServingError) and error.code == "DEADLINE_EXCEEDED"):
            return [error] * len(requests), time.monotonic() - began
        # One text must not spoil the others' answers.
        return [run_batch([request])[0][0] for request in requests], time.monotonic() - began
    answers: list[Tensors | Exception] = []
    whole, start = BatchOutputs(found), 0
    for request in requests:
        answers.append(OutputSlice(whole, start, start + request.rows))
        start += request.rows
    return answers, time.monotonic() - began
