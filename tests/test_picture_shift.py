"""Pictures are moved in training only, each by its own random distance, and their edges are repeated."""

import functools

import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from textpipe.config.sections import Plugin
from textpipe.encoders import image
from textpipe.layers.picture_shift import PictureShift, sources

SIZE = {"height": 12, "width": 10, "channels": 3}


def pictures(count):
    return np.random.default_rng(1).integers(1, 256, (count, *SIZE.values())).astype(np.uint8)


def test_the_edge_is_repeated():
    row = np.array([1, 2, 3])
    for move, expected in ((1, [1, 1, 2]), (-1, [2, 3, 3]), (0, [1, 2, 3]), (9, [1, 1, 1])):
        places = ops.convert_to_numpy(sources(ops.convert_to_tensor([[move]]), 3))[0]
        np.testing.assert_array_equal(row[places], expected)


def test_each_picture_is_moved_by_its_own_distance():
    given, layer, limit = pictures(40), PictureShift(2, seed=1), 2
    traced = tf.function(functools.partial(layer, training=True), input_signature=[tf.TensorSpec([None] * 4, tf.uint8)])
    moved = ops.convert_to_numpy(traced(given))
    assert moved.dtype == np.uint8
    found = []
    for before, after in zip(given, moved, strict=True):
        padded = np.pad(before, ((limit, limit), (limit, limit), (0, 0)), mode="edge")
        places = [
            (y, x)
            for y in range(2 * limit + 1)
            for x in range(2 * limit + 1)
            if np.array_equal(padded[y : y + SIZE["height"], x : x + SIZE["width"]], after)
        ]
        assert len(places) == 1, places
        found += places
    assert {y for y, _ in found} == {x for _, x in found} == set(range(5))
    assert not np.array_equal(moved, ops.convert_to_numpy(layer(given, training=True)))


@pytest.mark.parametrize("shift", [0, 2])
def test_pictures_are_moved_in_training_only(shift):
    config = Plugin.check(
        "encoders", {"kind": "image", "patch": 2, "filters": [4], "blocks": 0, "dropout": 0, "shift": shift}
    )
    encoder = image.build(config, SIZE, seed=1)
    encoder.build()
    given = pictures(3)
    plain, trained = (ops.convert_to_numpy(encoder(given, training=training)[0]) for training in (False, True))
    assert np.array_equal(plain, trained) == (shift == 0)
    assert len(encoder.shift.variables) == (shift > 0)  # the state of the draws is in checkpoints
