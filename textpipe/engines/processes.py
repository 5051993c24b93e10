"""Shards in several processes on this machine."""

from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.engines import _processes
from textpipe.engines._scheduler import Scheduler
from textpipe.runtime import threads
from textpipe.runtime.engine import Make, start_here


class Config(Section):
    """Each process loads TensorFlow, which takes a few seconds and about 600 MB."""

    kind: Literal["processes"] = "processes"
    workers: int | None = Field(default=None, ge=1)  # processes; by default as many as there are cores


class Processes:
    """Shards run in `workers` processes, commands as children of this one. imports: modules that a process loads while it starts."""

    parallel = True
    start = staticmethod(start_here)

    def __init__(self, workers: int, imports: Sequence[str] = ()):
        self.scheduler = Scheduler(_processes.ProcessLauncher(worker_environment(workers), imports), workers)

    def map(self, make: Make, items: Iterable[Any]) -> Iterator[Any]:
        """make()(item) for each item, in order."""
        return self.scheduler.map(make, items)

    def close(self) -> None:
        """End the processes."""
        self.scheduler.close()


def worker_environment(workers: int) -> dict[str, str]:
    """Of each worker: its share of the cores, and no more of a GPU's memory than it uses."""
    share = str(max(1, threads.num_cores() // workers))
    return {threads.VARIABLE: share, threads.SHARE: share, "TF_FORCE_GPU_ALLOW_GROWTH": "true"}


def open(config: Config) -> Processes:
    """The engine; processes start with the first shard."""
    return Processes(config.workers or threads.num_cores())
