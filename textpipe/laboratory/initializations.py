"""Which initial weights keep activations and gradients alive through ten layers?

A multi-layer perceptron with ten layers of 64 units on Banking77; it is the laboratory's own network, whose layers
can be inspected one by one. Measured before training: the variance of the pre-activations in layer 10 relative to
layer 1, and that of their gradients in layer 1 relative to layer 10 (1 is ideal: Glorot and Bengio 2010, He et al.
2015). Then the network is trained for 150 updates of Adam. Units are equal if they have the same incoming weights.
"""

from typing import Any

import numpy as np

from textpipe.laboratory import _nets, _trials

DATA = ("banking77",)
FACTORS = ("activation", "initializer")
MEASURES = {
    "activations": "log10 of the variance in layer 10 / layer 1",
    "gradients": "log10 of the gradient variance in layer 1 / layer 10",
    "accuracy": "validation accuracy after 150 updates",
    "equal": "share of units of layer 2 equal to another after training",
}
INITIALIZERS = ("constant 0.05", "normal 0.01", "normal 0.5", "glorot", "he", "orthogonal")
ACTIVATIONS = ("relu", "tanh")
LAYERS, SMALLEST = 10, 1e-30
SEEDS = (1, 2, 3)


def initializer_of(name: str) -> Any:
    """A function of a seed."""
    import keras

    if name.startswith("constant"):
        return lambda seed: keras.initializers.Constant(float(name.split()[1]))
    if name.startswith("normal"):
        return lambda seed: keras.initializers.RandomNormal(stddev=float(name.split()[1]), seed=seed)
    kinds = {"glorot": keras.initializers.GlorotUniform, "he": keras.initializers.HeNormal}
    return lambda seed: kinds.get(name, keras.initializers.Orthogonal)(seed=seed)


def trial(context: Any, *, activation: str, initializer: str, seed: int) -> dict[str, Any]:
    data = context.data("banking77", features={"kind": "tfidf", "words": [1, 1]})
    model = _nets.deep(
        data, units=64, layers=LAYERS, activation=activation, seed=seed, initializer=initializer_of(initializer)
    )
    measured = variances(model, data.train)
    settings = {
        "optimizer": {"kind": "adam", "learning_rate": 0.001}, "batch_rows": 64, "max_steps": 150,
        "validate_steps": 150, "keep": "last",
    }  # fmt: skip
    done = _trials.fit(data, model, settings, seed=seed)
    columns = np.round(model.layers_in_order[1].kernel.numpy().T, 7)
    _, counts = np.unique(columns, axis=0, return_counts=True)
    return {**measured, "accuracy": done.last, "equal": float(counts[counts > 1].sum() / len(columns))}


def variances(model: Any, rows: Any) -> dict[str, float]:
    """Of sums and of their gradients, over 256 rows and all units, across the layers."""
    import tensorflow as tf

    chosen = np.arange(256)
    inputs = {name: _trials.gather(column, chosen) for name, column in rows.inputs.items()}
    with tf.GradientTape() as tape:
        logits, sums = model.trace(inputs)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels=rows.target.gather(chosen, 0), logits=logits)
        )
    gradients = tape.gradient(loss, sums)

    def ratio(above: Any, below: Any) -> float:
        above, below = (float(np.mean(np.square(np.asarray(one, np.float64)))) for one in (above, below))
        return float(np.log10(max(above, SMALLEST)) - np.log10(max(below, SMALLEST)))

    return {"activations": ratio(sums[-1], sums[0]), "gradients": ratio(gradients[0], gradients[-1])}


def run(context: Any) -> list[dict[str, Any]]:
    return [
        context.once(trial, activation=activation, initializer=name, seed=seed)
        for activation in ACTIVATIONS
        for name in INITIALIZERS
        for seed in SEEDS
    ]


def sentence(table: Any) -> str:
    parts = []
    for activation in ACTIVATIONS:
        ranked = sorted(
            INITIALIZERS, key=lambda name: -table.mean("accuracy", activation=activation, initializer=name).mean
        )
        shown = ", ".join(
            f"{table.mean('accuracy', activation=activation, initializer=name).text(2)} with {name}" for name in ranked
        )
        calm = min(
            INITIALIZERS, key=lambda name: abs(table.mean("gradients", activation=activation, initializer=name).mean)
        )
        parts.append(f"with {activation}, the variance of the gradients is preserved best by {calm}; accuracy {shown}")
    equal = table.mean("equal", activation="tanh", initializer="constant 0.05").mean
    return f"Through ten layers, {'; '.join(parts)}. With constant weights, {equal:.0%} of the units are still equal after training."


def picture(table: Any, figure: Any) -> None:
    for axes, activation in zip(figure.subplots(1, 2, sharey=True), ACTIVATIONS, strict=True):
        for measure, marker in (("activations", "o"), ("gradients", "s")):
            values = [table.mean(measure, activation=activation, initializer=name).mean for name in INITIALIZERS]
            axes.plot(values, range(len(INITIALIZERS)), marker, label=MEASURES[measure], alpha=0.7)
        axes.axvline(0, color="grey", linewidth=0.8)
        axes.set_yticks(range(len(INITIALIZERS)), INITIALIZERS)
        axes.set_title(activation)
        axes.set_xlim(-25, 15)
    figure.legend(*axes.get_legend_handles_labels(), loc="outside lower center")
