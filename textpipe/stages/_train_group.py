"""Training by a group of processes, each on its share of every batch: [train] workers.

The processes run `train` under tf.distribute.MultiWorkerMirroredStrategy, which keeps their weights equal and sums their gradients, so that
an update is that of the whole batch up to rounding. The first one, the chief, writes the result and the checkpoints. If a process dies, all
are started again from the last checkpoint.
"""

import logging
import pickle
import shutil
import sys
import time
from pathlib import Path
from typing import Any

from textpipe.errors import ResourceError
from textpipe.runtime import engine
from textpipe.runtime.module_command import module_command

MEMBER = "textpipe.stages._train_member"  # the module that a process runs
TASK, ERROR = "task.pickle", "error.pickle"
POLL_SECONDS = 0.2
MAX_RESTARTS = 4  # one after another without a new checkpoint

log = logging.getLogger(__name__)


def run(config: Any, inputs: dict[str, Path], output: Path) -> None:
    """Train with `config.workers` processes, which the engine starts. Raises the error of a member, ResourceError if they keep dying."""
    folder = output / "resume" / "group"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    task = {name: path.resolve() for name, path in inputs.items()}
    (folder / TASK).write_bytes(pickle.dumps((config, task, output.resolve(), sys.path)))
    restarts, saved = 0, None
    for attempt in range(sys.maxsize):
        codes = watch(folder.resolve(), attempt, config.workers)
        if not any(codes):
            shutil.rmtree(folder)
            return
        if (folder / ERROR).exists():
            raise pickle.loads((folder / ERROR).read_bytes())
        latest = modified(output / "resume" / "checkpoint")
        restarts, saved = (restarts + 1, saved) if latest == saved else (1, latest)
        if restarts > MAX_RESTARTS or all(code > 0 for code in codes if code):
            text = (folder / f"{codes.index(max(codes, key=abs))}.log").read_text(encoding="utf-8", errors="replace")
            raise ResourceError(
                f"[train] workers: the processes ended with exit codes {codes}; the log of one:\n{text[-2000:]}"
            )
        log.warning(
            "[train] workers: a process died (codes %s); the group starts again from its last checkpoint", codes
        )


def modified(path: Path) -> int | None:
    """The time of a file's last change, None if there is no file."""
    return path.stat().st_mtime_ns if path.exists() else None


def watch(folder: Path, attempt: int, workers: int) -> list[int]:
    """Start the members and wait until all have ended, or one has failed and the others are killed; their exit codes."""
    words = [*module_command(MEMBER), str(folder), str(attempt)]
    members = [engine.start([*words, str(rank)], {}, folder / f"{rank}.log") for rank in range(workers)]
    try:
        while True:
            codes = [member.poll() for member in members]
            if any(codes) or None not in codes:
                return [code if code is not None else 0 for code in codes]
            time.sleep(POLL_SECONDS)
    finally:
        for member in members:
            if member.poll() is None:
                member.kill()
                member.wait()
