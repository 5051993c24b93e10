"""Training progress on stderr: a bar on a terminal, a log line at intervals elsewhere."""

import logging
import sys
import time
from typing import Any, Self

log = logging.getLogger(__name__)

# Seconds between two log lines without a terminal.
INTERVAL = 30.0


class Progress:
    """While open, shows loss, tokens per second and remaining time.

    total_steps: of the whole run; done: steps done before the run was resumed; unit: "tokens" or "rows", for the speed.
    """

    def __init__(self, total_steps: int, done: int, unit: str):
        self.total_steps, self.done, self.unit = total_steps, done, unit
        self.bar: Any = None
        self.task: Any = None

    def __enter__(self) -> Self:
        self.started = self.logged_at = time.monotonic()
        self.first, self.counted = self.done, 0.0
        if sys.stderr.isatty() and log.isEnabledFor(logging.INFO):  # not with --quiet
            self.open_bar()
        return self

    def open_bar(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
        from rich.progress import Progress as Bar

        columns = TextColumn("train"), BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[status]}")
        self.bar = Bar(*columns, TimeRemainingColumn(), console=Console(stderr=True), transient=True)
        self.task = self.bar.add_task("train", total=self.total_steps, completed=self.done, status="")
        self.bar.start()

    def __exit__(self, *_) -> None:
        if self.bar is not None:
            self.bar.stop()

    def advance(self, loss: float, count: float) -> None:
        """Records a step with this mean loss over `count` tokens or rows."""
        self.done += 1
        self.counted += count
        if self.bar is not None:
            status = f"loss {loss:.3f} · {self.rate():,.0f} {self.unit}/s"
            self.bar.update(self.task, completed=self.done, status=status)
        elif time.monotonic() - self.logged_at >= INTERVAL:
            self.logged_at = time.monotonic()
            log.info(
                "step %d of %d, loss %.3f, %.0f %s/s, %s left at most",
                self.done,
                self.total_steps,
                loss,
                self.rate(),
                self.unit,
                self.time_left(),
            )

    def rate(self) -> float:
        """Tokens or rows per second since this process started training."""
        return self.counted / max(time.monotonic() - self.started, 1e-9)

    def time_left(self) -> str:
        """Time to the last planned step at the current pace, as h:mm:ss."""
        pace = (time.monotonic() - self.started) / max(self.done - self.first, 1)
        seconds = int(pace * (self.total_steps - self.done))
        return f"{seconds // 3600}:{seconds // 60 % 60:02d}:{seconds % 60:02d}"
