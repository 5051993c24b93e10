"""The graph from raw text to answers, compared with vectorize and the model, on any text."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.config.sections import Plugin
from textpipe.data import shards
from textpipe.savedmodel import loader, model_rows
from textpipe.servable.graph import Servable
from textpipe.training import losses

TRYING = [b"", b" \t\n", b"\xff\xfe broken \xc3", "👩‍👩‍👧 ok\u0000end".encode(), b"please tell me " * 400]


@pytest.fixture(scope="module", name="classifier")
def loaded_classifier(classifier):
    return classifier, Servable.load(classifier, "classify")


@pytest.fixture(scope="module", name="generator")
def loaded_generator(generator):
    return generator, Servable.load(generator, "translate", Plugin.check("decoding", tiny.GENERATOR["decode"]))


def call(servable, signature, texts, **others):
    name = "inputs" if signature == "classify" else servable.source
    given = {name: tf.constant(texts, tf.string)} | (servable.output.defaults() if signature == "options" else {})
    given |= {key: tf.constant(value, given[key].dtype if key in given else None) for key, value in others.items()}
    return {key: value.numpy() for key, value in servable.signature(signature)(**given).items()}


def columns(folder, split, names):
    batches = list(shards.read(folder, split, names))
    return [[value for batch in batches for value in batch.column(name).to_pylist()] for name in names]


def test_signature_inputs_are_named_after_the_fields(classifier, generator):
    generating = {"nbest", "answer_until", "nbest_until", "attention", "options", "begin", "advance"}
    for (_, servable), names in ((classifier, {"classify"}), (generator, generating)):
        signatures = servable.signatures()
        assert set(signatures) == {"serving_default", "features", "score", "tokens"} | names
        for name, function in signatures.items():
            if name == "advance":  # takes the outputs of `begin`
                assert set(loader.input_specs(function)) == set(signatures["begin"].structured_outputs)
                continue
            inputs = {"classify": ["inputs"], "score": [servable.source, servable.target]}
            inputs |= {"tokens": inputs["score"]} if servable.target == "target" else {}
            expected = {key: tf.TensorSpec([None], tf.string, name=key) for key in inputs.get(name, [servable.source])}
            if name == "options":
                expected["prefix"] = tf.TensorSpec([None], tf.string, name="prefix")
                numbers = {"beam_size": tf.int32, "length_penalty": tf.float32, "max_length": tf.int32}
                numbers |= {"max_ratio": tf.float32, "max_extra": tf.int32, "min_length": tf.int32}
                numbers |= {"coverage_penalty": tf.float32, "patience": tf.float32, "deadline": tf.float64}
                expected |= {key: tf.TensorSpec([], dtype, name=key) for key, dtype in numbers.items()}
            if name.endswith("_until"):
                expected["deadline"] = tf.TensorSpec([], tf.float64, name="deadline")
            assert loader.input_specs(function) == expected


def test_raw_text_gives_the_ids_that_vectorize_wrote(generator):
    paths, servable = generator
    for split in shards.SPLITS:
        (texts,) = columns(paths["ingest"], split, ["source"])
        (ids,) = columns(paths["vectorize"], split, ["source"])
        found = call(servable, "features", texts)["ids"]
        assert [[token for token in row if token] for row in found.tolist()] == ids and texts


def test_raw_text_gives_the_sparse_rows_that_vectorize_wrote(classifier):
    paths, servable = classifier
    (texts,) = columns(paths["ingest"], "test", ["text"])
    indices, values = columns(paths["vectorize"], "test", ["text.indices", "text.values"])
    found = call(servable, "features", texts)
    for at, (expected, weights) in enumerate(zip(indices, values, strict=True)):
        real = found["indices"][at] >= 0
        assert found["indices"][at][real].tolist() == expected
        np.testing.assert_array_equal(found["values"][at][real], np.float32(weights))
        assert not found["values"][at][~real].any()


def test_a_classifier_answers_with_its_most_probable_label(classifier):
    paths, servable = classifier
    (texts,) = columns(paths["ingest"], "test", ["text"])
    found = call(servable, "serving_default", texts)
    np.testing.assert_allclose(found["probabilities"].sum(axis=1), 1, rtol=1e-6)
    assert [row.tolist() for row in found["labels"]] == [[b"no", b"yes"]] * len(texts)
    best = found["probabilities"].argmax(axis=1)
    assert found["answer"].tolist() == [[b"no", b"yes"][at] for at in best]
    np.testing.assert_array_equal(found["score"], found["probabilities"].max(axis=1))
    assert set(found["answer"].tolist()) == {b"no", b"yes"}


def test_one_logit_is_the_log_odds_of_the_second_class(classifier):
    paths, servable = classifier
    (texts,) = columns(paths["ingest"], "test", ["text"])
    logits = servable.model(servable.inputs({"text": tf.constant(texts)}), training=False).numpy()
    assert logits.shape == (len(texts), 1)
    probabilities = call(servable, "serving_default", texts)["probabilities"]
    np.testing.assert_allclose(np.log(probabilities[:, 1] / probabilities[:, 0]), logits[:, 0], rtol=1e-3, atol=1e-5)


def test_examples_are_classified_like_their_texts(classifier):
    _, servable = classifier
    texts = [b"could you send the plan 3", b"thank you for the report 7", b""]
    examples = model_rows.to_examples({"text": texts})
    without_text = tf.train.Example().SerializeToString()
    found = call(servable, "classify", [*examples, without_text])
    expected = call(servable, "serving_default", [*texts, b""])
    np.testing.assert_array_equal(found["scores"], expected["probabilities"])
    np.testing.assert_array_equal(found["classes"], expected["labels"])


def test_no_rows_give_no_rows(classifier, generator):
    for _, servable in (classifier, generator):
        for name in servable.signatures():
            if name == "advance":
                state = servable.signature("begin")(**{servable.source: tf.constant([], tf.string)})
                found = {key: value.numpy() for key, value in servable.signature(name)(**state).items()}
            else:
                paired = name == "score" or (name == "tokens" and servable.target == "target")
                others = {servable.target: np.array([], object)} if paired else {}
                others |= {"deadline": np.float64(0)} if name.endswith("_until") else {}
                found = call(servable, name, np.array([], object), **others)
            for key, value in found.items():
                assert value.shape[0] == 0, (name, key)
    assert call(classifier[1], "serving_default", np.array([], object))["labels"].shape == (0, 2)


def test_any_bytes_are_answered(classifier, generator):
    for _, servable in (classifier, generator):
        found = call(servable, "serving_default", TRYING)
        assert len(found["answer"]) == len(TRYING) and np.isfinite(found["score"]).all()
        for answer in found["answer"]:
            answer.decode()


def test_bytes_that_are_not_utf8_are_answered_as_replacement_characters(generator):
    _, servable = generator
    broken, mended = call(servable, "features", [b"the \xff dog \xc3 5", "the \ufffd dog \ufffd 5".encode()])["ids"]
    np.testing.assert_array_equal(broken, mended)


def test_a_long_text_is_truncated_as_in_training(generator):
    _, servable = generator
    ids = call(servable, "features", [b"the red dog " * 500])["ids"]
    assert ids.shape == (1, 24) and ids[0, -1] == 3 and (ids[0, :-1] != 3).all()


def test_an_answer_does_not_depend_on_the_other_rows_of_the_batch(classifier, generator):
    for _, servable in (classifier, generator):
        texts = [b"the dog 5 is red", b"", b"please tell me the plan and the house 77 is very old and green"]
        together = call(servable, "serving_default", texts)
        for at, text in enumerate(texts):
            alone = call(servable, "serving_default", [text])
            assert alone["answer"][0] == together["answer"][at]
            np.testing.assert_allclose(alone["score"][0], together["score"][at], rtol=1e-5)


def test_the_best_of_n_is_the_answer_and_the_others_are_worse(generator):
    _, servable = generator
    texts = ["the dog 5 is red", "the old house"]
    answer, found = call(servable, "serving_default", texts), call(servable, "nbest", texts)
    assert found["texts"].shape == found["scores"].shape == (2, 3)
    np.testing.assert_array_equal(found["texts"][:, 0], answer["answer"])
    np.testing.assert_array_equal(found["scores"][:, 0], answer["score"])
    assert (np.diff(found["scores"], axis=1) <= 0).all()


def test_options_override_the_settings_of_the_decoder(generator):
    paths, servable = generator
    texts = [b"the dog 5 is red", b"", b"the old house 3"]
    standard, found = call(servable, "nbest", texts), call(servable, "options", texts)
    for name in standard:
        np.testing.assert_array_equal(found[name], standard[name])
    tried = {"beam_size": 7, "length_penalty": 0.3, "max_length": 5, "min_length": 2}
    other = Servable.load(paths, "translate", Plugin.check("decoding", {"kind": "beam", **tried}))
    expected, found = call(other, "nbest", texts), call(servable, "options", texts, **tried)
    assert found["texts"].shape == (3, 7)
    np.testing.assert_array_equal(found["texts"], expected["texts"])
    np.testing.assert_allclose(found["scores"], expected["scores"], rtol=1e-5)


def test_a_score_is_the_log_probability_under_the_model(generator):
    # Independent of stepping: force the answer through the model at once and add up its tokens' log-probabilities.
    _, servable = generator
    source = servable.inputs({"source": tf.constant(["the dog 5 is red", "the old house is green"])})
    found = servable.output.generate(source)
    ids = found["ids"][:, 0]
    logits = servable.model(source, losses.shift_right(ids, servable.model.start_id), training=False)
    tokens = tf.gather(tf.nn.log_softmax(logits), ids, axis=2, batch_dims=2).numpy()
    total = np.where(ids.numpy() != 0, tokens, 0).sum(axis=1)
    np.testing.assert_allclose(found["log_probs"][:, 0], total, rtol=1e-4)


def test_attention_has_a_weight_for_each_pair_of_tokens(generator):
    _, servable = generator
    texts = ["the dog 5 is red", "the old house", ""]
    found, ids = call(servable, "attention", texts), call(servable, "features", texts)["ids"]
    weights = found["weights"]
    assert weights.shape == (3, found["target_tokens"].shape[1], ids.shape[1])
    assert found["source_tokens"].shape == ids.shape
    padding = ids == 0
    assert padding.any() and not weights[np.broadcast_to(padding[:, None, :], weights.shape)].any()
    for row, aligned in enumerate(found["alignment"]):
        real = weights[row].sum(axis=1) > 0
        np.testing.assert_array_equal(aligned[real], weights[row][real].argmax(axis=1))
        assert np.all(aligned[~real] == -1)
    answered = weights.sum(axis=2)  # 1 where the answer has a token, 0 behind its end
    assert set(np.round(answered, 5).ravel().tolist()) <= {0.0, 1.0} and (answered[:, 0] > 0.9).all()
    assert b"".join(found["source_tokens"][0]).decode().replace("▁", " ").startswith(" the dog 5 is red</s>")


def test_a_streamed_answer_ends_as_the_greedy_one(generator):
    paths, servable = generator
    greedy = Servable.load(paths, "translate", Plugin.check("decoding", {"kind": "greedy", "max_length": 8}))
    (texts,) = columns(paths["ingest"], "test", ["source"])
    texts = [text.encode() for text in texts[:20]] + [b"", b"x"]
    expected = call(greedy, "serving_default", texts)["answer"].tolist()
    state = servable.signature("begin")(**{servable.source: tf.constant(texts)})
    advance = servable.signature("advance")
    for step in range(1, 9):
        found = advance(**{name: state[name] for name in loader.input_specs(advance)})
        assert found["ids"].shape == (len(texts), step)
        state = found
        if found["done"].numpy().all():
            break
    assert found["done"].numpy().all()
    assert found["text"].numpy().tolist() == expected


def test_source_and_target_tokens_are_counted(generator):
    _, servable = generator
    source, target = ["the house 3 is red", "", "\u65e5"], ["das Haus", "x", ""]
    found = call(servable, "tokens", [text.encode() for text in source], target=[text.encode() for text in target])
    for key, field, texts in (("source_tokens", "source", source), ("target_tokens", "target", target)):
        ids = servable.features[field].codec.encode(servable.clean(field, tf.constant(texts)))
        assert found[key].tolist() == ids.row_lengths().numpy().tolist()
    assert found["source_unknown"].tolist() == [0, 0, 3]  # three bytes spell what no piece has
