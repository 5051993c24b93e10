"""Shared by all tests: the kernels that users have, two pipelines run once, and the order of the tests."""

import logging
import os

import pytest

import textpipe  # noqa: F401  chooses TensorFlow's kernels, which it must do before a test imports TensorFlow
from textpipe.runtime import gc, threads

# All cores per operation: tracing the shards of a step takes longer than the tests' few small steps. The tests of shards
# (test_parallel.py) and of exact resume (test_resume.py) enable them.
os.environ.setdefault(threads.VARIABLE, str(threads.num_cores()))

gc.relax_gc()  # as the command line does

SLOW = ("test_resume.py", "test_export.py", "test_ensemble.py", "test_ctranslate2.py", "test_hybrid.py")


def pytest_collection_modifyitems(items):
    # The slowest files first: started last, one of them would keep a single core busy while the others wait.
    items.sort(key=lambda item: ("/system/" not in item.path.as_posix(), item.path.name not in SLOW))


@pytest.fixture(autouse=True)
def log_level():
    """What a command such as `textpipe run -q` has silenced is heard by the tests after it."""
    yield
    logging.getLogger("textpipe").setLevel(logging.NOTSET)


@pytest.fixture(scope="session")
def classifier(tmp_path_factory):
    """The outputs of tiny.CLASSIFIER's stages."""
    import tiny

    return tiny.once(tmp_path_factory.getbasetemp(), "classifier", tiny.CLASSIFIER, tiny.classifier_rows)


@pytest.fixture(scope="session")
def generator(tmp_path_factory):
    """The outputs of tiny.GENERATOR's stages."""
    import tiny

    return tiny.once(tmp_path_factory.getbasetemp(), "generator", tiny.GENERATOR, tiny.generator_rows)
