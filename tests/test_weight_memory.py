"""A model that memory cannot hold is refused before its weights exist, with what it needs and the cure."""

import logging

import pytest
import scipy.sparse
from test_classifiers import sample, sizes
from test_linear import fit

from textpipe.config import plugins
from textpipe.errors import ConfigError
from textpipe.models import logistic_regression
from textpipe.training import weight_memory
from textpipe.training.telemetry import memory

GB = 2**30


def check(kind, shape=(1000, 2**18), **options):
    """Of a kernel of one GB."""
    module = plugins.find("training.optimizers", kind)
    weight_memory.check_model(shape, module.Config(**options), module)


@pytest.mark.parametrize("kind", plugins.names("training.optimizers"))
def test_every_optimizer_says_what_it_needs(kind, monkeypatch, caplog):
    caplog.set_level(logging.INFO, "textpipe")
    shape = (1024, 2**18)
    monkeypatch.setattr(memory, "available", lambda: 0)  # unknown
    check(kind, shape)
    needed = float(caplog.messages[0].removesuffix(" GB of memory").rpartition(" ")[2])
    assert caplog.messages[0].startswith("1024 features of 262144 classes: training takes about ") and 3 <= needed <= 6
    monkeypatch.setattr(memory, "available", lambda: int(needed * GB))
    check(kind, shape)
    monkeypatch.setattr(memory, "available", lambda: int(needed * GB) - 1)
    with pytest.raises(
        ConfigError,
        match=rf"\[train\] optimizer {kind}: 1,024 features of 262,144 classes need {needed} GB.*raise min_df",
    ):
        check(kind, shape)


def test_momentum_needs_memory(monkeypatch):
    monkeypatch.setattr(memory, "available", lambda: 4 * GB)
    check("sgd")
    with pytest.raises(ConfigError, match="need 4.9 GB, and 4.0 are free"):
        check("sgd", momentum=0.9)


def test_lbfgs_counts_merged_columns_and_names_an_optimizer_that_needs_less(monkeypatch):
    matrix, labels = sample(4)
    doubled = scipy.sparse.hstack([matrix] * 50).tocsr()
    needed = 4 * 4 * ((matrix.shape[1] + 1) * 26 + 3 * len(labels))
    monkeypatch.setattr(memory, "available", lambda: needed)
    fit(doubled, labels, 4)
    monkeypatch.setattr(memory, "available", lambda: needed - 1)
    with pytest.raises(
        ConfigError, match=f"optimizer lbfgs: {matrix.shape[1]} features .* lower optimizer.memory, or .*liblinear"
    ):
        fit(doubled, labels, 4)


def test_the_kernel_shape_is_that_of_the_model():
    matrix, _ = sample(4)
    size = sizes({"kind": "sparse", "dim": matrix.shape[1]}, 4)
    config = logistic_regression.Config()
    kernel = logistic_regression.build(config, size, seed=1).linear.kernel
    assert logistic_regression.kernel_shape(config, size) == tuple(kernel.shape)
