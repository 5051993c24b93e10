"""The training curve with wall-clock figures: logs/curve.jsonl and TensorBoard events.

They stand in logs/ because they differ from run to run, and what a run produces must not.
"""

import json
import os
from pathlib import Path

import tensorflow as tf

# What tf.summary.scalar writes beside a number; that function itself needs the tensorboard package.
SCALAR = tf.compat.v1.SummaryMetadata(
    data_class="DATA_CLASS_SCALAR",
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
)


class Curve:
    """Appends lines of named numbers by step, to a file and to TensorBoard, while open.

    done: the step a run resumes at; lines beyond it, from before it was killed, are taken out.
    """

    def __init__(self, folder: Path, done: int = 0):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.done = folder, done

    def __enter__(self) -> "Curve":
        self.forget()
        self.file = open(self.folder / "curve.jsonl", "a", encoding="utf-8")
        self.events = tf.summary.create_file_writer(str(self.folder / "tensorboard"))
        return self

    def forget(self) -> None:
        """Drops the lines of steps that will be taken again, and half a line that a kill may have left."""
        path = self.folder / "curve.jsonl"
        if not path.exists():
            return
        whole = [line for line in path.read_text(encoding="utf-8").splitlines(keepends=True) if line.endswith("\n")]
        part = path.with_name(path.name + ".part")
        part.write_text("".join(line for line in whole if json.loads(line)["step"] <= self.done), encoding="utf-8")
        os.replace(part, path)

    def __exit__(self, *_) -> None:
        self.file.close()
        self.events.close()

    def write(self, step: int, **numbers: float) -> None:
        self.file.write(json.dumps({"step": step, **numbers}) + "\n")
        self.file.flush()
        with self.events.as_default(step=step):
            for name, number in numbers.items():
                tf.summary.write(name, tf.constant(number, tf.float32), metadata=SCALAR)
