"""A setting of a wrong type is one short line in the words of a pipeline file, whatever union its type is."""

from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field

from textpipe.config import sections
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ConfigError


class Index(Section):
    probes: int = Field(default=8, ge=1)


class Train(Section):
    files: Path | list[Path] | dict[str, Path | list[Path] | dict[str, Path | list[Path]]] | None = None
    l2: Annotated[float, Field(ge=0)] | Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=1)] = 0.0
    columns: dict[str, str | int] = {}
    index: Index | Literal["auto", "none"] = "auto"
    heads: list[Index] | Index = []
    steps: list[Plugin.of("text.steps")] = []
    step: Plugin.of("text.steps") | None = None
    shape: tuple[int, int] | None = None
    epochs: int | None = None
    patience: int = 3
    ratio: float = 0.5
    shuffle: bool = True
    kind: Literal["a", "b"] = "a"
    scales: list[float] = []


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("files", 5, "files: expected a path, a list of paths or a table, found 5"),
        ("files", [1], "files.0: expected a path, found 1"),
        ("files", {"train": 5}, "files.train: expected a path, a list of paths or a table, found 5"),
        ("files", {"train": {"de": 5}}, "files.train.de: expected a path or a list of paths, found 5"),
        ("l2", "a", "l2: expected a number or a list of numbers, found 'a'"),
        ("l2", [], "l2: expected at least 1 item, found []"),
        ("l2", [float("nan")], "l2.0: input should be a finite number; found nan"),
        ("l2", [0.1, "a"], "l2.1: expected a number, found 'a'"),
        ("l2", -1, "l2: input should be greater than or equal to 0; found -1"),
        ("columns", 4, "columns: expected a table, found 4"),
        ("columns", {"text": [1]}, "columns.text: expected a text or a whole number, found [1]"),
        ("index", 3, 'index: expected a table, "auto" or "none", found 3'),
        ("index", {"probes": "x"}, "index.probes: expected a whole number, found 'x'"),
        ("index", {"probes": 0}, "index.probes: input should be greater than or equal to 1; found 0"),
        ("index", {"probs": 3}, "index.probs: unknown key; did you mean 'probes'?"),
        ("heads", [{"probes": 1}, {"probes": "x"}], "heads.1.probes: expected a whole number, found 'x'"),
        ("heads", {"probes": "x"}, "heads.probes: expected a whole number, found 'x'"),
        ("steps", 3, "steps: expected a list of names or tables with kind, found 3"),
        ("shape", [1, "x"], "shape.1: expected a whole number, found 'x'"),
        ("epochs", "many", "epochs: expected a whole number, found 'many'"),
        ("patience", 1.5, "patience: expected a whole number, found 1.5"),
        ("ratio", "x", "ratio: expected a number, found 'x'"),
        ("shuffle", "perhaps", "shuffle: expected true or false, found 'perhaps'"),
        ("kind", "c", 'kind: expected "a" or "b", found \'c\''),
        ("scales", "x" * 500, f"scales: expected a list of numbers, found '{'x' * 59}..."),
    ],
)
def test_a_wrong_type_is_one_short_line(key, value, message):
    with pytest.raises(ConfigError) as caught:
        sections.check("p.toml", {"train": Train}, {"train": {key: value}})
    assert str(caught.value) == f"p.toml [train] {message}"


def test_an_unknown_plug_in_of_an_optional_setting_is_named_with_its_key():
    with pytest.raises(
        ConfigError, match=r"p.toml \[train\] step: unknown step 'whitespac'; did you mean 'whitespace'\?$"
    ):
        sections.check("p.toml", {"train": Train}, {"train": {"step": "whitespac"}})


def test_every_wrong_setting_has_a_line_of_its_own_in_their_order():
    table = {"l2": "a", "files": 5, "ratio": "x"}
    with pytest.raises(ConfigError) as caught:
        sections.check("p.toml", {"train": Train}, {"train": table})
    assert [line.split()[2] for line in str(caught.value).splitlines()] == ["files:", "l2:", "ratio:"]
