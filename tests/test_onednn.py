"""Kernels of a process: oneDNN's for training, TensorFlow's own for inference, unless the caller has set them."""

import os
import subprocess
import sys

import pytest

from textpipe.runtime import onednn

SHOW = "import os, textpipe{then}; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
SERVE = """
import os, sys, types
from textpipe.commands import serve
from textpipe.runtime import lazy_tensorflow

def options(**_):
    print(os.environ["TF_ENABLE_ONEDNN_OPTS"], lazy_tensorflow.imported())
    raise SystemExit
sys.modules["textpipe.serve.server"] = types.SimpleNamespace(Options=options)
serve.command(["."])
"""
PREDICT = """
import os, sys
from textpipe.savedmodel import loader
from textpipe.commands import predict
from textpipe.runtime import lazy_tensorflow

class Loaded(Exception): pass
def load(path, **_): raise Loaded
loader.Model.load = load
try: predict.load("model", None)
except Loaded: print(os.environ["TF_ENABLE_ONEDNN_OPTS"], lazy_tensorflow.imported())
"""
INFERENCE = "; textpipe.runtime.onednn.disable_by_default()"


def clean_environment():
    return {name: value for name, value in os.environ.items() if name not in (onednn.VARIABLE, onednn.CHOSEN_VARIABLE)}


@pytest.mark.parametrize(
    ("value", "then", "expected"),
    [(None, "", "1"), (None, INFERENCE, "0"), ("1", INFERENCE, "1"), ("0", "", "0"), ("0", INFERENCE, "0")],
)
def test_inference_uses_tensorflows_kernels_unless_the_caller_has_chosen(value, then, expected):
    environment = clean_environment()
    if value is not None:
        environment[onednn.VARIABLE] = value
    done = subprocess.run(
        [sys.executable, "-c", SHOW.format(then=then)], env=environment, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == expected


@pytest.mark.parametrize("program", [PREDICT, SERVE], ids=["predict", "serve"])
@pytest.mark.parametrize(
    "parent", [{}, {onednn.VARIABLE: "1", onednn.CHOSEN_VARIABLE: "1"}], ids=["alone", "of a training process"]
)
def test_inference_commands_choose_before_tensorflow_is_imported(program, parent):
    environment = clean_environment() | parent
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "0 False"


def test_the_callers_choice_reaches_a_child_of_a_child_process():
    environment = clean_environment() | {onednn.VARIABLE: "1", onednn.CHOSEN_VARIABLE: "0"}
    done = subprocess.run([sys.executable, "-c", PREDICT], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "1 False"
