"""The decoder's loop compared with NumPy row by row, and its gradient with autodiff of the unrolled steps."""

import functools
import operator

import keras
import numpy as np
import pytest
import tensorflow as tf

from textpipe.layers.attention import padding_bias
from textpipe.layers.attention_kinds import KINDS
from textpipe.layers.decoder_loop import DecoderLoop
from textpipe.layers.rnn_cells import CELLS

ROWS, SOURCE, STEPS, UNITS, MEMORY, READOUT = 3, 5, 4, 6, 6, 4
LENGTHS = np.array([5, 1, 3])
KEEP = 0.5


def numbers(*shape, seed=0):
    return np.random.default_rng(seed).normal(scale=0.7, size=shape)


def mask(*shape, seed):
    return (np.random.default_rng(seed).random(shape) < KEEP) / KEEP


class Case:
    """A loop with random weights; `arguments` are the differentiable arguments of DecoderLoop.run."""

    def __init__(self, cell, kind, *, layers=1, input_feeding=True, coverage=False, residual=False, dropped=False):
        self.cells = [CELLS[cell](UNITS, dtype="float64") for _ in range(layers)]
        self.attention, context = None, 0
        if kind is not None:
            self.attention, context = (
                KINDS[kind](UNITS, MEMORY, attention_size=8, num_heads=2, coverage=coverage, dtype="float64"),
                MEMORY,
            )
            self.attention.build()
        for layer, part in enumerate(self.cells):
            part.build((None, None, UNITS + context if layer else 3))
        layers_with_weights = [*self.cells, *([self.attention] if kind is not None else [])]
        for place, variable in enumerate(
            functools.reduce(operator.iadd, (part.trainable_variables for part in layers_with_weights), [])
        ):
            variable.assign(numbers(*variable.shape, seed=50 + place))
        self.memory = numbers(ROWS, SOURCE, MEMORY, seed=1)
        self.bias = padding_bias((np.arange(SOURCE) < LENGTHS[:, None]) * 1.0)
        carry = {"states": tuple(
            tuple(numbers(ROWS, UNITS, seed=10 * layer + part) for part in range(cell.num_states))
            for layer, cell in enumerate(self.cells)
        )}  # fmt: skip
        weights = {
            "recurrent": tuple(part.recurrent_weights() for part in self.cells),
            "upper": tuple((part.kernel.value, part.bias.value) for part in self.cells[1:]),
            "attention": self.attention.loop_weights() if kind is not None else {},
            "readout": (numbers(UNITS + context, READOUT, seed=2), numbers(READOUT, seed=3)),
        }
        width = self.cells[0].num_gates * UNITS
        if input_feeding:
            weights["feedback"], carry["readout"] = numbers(READOUT, width, seed=4), numbers(ROWS, READOUT, seed=5)
        if coverage:
            carry["covered"] = np.abs(numbers(ROWS, SOURCE, seed=6))
        prepared = self.attention.prepare(self.memory) if kind is not None else {}
        self.arguments = keras.tree.map_structure(
            tf.convert_to_tensor, (numbers(STEPS, ROWS, width, seed=7), carry, weights, prepared)
        )
        self.masks = {"recurrent": (None,) * layers}
        if dropped:
            self.masks = {
                "recurrent": tuple(mask(ROWS, UNITS, seed=20 + layer) for layer in range(layers)),
                "between": tuple(mask(STEPS, ROWS, UNITS, seed=30 + layer) for layer in range(layers - 1)),
                "readout": mask(STEPS, ROWS, READOUT, seed=40),
            }
        self.loop = DecoderLoop(self.cells, self.attention, residual=residual, dropout=1 - KEEP)

    def unrolled(self, gates, carry, weights, memory):
        """The steps in a Python loop, for autodiff."""
        readouts = []
        for step in range(STEPS):
            masks = {name: keras.tree.map_structure(lambda part: part[step], self.masks[name])
                     for name in ("between", "readout") if name in self.masks}  # fmt: skip
            masks["recurrent"] = self.masks["recurrent"]
            carry = self.loop.forward_step(gates[step], carry, weights, memory, self.bias, masks)
            readouts.append(carry["readout"])
        return tf.stack(readouts)


