"""SavedModels of other tools and damaged ones: what a session cannot run is left to Python's loader or refused in words."""

import shutil

import numpy as np
import pytest
import tensorflow as tf

from textpipe.errors import ModelError
from textpipe.savedmodel import calls, messages, runtimes, session
from textpipe.savedmodel.loader import Model

TEXTS = np.array([b"a" * 100, b"b", b"", b"c" * 5000], object)


class Keeping(tf.Module):
    """Keeps what it was asked last, and fills a table from an asset."""

    def __init__(self, vocabulary):
        super().__init__()
        self.last = tf.Variable(["nothing"], dtype=tf.string, shape=tf.TensorShape([None]))
        keys = tf.lookup.TextFileInitializer(vocabulary, tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        self.table = tf.lookup.StaticHashTable(keys, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def ask(self, text):
        before = tf.identity(self.last.read_value())
        with tf.control_dependencies([before]):
            self.last.assign(text)
        return {"before": before, "number": self.table.lookup(text)}


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    place = tmp_path_factory.mktemp("keeping")
    (place / "words.txt").write_text("b\n")
    model = Keeping(str(place / "words.txt"))
    tf.saved_model.save(model, str(place / "model"), signatures={"serving_default": model.ask})
    return place / "model"


@pytest.fixture
def folder(saved, tmp_path):
    """A copy to be damaged."""
    return shutil.copytree(saved, tmp_path / "model")


def edit(folder, change):
    """Apply a function to the graph of a SavedModel."""
    message = messages.read_saved_model(folder)
    change(message.meta_graphs[0])
    (folder / "saved_model.pb").write_bytes(message.SerializeToString())


def test_texts_that_a_model_keeps_stay_its_own(folder):
    loaded = Model.load(folder, runtime="session")
    assert isinstance(loaded.loaded, session.Session)
    ask = loaded.signatures["serving_default"]
    calls.call(ask, {"text": TEXTS})
    answers = [calls.call(ask, {"text": texts})["before"].tolist() for texts in (TEXTS[::-1], TEXTS[:1])]
    assert answers == [TEXTS.tolist(), TEXTS[::-1].tolist()]


@pytest.mark.parametrize("runtime", ["session", "python"])
def test_a_file_that_is_missing_is_named(folder, runtime):
    shutil.rmtree(folder / "assets")
    with pytest.raises(ModelError, match=r"words\.txt; No such file"):
        runtimes.load(folder, runtime)
    shutil.rmtree(folder / "variables")
    with pytest.raises(ModelError, match="variables/variables"):
        runtimes.load(folder, runtime)


def test_an_empty_model_file_is_refused(folder):
    (folder / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ModelError, match="saved_model.pb: has no graph; export the model again"):
        Model.load(folder, runtime="session")


def rename_output(name):
    return lambda graph: setattr(graph.signature_def["serving_default"].outputs["number"], "name", name)


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (rename_output("StatefulPartitionedCall:one"), "not a tensor"),
        (rename_output("^StatefulPartitionedCall"), "not a tensor"),
        (rename_output("absent"), "not in the graph"),
        (lambda graph: graph.graph_def.node[-1].input.append("absent"), "no operation 'absent'"),
        (lambda graph: setattr(graph.signature_def["serving_default"].inputs["text"], "dtype", 99), "type 99"),
    ],
)
def test_a_graph_that_does_not_fit_its_signatures_is_left_to_python(folder, caplog, change, reason):
    edit(folder, change)
    loaded = Model.load(folder, runtime="session")
    assert not isinstance(loaded.loaded, session.Session) and reason in caplog.text
    assert calls.call(loaded.signatures["serving_default"], {"text": TEXTS[1:2]})["number"].tolist() == [0]
