"""The settings reference agrees with the Configs and lists all of their keys."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest
from click.testing import CliRunner

from textpipe.cli import main
from textpipe.config import documentation, plugins
from textpipe.config.sections import SHARED
from textpipe.errors import ConfigError
from textpipe.pipeline import runner, settings_reference

DOCS = Path(__file__).parents[1] / "docs"
PLUGIN_PACKAGES = (
    "models", "decoding", "decoding.rules", "data.formats", "text.steps", "text.codecs", "features",
    "training.optimizers", "training.schedules",
)  # fmt: skip


@pytest.fixture(scope="module")
def groups():
    return settings_reference.groups()


def test_every_setting_is_described(groups):
    silent = [f"{group.key}.{one.name}" for group in groups for one in group.settings if not one.about]
    assert not silent, "describe these by a comment behind the field, or by `name: ...` in the docstring of its Config"


def test_every_key_of_every_config_is_in_the_reference(groups):
    known = {(group.key.rpartition(".")[2], one.name) for group in groups for one in group.settings}
    for stage in runner.ORDER:
        names = {name for name in runner.stage_module(stage).Config.model_fields if name not in SHARED}
        assert {(stage, name) for name in names} <= known
    for package in PLUGIN_PACKAGES:
        for kind in plugins.names(package):
            config = plugins.find(package, kind).Config
            assert {(kind, name) for name in config.model_fields if name != "kind"} <= known, (package, kind)


def test_the_settings_page_matches_the_configs(groups):
    outdated = "docs/settings.md is outdated; run: textpipe settings --markdown > docs/settings.md"
    assert (DOCS / "settings.md").read_text(encoding="utf-8") == settings_reference.markdown(groups), outdated


def test_types_defaults_and_bounds_are_those_of_the_validation(groups):
    found = {(group.key, one.name): one for group in groups for one in group.settings}
    ema, heads = found["train", "ema"], found["model.transformer", "num_heads"]
    assert (ema.takes, ema.default, ema.bounds) == ("number", "–", "above 0, below 1")
    assert (heads.takes, heads.default, heads.bounds) == ("whole number", "4", "at least 1")
    assert (
        found["train", "optimizer"].takes.startswith('"adagrad", "adam"')
        and found["train", "optimizer"].default == '"adam"'
    )
    assert found["train", "batch_tokens"].bounds == "at least 1"
    assert found["tokenize.codec.unigram", "model"].bounds == "length at least 1"
    assert found["top", "task"].default == "required"
    assert found["train.init", "from"].default == "required"
    assert found["normalize", "steps"].default == '["unicode", "whitespace"]'
    # Documented bounds are enforced.
    assert found["train.optimizer.sgd", "momentum"].bounds == "at least 0, below 1"
    for value in (-0.1, 1.0):
        with pytest.raises(ValueError, match="momentum"):
            plugins.find("training.optimizers", "sgd").Config(momentum=value)


def test_descriptions_come_from_comments_or_docstrings():
    from textpipe.features import tfidf
    from textpipe.models import recurrent
    from textpipe.text.codecs import characters

    assert (
        documentation.describe_field(recurrent.Config, "residual")
        == "each layer but the lowest adds its input to its output"
    )
    assert documentation.describe_field(characters.Config, "min_count") == "rarer characters are unknown"
    assert (
        documentation.describe_field(tfidf.Config, "min_df") == "buckets in fewer training texts than this are dropped"
    )  # its parent's


@pytest.mark.parametrize(
    ("name", "keys"),
    [
        ("evaluate", ["evaluate"]),
        ("model.recurrent", ["model.recurrent"]),
        ("tokenize.words", ["tokenize.codec.words"]),
        ("train.schedule.cosine", ["train.schedule.cosine"]),
        ("train.early_stopping", ["train.early_stopping"]),
        ("train.clip_norm", ["train"]),
        ("seed", ["top"]),
    ],
)
def test_a_name_selects_a_part_of_the_reference(name, keys):
    assert [group.key for group in settings_reference.select(name)][: len(keys)] == keys
    assert settings_reference.select("train.clip_norm")[0].settings[0].name == "clip_norm"


def test_an_unknown_name_is_rejected_with_a_suggestion():
    with pytest.raises(ConfigError, match=re.escape("did you mean 'model.recurrent'?")):
        settings_reference.select("model.recurent")


def test_the_command_prints_text_and_json():
    run = CliRunner().invoke(main, ["settings", "decode.greedy"])
    assert run.exit_code == 0 and "min_length    whole number, at least 1; default 1" in run.output
    (table,) = json.loads(CliRunner().invoke(main, ["settings", "decode.greedy", "--json"]).output)
    assert {"name": "prefix", "takes": "text", "default": '""', "bounds": ""}.items() <= table["settings"][
        [one["name"] for one in table["settings"]].index("prefix")
    ].items()


def test_the_reference_needs_no_tensorflow():
    script = (
        "import sys; sys.modules.update(tensorflow=None, keras=None, tensorflow_text=None, pandas=None)\n"
        "from textpipe.cli import main; main(['settings', 'train'])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and "early_stopping" in done.stdout, done.stderr
