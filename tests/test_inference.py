"""Inference does not import Keras, and Keras can still be imported afterwards."""

import subprocess
import sys


def run(code):
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout.splitlines()[-1]


def test_an_exported_model_answers_without_keras_and_keras_can_be_imported_afterwards(generator):
    code = f"""
import sys
import textpipe
answers = textpipe.predict({str(generator["export"] / "model")!r}, ["the house 3 is red"])
assert answers[0]["answer"], answers
heavy = [name for name in ("keras", "tensorflow_text", "sklearn", "matplotlib", "pandas") if name in sys.modules]
import keras, tensorflow as tf, tensorflow_text
assert tf.keras.layers.Dense is keras.layers.Dense
assert tensorflow_text.case_fold_utf8(["A"]).numpy()[0] == b"a"
assert keras.layers.Dense(2)(tf.zeros([1, 3])).shape == (1, 2)
assert textpipe.predict({str(generator["export"] / "model")!r}, ["the house 3 is red"]) == answers
print(heavy)
"""
    assert run(code) == "[]"


def test_a_missing_tensorflow_text_is_an_import_error():
    code = """
import sys
sys.modules["tensorflow_text"] = None
from textpipe.runtime import without_keras
del sys.modules["tensorflow_text"]
import importlib.util
find_spec = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name == "tensorflow_text" else find_spec(name)
try:
    without_keras.import_tensorflow()
except ImportError as error:
    print(error)
"""
    assert run(code) == "No module named 'tensorflow_text'"
