"""Options of a search, in Python and in the SavedModel: prefix, phrases, a list of answers, samples."""

import numpy as np
import pytest
import tensorflow as tf
import tiny

from textpipe.config.sections import Plugin
from textpipe.servable import writer
from textpipe.servable.graph import Servable
from textpipe.training import losses

TEXTS = ["the dog 5 is red", "the old house 77 is green", "a cat"]
# Not normalized: double blanks and a decomposed umlaut, which are normalized like the targets of training.
LIST = ["das Haus 7 ist alt", "das  Haus 7 ist gru\u0308n ", "der Hund", "das Auto 12 ist rot", "", "Katze"]


@pytest.fixture(scope="module")
def paths(tmp_path_factory):
    folder = tmp_path_factory.mktemp("generator")
    tables = {**tiny.GENERATOR, "normalize": {"steps": ["unicode", "whitespace"]}}
    return tiny.build(folder / "built", tables, tiny.generator_rows(folder / "rows.tsv"), until="train")


def served(paths, folder, **decode):
    """A servable and its loaded SavedModel."""
    servable = Servable.load(paths, "translate", Plugin.check("decoding", {"max_length": 12, **decode}))
    writer.save(servable, folder)
    return servable, tf.saved_model.load(str(folder))


def ask(servable, signatures, **texts):
    """The answers of the signature `options`, which must be the same in Python and in the SavedModel."""
    inputs = {name: tf.convert_to_tensor(value) for name, value in servable.output.defaults().items()}
    inputs |= {"source": tf.constant(TEXTS)} | {name: tf.constant(value) for name, value in texts.items()}
    outputs = {name: value.numpy() for name, value in servable.output.answer_with_options(inputs).items()}
    for name, value in signatures["options"](**inputs).items():
        if value.dtype == tf.string:
            np.testing.assert_array_equal(value, outputs[name])
        else:
            np.testing.assert_allclose(value, outputs[name], rtol=1e-4)
    return [[text.decode() for text in row] for row in outputs["texts"]], outputs["scores"]


def test_each_row_can_have_a_prefix_and_phrases(paths, tmp_path):
    servable, loaded = served(paths, tmp_path / "model", kind="constrained", beam_size=3)
    texts, scores = ask(
        servable, loaded.signatures, prefix=["das  alte ", "", "Ka"], constraints=["rot\ngru\u0308n", "Auto 9", ""]
    )
    for text, score in zip(texts[0], scores[0], strict=True):
        assert score == np.float32(-1e9) or (text.startswith("das alte") and " rot" in text and " grün" in text)
    assert scores[:, 0].min() > -1e9
    assert all(" Auto 9" in f" {text}" for text, score in zip(texts[1], scores[1], strict=True) if score > -1e9)
    assert all(text.startswith("Ka") for text in texts[2])
    # One text for all rows; without any, the answers are those of the plain signature.
    assert all(
        text.startswith("der") for row in ask(servable, loaded.signatures, prefix=["der"])[0] for text in row if text
    )
    plain = servable.output.nbest({"source": tf.constant(TEXTS)})
    texts, scores = ask(servable, loaded.signatures)
    assert [[text.decode() for text in row] for row in plain["texts"].numpy()] == texts


def test_a_list_of_answers_is_saved_with_the_model(paths, tmp_path):
    file = tmp_path / "answers.txt"
    file.write_text("\n".join(LIST), encoding="utf-8")
    servable, loaded = served(
        paths,
        tmp_path / "model",
        kind="beam",
        beam_size=5,
        length_penalty=0.0,
        rules=[{"kind": "trie", "file": str(file)}],
    )
    allowed = ["das Haus 7 ist alt", "das Haus 7 ist grün", "der Hund", "das Auto 12 ist rot", "Katze"]
    texts, scores = ask(servable, loaded.signatures, prefix=["das", "der", ""])
    assert sorted(text for text in texts[0] if text) == sorted(text for text in allowed if text.startswith("das"))
    assert texts[1][0] == "der Hund" and scores[1, 1] == -1e9

    file.unlink()
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    nbest = loaded.signatures["nbest"](source=tf.constant(TEXTS))
    # Scores of each text of the list, by teacher forcing.
    source = servable.inputs({"source": tf.constant(TEXTS)})
    logs = []
    for text in allowed:
        ids = servable.encode("target", tf.constant([text] * len(TEXTS)))
        logits = servable.model(source, losses.shift_right(ids, servable.model.start_id), training=False)
        tokens = tf.gather(tf.nn.log_softmax(logits), ids, axis=2, batch_dims=2).numpy()
        logs.append(np.where(ids.numpy() != 0, tokens, 0).sum(axis=1))
    logs = np.stack(logs, axis=1)
    for row, order in enumerate(np.argsort(-logs, axis=1)):
        assert [text.decode() for text in nbest["texts"][row].numpy()] == [allowed[index] for index in order]
        np.testing.assert_allclose(nbest["scores"][row], logs[row, order], rtol=1e-4)


def test_samples_depend_only_on_text_and_seed(paths, tmp_path):
    servable, loaded = served(paths, tmp_path / "model", kind="sample", num_samples=4, top_k=50)
    texts, _ = ask(servable, loaded.signatures)
    assert texts == ask(servable, loaded.signatures)[0] != ask(servable, loaded.signatures, seed=2)[0]
    alone = loaded.signatures["nbest"](source=tf.constant(TEXTS[1:2]))["texts"].numpy()
    assert [text.decode() for text in alone[0]] == texts[1]
    assert len(set(texts[0])) > 1
