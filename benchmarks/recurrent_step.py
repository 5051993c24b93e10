"""Target tokens per second of one training step: the model's own recurrence next to keras.layers.GRU and LSTM.

    python benchmarks/recurrent_step.py [--rows 180] [--source 24] [--target 20]

A step is forward, loss on real positions, backward and Adam, on full rows. Reported are the shortest of some steps and
the least processor time of one; on a machine with other work the latter, divided by the cores, is the better figure.
"""

import argparse
import os
import time

import keras
import numpy as np
import tensorflow as tf

from textpipe.fields import Sizes
from textpipe.layers import rnn
from textpipe.models import recurrent


class Reference(keras.layers.Layer):
    """keras.layers.GRU or LSTM in the place of rnn.GRU or rnn.LSTM, with Keras's own mask."""

    layer_class = keras.layers.GRU
    num_states = 1

    def __init__(self, units, *, seeds=None, kernel="glorot_uniform", **kwargs):
        super().__init__(**kwargs)
        options = {"return_sequences": True, "return_state": True}
        self.ahead = self.layer_class(units, **options)
        self.back = self.layer_class(units, go_backwards=True, **options)

    def build(self, shape):
        (self.back if "backward" in self.name else self.ahead).build((None, None, shape[-1]))
        self.built = True

    def call(self, inputs, state=None, real=None, reverse=False):
        inputs = keras.ops.transpose(inputs, (1, 0, 2))
        mask = None if real is None else keras.ops.transpose(real) > 0
        layer = self.back if reverse else self.ahead
        outputs, *last = layer(inputs, mask=mask, initial_state=None if state is None else list(state))
        outputs = keras.ops.flip(outputs, axis=1) if reverse else outputs
        return keras.ops.transpose(outputs, (1, 0, 2)), tuple(last)


class ReferenceLSTM(Reference):
    layer_class = keras.layers.LSTM
    num_states = 2


def measure(config, arguments, repeats=12):
    """Seconds: to trace and run the first step, of the shortest step, and of the processor in the cheapest step."""
    vocabulary = {"kind": "ids", "vocab_size": arguments.vocabulary, "max_length": 100}
    model = recurrent.build(config, Sizes("source", vocabulary, "target", vocabulary), seed=1)
    optimizer = keras.optimizers.Adam(1e-3)
    optimizer.build(model.trainable_variables)
    random = np.random.default_rng(0)
    source = tf.constant(random.integers(4, arguments.vocabulary, (arguments.rows, arguments.source)), tf.int32)
    target = tf.constant(random.integers(4, arguments.vocabulary, (arguments.rows, arguments.target + 1)), tf.int32)

    @tf.function(reduce_retracing=True)
    def step(source, target):
        with tf.GradientTape() as tape:
            hidden = model.hidden(source, target[:, :-1], training=True)
            real = tf.where(tf.not_equal(target[:, 1:], 0))
            logits = model.project(tf.gather_nd(hidden, real))
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(tf.gather_nd(target[:, 1:], real), logits)
            )
        gradients = tape.gradient(loss, model.trainable_variables)
        optimizer.apply(gradients, model.trainable_variables)
        return loss

    start = time.perf_counter()
    step(source, target).numpy()
    first = time.perf_counter() - start
    wall, processor = [], []
    for _ in range(repeats):
        start, used = time.perf_counter(), time.process_time()
        step(source, target).numpy()
        wall.append(time.perf_counter() - start)
        processor.append(time.process_time() - used)
    return first, min(wall), min(processor)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name, default in (("rows", 180), ("source", 24), ("target", 20), ("units", 256), ("vocabulary", 8000)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--encoder-units", type=int)
    parser.add_argument("--decoder-layers", type=int)
    parser.add_argument("--attention", default="additive")
    parser.add_argument("--cells", nargs="+", default=["gru", "lstm"])
    parser.add_argument("--only", choices=("own", "keras"))
    arguments = parser.parse_args()
    own = dict(rnn.CELLS)
    variants = {"own": own, "keras": {"gru": Reference, "lstm": ReferenceLSTM}}
    for cell in arguments.cells:
        for name, cells in variants.items():
            if arguments.only not in (None, name):
                continue
            rnn.CELLS.update(cells)
            config = recurrent.Config(
                cell=cell,
                units=arguments.units,
                embedding_size=arguments.units,
                encoder_units=arguments.encoder_units,
                decoder_layers=arguments.decoder_layers,
                attention=arguments.attention,
                share_embeddings=True,
            )
            first, wall, processor = measure(config, arguments)
            tokens, cores = arguments.rows * arguments.target, len(os.sched_getaffinity(0))
            print(
                f"{cell:4} {name:5}  first {first:5.1f} s  step {wall * 1e3:5.0f} ms = {tokens / wall:5.0f} tokens/s  "
                f"processor {processor * 1e3:5.0f} ms = {tokens / processor * cores:5.0f} tokens/s on {cores} cores",
                flush=True,
            )


if __name__ == "__main__":
    main()
