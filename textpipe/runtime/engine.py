"""The engine that runs the shards of a stage: where they run changes neither a result nor a cache key.

A stage calls `map_shards`. The runner chooses the engine with `use`; without one, shards run here one after another. The engines
themselves are the plug-ins of engines/, which no stage imports.
"""

import os
import subprocess
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any, Protocol

Make = Callable[[], Callable[[Any], Any]]  # builds the function of a worker; both can be pickled


class Process(Protocol):
    """A command that runs somewhere; as subprocess.Popen."""

    def poll(self) -> int | None: ...
    def wait(self, timeout: float | None = None) -> int: ...
    def send_signal(self, sig: int) -> None: ...
    def kill(self) -> None: ...


class Engine(Protocol):
    """What a module of engines/ opens."""

    parallel: bool

    def map(self, make: Make, items: Iterable[Any]) -> Iterator[Any]: ...
    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> Process: ...
    def close(self) -> None: ...


CURRENT: ContextVar[Engine | None] = ContextVar("engine", default=None)


def map_shards(make: Make, shards: Iterable[Any]) -> Iterator[Any]:
    """The results of make()(shard) for each shard, in their order.

    make: called once in each worker, for what its shards share: a loaded model, a traced graph. A shard may run more than once
    where a worker is killed, so it must be a pure function of its input that replaces its output.
    """
    engine = CURRENT.get()
    return engine.map(make, shards) if engine else map(make(), shards)


def start(words: Sequence[str], environment: Mapping[str, str], log: Path) -> Process:
    """Start a command with `environment` beside its own, where the engine has a place for it; its output is appended to a log file."""
    engine = CURRENT.get()
    return engine.start(words, environment, log) if engine else start_here(words, environment, log)


def start_here(words: Sequence[str], environment: Mapping[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """Start a command on this machine."""
    with log.open("ab") as file:
        # In a session of its own: Ctrl-C reaches this process alone, which passes it on once.
        return subprocess.Popen(
            list(words),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            env={**os.environ, **environment},
            start_new_session=True,
        )


def is_parallel() -> bool:
    """Whether `map_shards` runs several shards at once."""
    engine = CURRENT.get()
    return engine is not None and engine.parallel


@contextmanager
def use(engine: Engine) -> Iterator[Engine]:
    """The engine of `map_shards` while the block runs; closed at its end."""
    token = CURRENT.set(engine)
    try:
        yield engine
    finally:
        CURRENT.reset(token)
        engine.close()
