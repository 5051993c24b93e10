"""Observing a training run from outside: a callback sees the history after each validation and may end the run.

    with observation.observing(callback):       # callback(history, resume) after each validation
        runner.run(pipeline, until="train")

Whatever the callback raises ends the run. resume: the folder of the run's checkpoint, which a later run resumes from.
"""

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from pathlib import Path
from typing import Any

Callback = Callable[[list[dict[str, Any]], Path], None]

CALLBACK: ContextVar[Callback | None] = ContextVar("CALLBACK", default=None)


@contextlib.contextmanager
def observing(callback: Callback) -> Iterator[None]:
    """While open, `callback` is called after each validation of runs in this thread."""
    token = CALLBACK.set(callback)
    try:
        yield
    finally:
        CALLBACK.reset(token)


def notify(history: list[dict[str, Any]], resume: Path) -> None:
    """Pass the history so far, one entry per validation, to the callback, if there is one."""
    callback = CALLBACK.get()
    if callback is not None:
        callback(history, resume)
