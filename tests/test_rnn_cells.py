"""GRU and LSTM compared with NumPy in float64, Keras's layers and finite differences."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from textpipe.layers.rnn_cells import CELLS, GRU, LSTM

STEPS, ROWS, INPUTS, UNITS = 5, 3, 4, 6
LENGTHS = np.array([5, 2, 4])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def gru_step(x, state, weights):
    """The equations in the docstring of GRU, one row at a time."""
    kernel, recurrent, bias, candidate_bias = weights
    (h,) = state
    (wz, wr, wn), (uz, ur, un), (bz, br, bn) = (np.split(part, 3, axis=-1) for part in (kernel, recurrent, bias))
    z = sigmoid(x @ wz + bz + h @ uz)
    r = sigmoid(x @ wr + br + h @ ur)
    n = np.tanh(x @ wn + bn + r * (h @ un + candidate_bias))
    return ((1 - z) * h + z * n,)


def lstm_step(x, state, weights):
    kernel, recurrent, bias = weights
    h, c = state
    i, f, g, o = np.split(x @ kernel + h @ recurrent + bias, 4, axis=-1)
    c = sigmoid(f) * c + sigmoid(i) * np.tanh(g)
    return sigmoid(o) * np.tanh(c), c


FORMULAS = {"gru": gru_step, "lstm": lstm_step}


def reference(cell, inputs, state, weights, lengths, reverse):
    """Each row alone, without padding: outputs [T, B, H] (NaN at padding), last states."""
    outputs = np.full((len(inputs), len(lengths), UNITS), np.nan)
    last = [np.empty((len(lengths), UNITS)) for _ in state]
    for row, length in enumerate(lengths):
        now = tuple(part[row] for part in state)
        for step in reversed(range(length)) if reverse else range(length):
            now = FORMULAS[cell](inputs[step, row], now, weights)
            outputs[step, row] = now[0]
        for part, value in zip(last, now, strict=True):
            part[row] = value
    return outputs, last


def layer_of(cell, dtype="float64", seed=0):
    layer = CELLS[cell](UNITS, dtype=dtype)
    layer.build((None, None, INPUTS))
    random = np.random.default_rng(seed)
    for variable in layer.trainable_variables:
        variable.assign(random.normal(scale=0.7, size=variable.shape))
    return layer


def numbers(*shape, seed=1):
    return np.random.default_rng(seed).normal(size=shape)


def real_of(lengths):
    return (np.arange(STEPS)[:, None] < lengths[None, :]).astype("float64")


def state_of(layer):
    return tuple(numbers(ROWS, UNITS, seed=7 + part) for part in range(layer.num_states))


def arrays(layer):
    return [variable.numpy() for variable in layer.trainable_variables]


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_a_padded_batch_equals_the_formula_on_each_row_alone(cell, reverse):
    layer, inputs = layer_of(cell), numbers(STEPS, ROWS, INPUTS)
    state = state_of(layer)
    if cell == "lstm" and reverse:
        state = layer.zero_state(ROWS)
        state = tuple(part.numpy() for part in state)
    outputs, last = layer(inputs, state=state, real=real_of(LENGTHS), reverse=reverse)
    expected, expected_last = reference(cell, inputs, state, arrays(layer), LENGTHS, reverse)
    known = ~np.isnan(expected)
    np.testing.assert_allclose(outputs.numpy()[known], expected[known], rtol=1e-10, atol=1e-12)
    for actual, expected_part in zip(last, expected_last, strict=True):
        np.testing.assert_allclose(actual, expected_part, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("cell", CELLS)
def test_single_steps_equal_the_loop(cell):
    layer, inputs = layer_of(cell), numbers(STEPS, ROWS, INPUTS)
    outputs, last = layer(inputs)
    state = layer.zero_state(ROWS)
    for step in range(STEPS):
        output, state = layer.step(inputs[step], state)
        np.testing.assert_allclose(output, outputs[step], rtol=1e-12, atol=1e-14)
    for actual, expected_part in zip(state, last, strict=True):
        np.testing.assert_allclose(actual, expected_part, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize("cell", CELLS)
def test_padding_carries_the_state_over_bit_for_bit_in_float32(cell):
    layer = layer_of(cell, "float32")
    inputs = (100 * numbers(STEPS, ROWS, INPUTS)).astype("float32")
    _, short = layer(inputs[:2], real=np.ones((2, ROWS), "float32"))
    _, padded = layer(inputs, real=real_of(np.array([2, 2, 2])).astype("float32"))
    for actual, expected_part in zip(padded, short, strict=True):
        np.testing.assert_array_equal(actual, expected_part)


def keras_gru(layer):
    """keras.layers.GRU computes h' = z h + (1 - z) n, so its z is our 1 - z, and the signs of that gate change."""
    kernel, recurrent, bias, candidate_bias = arrays(layer)
    sign = np.concatenate([-np.ones(UNITS), np.ones(2 * UNITS)])
    other = keras.layers.GRU(UNITS, return_sequences=True, return_state=True, dtype="float64")
    other.build((None, None, INPUTS))
    inner = np.concatenate([np.zeros(2 * UNITS), candidate_bias])
    other.set_weights([kernel * sign, recurrent * sign, np.stack([bias * sign, inner])])
    return other


