"""Every dropout site of every model, measured during training: number of draws and share dropped.

Measured inside the traced training steps: with split calls, shards of a batch, accumulation and scheduled sampling, in
float32 and in mixed_bfloat16.
"""

import collections
import re

import keras
import numpy as np
import pytest
import tensorflow as tf
import test_training_loop as tests

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.data.columns import Ids
from textpipe.layers import dropout, uniform_dropout
from textpipe.training import precision, steps
from textpipe.training.batching.batches import Batch
from textpipe.training.batching.rows import Rows
from textpipe.training.settings import Settings

# Clearly different rates at every site.
MODELS = {
    "transformer": {
        "d_model": 24, "d_ff": 32, "num_heads": 2, "layers": 1, "dropout": 0.3, "attention_dropout": 0.15,
        "activation_dropout": 0.45, "word_dropout": 0.2,
    },
    "recurrent": {
        "units": 24, "embedding_size": 24, "attention_size": 4, "layers": 2, "dropout": 0.3, "embedding_dropout": 0.15,
        "recurrent_dropout": 0.45, "word_dropout": 0.2,
    },
    "recurrent in a loop": {
        "units": 24, "embedding_size": 24, "attention_size": 4, "layers": 2, "dropout": 0.3, "embedding_dropout": 0.15,
        "recurrent_dropout": 0.45, "input_feeding": True, "dropout_kind": "variational",
    },
    "hybrid": {
        "units": 24, "embedding_size": 24, "attention_size": 4, "letter_units": 24, "letter_embedding_size": 24, "layers": 2,
        "letter_layers": 2, "dropout": 0.3, "embedding_dropout": 0.15,
    },
    "feed_forward": {"units": [24, 24], "embedding": 24, "dropout": 0.3, "activation": "tanh"},
}  # fmt: skip

# The setting of a site, by its path of attributes in the model; the first match counts.
SITES = (
    ("word_drop$", "word_dropout"),
    (r"(source|target)_drop$", lambda kind: "dropout" if kind == "transformer" else "embedding_dropout"),
    (r"(self_attention|cross_attention)/drop$", "attention_dropout"),
    ("feed_forward/drop$", "activation_dropout"),
    ("recurrent_drop$", "recurrent_dropout"),
    ("drop", "dropout"),
)
KINDS = {"recurrent in a loop": "recurrent"}

# For each: settings of [train], and the number of draws per update at a site of a sequence model.
PATHS = {
    "plain": ({}, 1),
    "mixed, accumulated": ({"precision": "mixed_bfloat16", "accumulate": 2}, 2),
    "sampled, in shares": (
        {"parallel": 2, "accumulate": 2, "scheduled_sampling": {"probability": 1.0, "steps": 1}}, 4
    ),
    "mixed, sampled, in shares": (
        {"precision": "mixed_bfloat16", "parallel": 2, "scheduled_sampling": {"probability": 1.0, "steps": 1}}, 2
    ),
}  # fmt: skip


def dropout_sites(layer, path=""):
    """{path of attributes: dropout layer} of a model."""
    sites = {}
    if isinstance(layer, dropout.Dropout | uniform_dropout.Dropout):
        return {path: layer}
    for name, value in vars(layer).items():
        if name.startswith("_"):
            continue
        members = value if isinstance(value, list) else [value]
        for number, member in enumerate(flat(members)):
            if isinstance(member, keras.layers.Layer):
                site = f"{path}/{name}" + (f"_{number}" if isinstance(value, list) else "")
                sites |= dropout_sites(member, site)
    return sites


def flat(members):
    for member in members:
        yield from flat(member) if isinstance(member, list) else [member]


def setting_of(site, kind):
    setting = next(setting for pattern, setting in SITES if re.search(pattern, site))
    return setting if isinstance(setting, str) else setting(kind)


@pytest.fixture
def counted(monkeypatch):
    """{id of a layer: [(entries that are 0 afterwards, entries that were 0 before)]}, one pair per draw."""
    draws = collections.defaultdict(list)

    def note(layer, after, before):
        def take(after, before):
            draws[id(layer)].append((after.numpy(), before.numpy()))

        tf.py_function(take, [tf.equal(after, 0), tf.equal(before, 0)], [])

    mask = dropout.Dropout.mask

    def noted_mask(self, shape, dtype):
        result = mask(self, shape, dtype)
        note(self, result, tf.ones_like(result))
        return result

    call = uniform_dropout.Dropout.call

    def noted_call(self, inputs, training=False):
        result = call(self, inputs, training=training)
        if training and self.rate:
            note(self, result, inputs)
        return result

    monkeypatch.setattr(dropout.Dropout, "mask", noted_mask)
    monkeypatch.setattr(uniform_dropout.Dropout, "call", noted_call)
    return draws


def rows_of(kind, count=64):
    """Full rows of seven words, so that no padding is counted; the hybrid model's rows contain a spelling."""
    if kind == "feed_forward":
        return tests.labelled(count)
    random = np.random.default_rng(1)
    lists = random.integers(4, 20, size=(count, 7))
    if kind == "hybrid":
        lists[:, 2:7] = [1, 22, 23, 24, 20]  # <unk>, letters, </unk>
    source = [[*row, 3] for row in lists.tolist()]
    return Rows({"source": Ids.from_lists(source)}, Ids.from_lists(source))


