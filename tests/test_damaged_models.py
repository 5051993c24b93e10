"""SavedModels of other tools and damaged ones: what a session cannot run is left to Python's loader or refused in words."""

import shutil

import numpy as np
import pytest
import tensorflow as tf
from click.testing import CliRunner

from textpipe import cli
from textpipe.errors import ModelError
from textpipe.savedmodel import calls, manifest, messages, runtimes, session
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


@pytest.fixture
def listed(folder):
    """A version whose files are listed in a manifest."""
    manifest.write(folder)
    return folder


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


@pytest.mark.parametrize(
    ("harm", "words"),
    [
        (lambda folder: (folder / "manifest.json").write_text("{"), "manifest.json: cannot be read"),
        (lambda folder: (folder / "manifest.json").write_text("{}"), "manifest.json: cannot be read"),
        (lambda folder: truncate(folder / "saved_model.pb"), "saved_model.pb: has"),
        (lambda folder: (folder / "saved_model.pb").write_bytes(b""), "saved_model.pb: has 0 bytes"),
        (lambda folder: (folder / "assets/words.txt").write_text("c\n"), "assets/words.txt: is not the file"),
        (lambda folder: (folder / "textpipe.json").write_text("{"), "textpipe.json: is not in the manifest"),
    ],
)
def test_doctor_reports_the_damage_for_which_predict_refuses_a_model(listed, harm, words):
    sound = CliRunner().invoke(cli.main, ["doctor", str(listed)])
    assert sound.exit_code == 0 and "textpipe serve: loads it" in sound.stdout
    harm(listed)
    with pytest.raises(ModelError, match=words):
        Model.load(listed, runtime="session")
    done = CliRunner().invoke(cli.main, ["doctor", str(listed)])
    assert done.exit_code == 2
    assert "fault  " in done.output and words in done.output and "loads it" not in done.output


def test_doctor_reports_a_truncated_graph_of_a_model_without_a_manifest(folder):
    truncate(folder / "saved_model.pb")
    done = CliRunner().invoke(cli.main, ["doctor", str(folder)])
    assert done.exit_code == 2 and "saved_model.pb: cannot be read" in done.output
