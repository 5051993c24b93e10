"""Compatibility of exported models with releases of TensorFlow Serving."""

import pytest
import tensorflow as tf
import tensorflow_text

from textpipe.errors import ModelError
from textpipe.savedmodel import serving_ops


def test_exported_models_load_in_every_release(generator, classifier):
    for outputs in (generator, classifier):
        lines, loads = serving_ops.report(outputs["export"] / "model")
        assert loads and [line for line in lines if "knows every op" in line] == lines[1:4], lines


def test_a_later_op_is_reported(tmp_path):
    class Binary(tf.Module):
        @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "text")])
        def answer(self, text):
            return {"answer": tensorflow_text.utf8_binarize(text)}

    module = Binary()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.answer.get_concrete_function())
    lines, loads = serving_ops.report(tmp_path / "1")
    assert "TensorFlow Serving 2.19: cannot load it, lacks TFText>Utf8Binarize" in lines and loads


def test_every_listed_op_of_tensorflow_text_exists():
    from tensorflow.python.framework import op_def_registry

    for name in serving_ops.TEXT_OPS | serving_ops.LATER_TEXT_OPS | serving_ops.UNLINKED_OPS:
        assert op_def_registry.get(name) is not None, name


def test_an_invalid_model_file_is_reported(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"\xff" * 50)
    with pytest.raises(ModelError, match="cannot be read"):
        serving_ops.report(tmp_path)
