"""Training progress on stderr: a bar on a terminal, a log line at intervals elsewhere."""

import logging
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any, Self

log = logging.getLogger(__name__)

# Seconds between two log lines without a terminal.
INTERVAL = 30.0


class Display:
    """While open, shows how much is done.

    total: of the steps; None if it is not known.
    """

    def __init__(self, total: int | None):
        self.total, self.done = total, 0
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        self.logged_at = time.monotonic()
        if sys.stderr is not None and sys.stderr.isatty() and log.isEnabledFor(logging.INFO):  # not with --quiet
            self.open_bar()
        return self

    def open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = TextColumn("train"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}")
        self.bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task("train", total=self.total, completed=self.done, status="")
        self.bar.start()

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.stop()

    def update(self, status: Callable[[], str], line: Callable[[], str]) -> None:
        """Shows `done`: with `status` behind the bar, or as a log line when one is due."""
        if self.bar is not None:
            self.bar.update(self.task, completed=self.done, status=status())
        elif time.monotonic() - self.logged_at >= INTERVAL:
            self.logged_at = time.monotonic()
            log.info("%s", line())


class Progress(Display):
    """While open, shows loss, tokens per second and remaining time.

    total: steps of the whole run; done: steps done before the run was resumed; unit: "tokens" or "rows", for the speed.
    """

    total: int

    def __init__(self, total: int, done: int, unit: str):
        super().__init__(total)
        self.done, self.unit = done, unit

    def __enter__(self) -> Self:
        self.started = time.monotonic()
        self.first, self.counted = self.done, 0.0
        return super().__enter__()

    def advance(self, loss: float, count: float) -> None:
        """Records a step with this mean loss over `count` tokens or rows."""
        self.done += 1
        self.counted += count
        self.update(
            lambda: f"loss {loss:.3f} · {self.rate():,.0f} {self.unit}/s",
            lambda: (
                f"step {self.done} of {self.total}, loss {loss:.3f}, {self.rate():.0f} {self.unit}/s, {self.time_left()} left at most"
            ),
        )

    def rate(self) -> float:
        """Tokens or rows per second since this process started training."""
        return self.counted / max(time.monotonic() - self.started, 1e-9)

    def time_left(self) -> str:
        """Time to the last planned step at the current pace, as h:mm:ss."""
        pace = (time.monotonic() - self.started) / max(self.done - self.first, 1)
        seconds = int(pace * (self.total - self.done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"


class FitProgress(Display):
    """While open, shows how far the fit of a value of l2 is; path: the values, in turn; unit: what is counted.

    l2 0.1, fit 2 of 3: 34 of 77 classes
    """

    def __init__(self, path: Sequence[float], unit: str, total: int | None = None):
        super().__init__(total)
        self.path, self.unit, self.name = path, unit, ""

    def start_fit(self, number: int) -> None:
        """Begins the fit of value `number` of the path, counted from 1."""
        self.name = f"l2 {self.path[number - 1]:g}, fit {number} of {len(self.path)}"
        self.show(0)

    def show(self, done: int, figures: str = "") -> None:
        """Shows that `done` units are done, with figures of the fit."""
        self.done = done
        count = f"{done:,} {self.unit}" if self.total is None else f"{done:,} of {self.total:,} {self.unit}"
        self.update(
            lambda: " · ".join(filter(None, [self.name, figures])),
            lambda: ", ".join(filter(None, [f"{self.name}: {count}", figures])),
        )
