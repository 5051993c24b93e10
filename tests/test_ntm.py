"""The neural Turing machine against its equations in NumPy."""

import numpy as np
import pytest
import tensorflow as tf

from textpipe.config.fields import Sizes
from textpipe.errors import ConfigError
from textpipe.layers import memory_bank
from textpipe.layers.memory_bank import MemoryBank
from textpipe.models import ntm
from textpipe.nets.ntm import binary_codes

SLOTS, WIDTH = 7, 4


def softmax(values):
    powers = np.exp(values - values.max())
    return powers / powers.sum()


def reference(outputs, bank, weightings):
    """One step of one row, slot by slot as in section 3 of the paper, in float64."""
    key_w, key_r, add = (np.tanh(outputs[at * WIDTH : (at + 1) * WIDTH]) for at in range(3))
    rest = outputs[3 * WIDTH :]
    positive = np.log1p(np.exp(rest[:4]))
    gates, erase = 1 / (1 + np.exp(-rest[4:6])), 1 / (1 + np.exp(-rest[6 : 6 + WIDTH]))
    shifts = rest[6 + WIDTH : 9 + WIDTH], rest[9 + WIDTH :]

    def address(head, key):
        products = np.array([
            key @ slot / np.sqrt(np.sum(key**2) * np.sum(slot**2) + memory_bank.EPSILON**2) for slot in bank
        ])  # fmt: skip
        mixed = gates[head] * softmax(positive[head] * products) + (1 - gates[head]) * weightings[head]
        kernel = softmax(shifts[head])
        moved = np.zeros(SLOTS)
        for slot in range(SLOTS):
            for shift, share in zip(memory_bank.SHIFTS, kernel, strict=True):
                moved[(slot + shift) % SLOTS] += mixed[slot] * share
        powers = (moved + memory_bank.EPSILON) ** (1 + positive[2 + head])
        return powers / powers.sum()

    write = address(0, key_w)
    bank = np.array([slot * (1 - share * erase) + share * add for slot, share in zip(bank, write, strict=True)])
    read = address(1, key_r)
    return bank, write, read, read @ bank


def test_a_step_follows_the_equations_of_the_paper():
    layer = MemoryBank(SLOTS, WIDTH)
    layer.build()
    random = np.random.default_rng(1)
    outputs, bank = random.normal(size=(3, layer.num_outputs)), random.normal(size=(3, SLOTS, WIDTH))
    weightings = random.dirichlet(np.ones(SLOTS), size=(2, 3))
    state = {"bank": bank, "write": weightings[0], "read": weightings[1], "content": np.zeros((3, WIDTH))}
    state = {name: tf.constant(value, tf.float32) for name, value in state.items()}
    after, _ = layer.forward_step(tf.constant(outputs, tf.float32), state)
    for row in range(3):
        expected = reference(outputs[row], bank[row], weightings[:, row])
        for name, value in zip(("bank", "write", "read", "content"), expected, strict=True):
            np.testing.assert_allclose(after[name][row], value, atol=2e-6, err_msg=name)


def test_padding_writes_nothing_and_moves_no_head():
    layer = MemoryBank(SLOTS, WIDTH)
    layer.build()
    random = np.random.default_rng(2)
    start = layer.start(2)
    outputs = tf.constant(random.normal(size=(2, layer.num_outputs)), tf.float32)
    after, _ = layer.forward_step(outputs, start, tf.constant([[1.0], [0.0]]))
    for name in ("bank", "write", "read"):
        np.testing.assert_array_equal(after[name][1], start[name][1])
        assert np.abs(after[name][0] - start[name][0]).max() > 1e-3


def test_sequential_heads_write_slot_after_slot_and_read_the_first_one():
    layer = MemoryBank(SLOTS, WIDTH)
    layer.build()
    state, outputs = layer.start(1), tf.constant(layer.sequential_bias()[None])
    for step in range(1, SLOTS):
        state, _ = layer.forward_step(outputs, state)
        assert np.argmax(state["write"][0]) == step and np.max(state["write"][0]) > 0.7
        assert np.argmax(state["read"][0]) == 0 and np.max(state["read"][0]) > 0.7
    np.testing.assert_array_equal(model(heads="sequential").head_bias, layer.sequential_bias())


def test_a_softmax_over_binary_codes_is_a_sigmoid_for_each_digit():
    codes, logits = binary_codes(8), np.array([0.3, -1.2, 2.0])
    shares = softmax(codes @ logits)
    digits = 1 / (1 + np.exp(-logits))
    np.testing.assert_allclose(codes.T @ shares, digits, rtol=1e-6)
    np.testing.assert_allclose(shares[5], digits[0] * (1 - digits[1]) * digits[2], rtol=1e-6)
    assert binary_codes(260).shape == (260, 9) and binary_codes(256).shape == (256, 8)


def model(**options):
    small = {"units": 6, "slots": SLOTS, "slot_size": WIDTH, "embedding_size": 3}
    ids = {"kind": "ids", "vocab_size": 13, "max_length": 20}
    return ntm.build(ntm.Config(**{**small, **options}), Sizes({"source": ids}, "target", ids), seed=1)


def test_a_controller_that_does_not_read_the_answer_answers_from_its_memory_alone():
    source = tf.constant([[4, 5, 6, 3]])
    for reads_answer in (True, False):
        built = model(embedding="binary", reads_answer=reads_answer)
        one, other = (built({"source": source}, tf.constant([[2, token, 5]]))[0, 1:] for token in (4, 9))
        assert (np.abs(one - other).max() > 1e-6) == reads_answer


def test_attention_is_where_each_token_was_written():
    built = model()
    memory = built.encode({"source": tf.constant([[4, 5, 3, 0]])})
    _, state, attention = built.step(built.start(memory), tf.constant([2]))
    shares = memory["written"][0].numpy() @ state["slots"]["read"][0].numpy()
    np.testing.assert_allclose(attention[0], shares / shares.sum(), atol=1e-5)
    assert attention[0, 3] == 0 and attention[0, :3].numpy().sum() == pytest.approx(1, abs=1e-3)


def test_features_other_than_ids_are_refused():
    ids = {"kind": "ids", "vocab_size": 13, "max_length": 20}
    with pytest.raises(ConfigError, match="ntm: needs source features of kind 'ids', found 'sparse'"):
        ntm.build(ntm.Config(), Sizes({"source": {"kind": "sparse", "dim": 5}}, "target", ids), seed=1)