@pytest.mark.parametrize(
    ("cell", "kind", "options"),
    [
        ("gru", "additive", {}),
        ("gru", "additive", {"layers": 2, "coverage": True, "residual": True, "dropped": True}),
        ("lstm", "additive", {"coverage": True, "input_feeding": False, "dropped": True}),
        ("lstm", "general", {"layers": 2, "dropped": True}),
        ("gru", "scaled_dot", {"residual": True, "layers": 3}),
        ("lstm", "multi_head", {"dropped": True}),
        ("gru", None, {"layers": 2, "input_feeding": False}),
    ],
)
def test_every_gradient_equals_that_of_the_unrolled_steps(cell, kind, options):
    case = Case(cell, kind, **options)
    flat, weights = keras.tree.flatten(case.arguments), numbers(STEPS, ROWS, READOUT, seed=9)
    results = {}
    for name, run in {
        "loop": lambda *arguments: case.loop.run(*arguments, case.bias, case.masks),
        "unrolled": case.unrolled,
    }.items():
        with tf.GradientTape() as tape:
            tape.watch(flat)
            readouts = run(*case.arguments)
            total = tf.reduce_sum(readouts * weights)
        results[name] = readouts, tape.gradient(total, flat, unconnected_gradients="zero")
    np.testing.assert_allclose(results["loop"][0], results["unrolled"][0], rtol=1e-12, atol=1e-14)
    assert all(np.any(gradient) for gradient in results["loop"][1])
    for ours, theirs in zip(results["loop"][1], results["unrolled"][1], strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru(entering, h, kernel, bias):
    """Cho et al. 2014, from the input's share of the gates."""
    (xz, xr, xn), (hz, hr, hn) = np.split(entering, 3), np.split(h @ kernel, 3)
    z, r = sigmoid(xz + hz), sigmoid(xr + hr)
    return (1 - z) * h + z * np.tanh(xn + r * (hn + bias))


def test_a_step_depends_on_the_previous_readout_and_attention():
    """Luong et al. 2015, figure 4, with See et al. 2017, equations 10 and 11, row by row in NumPy."""
    case = Case("gru", "additive", layers=2, coverage=True, residual=True, dropped=True)
    readouts = case.loop.run(*case.arguments, case.bias, case.masks).numpy()
    gates, carry, weights, _ = keras.tree.map_structure(np.asarray, case.arguments)
    query_weight, memory_weight, bias, direction, coverage_weight = (
        variable.numpy() for variable in case.attention.trainable_variables
    )
    (kernel, offset), (readout_kernel, readout_bias), masks = weights["upper"][0], weights["readout"], case.masks
    for row, length in enumerate(LENGTHS):
        memory, covered = case.memory[row, :length], carry["covered"][row, :length]
        low, high, readout = carry["states"][0][0][row], carry["states"][1][0][row], carry["readout"][row]
        for step in range(STEPS):
            hidden = low * masks["recurrent"][0][row]
            fresh = gru(gates[step, row] + readout @ weights["feedback"], hidden, *weights["recurrent"][0])
            # The mask applies to the gates only: the state is carried over unmasked.
            low = carried(
                fresh, hidden, low, gates[step, row] + readout @ weights["feedback"], weights["recurrent"][0][0]
            )
            inside = low @ query_weight + memory @ memory_weight + bias + covered[:, None] * coverage_weight
            scores = np.exp(np.tanh(inside) @ direction[:, 0])
            attention = scores / scores.sum()
            covered = covered + attention
            context = attention @ memory
            entering = np.concatenate([low * masks["between"][0][step, row], context]) @ kernel + offset
            hidden = high * masks["recurrent"][1][row]
            fresh = gru(entering, hidden, *weights["recurrent"][1])
            high = carried(fresh, hidden, high, entering, weights["recurrent"][1][0])
            top = np.concatenate([high + low, context])
            readout = np.tanh(top @ readout_kernel + readout_bias) * masks["readout"][step, row]
            np.testing.assert_allclose(readouts[step, row], readout, rtol=1e-10, atol=1e-12)


def carried(fresh, hidden, whole, entering, kernel):
    """A GRU's new state when its gates read `hidden` and its state was `whole`: 1 - z carries the difference."""
    z = sigmoid(entering[:UNITS] + hidden @ kernel[:, :UNITS])
    return fresh + (1 - z) * (whole - hidden)
