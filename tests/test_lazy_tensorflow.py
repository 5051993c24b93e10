"""Answering imports none of TensorFlow's Python package, which can still be imported in the same process."""

import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf

from textpipe.runtime import dtypes, lazy_tensorflow
from textpipe.savedmodel import tfrecord


def run(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()


class Upper(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
    def serve(self, text):
        return {"answer": tf.strings.upper(text), "score": tf.cast(tf.strings.length(text), tf.float32)}


def test_a_prediction_imports_no_tensorflow_and_all_of_it_works_afterwards(tmp_path):
    model = Upper()
    tf.saved_model.save(model, str(tmp_path / "model"), signatures=model.serve)
    code = f"""
import sys
from textpipe.cli import main
main(["predict", {str(tmp_path / "model")!r}, "abc", "--json"], standalone_mode=False)
from textpipe.serve import server
from textpipe.serve.engine.model_version import Version
version = Version.load("upper", 1, __import__("pathlib").Path({str(tmp_path / "model")!r}))
from textpipe.runtime import lazy_tensorflow
heavy = ("tensorflow.python", "keras", "tensorflow_text", "pandas", "fastapi", "pydantic")
print([name for name in heavy if name in sys.modules], lazy_tensorflow.imported())
import inspect
import tensorflow as tf
assert not hasattr(tf, "__wrapped__") and inspect.getmodule(tf) is tf and not lazy_tensorflow.imported()
from tensorflow import strings
assert lazy_tensorflow.imported() and "keras" not in sys.modules and type(tf) is type(sys)
assert strings.upper(["x"]).numpy()[0] == b"X" and tf.__version__
from textpipe.savedmodel.loader import Model
print(Model.load({str(tmp_path / "model")!r}).predict(["abc"]))
import numpy as np
print(version.signatures["serving_default"].call({{"text": np.array([b"abc"], object)}}))
import keras, tensorflow_text
assert tf.keras.layers.Dense is keras.layers.Dense and tensorflow_text.case_fold_utf8(["A"]).numpy()[0] == b"a"
"""
    answer, heavy, in_python, in_session = run(code)
    assert answer == '{"answer": "ABC", "score": 3.0}'
    assert heavy == "[] False"
    assert in_python == "[{'answer': 'ABC', 'score': 3.0}]"
    assert in_session == "{'answer': array([b'ABC'], dtype=object), 'score': array([3.], dtype=float32)}"


def test_a_failed_import_is_tried_again(tmp_path, monkeypatch):
    package = tmp_path / "tensorflow"
    package.mkdir()
    (package / "__init__.py").write_text(
        "import sys\nif 'allowed' not in sys.modules: import missing_library\nvalue = 3\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "tensorflow")
    lazy_tensorflow.install()
    lazy = sys.modules["tensorflow"]
    assert isinstance(lazy, lazy_tensorflow.LazyTensorFlow) and not lazy_tensorflow.imported()
    with pytest.raises(ModuleNotFoundError, match="missing_library"):
        print(lazy.value)
    assert not lazy_tensorflow.imported()
    monkeypatch.setitem(sys.modules, "allowed", sys)
    assert lazy.value == 3 and lazy_tensorflow.imported() and type(lazy) is type(sys)
    with pytest.raises(AttributeError):
        print(lazy.other)


def test_types_have_tensorflows_names():
    from tensorflow.core.framework import types_pb2

    for number in types_pb2.DataType.values():
        if 0 < number < 100 and number in {
            item.as_datatype_enum for item in vars(tf.dtypes).values() if isinstance(item, tf.DType)
        }:
            assert dtypes.name_of(number) == tf.as_dtype(number).name
            assert dtypes.enum_of(dtypes.name_of(number)) == number
    assert dtypes.name_of(4711) == "type 4711"


@pytest.mark.parametrize("name", [*dtypes.FIELDS])
@pytest.mark.parametrize("shape", [(), (1,), (0, 2), (2, 3)])
def test_protos_are_tensorflows_bytes(name, shape):
    if name == "string":
        array = np.empty(shape, object)
        array[...] = b"text"
    else:
        array = (np.arange(np.prod(shape)).reshape(shape) - 1).astype(tf.as_dtype(name).as_numpy_dtype)
    expected = tf.make_tensor_proto(array, tf.as_dtype(name), shape)
    proto = dtypes.to_proto(array)
    assert proto.SerializeToString(deterministic=True) == expected.SerializeToString(deterministic=True)
    values = dtypes.default_array(expected)
    assert values.dtype == array.dtype and values.shape == array.shape and values.tolist() == array.tolist()


def test_records_are_read_as_tensorflow_reads_them(tmp_path):
    path, records = tmp_path / "records", [b"", b"a", bytes(range(256)) * 9]
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records:
            writer.write(record)
    assert list(tfrecord.read(path)) == records
    assert tfrecord.crc32c(b"123456789") == 0xE3069283
    content = path.read_bytes()
    for damaged, message in ((content[:-1], "record 2 is cut off"), (content[:5], "length of record 0 is cut off"),
                             (content[:-9] + b"?" + content[-8:], "record 2 does not have the checksum"),
                             (b"\1" + content[1:], "length of record 0 does not have the checksum")):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(ValueError, match=message):
            list(tfrecord.read(path))
