"""Items on workers that may die: results in order, few items in memory, and the item of a dead worker runs again."""

import pickle
from collections import deque
from collections.abc import Iterable, Iterator
from typing import Any, Protocol

from textpipe.engines import _worker
from textpipe.errors import ResourceError
from textpipe.runtime.engine import Make

WINDOW = 2  # items for each worker that run or wait for an earlier result
MAX_DEATHS = 4  # workers that die one after another without a result


class Died(Exception):
    """A worker ended; the message says how."""


class Launcher(Protocol):
    """Starts workers and talks to them. A worker gives one answer when it is ready, then one for each `submit`."""

    def launch(self) -> Any: ...
    def submit(self, worker: Any, job: bytes, item: bytes) -> None: ...
    def wait(self, workers: list[Any]) -> list[tuple[Any, bytes | Died]]: ...
    def kill(self, worker: Any) -> None: ...


class Scheduler:
    """Maps jobs over items with up to `size` workers, which are started when there is work and kept for the next job."""

    def __init__(self, launcher: Launcher, size: int):
        self.launcher, self.size = launcher, size
        self.idle: list[Any] = []
        self.starting: list[Any] = []
        self.busy: dict[Any, tuple[int, bytes]] = {}  # the number and the item of each worker

    def map(self, make: Make, items: Iterable[Any]) -> Iterator[Any]:
        """make()(item) for each item, in order.

        Raises the error of an item when its turn comes, as inline, and ResourceError if workers keep dying.
        """
        job, numbered = pickle.dumps(make), enumerate(map(pickle.dumps, items))
        unreadable: Exception | None = None  # raised by `items`; results of the items before it come first
        waiting: deque[tuple[int, bytes]] = deque()
        answers: dict[int, bytes] = {}
        first, num_read, deaths, exhausted = 0, 0, 0, False  # first: the number of the next result
        try:
            while True:
                while (
                    not exhausted
                    and num_read < first + WINDOW * self.size
                    and len(waiting) + len(self.busy) < self.size
                ):
                    try:
                        waiting.append(next(numbered))
                        num_read += 1
                    except StopIteration:
                        exhausted = True
                    except Exception as error:
                        exhausted, unreadable = True, error
                self.assign(job, waiting)
                if first in answers:
                    yield _worker.unpack(answers.pop(first))
                    first += 1
                    continue
                if not (self.busy or waiting):
                    break
                for worker, answer in self.launcher.wait([*self.busy, *self.starting]):
                    item = self.release(worker)
                    if isinstance(answer, Died):
                        deaths += 1
                        if deaths > MAX_DEATHS:
                            raise ResourceError(
                                f"[engine] {deaths} workers ended one after another without a result, the last one with: {answer}; "
                                "if memory was short, set fewer workers"
                            )
                        if item is not None:
                            waiting.appendleft(item)
                        continue
                    self.idle.append(worker)
                    if item is None:
                        _worker.unpack(answer)
                    else:
                        answers[item[0]], deaths = answer, 0
            if unreadable is not None:
                raise unreadable
        finally:
            for worker in self.busy:  # their answers would be taken for those of the next job
                self.launcher.kill(worker)
            self.busy = {}

    def start(self) -> None:
        """Start all workers before there is work for them."""
        while len(self.starting) + len(self.idle) + len(self.busy) < self.size:
            self.starting.append(self.launcher.launch())

    def assign(self, job: bytes, waiting: deque[tuple[int, bytes]]) -> None:
        """Give waiting items to idle workers, and start workers while there are fewer than items."""
        while waiting and self.idle:
            worker, item = self.idle.pop(), waiting.popleft()
            self.busy[worker] = item  # first: one that Ctrl-C interrupts here is killed as well
            self.launcher.submit(worker, job, item[1])
        while len(self.starting) < len(waiting) and len(self.starting) + len(self.busy) < self.size:
            self.starting.append(self.launcher.launch())

    def release(self, worker: Any) -> tuple[int, bytes] | None:
        """The item that a worker had; None if it was starting."""
        if worker in self.busy:
            return self.busy.pop(worker)
        self.starting.remove(worker)
        return None

    def close(self) -> None:
        """End all workers."""
        for worker in [*self.idle, *self.starting, *self.busy]:
            self.launcher.kill(worker)
        self.idle, self.starting, self.busy = [], [], {}
