"""Requests wait in lanes, are put together, and go to TensorFlow outside the event loop.

While all workers are busy, what arrives collects in lanes: one for each version, signature and length of text, and one
for every request that cannot be put together with others. A worker that comes free takes the lane whose oldest request has waited longest, as many rows as fit
into a batch. So nobody waits for company on an idle server, and batches grow with the load. Rows of a lane have similar
lengths: little is padded.

The queue is bounded in rows; beyond that a request is refused at once. A request whose deadline passes or whose client
left is dropped before it costs anything.
"""

import asyncio
import math
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from textpipe.serve.faults import Fault
from textpipe.serve.version import Signature, Version

Tensors = dict[str, np.ndarray]
# Outputs of these have one line a row whatever else is in the batch.
TOGETHER = ("serving_default", "nbest", "classify")


@dataclass(eq=False)
class Request:
    """A call that waits: its tensors and rows, and whether its caller has left."""

    signature: Signature
    tensors: Tensors
    rows: int
    answer: asyncio.Future
    gone: Callable[[], bool] | None = None
    begun: bool = False
    since: float = field(default_factory=time.monotonic)


@dataclass(frozen=True)
class Limits:
    """Sizes of the queue. workers: calls of TensorFlow at a time; rows: of a batch; waiting: rows in the queue."""

    workers: int = 2
    rows: int = 64
    waiting: int = 2048


class Queue:
    """To be used from one event loop. batch(rows, seconds): told of every call of TensorFlow."""

    def __init__(self, limits: Limits, batch: Callable[[Version, int, float], None] = lambda *figures: None):
        self.limits, self.batch = limits, batch
        self.pool = ThreadPoolExecutor(limits.workers, thread_name_prefix="tensorflow")
        self.free = limits.workers
        self.lanes: dict[tuple, list[Request]] = {}
        self.versions: dict[tuple, Version] = {}
        self.waiting = 0

    async def ask(
        self, version: Version, signature: Signature, tensors: Tensors, *, deadline: float,
        gone: Callable[[], bool] | None = None,
    ) -> Tensors:  # fmt: skip
        """The outputs for a request's tensors; deadline: by time.monotonic().

        Raises Fault: RESOURCE_EXHAUSTED when the queue is full, DEADLINE_EXCEEDED, CANCELLED when the caller has left
        before it was begun, or what the model says.
        """
        together = joinable(version, signature, tensors)
        rows = max((len(array) for array in tensors.values() if array.ndim), default=1) or 1
        if self.waiting and self.waiting + rows > self.limits.waiting:
            raise Fault("RESOURCE_EXHAUSTED", f"{self.waiting} rows are waiting; ask again later", retry_after=1)
        request = Request(signature, tensors, rows, asyncio.get_running_loop().create_future(), gone)
        lane = (version.name, version.number, id(version), signature.name)
        lane += (length(tensors),) if together else (id(request),)
        self.lanes.setdefault(lane, []).append(request)
        self.versions[lane] = version
        self.waiting += rows
        self.pump()
        try:
            async with asyncio.timeout_at(asyncio.get_running_loop().time() + deadline - time.monotonic()):
                return await request.answer
        except TimeoutError:
            raise Fault("DEADLINE_EXCEEDED", "the deadline passed before there was an answer") from None
        finally:
            self.drop(lane, request)

    def drop(self, lane: tuple, request: Request) -> None:
        """Takes a request that has not begun out of its lane."""
        if not request.begun:
            self.lanes[lane].remove(request)
            self.waiting -= request.rows
            self.tidy(lane)

    def tidy(self, lane: tuple) -> None:
        if not self.lanes[lane]:
            del self.lanes[lane], self.versions[lane]

    def pump(self) -> None:
        """Gives free workers what has waited longest."""
        while self.free and self.lanes:
            lane = min(self.lanes, key=lambda lane: self.lanes[lane][0].since)
            version, chosen = self.versions[lane], self.take(lane)
            if not chosen:
                continue
            self.free -= 1
            task = asyncio.get_running_loop().run_in_executor(self.pool, work, chosen)
            task.add_done_callback(lambda done, chosen=chosen, version=version: self.done(done, chosen, version))

    def take(self, lane: tuple) -> list[Request]:
        """The oldest of a lane, as many as make a batch; none when all callers have left."""
        waiting, rows, count = self.lanes[lane], 0, 0
        chosen = []
        for request in waiting:
            if chosen and rows + request.rows > self.limits.rows:
                break
            count += 1
            request.begun = True
            self.waiting -= request.rows
            if request.gone is not None and request.gone():
                if not request.answer.done():
                    request.answer.set_exception(Fault("CANCELLED", "the client left"))
                continue
            rows += request.rows
            chosen.append(request)
        del waiting[:count]
        self.tidy(lane)
        return chosen

    def done(self, task: asyncio.Future, chosen: list[Request], version: Version) -> None:
        self.free += 1
        answers, seconds = task.result()
        self.batch(version, sum(request.rows for request in chosen), seconds)
        for request, answer in zip(chosen, answers, strict=True):
            if request.answer.done():
                continue
            if isinstance(answer, Exception):
                request.answer.set_exception(answer)
            else:
                request.answer.set_result(answer)
        self.pump()

    def close(self) -> None:
        self.pool.shutdown(wait=True)


def joinable(version: Version, signature: Signature, tensors: Tensors) -> bool:
    """Whether a request's rows may be answered beside another's: texts alone, of a model whose rows do not mix."""
    return (
        bool(version.about)
        and signature.name in TOGETHER
        and all(array.dtype == object and array.ndim == 1 for array in tensors.values())
        and len({len(array) for array in tensors.values()}) == 1
        and all(map(len, tensors.values()))
    )


def length(tensors: Tensors) -> int:
    """The longest text's, as a power of 2: 33 to 64 bytes -> 6."""
    longest = max(len(text) for array in tensors.values() for text in array)
    return max(4, math.ceil(math.log2(longest + 1)))


def work(requests: list[Request]) -> tuple[list[Tensors | Exception], float]:
    """What TensorFlow answers, request by request, and how long it took; never raises."""
    began = time.monotonic()
    signature = requests[0].signature
    try:
        if len(requests) == 1:
            return [signature.call(requests[0].tensors)], time.monotonic() - began
        found = signature.call(
            {name: np.concatenate([request.tensors[name] for request in requests]) for name in requests[0].tensors}
        )
    except Exception as error:
        if len(requests) == 1:
            return [error], time.monotonic() - began
        # One text must not spoil the others' answers.
        answers = [work([request])[0][0] for request in requests]
        return answers, time.monotonic() - began
    answers: list[Any] = []
    start = 0
    for request in requests:
        answers.append({name: array[start : start + request.rows] for name, array in found.items()})
        start += request.rows
    return answers, time.monotonic() - began
