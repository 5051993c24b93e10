"""Every setting of every optimizer, schedule, normalization step, codec and feature changes its result."""

import functools

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests

from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.data import raster
from textpipe.training import loop
from textpipe.training.settings import Settings

# Another value of each setting, or (another value, other settings needed for it to have an effect).
OPTIMIZERS = {
    "adagrad": {"learning_rate": 0.3, "initial_accumulator": 0.7, "epsilon": 0.2},
    "adam": {"learning_rate": 0.01, "beta_1": 0.5, "beta_2": 0.5, "epsilon": 0.2},
    "adamw": {"learning_rate": 0.01, "weight_decay": 0.3, "beta_1": 0.5, "beta_2": 0.5, "epsilon": 0.2},
    "lbfgs": {"tolerance": 0.05, "max_iterations": 2, "memory": 1, "min_decrease": 0.05},
    "liblinear": {"tolerance": 1e-6, "max_iterations": 1, "bias_scale": 9.0},
    "rmsprop": {"learning_rate": 0.01, "rho": 0.3, "momentum": 0.5, "epsilon": 0.2},
    "sgd": {"learning_rate": 0.01, "momentum": 0.5, "nesterov": (True, {"momentum": 0.5})},
}
SCHEDULES = {
    "constant": {"warmup_steps": 5},
    "cosine": {"steps": 30, "lowest": 0.3, "warmup_steps": 5},
    "exponential": {"rate": 0.3, "steps": 30, "warmup_steps": 5},
    "halving": {"start": 5, "warmup_steps": 5},
    "inverse_square_root": {"warmup_steps": 5},
    "noam": {"d_model": 64, "warmup_steps": 5},
    "steps": {"parts": 3, "first": 2, "rate": 0.3, "warmup_steps": 5},
    "plateau": {"decrease": 0.3, "patience": 2, "min_delta": 0.5, "lowest": 0.4, "warmup_steps": 5},
}
STEPS = {
    "html": {"tags": "keep"},
    "mail_headers": {"keep": ["Subject"]},
    "mail_zones": {"cut": ["attachments"]},
    "mask_addresses": {"token": "WHO"},
    "mask_amounts": {"token": "PRICE"},
    "mask_dates": {"token": "DAY"},
    "mask_names": {"token": "PERSON"},
    "mask_numbers": {"token": "COUNT"},
    "mask_phones": {"token": "CALL"},
    "mask_times": {"token": "CLOCK"},
    "mask_urls": {"token": "LINK"},
    "reserve": {"token": "ask"},
    "unicode": {"form": "NFD"},
    "whitespace": {"breaks": "keep"},
}
CODECS = {
    "bpe": {"vocab_size": 330, "character_coverage": 0.985, "split_digits": True, "max_lines": 40},
    "characters": {"vocab_size": 9, "min_count": 30},
    "hybrid": {"vocab_size": (30, {"num_letters": 20}), "min_count": 40, "num_letters": 9},
    "unigram": {"vocab_size": 305, "character_coverage": 0.985, "split_digits": True, "max_lines": 40},
    "words": {"vocab_size": 9, "min_count": 30},
}
NGRAMS = {
    "words": [1, 1], "characters": [2, 3], "pieces": [1, 1], "punctuation": False, "frequency": "log", "num_buckets": 8,
    "min_df": 9, "casefold": True, "marks": True, "pairs": 2,
}  # fmt: skip
HASHED = {name: value for name, value in NGRAMS.items() if name != "min_df"}
FEATURES = {
    "cells": {
        "max_rows": 1,
        "max_columns": 1,
        "name_words": 2,
        "cell_words": 1,
        "key_words": 2,
        "min_count": 70,
    },
    "counts": NGRAMS,
    "denotation": {"max_items": 1, "key_words": 2},
    "hashed": {**HASHED, "norm": "l2"},
    "ids": {"max_length": 3},
    "pixels": {"height": 5, "width": 5, "color": "gray"},
    "label": {"out_of_scope": "the the the"},
    "question": {"max_words": 3, "min_count": 31, "common": 0.9, "number_words": ["zero", "old"]},
    "sentence_ids": {"max_sentences": 1, "max_words": 2},
    "tfidf": {**NGRAMS, "norm": "none", "idf_power": 0.5, "weights": ({"words": 0.7}, {"norm": "family"})},
}
TABLES = {
    "training.optimizers": OPTIMIZERS,
    "training.schedules": SCHEDULES,
    "text.steps": STEPS,
    "text.codecs": CODECS,
    "features": FEATURES,
}


# Settings that name a file, with tests of their own.
ELSEWHERE = {("text.codecs", kind): {"model"} for kind in ("bpe", "unigram")}  # test_existing_subwords.py


def cases(table):
    return [
        pytest.param(kind, name, value, id=f"{kind}-{name}")
        for kind, row in table.items()
        for name, value in row.items()
    ]


def both(package, kind, name, value):
    """The plug-in's module, its config without and with another value of a setting."""
    value, needed = value if isinstance(value, tuple) else (value, {})
    module, table = plugins.find(package, kind), {"kind": kind, **needed}
    return module, Plugin.check(package, table), Plugin.check(package, {**table, name: value})


@pytest.mark.parametrize("package", TABLES)
def test_every_setting_of_every_plug_in_is_tested(package):
    fields = {kind: set(plugins.find(package, kind).Config.model_fields) - {"kind"} for kind in plugins.names(package)}
    tested = {kind: set(row) | ELSEWHERE.get((package, kind), set()) for kind, row in TABLES[package].items()}
    assert {kind: names for kind, names in fields.items() if names} == tested


