"""The training curve with wall-clock figures: logs/curve.jsonl and TensorBoard events.

They stand in logs/ because they differ from run to run, and what a run produces must not.
"""

import json
from pathlib import Path

import tensorflow as tf

# What tf.summary.scalar writes beside a number; that function itself needs the tensorboard package.
SCALAR = tf.compat.v1.SummaryMetadata(
    data_class="DATA_CLASS_SCALAR",
    plugin_data=tf.compat.v1.SummaryMetadata.PluginData(plugin_name="scalars"),
)


class Curve:
    """Appends lines of named numbers by step, to a file and to TensorBoard, while open."""

    def __init__(self, folder: Path):
        folder.mkdir(parents=True, exist_ok=True)
        self.folder = folder

    def __enter__(self) -> "Curve":
        self.file = open(self.folder / "curve.jsonl", "a", encoding="utf-8")
        self.events = tf.summary.create_file_writer(str(self.folder / "tensorboard"))
        return self

    def __exit__(self, *_) -> None:
        self.file.close()
        self.events.close()

    def write(self, step: int, **numbers: float) -> None:
        self.file.write(json.dumps({"step": step, **numbers}) + "\n")
        self.file.flush()
        with self.events.as_default(step=step):
            for name, number in numbers.items():
                tf.summary.write(name, tf.constant(number, tf.float32), metadata=SCALAR)
