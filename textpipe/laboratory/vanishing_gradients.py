"""How far back do the gradients of a tanh RNN, an LSTM and a GRU reach, and what does clipping do?

A recurrent layer of 64 units reads the first 60 words of each mail. Its recurrent weights are initialized as
orthogonal matrices, unscaled or multiplied by 1.5. Measured before training: the norm of the gradient of the sum of
the last state with respect to the input at each step, by lag (Bengio et al., 1994). Then each cell, with weights
multiplied by 1.5, is trained to classify the mails (does it need an answer?) for 200 updates of SGD, with and without
clipping the gradient to a norm of 1 (Pascanu et al., 2013). The cells are those of Keras, because textpipe's
recurrent encoders have no tanh RNN.
"""

import functools
from typing import Any

import numpy as np

from textpipe.errors import ConfigError
from textpipe.laboratory import _data, _trials
from textpipe.laboratory._statistics import verdict

DATA = ("mail",)
FACTORS = ("cell", "scale", "clipping")
MEASURES = {
    "lag_10": "log10 of the gradient at lag 10 / lag 0",
    "lag_50": "log10 of the gradient at lag 50 / lag 0",
    "largest_norm": "largest mean gradient norm over 10 updates",
    "accuracy": "validation accuracy",
}
CELLS, SCALES, LENGTH, UNITS = ("SimpleRNN", "LSTM", "GRU"), (1.0, 1.5), 60, 64
SEEDS = (1, 2, 3)


@functools.cache
def reader_class() -> Any:
    """A classifier of ids [B, T]: embedding, a recurrent layer, the last state, logits."""
    import keras

    class Reader(keras.Model):
        def __init__(self, field, vocab_size, cell, scale, num_logits, seed):
            super().__init__()
            self.field = field
            uniform = keras.initializers.RandomUniform(-0.5, 0.5, seed=seed)
            self.embedding = keras.layers.Embedding(vocab_size, 32, embeddings_initializer=uniform)
            self.reader = getattr(keras.layers, cell)(
                UNITS,
                recurrent_initializer=keras.initializers.Orthogonal(gain=scale, seed=seed),
                kernel_initializer=keras.initializers.GlorotUniform(seed=seed + 1),
            )
            self.logits = keras.layers.Dense(num_logits, kernel_initializer=keras.initializers.GlorotUniform(seed + 2))

        def call(self, inputs, training=False):
            return self.logits(self.reader(self.embedding(inputs[self.field])))

    return Reader


class Cut:
    """The first LENGTH ids of each row; shorter rows are repeated, so that every lag has a gradient."""

    kind = "ids"

    def __init__(self, column: Any):
        self.column, self.lengths = column, np.full(len(column), LENGTH)

    def __len__(self) -> int:
        return len(self.column)

    def gather(self, rows: Any, width: int = LENGTH) -> Any:
        lengths = self.column.lengths[rows]
        ids = self.column.gather(rows, int(lengths.max()))
        return ids[np.arange(len(rows))[:, None], np.arange(LENGTH)[None] % np.maximum(lengths, 1)[:, None]]


def cut(rows: Any) -> Any:
    from dataclasses import replace

    return replace(rows, inputs={name: Cut(column) for name, column in rows.inputs.items()})


def build(data: _data.Data, cell: str, scale: float, seed: int) -> Any:
    import keras

    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(seed)
    model = reader_class()(data.field, data.sizes.single_input[1]["vocab_size"], cell, scale, 1, 100 * seed)
    model({data.field: np.zeros((1, LENGTH), np.int32)})
    return model