def after_updates(module, config):
    """A variable after three updates in different directions."""
    variable = keras.Variable(np.linspace(-1, 2, 6, dtype=np.float32).reshape(2, 3))
    optimizer = module.build(config, [variable])
    optimizer.build([variable])
    for slope in (0.5, -0.3, 0.8):
        optimizer.apply([tf.constant(np.linspace(0.1, slope, 6, dtype=np.float32).reshape(2, 3))], [variable])
    return variable.numpy()


def after_full_batch(config):
    model = plugins.find("models", "logistic_regression")
    sizes = tests.Sizes({"text": tests.IDS}, "label", tests.LABELS)
    loss = "squared_hinge" if config.kind == "liblinear" else "logistic"
    built = model.build(model.Config(l2=0.01, loss=loss), sizes, seed=1)
    loop.fit(built, {"train": tests.labelled(60)}, Settings(optimizer=config))
    return built.linear.kernel.numpy()


@pytest.mark.parametrize(("kind", "name", "value"), cases(OPTIMIZERS))
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_setting_of_an_optimizer_changes_the_result(kind, name, value):
    module, one, other = both("training.optimizers", kind, name, value)
    fit = after_full_batch if hasattr(module, "minimize") else functools.partial(after_updates, module)
    found = [fit(config) for config in (one, other)]
    assert np.abs(found[0] - found[1]).max() > 1e-7


@pytest.mark.parametrize(("kind", "name", "value"), cases(SCHEDULES))
def test_a_setting_of_a_schedule_gives_other_rates(kind, name, value):
    module, *configs = both("training.schedules", kind, name, value)
    losses = [3, 2.9, 3, 3, 2.5, 2.7, 2.7, 2.7, 2.4, 2.4, 2.4, 2.4]
    one, other = ([module.factor(config, step, 60, losses[: step // 5]) for step in range(1, 61)] for config in configs)
    assert one != other


TEXTS = (
    (
        "Hi Ann,\n\n<p>Caf\u00e9 <b>au lait</b></p>\r\n\r\nCall +49 30 1234567 or write to anna@example.org,\n"
        "see https://example.org/a for 250 more, and ask Ms Lee on Monday at 3 pm for $5\n"
    ),
    "From: Ann\nSubject: slides",
)


@pytest.mark.parametrize(("kind", "name", "value"), cases(STEPS))
def test_a_setting_of_a_step_gives_another_text(kind, name, value):
    module, *configs = both("text.steps", kind, name, value)
    one, other = (module.apply(tf.constant(TEXTS), config).numpy().tolist() for config in configs)
    assert one != other


LINES = [f"{'the old house is green' if number % 3 else 'a ship, far away!'} {1987 + number}" for number in range(90)]
LINES += ["the \u0169\u01a1\u1e5b of Qxz"]


def learned_codec(module, config, folder):
    folder.mkdir()
    module.learn(config, lambda: iter(LINES), folder, "text", seed=1)
    return module.load({"kind": config.kind, "name": "text"}, folder)


def codec(kind, folder, **options):
    config = Plugin.check("text.codecs", {"kind": kind, "vocab_size": 300, **options})
    return learned_codec(plugins.find("text.codecs", kind), config, folder)


@pytest.mark.parametrize(("kind", "name", "value"), cases(CODECS))
def test_a_setting_of_a_codec_gives_other_pieces(kind, name, value, tmp_path):
    if kind in ("bpe", "unigram"):
        value = value, {"vocab_size": 300}
    module, *configs = both("text.codecs", kind, name, value)
    found = [learned_codec(module, config, tmp_path / str(number)) for number, config in enumerate(configs)]
    shown = [
        [codec.pieces(codec.encode(tf.constant([line])).to_tensor()).numpy().tolist() for line in LINES[-4:]]
        for codec in found
    ]
    assert shown[0] != shown[1] or found[0].vocab_size != found[1].vocab_size


@pytest.fixture(scope="module")
def pieces(tmp_path_factory):
    return codec("unigram", tmp_path_factory.mktemp("codec") / "unigram")


TABLES_AS_TEXT = ["the green house\tyear\na far ship\t1987\na green one\t1990", "green|old"]


def feature_of(module, config, folder, codec):
    folder.mkdir()
    cells = tf.constant([*LINES, "One word. One,\nword; once", "the the the", *TABLES_AS_TEXT])
    if module.KIND == "pixels":
        cells = tf.constant([raster.png(np.arange(192, dtype=np.uint8).reshape(8, 8, 3))])
    module.learn(config, lambda: iter([cells]), folder, "text", codec=codec)
    feature = module.load(config, folder, "text", codec=codec)
    found = feature(cells)
    found = tf.sparse.to_dense(found) if isinstance(found, tf.SparseTensor) else found
    return found.numpy(), getattr(feature, "size", {}).get("words")


@pytest.mark.parametrize(("kind", "name", "value"), cases(FEATURES))
def test_a_setting_of_a_feature_gives_other_rows(kind, name, value, tmp_path, pieces):
    module, *configs = both("features", kind, name, value)
    (one, words), (other, other_words) = (
        feature_of(module, config, tmp_path / str(number), pieces) for number, config in enumerate(configs)
    )
    assert words != other_words or one.shape != other.shape or not np.array_equal(one, other)
