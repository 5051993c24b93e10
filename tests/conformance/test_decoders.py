"""The contract of every decoder, over every model that generates text."""

import numpy as np
import pytest
import tensorflow as tf

from textpipe.config import plugins
from textpipe.config.sections import Plugin

MAX_LENGTH = 8
ABSENT = -1e9  # the score of an absent answer


@pytest.fixture(scope="module")
def answers():
    """(model, source, found) by generator and decoder; each is traced once for all tests here."""
    made = {}

    def of(generator, decoder):
        if (generator.name, decoder) not in made:
            model, source = generator.random(), generator.inputs()[0]["source"]
            config = Plugin.check("decoding", {"kind": decoder, "max_length": MAX_LENGTH})
            decode = tf.function(
                lambda source: plugins.find("decoding", decoder).decode(model, {"source": source}, config),
                input_signature=[
                    tf.TensorSpec([None, *source.shape[1:]] if source.ndim > 2 else [None, None], source.dtype)
                ],
                autograph=False,  # as the exported signatures are traced
            )
            made[generator.name, decoder] = model, source, decode, decode(source)
        return made[generator.name, decoder]

    return of


def test_answers_are_tokens_then_the_end_then_padding(generator, decoder, answers):
    model, source, _, found = answers(generator, decoder)
    ids = found["ids"].numpy()
    assert ids.shape[0] == len(source)
    assert ids.shape[2] <= MAX_LENGTH
    # A row has a best answer, and possibly fewer others than requested.
    there = found["scores"].numpy() > ABSENT
    assert there[:, 0].all()
    assert not ids[~there].any()
    for row in ids[there]:
        length = row.tolist().index(model.end_id) + 1
        assert np.all(row[length:] == model.pad_id)
        assert not {model.pad_id, model.start_id} & set(row[:length].tolist())


def test_answers_of_a_row_differ_and_are_sorted(generator, decoder, answers):
    _, _, _, found = answers(generator, decoder)
    assert np.all(np.diff(found["scores"].numpy(), axis=1) <= 0)
    for row, scores in zip(found["ids"].numpy(), found["scores"].numpy(), strict=True):
        there = row[scores > ABSENT]
        assert len({tuple(ids) for ids in there}) == len(there)


def test_the_reported_log_probability_is_that_of_the_teacher_forced_model(generator, decoder, answers):
    model, source, _, found = answers(generator, decoder)
    rows, beams, length = found["ids"].shape
    ids = found["ids"].numpy().reshape(rows * beams, length)
    target_in = np.concatenate([np.full((rows * beams, 1), model.start_id, "int32"), ids[:, :-1]], axis=1)
    logits = model({"source": np.repeat(source, beams, axis=0)}, target_in, training=False).numpy().astype("float64")
    log_probs = logits - np.log(np.exp(logits).sum(axis=-1, keepdims=True))
    chosen = np.take_along_axis(log_probs, ids[:, :, None], axis=2)[:, :, 0]
    expected = np.where(ids == model.pad_id, 0, chosen).sum(axis=1).reshape(rows, beams)
    there = found["scores"].numpy() > ABSENT
    np.testing.assert_allclose(found["log_probs"].numpy()[there], expected[there], atol=5e-5)
    np.testing.assert_array_equal(found["log_probs"].numpy()[~there], ABSENT)


def test_attention_is_that_of_the_model_along_each_answer(generator, decoder, answers):
    model, source, _, found = answers(generator, decoder)
    rows, beams, length = found["ids"].shape
    ids = found["ids"].numpy().reshape(rows * beams, length)
    state, last = (
        model.start(model.encode({"source": np.repeat(source, beams, axis=0)})),
        np.full(rows * beams, model.start_id),
    )
    for position in range(length):
        _, state, weights = model.step(state, last.astype("int32"))
        last = ids[:, position]
        expected = np.where((last != model.pad_id)[:, None], weights, 0)
        got = found["attention"].numpy()[:, :, position].reshape(rows * beams, -1)
        np.testing.assert_allclose(got, expected, atol=1e-5)


def test_each_row_alone_gets_the_same_answer_as_in_the_batch(generator, decoder, answers):
    _, source, decode, found = answers(generator, decoder)
    for row in range(len(source)):
        width = np.count_nonzero(source[row]) if source.ndim == 2 else None  # without padding
        alone = decode(source[row : row + 1, :width])
        length = alone["ids"].shape[2]
        np.testing.assert_array_equal(alone["ids"][0], found["ids"][row, :, :length])
        assert not np.any(found["ids"][row, :, length:])
        np.testing.assert_allclose(alone["scores"][0], found["scores"][row], atol=2e-5)
