"""The training curve with wall-clock figures: logs/curve.jsonl and TensorBoard events.

They go to logs/ because they differ between runs, unlike the results. An interrupted run leaves only resume/, so the
lines are kept there too.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Self

import tensorflow as tf

# The metadata that tf.summary.scalar writes; that function itself needs the tensorboard package.
SCALAR = tf.compat.v1.SummaryMetadata(
    data_class="DATA_CLASS_SCALAR",
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
)

NAME = "curve.jsonl"


class Curve:
    """While open, appends named numbers by step to a file in each of both folders and to TensorBoard.

    done: the step at which a run resumes; later lines, written before it was killed, are removed.
    """

    def __init__(self, logs: Path, resume: Path, done: int = 0):
        self.logs, self.resume, self.done = logs, resume, done

    def __enter__(self) -> Self:
        for folder in (self.logs, self.resume):
            folder.mkdir(parents=True, exist_ok=True)
        previous = self.previous_lines()
        write_atomically(self.resume / NAME, previous)
        write_atomically(self.logs / NAME, previous)
        self.files = [(folder / NAME).open("a", encoding="utf-8") for folder in (self.resume, self.logs)]
        shutil.rmtree(self.logs / "tensorboard", ignore_errors=True)
        self.events = tf.summary.create_file_writer(str(self.logs / "tensorboard"))
        for line in previous:
            self.write_event(**json.loads(line))
        return self

    def previous_lines(self) -> list[str]:
        """The lines up to the step at which the run resumes, without an incomplete last line."""
        try:
            lines = (self.resume / NAME).read_text(encoding="utf-8").splitlines(keepends=True)
        except FileNotFoundError:
            return []
        return [line for line in lines if line.endswith("\n") and json.loads(line)["step"] <= self.done]

    def __exit__(self, *_) -> None:
        for file in self.files:
            file.close()
        self.events.close()

    def write(self, step: int, **numbers: float) -> None:
        for file in self.files:
            file.write(json.dumps({"step": step, **numbers}) + "\n")
            file.flush()
        self.write_event(step, **numbers)

    def write_event(self, step: int, **numbers: float) -> None:
        """Writes the numbers to TensorBoard."""
        with self.events.as_default(step=step):
            for name, number in numbers.items():
                tf.summary.write(name, tf.constant(number, tf.float32), metadata=SCALAR)


def write_atomically(path: Path, lines: list[str]) -> None:
    """Replaces the content of a file atomically."""
    part = path.with_name(path.name + ".part")
    part.write_text("".join(lines), encoding="utf-8")
    os.replace(part, path)
