"""Worker: textpipe's own training loop.   python train_textpipe.py FOLDER transformer|gru float32|mixed_bfloat16

Counts the floating-point operations of the matrix products that the transformer's steps need (see `operations`).
"""

import os

os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
import json
import sys
from pathlib import Path

import numpy as np
from metronome import Metronome

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Ids
from textpipe.runtime import threads
from textpipe.training import loop, precision
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings
from textpipe.training.steps import Steps


def operations(model, source, target, tokens):
    """Floating-point operations of the matrix products of a training step, forward and backward (twice the forward's).

    source, target: (rows, tokens per row) of the batch, padded or not; tokens: the number projected onto the vocabulary.
    """
    size, inner, layers, vocabulary = model["d_model"], model["d_ff"], model["layers"], model["vocabulary"]
    (rows, width), (_, height) = source, target
    read, written = rows * width, rows * height
    encoder = read * (4 * size * size + 2 * size * inner) + 2 * rows * width * width * size
    own = written * 4 * size * size + 2 * rows * height * height * size
    other = 2 * written * size * size + 2 * read * size * size + 2 * rows * height * width * size
    decoder = own + other + written * 2 * size * inner
    return 3 * 2 * (layers * (encoder + decoder) + tokens * size * vocabulary)


threads.limit_intra_op()  # like a pipeline run
folder, kind, chosen = Path(sys.argv[1]), *sys.argv[2:]
setup = json.loads((folder / "setup.json").read_text())
config, arrays = setup["models"][kind], np.load(folder / "train.npz")
columns = {side: Ids([(arrays[f"{side}_values"], arrays[f"{side}_offsets"])]) for side in ("source", "target")}
data = Rows({"source": columns["source"]}, columns["target"])
ids = {"kind": "ids", "vocab_size": setup["vocabulary"], "max_length": 100}
section = Plugin.check("models", config)
with precision.policy(chosen):
    model = plugins.find("models", section.kind).build(section, Sizes({"source": ids}, "target", ids), seed=1)
settings = Settings(
    epochs=10_000, batch_tokens=setup["batch_tokens"], optimizer={"kind": "adam", "learning_rate": 1e-3},
    clip_norm=1.0, label_smoothing=0.1, checkpoint_minutes=None, precision=chosen,
)  # fmt: skip
metronome = Metronome(parameters=int(sum(np.prod(weight.shape) for weight in model.trainable_weights)))
step = Steps.train


def train(self, rows, batches, number):
    """One training step, counted."""
    figures = step(self, rows, batches, number)
    counts = {"tokens": figures["weight"]}
    if kind == "transformer":
        shape = {**config, "vocabulary": setup["vocabulary"]}
        for batch in batches:
            tokens = int(rows.target.lengths[batch.rows].sum())
            count, real = (
                len(batch.rows),
                (rows.inputs["source"].lengths[batch.rows].mean(), rows.target.lengths[batch.rows].mean()),
            )
            padded = (count, batch.widths["source"]), (count, batch.widths["target"])
            counts["operations"] = counts.get("operations", 0) + operations(shape, *padded, tokens)
            needed = operations(shape, (count, real[0]), (count, real[1]), tokens)
            counts["operations_needed"] = counts.get("operations_needed", 0) + float(needed)
    metronome.tick(**counts)
    return figures


Steps.train = train
loop.fit(model, {"train": data}, settings)
