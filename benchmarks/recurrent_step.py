"""Target tokens per second of one training step: with and without input feeding, and with Keras's own layers.

    python benchmarks/recurrent_step.py [--rows 180] [--source 24] [--target 20] [--variants plain fed keras]

A step is one of training: forward pass, smoothed loss, backward pass, clipping and Adam, here on rows without padding.
The variants take turns, so that other load affects all equally. Reports the minimum wall-clock time and the minimum CPU
time of a step; on a busy machine the latter, divided by the number of cores, is more reliable.
"""

import argparse
import os
import time

import keras
import numpy as np
import tensorflow as tf

from textpipe.config.fields import Sizes
from textpipe.layers import rnn_cells
from textpipe.models import recurrent
from textpipe.objectives import sequence
from textpipe.training.settings import Settings


class Reference(keras.layers.Layer):
    """keras.layers.GRU or LSTM instead of textpipe's, with Keras's own mask."""

    layer_class = keras.layers.GRU
    num_states = 1

    def __init__(self, units, *, seeds=None, kernel="glorot_uniform", recurrent_dropout=0.0, **kwargs):
        super().__init__(**kwargs)
        options = {"return_sequences": True, "return_state": True}
        self.ahead = self.layer_class(units, **options)
        self.back = self.layer_class(units, go_backwards=True, **options)

    def build(self, shape):
        (self.back if "backward" in self.name else self.ahead).build((None, None, shape[-1]))
        self.built = True

    def call(self, inputs, state=None, real=None, reverse=False, training=False):
        inputs = keras.ops.transpose(inputs, (1, 0, 2))
        mask = None if real is None else keras.ops.transpose(real) > 0
        layer = self.back if reverse else self.ahead
        outputs, *last = layer(inputs, mask=mask, initial_state=None if state is None else list(state))
        outputs = keras.ops.flip(outputs, axis=1) if reverse else outputs
        return keras.ops.transpose(outputs, (1, 0, 2)), tuple(last)


class ReferenceLSTM(Reference):
    layer_class = keras.layers.LSTM
    num_states = 2


# Differences from the plain model: options and recurrent layer.
VARIANTS = {
    "plain": ({}, None),
    "fed": ({"input_feeding": True}, None),
    "covered": ({"coverage": True}, None),
    "fed and covered": ({"input_feeding": True, "coverage": True}, None),
    "keras": ({}, {"gru": Reference, "lstm": ReferenceLSTM}),
}


def step_of(config, arguments):
    """A function that runs one step, and the seconds of its first call, which includes tracing."""
    vocabulary = {"kind": "ids", "vocab_size": arguments.vocabulary, "max_length": 100}
    model = recurrent.build(config, Sizes({"source": vocabulary}, "target", vocabulary), seed=1)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    source = tf.constant(random.integers(4, arguments.vocabulary, (arguments.rows, arguments.source)), tf.int32)
    target = tf.constant(random.integers(4, arguments.vocabulary, (arguments.rows, arguments.target)), tf.int32)

    # As in training, one trace serves batches of any size.
    @tf.function(autograph=False, input_signature=[tf.TensorSpec([None, None], tf.int32)] * 2)
    def step(source, target):
        variables = [variable.value for variable in model.trainable_variables]
        total = tf.cast(tf.size(target), tf.float32)
        sums, gradients = sequence.gradients(
            model, {"source": source}, target, variables, total=total, config=Settings(label_smoothing=0.1)
        )
        gradients, _ = tf.clip_by_global_norm(gradients, 1.0)
        optimizer.apply(gradients, model.trainable_variables)
        return sums["loss"]

    start = time.perf_counter()
    step(source, target).numpy()
    return lambda: step(source, target).numpy(), time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rows", 180), ("source", 24), ("target", 20), ("units", 256), ("vocabulary", 8000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--encoder-units", type=int)
    parser.add_argument("--decoder-layers", type=int)
    parser.add_argument("--attention", default="additive")
    parser.add_argument("--cell", default="gru", choices=("gru", "lstm"))
    parser.add_argument("--repeats", type=int, default=12)
    parser.add_argument("--variants", nargs="+", default=["plain", "fed", "keras"], choices=VARIANTS)
    arguments = parser.parse_args()
    own, steps, figures = dict(rnn_cells.CELLS), {}, {}
    for name in arguments.variants:
        options, cells = VARIANTS[name]
        rnn_cells.CELLS.update(cells or own)
        config = recurrent.Config(
            cell=arguments.cell,
            units=arguments.units,
            embedding_size=arguments.units,
            encoder_units=arguments.encoder_units,
            decoder_layers=arguments.decoder_layers,
            attention=arguments.attention,
            share_embeddings=True,
            **options,
        )
        steps[name], first = step_of(config, arguments)
        figures[name] = {"first": first, "wall": [], "processor": []}
    for _ in range(arguments.repeats):
        for name, step in steps.items():
            start, used = time.perf_counter(), time.process_time()
            step()
            figures[name]["wall"].append(time.perf_counter() - start)
            figures[name]["processor"].append(time.process_time() - used)
    tokens, cores = arguments.rows * arguments.target, len(os.sched_getaffinity(0))
    least = min(figures[arguments.variants[0]]["processor"])
    for name, figure in figures.items():
        wall, processor = min(figure["wall"]), min(figure["processor"])
        print(
            f"{arguments.cell:4} {name:15}  first {figure['first']:5.1f} s  step {wall * 1e3:5.0f} ms = "
            f"{tokens / wall:5.0f} tokens/s  processor {processor * 1e3:5.0f} ms = {tokens / processor * cores:5.0f} "
            f"tokens/s on {cores} cores, {processor / least:.2f} of {arguments.variants[0]}"
        )


if __name__ == "__main__":
    main()
