"""The training curve with wall-clock figures: logs/curve.jsonl and TensorBoard events.

They stand in logs/ because they differ from run to run, and what a run produces must not. Of an interrupted run only
resume/ is left, so the lines are kept there too.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Self

import tensorflow as tf

# What tf.summary.scalar writes beside a number; that function itself needs the tensorboard package.
SCALAR = tf.compat.v1.SummaryMetadata(
    data_class="DATA_CLASS_SCALAR",
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
)

NAME = "curve.jsonl"


class Curve:
    """Appends lines of named numbers by step, to files in both folders and to TensorBoard, while open.

    done: the step a run resumes at; lines beyond it, from before it was killed, are taken out.
    """

    def __init__(self, logs: Path, resume: Path, done: int = 0):
        self.logs, self.resume, self.done = logs, resume, done

    def __enter__(self) -> Self:
        for folder in (self.logs, self.resume):
            folder.mkdir(parents=True, exist_ok=True)
        before = self.before()
        write_atomically(self.resume / NAME, before)
        write_atomically(self.logs / NAME, before)
        self.files = [(folder / NAME).open("a", encoding="utf-8") for folder in (self.resume, self.logs)]
        shutil.rmtree(self.logs / "tensorboard", ignore_errors=True)
        self.events = tf.summary.create_file_writer(str(self.logs / "tensorboard"))
        for line in before:
            self.show(**json.loads(line))
        return self

    def before(self) -> list[str]:
        """The lines up to the step that is resumed at, without half a line that a kill may have left."""
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
        self.show(step, **numbers)

    def show(self, step: int, **numbers: float) -> None:
        """To TensorBoard."""
        with self.events.as_default(step=step):
            for name, number in numbers.items():
                tf.summary.write(name, tf.constant(number, tf.float32), metadata=SCALAR)


def write_atomically(path: Path, lines: list[str]) -> None:
    """Writes the file anew; it is either as it was or whole."""
    part = path.with_name(path.name + ".part")
    part.write_text("".join(lines), encoding="utf-8")
    os.replace(part, path)