def keras_lstm(layer):
    other = keras.layers.LSTM(UNITS, return_sequences=True, return_state=True, dtype="float64")
    other.build((None, None, INPUTS))
    other.set_weights(arrays(layer))
    return other


@pytest.mark.parametrize(("cell", "convert"), [("gru", keras_gru), ("lstm", keras_lstm)])
def test_outputs_and_input_gradients_equal_those_of_keras(cell, convert):
    layer = layer_of(cell)
    other = convert(layer)
    inputs = tf.constant(numbers(STEPS, ROWS, INPUTS))
    state = state_of(layer)
    weights = numbers(STEPS, ROWS, UNITS, seed=3)
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(inputs)
        ours, our_last = layer(inputs, state=state)
        theirs, *their_last = other(tf.transpose(inputs, (1, 0, 2)), initial_state=list(state))
        theirs = tf.transpose(theirs, (1, 0, 2))
        our_sum, their_sum = (tf.reduce_sum(weights * one) for one in (ours, theirs))
    np.testing.assert_allclose(ours, theirs, rtol=1e-10, atol=1e-12)
    for actual, expected_part in zip(our_last, their_last, strict=True):
        np.testing.assert_allclose(actual, expected_part, rtol=1e-10, atol=1e-12)
    np.testing.assert_allclose(tape.gradient(our_sum, inputs), tape.gradient(their_sum, inputs), rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("cell", CELLS)
def test_every_gradient_agrees_with_central_differences(cell, reverse):
    layer = layer_of(cell)
    inputs = tf.Variable(numbers(STEPS, ROWS, INPUTS))
    state = [tf.Variable(part) for part in state_of(layer)]
    real, lengths = real_of(LENGTHS), np.minimum(LENGTHS, STEPS)
    out_weights = numbers(STEPS, ROWS, UNITS, seed=3) * (np.arange(STEPS)[:, None] < lengths)[:, :, None]
    last_weights = [numbers(ROWS, UNITS, seed=20 + part) for part in range(layer.num_states)]

    @tf.function
    def value():
        outputs, last = layer(tf.convert_to_tensor(inputs), state=[tf.identity(s) for s in state], real=real,
                              reverse=reverse)  # fmt: skip
        ends = zip(last_weights, last, strict=True)
        return tf.reduce_sum(out_weights * outputs) + sum(tf.reduce_sum(weight * part) for weight, part in ends)

    variables = [inputs, *state, *(variable.value for variable in layer.trainable_variables)]
    with tf.GradientTape() as tape:
        actual = value()
    gradients = tape.gradient(actual, variables)
    for index, (variable, gradient) in enumerate(zip(variables, gradients, strict=True)):
        direction = numbers(*variable.shape, seed=40 + index)
        before, size = variable.numpy(), 1e-5
        variable.assign(before + size * direction)
        above = value()
        variable.assign(before - size * direction)
        below = value()
        variable.assign(before)
        slope = float(above - below) / (2 * size)
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-6, atol=1e-8)


