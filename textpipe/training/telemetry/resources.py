"""Time, work and memory of a training run, including what came before an interruption.

They differ between runs, so they go to logs/, which does not count in an artifact's digest.
"""

import json
import time
from pathlib import Path
from typing import Any

from textpipe.training.telemetry import memory


class Resources:
    """Counts from `start` on. unit: of the work, "tokens" or "rows" of the target."""

    def __init__(self, unit: str):
        self.unit = unit
        self.seconds_before, self.peak_before = 0.0, 0
        self.step_seconds, self.counted = 0.0, 0.0

    def start(self, state: dict[str, Any] | None = None) -> None:
        """Starts counting, or continues from the `state` of a checkpoint."""
        self.started = time.monotonic()
        memory.reset_peak()
        if state:
            self.seconds_before, self.peak_before = state["seconds"], state["peak"]
            self.step_seconds, self.counted = state["step_seconds"], state["counted"]

    def state(self) -> dict[str, Any]:
        """For the checkpoint."""
        counters = {"step_seconds": self.step_seconds, "counted": self.counted}
        return {"seconds": self.elapsed(), "peak": self.peak(), **counters}

    def add(self, seconds: float, count: float) -> None:
        """Adds an update over `count` tokens or rows."""
        self.step_seconds, self.counted = self.step_seconds + seconds, self.counted + count

    def elapsed(self) -> float:
        """Seconds of training so far, validation included."""
        return self.seconds_before + time.monotonic() - self.started

    def peak(self) -> int:
        """Peak of the resident memory in bytes."""
        return max(self.peak_before, memory.peak())

    def write(self, path: Path, *, parallel: int) -> None:
        """Writes seconds; step_seconds, those of updates; tokens (or rows), also per second of updates; peak_rss_bytes.

        parallel: number of shards of a batch computed in parallel.
        """
        speed = self.counted / self.step_seconds if self.step_seconds else 0.0
        table = {
            "seconds": self.elapsed(),
            "step_seconds": self.step_seconds,
            self.unit: self.counted,
            f"{self.unit}_per_second": speed,
            "peak_rss_bytes": self.peak(),
            "parallel": parallel,
        }
        path.write_text(json.dumps(table, indent=2) + "\n", encoding="utf-8")
