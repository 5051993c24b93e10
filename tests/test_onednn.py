"""Which kernels a process gets: oneDNN's for training, TensorFlow's own for answering, or what its caller has set."""

import os
import subprocess
import sys

import pytest

from textpipe.runtime import onednn

LOOK = "import os, textpipe{then}; print(os.environ['TF_ENABLE_ONEDNN_OPTS'])"
SERVE = """
import os, sys, types
from textpipe.commands import serve

def options(**given):
    print(os.environ["TF_ENABLE_ONEDNN_OPTS"], "tensorflow" in sys.modules)
    raise SystemExit
sys.modules["textpipe.serve.server"] = types.SimpleNamespace(Options=options)
serve.command(["."])
"""
PREDICT = """
import os, sys
from textpipe.savedmodel import loader
from textpipe.commands import predict

class Found(Exception): pass
def load(path): raise Found
loader.Model.load = load
try: predict.load("model", None)
except Found: print(os.environ["TF_ENABLE_ONEDNN_OPTS"], "tensorflow" in sys.modules)
"""
ANSWERING = "; textpipe.runtime.onednn.for_answering()"


def without():
    return {name: value for name, value in os.environ.items() if name not in (onednn.VARIABLE, onednn.CHOSEN_VARIABLE)}


@pytest.mark.parametrize(
    ("given", "then", "found"),
    [(None, "", "1"), (None, ANSWERING, "0"), ("1", ANSWERING, "1"), ("0", "", "0"), ("0", ANSWERING, "0")],
)
def test_who_answers_has_tensorflows_own_unless_told_otherwise(given, then, found):
    environment = without()
    if given is not None:
        environment[onednn.VARIABLE] = given
    told = subprocess.run(
        [sys.executable, "-c", LOOK.format(then=then)], env=environment, capture_output=True, text=True, check=True
    )
    assert told.stdout.strip() == found


@pytest.mark.parametrize("program", [PREDICT, SERVE], ids=["predict", "serve"])
@pytest.mark.parametrize(
    "parent", [{}, {onednn.VARIABLE: "1", onednn.CHOSEN_VARIABLE: "1"}], ids=["alone", "of a training process"]
)
def test_what_answers_chooses_before_tensorflow_is_imported(program, parent):
    environment = without() | parent
    told = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "0 False"


def test_a_callers_choice_stands_in_a_process_of_a_process():
    environment = without() | {onednn.VARIABLE: "1", onednn.CHOSEN_VARIABLE: "0"}
    told = subprocess.run([sys.executable, "-c", PREDICT], env=environment, capture_output=True, text=True, check=True)
    assert told.stdout.strip() == "1 False"