@pytest.mark.parametrize("cell", CELLS)
def test_a_dropout_mask_hides_units_of_the_state_from_every_gate(cell):
    """Masking a row's state equals masking the rows of the recurrent kernel, for that row of the batch."""
    layer, inputs = layer_of(cell), tf.constant(numbers(STEPS, ROWS, INPUTS))
    mask = 2.0 * (numbers(ROWS, UNITS, seed=5) > 0)
    kernel, state = layer.recurrent_kernel.numpy(), state_of(layer)
    gates = tf.constant(inputs @ layer.kernel.numpy() + layer.bias.numpy())
    weights = numbers(STEPS, ROWS, UNITS, seed=3)
    with tf.GradientTape() as tape:
        tape.watch(gates)
        hiddens, last = layer.run_loop(gates, state, False, mask)
        total = tf.reduce_sum(weights * hiddens) + sum(tf.reduce_sum(part) for part in last)
    d_gates, d_kernel = tape.gradient(total, [gates, layer.recurrent_kernel.value])
    summed = np.zeros_like(kernel)
    for row in range(ROWS):
        layer.recurrent_kernel.assign(mask[row][:, None] * kernel)
        with tf.GradientTape() as tape:
            one = tf.constant(gates[:, row : row + 1])
            tape.watch(one)
            expected, ends = layer.run_loop(one, tuple(part[row : row + 1] for part in state), False, None)
            total = tf.reduce_sum(weights[:, row : row + 1] * expected) + sum(tf.reduce_sum(part) for part in ends)
        np.testing.assert_allclose(hiddens[:, row], expected[:, 0], rtol=1e-12, atol=1e-14)
        d_one, d_row = tape.gradient(total, [one, layer.recurrent_kernel.value])
        np.testing.assert_allclose(d_gates[:, row], d_one[:, 0], rtol=1e-10, atol=1e-13)
        summed += mask[row][:, None] * d_row.numpy()
    np.testing.assert_allclose(d_kernel, summed, rtol=1e-10, atol=1e-12)


def test_recurrent_dropout_draws_one_mask_for_a_sequence_and_none_in_inference():
    layer = GRU(UNITS, recurrent_dropout=0.5)
    layer.build((None, None, INPUTS))
    assert layer.dropout_mask(ROWS, training=False) is None
    mask = layer.dropout_mask(ROWS, training=True)
    assert mask.shape == (ROWS, UNITS)
    assert set(np.unique(mask)) == {0.0, 2.0}
    inputs = numbers(STEPS, ROWS, INPUTS).astype("float32")
    np.testing.assert_array_equal(layer(inputs)[0], layer(inputs)[0])
    assert not np.allclose(layer(inputs, training=True)[0], layer(inputs)[0])


@pytest.mark.parametrize("cell", [GRU, LSTM])
def test_recurrent_weights_start_orthogonal_gate_by_gate(cell):
    layer = cell(UNITS)
    layer.build((None, None, INPUTS))
    gates = np.split(layer.recurrent_kernel.numpy(), cell.num_gates, axis=1)
    for gate in gates:
        np.testing.assert_allclose(gate @ gate.T, np.eye(UNITS), atol=1e-5)
    assert not np.allclose(gates[0], gates[1])


def test_the_forget_gate_of_an_lstm_starts_open():
    layer = LSTM(UNITS)
    layer.build((None, None, INPUTS))
    np.testing.assert_array_equal(np.split(layer.bias.numpy(), 4)[1], np.ones(UNITS))
