"""A session of TensorFlow's C API answers as its Python package does, without importing it."""

import ctypes
import logging
import threading

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_text

from textpipe.errors import ModelError
from textpipe.runtime import c_api, environment, tensorflow_library, text_ops
from textpipe.savedmodel import calls, messages, runtimes, session
from textpipe.savedmodel.loader import Model

TEXTS = np.array([b"", b"A", b"x" * 22, b"X" * 23, "Grün \0 Straße".encode() * 90], object)
NUMBERS = ("float32", "float64", "float16", "bfloat16", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64",
           "bool", "complex64", "complex128")  # fmt: skip


class Served(tf.Module):
    """Signatures with a variable, a table filled from an asset, an op of TensorFlow Text, and every type."""

    def __init__(self, vocabulary):
        super().__init__()
        self.weights = tf.Variable(tf.range(12.0))
        keys = tf.lookup.TextFileInitializer(vocabulary, tf.string, 0, tf.int64, tf.lookup.TextFileIndex.LINE_NUMBER)
        self.table = tf.lookup.StaticHashTable(keys, -1)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def serve(self, text):
        folded = tensorflow_text.case_fold_utf8(text)
        lengths = tf.strings.length(text)
        return {
            "answer": folded,
            "score": tf.gather(self.weights, lengths % 12),
            "number": self.table.lookup(text),
            "labels": tf.tile([["no", "a label of more than 22 bytes"]], [tf.size(text), 1]),
            "first": tf.strings.reduce_join(text),
            "none": folded[:0],
        }

    @tf.function(input_signature=[tf.TensorSpec([None, 2], dtype, dtype) for dtype in NUMBERS])
    def numbers(self, *values):
        return {dtype: tf.identity(value)[:, ::-1] for dtype, value in zip(NUMBERS, values, strict=True)}

    @tf.function(input_signature=[tf.TensorSpec([], tf.int32, "rows")])
    def check(self, rows):
        with tf.control_dependencies([tf.debugging.assert_less(rows, 3, "option rows must be less than 3")]):
            return {"doubled": tf.identity(rows) * 2}