def stepped(kind, options, settings):
    """A model, its traced steps, rows, and the batches of an update."""
    ids = {**tests.IDS, "num_words": 20}
    texts = kind != "feed_forward"
    sizes = Sizes({"source": ids}, "target", ids) if texts else Sizes({"text": tests.IDS}, "label", tests.LABELS)
    with precision.policy(settings.precision):
        model = plugins.find("models", kind).build(Plugin.check("models", {"kind": kind, **options}), sizes, seed=3)
    rows, optimizer = rows_of(kind), keras.optimizers.SGD(0.1)
    optimizer.build(model.trainable_variables)
    objective = plugins.find("objectives", rows.target.objective)
    train_steps = steps.Steps(model, optimizer, settings, tf.distribute.get_strategy(), len(rows), objective)
    widths = {"source": 8, "target": 8} if texts else {"source": 12}
    group = [Batch(part, widths) for part in np.array_split(np.arange(len(rows)), settings.accumulate)]
    return model, train_steps, rows, group


# Cases of the normal test run; the others run in `make prove`.
QUICK = {
    *(("transformer", path) for path in ("plain", "mixed, accumulated", "mixed, sampled, in shares")),
    *((name, "mixed, accumulated") for name in ("recurrent", "hybrid", "feed_forward")),
    *((name, "plain") for name in ("recurrent in a loop", "feed_forward")),
}
CASES = [
    pytest.param(name, path, id=f"{name}-{path}", marks=[] if (name, path) in QUICK else pytest.mark.prove)
    for name in MODELS
    for path in PATHS
    if name != "feed_forward" or "sampled" not in path
]


@pytest.mark.parametrize(("name", "path"), CASES)
def test_every_site_drops_its_rate_in_training_and_nothing_in_validation(name, path, counted):
    kind, options, (settings, draws) = KINDS.get(name, name), MODELS[name], PATHS[path]
    settings = Settings(**settings)
    model, train_steps, rows, group = stepped(kind, options, settings)
    known = dropout_sites(model)
    dropping = [
        layer for layer in model._flatten_layers() if isinstance(layer, dropout.Dropout | uniform_dropout.Dropout)
    ]
    assert {id(layer) for layer in known.values()} == {id(layer) for layer in dropping}
    fields = {setting_of(site, kind) for site in known}
    assert fields >= {field for field in options if field.endswith("dropout")}

    train_steps.train(rows, group, 9)
    draws = draws if kind != "feed_forward" else len(group)
    for site, layer in known.items():
        rate, seen_draws = options.get(setting_of(site, kind), 0.0), counted.pop(id(layer), [])
        if not rate:
            assert not seen_draws, f"{site} drops although its rate is 0"
            continue
        assert len(seen_draws) == draws, f"{site}: {len(seen_draws)} draws"
        if options.get("dropout_kind") == "variational" and setting_of(site, kind) in ("dropout", "embedding_dropout"):
            # [positions, B, .]: an entry dropped at one position is dropped at all.
            assert not any(
                (((after & ~before).any(axis=0)) & (~after).any(axis=0)).any() for after, before in seen_draws
            ), site
            flags = np.concatenate([after[0].ravel() for after, _ in seen_draws])
        elif setting_of(site, kind) == "word_dropout":
            flags = np.concatenate([after.reshape(-1, after.shape[-1]).all(axis=-1) for after, _ in seen_draws])
        else:
            flags = np.concatenate([after[~before] for after, before in seen_draws])
        error = 5 * np.sqrt(rate * (1 - rate) / flags.size)
        assert abs(flags.mean() - rate) < error + 0.002, f"{site}: {flags.mean():.4f} of {flags.size} expected {rate}"
        # No two draws are the same.
        assert len({after.tobytes() for after, _ in seen_draws}) == len(seen_draws), site
    assert not any(counted.values())

    counted.clear()
    train_steps.validate(rows, group)
    assert not counted


def masks_of_readout(counted, **options):
    """The readout dropout masks of a recurrent model with one layer."""
    options = {**MODELS["recurrent"], "layers": 1, **options}
    model, train_steps, rows, group = stepped("recurrent", options, Settings())
    train_steps.train(rows, group, 1)
    ((after, _),) = counted[id(model.decoder.drops[-1])]
    return after


@pytest.mark.parametrize("input_feeding", [False, True])
def test_a_variational_mask_is_the_same_at_all_positions_of_a_row(input_feeding, counted):
    """Gal and Ghahramani (2016), with readouts computed at once or in the loop."""
    mask = masks_of_readout(counted, dropout_kind="variational", input_feeding=input_feeding)
    if input_feeding:
        mask = mask.transpose(1, 0, 2)
    assert mask.shape == (64, 8, 24)  # rows, positions, units
    assert (mask == mask[:, :1]).all()
    assert len({row.tobytes() for row in mask[:, 0]}) > 60  # masks differ between rows
    assert abs(mask[:, 0].mean() - 0.3) < 0.06


def test_a_standard_mask_differs_between_positions(counted):
    mask = masks_of_readout(counted)
    assert (mask[:, :1] != mask[:, 1:]).mean() == pytest.approx(2 * 0.3 * 0.7, abs=0.03)


def test_mixed_precision_trains_with_as_much_dropout_as_float32():
    """Dropout increases the loss of an update by the same amount in both."""
    losses = {}
    for name in ("float32", "mixed_bfloat16"):
        for rate in (0.0, 0.5):
            options = {
                **MODELS["transformer"],
                "dropout": rate,
                "attention_dropout": 0.0,
                "word_dropout": 0.0,
                "activation_dropout": 0.0,
            }
            _, train_steps, rows, group = stepped("transformer", options, Settings(precision=name))
            losses[name, rate] = np.mean(
                [train_steps.train(rows, group, number)["loss"] / 512 for number in range(1, 6)]
            )
    gaps = {name: losses[name, 0.5] - losses[name, 0.0] for name in ("float32", "mixed_bfloat16")}
    assert gaps["float32"] > 0.1
    assert gaps["mixed_bfloat16"] == pytest.approx(gaps["float32"], rel=0.1)