def reach(context: Any, *, cell: str, scale: float, seed: int) -> dict[str, Any]:
    """The gradient's norm at each lag, relative to lag 0, as log10; the mean over 64 mails."""
    import tensorflow as tf

    data = words(context)
    model = build(data, cell, scale, seed)
    vectors = model.embedding(cut(data.train).inputs[data.field].gather(np.arange(64)))
    with tf.GradientTape() as tape:
        tape.watch(vectors)
        state = tf.reduce_sum(model.reader(vectors))
    norms = np.linalg.norm(np.asarray(tape.gradient(state, vectors), np.float64), axis=2).mean(axis=0)[::-1]
    by_lag = np.log10(np.maximum(norms, 1e-30)) - np.log10(max(norms[0], 1e-30))
    return {"by_lag": [round(float(one), 4) for one in by_lag]}


def trial(context: Any, *, cell: str, scale: float, clipping: float, seed: int) -> dict[str, Any]:
    data = words(context)
    settings: dict[str, Any] = {
        "optimizer": {"kind": "sgd", "learning_rate": 0.5}, "batch_rows": 32, "max_steps": 200, "validate_steps": 10,
        "keep": "last",
    }  # fmt: skip
    if clipping:
        settings["clip_norm"] = clipping
    train, valid = cut(data.train), cut(_data.sample(data.valid, 300, 0))
    try:
        done = _trials.fit(data, build(data, cell, scale, seed), settings, seed=seed, train=train, valid=valid)
    except ConfigError:
        return {"largest_norm": None, "accuracy": None}  # the loss is no longer finite
    return {"largest_norm": max(line["gradient_norm"] for line in done.history), "accuracy": done.last}


def words(context: Any) -> _data.Data:
    return context.data(
        "mail", features={"kind": "ids", "max_length": 128}, codec={"kind": "words", "vocab_size": 2000}
    )


def run(context: Any) -> list[dict[str, Any]]:
    rows = []
    for cell in CELLS:
        for scale in SCALES:
            for seed in SEEDS:
                by_lag = context.once(reach, cell=cell, scale=scale, seed=seed)["by_lag"]
                lags = {f"lag_{lag}": by_lag[lag] for lag in (10, 50)}
                for clipping in (0.0, 1.0) if scale == SCALES[-1] else (0.0,):
                    settings = {"cell": cell, "scale": scale, "clipping": clipping, "seed": seed}
                    row = {**settings, "largest_norm": None, "accuracy": None}
                    if scale == SCALES[-1]:
                        row = context.once(trial, **settings)
                    rows.append({**row, **lags, "by_lag": by_lag})
    return rows


def sentence(table: Any) -> str:
    shown = [
        f"{cell} {table.mean('lag_50', cell=cell, scale=scale, clipping=0.0).text(1)} at scale {scale:g}"
        for cell in CELLS
        for scale in SCALES
    ]
    plain, clipped = ({"cell": "SimpleRNN", "scale": 1.5, "clipping": clipping} for clipping in (0.0, 1.0))
    norm = table.mean("largest_norm", **plain)
    gains = [
        f"{cell}, {verdict(table.difference('accuracy', {'cell': cell, 'scale': 1.5, 'clipping': 1.0}, {'cell': cell, 'scale': 1.5, 'clipping': 0.0}, comparisons=3))}"
        for cell in CELLS
    ]
    return (
        f"log10 of the gradient norm at lag 50 relative to lag 0: {', '.join(shown)}. Gradient norms of the tanh RNN at scale 1.5 reach "
        f"{norm.mean:.2g} without clipping, and {table.mean('largest_norm', **clipped).mean:.2g} before being clipped to 1. Effect of clipping "
        f"on validation accuracy at scale 1.5: {'; '.join(gains)}."
    )


def picture(table: Any, figure: Any) -> None:
    for axes, scale in zip(figure.subplots(1, 2, sharey=True), SCALES, strict=True):
        for cell in CELLS:
            curves = [row["by_lag"] for row in table.select(cell=cell, scale=scale, clipping=0.0)]
            axes.plot(np.mean(curves, axis=0), label=cell)
        axes.set_title(f"recurrent weights × {scale:g}")
        axes.set_xlabel("lag (steps)")
    figure.axes[0].set_ylabel("log10 of the gradient, relative to lag 0")
    figure.axes[0].legend()