class Doubled(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def double(self, text):
        return {"answer": text + text}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    place = tmp_path_factory.mktemp("served")
    (place / "words.txt").write_text("A\nB\n")
    model = Served(str(place / "words.txt"))
    signatures = {"serving_default": model.serve, "numbers": model.numbers, "check": model.check}
    tf.saved_model.save(model, str(place / "model"), signatures=signatures)
    (place / "words.txt").unlink()
    return place / "model"


@pytest.fixture(scope="module")
def pair(folder):
    """The model in a session, and in Python."""
    return tuple(Model.load(folder, runtime=runtime) for runtime in ("session", "python"))


def assert_same(answers, expected):
    assert list(answers) == list(expected)
    for name, array in expected.items():
        assert (answers[name].dtype, answers[name].shape) == (array.dtype, array.shape), name
        assert answers[name].tolist() == array.tolist(), name


def test_texts_are_answered_as_in_python(pair):
    assert isinstance(pair[0].loaded, session.Session) and not isinstance(pair[1].loaded, session.Session)
    for texts in (TEXTS, TEXTS[:0], TEXTS[:1]):
        answers, expected = (calls.call(model.signatures["serving_default"], {"text": texts}) for model in pair)
        assert_same(answers, expected)
    assert answers["number"].tolist() == [-1] and answers["first"].shape == ()


def test_every_type_is_passed_as_in_python(pair):
    arrays = {name: np.array([[0, 1], [1, 0], [1, 1]]).astype(tf.as_dtype(name).as_numpy_dtype) for name in NUMBERS}
    assert_same(*(calls.call(model.signatures["numbers"], arrays) for model in pair))


def test_a_model_is_described_as_in_python(pair):
    for name in ("fields", "dtypes", "described", "input_defaults", "about"):
        assert getattr(pair[0], name) == getattr(pair[1], name)
    for name, function in pair[1].signatures.items():
        loaded = pair[0].signatures[name]
        for specs in (lambda item: item.structured_input_signature[1], lambda item: item.structured_outputs):
            assert {key: (spec.dtype.name, spec.shape.as_list()) for key, spec in specs(loaded).items()} == {
                key: (spec.dtype.name, spec.shape.as_list()) for key, spec in specs(function).items()
            }


def test_an_exported_model_answers_as_in_python(generator):
    models = [Model.load(generator["export"] / "model", runtime=runtime) for runtime in ("session", "python")]
    texts = [f"the {word} {number} is red" for number in range(20) for word in ("house", "dog", "cat")]
    for settings in ({}, {"options": {"beam_size": "3", "length_penalty": "0.5"}}, {"signature": "nbest"}):
        answers, expected = (model.predict(texts, **settings) for model in models)
        for row, wanted in zip(answers, expected, strict=True):
            assert row.keys() == wanted.keys()
            for name, value in wanted.items():
                # Of the kernels of training, oneDNN's, not all are the same.
                assert row[name] == (value if name in ("answer", "texts") else pytest.approx(value, rel=1e-5)), name
    with pytest.raises(ModelError, match="option beam_size must be at least 1, found -1"):
        models[0].predict(texts, options={"beam_size": -1})
    assert models[0].option_defaults() == models[1].option_defaults()
    for model in models:
        with pytest.raises(ModelError, match="'score' also needs target, but predict passes only source"):
            model.predict(texts, signature="score")


def test_a_refused_value_has_the_code_and_the_words_of_the_graph(pair):
    for model in pair:
        check = model.signatures["check"]
        assert calls.call(check, {"rows": np.array(2, np.int32)}) == {"doubled": 4}
        with pytest.raises(c_api.CallError, match="option rows must be less than 3") as caught:
            calls.call(check, {"rows": np.array(3, np.int32)})
        assert caught.value.code == tf.errors.INVALID_ARGUMENT
    for array, words in ((np.array(2.0), "expected int32, found float64"), (TEXTS, "expected int32, found string")):
        with pytest.raises(ValueError, match=words):
            pair[0].signatures["check"].run({"rows": array})
    for cell in (0, None, 1.5, ["a"]):
        with pytest.raises(ValueError, match="expected a text, found"):
            pair[0].signatures["serving_default"].run({"text": np.array([b"a", cell], object)})
    for arrays in ({}, {"text": TEXTS, "rows": np.array(3)}):
        with pytest.raises(TypeError, match="serving_default takes text, found"):
            pair[0].signatures["serving_default"].run(arrays)


def test_out_of_memory_is_a_failure_of_the_machine():
    message, code = environment.explain(c_api.CallError(tf.errors.RESOURCE_EXHAUSTED, "no memory for a tensor"))
    assert message.startswith("out of memory: no memory for a tensor") and code == environment.RESOURCE_ERROR
    assert environment.explain(c_api.CallError(tf.errors.INTERNAL, "a bug")) is None


def test_a_signature_is_added_when_it_is_called_first(folder):
    loaded = session.Session(folder, messages.read_saved_model(folder))
    before = set(loaded.nodes)
    function = loaded.signatures["check"]
    function.run({"rows": np.array(1, np.int32)})
    added = loaded.nodes - before
    assert added and not any("text" in name for name in added)
    function.run({"rows": np.array(1, np.int32)})
    assert loaded.nodes - before == added
    assert_same(*(item.signatures["serving_default"].run({"text": TEXTS}) for item in (loaded, loaded)))


def test_threads_may_call_at_once_also_the_first_time(folder):
    loaded = session.Session(folder, messages.read_saved_model(folder))
    expected = {length: [text.decode().casefold().encode() for text in TEXTS[:length]] for length in range(5)}
    differing, start = [], threading.Barrier(4)

    def ask(length):
        start.wait()
        for _ in range(50):
            answers = loaded.signatures["serving_default"].run({"text": TEXTS[:length]})["answer"].tolist()
            doubled = loaded.signatures["check"].run({"rows": np.array(length % 3, np.int32)})["doubled"]
            if answers != expected[length] or doubled != length % 3 * 2:
                differing.append((length, answers, doubled))

    workers = [threading.Thread(target=ask, args=(length,)) for length in range(1, 5)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not differing


def test_without_the_library_the_python_package_answers_after_a_warning(folder, monkeypatch, caplog):
    def missing():
        raise tensorflow_library.Unavailable("no libtensorflow_cc.so.2")

    monkeypatch.setattr(c_api, "library", missing)
    with caplog.at_level(logging.WARNING):
        model = Model.load(folder, runtime="session")
    assert not isinstance(model.loaded, session.Session) and "no libtensorflow_cc.so.2" in caplog.text
    assert calls.call(model.signatures["serving_default"], {"text": TEXTS[1:2]})["answer"].tolist() == [b"a"]


def test_a_library_without_a_function_is_unavailable(monkeypatch):
    monkeypatch.setitem(c_api.SHORT_FUNCTIONS, "TF_Renamed", (None,))
    with pytest.raises(tensorflow_library.Unavailable, match="TF_Renamed"):
        c_api.library.__wrapped__()


def test_a_model_without_a_default_signature_is_left_to_python(tmp_path, caplog):
    model = Doubled()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures={"only": model.double})
    loaded = Model.load(tmp_path / "model", runtime="session")
    assert not isinstance(loaded.loaded, session.Session) and "no signature 'serving_default'" in caplog.text


def test_damaged_variables_are_refused_as_in_python(folder, tmp_path):
    copy = tmp_path / "model"
    for path in folder.rglob("*"):
        if path.is_file():
            target = copy / path.relative_to(folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_bytes(path.read_bytes())
    (copy / "variables/variables.data-00000-of-00001").write_bytes(b"short")
    reasons = []
    for runtime in ("session", "python"):
        with pytest.raises(ModelError, match="cannot be loaded as a SavedModel") as caught:
            runtimes.load(copy, runtime)
        reasons.append(str(caught.value))
    assert reasons[0] == reasons[1]


def test_an_op_that_no_library_registers_is_not_found():
    api = c_api.library()
    graph = api.NewGraph()
    with pytest.raises(c_api.CallError, match="NoSuchOp"):
        session.register_ops(api, graph, {"Identity", "NoSuchOp"})
    api.DeleteGraph(graph)


def test_the_table_of_tensorflow_text_says_what_its_libraries_register():
    from tensorflow.core.framework import op_def_pb2

    class Buffer(ctypes.Structure):
        _fields_ = (("data", ctypes.c_void_p), ("length", ctypes.c_size_t), ("deallocator", ctypes.c_void_p))

    api = c_api.library()
    list_ops = ctypes.CDLL(str(tensorflow_library.library_path())).TF_GetOpList
    list_ops.restype, list_ops.argtypes = Buffer, [ctypes.c_void_p]
    registered = {}
    for path in text_ops.libraries():
        found = list_ops(api.call(api.LoadLibrary, str(path).encode()))
        ops = op_def_pb2.OpList.FromString(ctypes.string_at(found.data, found.length))
        registered[path.stem] = {op.name for op in ops.op}
    assert registered == {name: set(ops) for name, ops in text_ops.OPS.items()}
    assert [path.stem for path in text_ops.libraries({"CaseFoldUTF8", "Identity"})] == ["_normalize_ops"]
