"""Exports of earlier versions still answer the same; unknown formats are rejected, naming the versions."""

import json
import shutil
import tarfile
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from textpipe.cli import main
from textpipe.errors import ArtifactError, ModelError
from textpipe.savedmodel import description, loader, manifest, model_rows, publish
from textpipe.serve.engine import warmup
from textpipe.serve.engine.model_version import Version
from textpipe.training.warm_start import source_weights

EXPORTS = Path(__file__).parent / "exports"
NAMES = sorted(path.name.removesuffix(".tar.xz") for path in EXPORTS.glob("*.tar.xz"))
OPTIONS = {"beam_size": 2, "max_length": 5}  # the options of the recorded answers of the signature "options"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """{name: a version directory}"""
    folder = tmp_path_factory.mktemp("exports")
    for name in NAMES:
        with tarfile.open(EXPORTS / f"{name}.tar.xz") as archive:
            archive.extractall(folder / name, filter="data")
    return {name: folder / name / "1" for name in NAMES}


def assert_close(found, expected):
    """The same texts, and numbers to 1e-5."""
    if isinstance(expected, dict):
        assert found.keys() >= expected.keys()
        for name, value in expected.items():
            assert_close(found[name], value)
    elif isinstance(expected, str) or (isinstance(expected, list) and expected and isinstance(expected[0], str)):
        assert found == expected
    else:
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", NAMES)
def test_an_export_of_an_earlier_version_answers_the_same(exports, name):
    rows = [json.loads(line) for line in (EXPORTS / f"{name}.jsonl").read_text(encoding="utf-8").splitlines()]
    texts = [row["text"] for row in rows]
    model = loader.Model.load(exports[name])
    served = Version.load(name, 1, exports[name])
    warmup.check(served)  # runs its warm-up requests and golden rows, as a server does
    assert len(rows) == 10
    for signature in ("serving_default", "nbest", "options"):
        if signature not in rows[0]:
            continue
        options = OPTIONS if signature == "options" else None
        for found, row in zip(model.predict(texts, signature=signature, options=options), rows, strict=True):
            assert_close(found, row[signature])
        function = served.signature(signature)
        given = {model.fields[0]: np.array([model_rows.encode(text) for text in texts], object)}
        given |= {key: np.array(value, function.inputs[key]) for key, value in (options or {}).items()}
        found = function.call(function.complete(given))
        for at, row in enumerate(rows):
            assert_close({key: text_of(value[at]) for key, value in found.items()}, row[signature])
    sides = {field["side"]: field["name"] for field in model.about["fields"]}
    pairs = [{sides["source"]: row["text"], sides["target"]: row["serving_default"]["answer"]} for row in rows]
    columns = {field: np.array([model_rows.encode(pair[field]) for pair in pairs], object) for field in sides.values()}
    np.testing.assert_allclose(
        served.signature("score").call(columns)["log_prob"], [row["log_prob"] for row in rows], rtol=1e-5
    )


def text_of(value):
    if isinstance(value, np.ndarray) and value.dtype == object:
        return [one.decode() for one in value]
    return value.decode() if isinstance(value, bytes) else value


@pytest.fixture
def changed(exports, tmp_path):
    """A function that changes keys in the classifier's textpipe.json and updates its manifest."""

    def change(**keys):
        place = tmp_path / "m" / "1"
        shutil.rmtree(place, ignore_errors=True)
        shutil.copytree(exports["format1_classifier"], place)
        about = {**description.read(place), **keys}
        text = json.dumps({key: value for key, value in about.items() if value is not None})
        (place / description.NAME).write_text(text)
        manifest.write(place)
        return place

    return change


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        (
            {"format": 3, "versions": {"textpipe": "7.1.0"}},
            "found 3, written by textpipe 7.1.0; install textpipe 7.1.0, or",
        ),
        ({"format": 99, "versions": []}, "found 99; install textpipe in the version that wrote it"),
        ({"format": None}, "found no format"),
        ({"format": "1"}, 'found "1"'),
        ({"format": True}, "found true"),
        ({"format": 1.0}, "found 1.0"),
        ({"format": -1}, "found -1"),
        ({"format": [1]}, r"found \[1\]"),
        ({"format": "ctranslate2"}, 'found "ctranslate2"'),
    ],
)
def test_an_unknown_format_is_rejected_wherever_a_model_is_loaded(changed, tmp_path, keys, words):
    place = changed(**keys)
    expected = rf"m/1/textpipe.json: expected format 1 or 2, which textpipe .* reads, .*{words}"
    for call in (
        lambda: loader.Model.load(place),
        lambda: Version.load("m", 1, place),
        lambda: publish.publish(place, tmp_path / "base"),
        lambda: source_weights.locate(source_weights.Init(**{"from": str(place)})).check(),
    ):
        with pytest.raises(ModelError, match=expected):
            call()
    assert not (tmp_path / "base").exists()


@pytest.mark.parametrize(
    ("keys", "words"),
    [
        ({"bounds": [3]}, r"bounds: expected an object .*, found \[3\]"),
        ({"bounds": {"max_length": [5]}}, r"bounds.max_length: expected \[low, high\].*, found \[5\]"),
        ({"bounds": {"max_length": None}}, "bounds.max_length: .*, found null"),
        ({"bounds": {"max_length": ["1", "5"]}}, r'bounds.max_length: .*, found \["1", "5"\]'),
        ({"bounds": {"max_length": [True, 5]}}, r"bounds.max_length: .*, found \[true, 5\]"),
        ({"bounds": {"n_best": [1, 4], "max_length": [9, 2]}}, r"bounds.max_length: .*, found \[9, 2\]"),
        ({"bounds": {"max_length": [1, float("inf")]}}, r"bounds.max_length: .*, found \[1, Infinity\]"),
        ({"bounds": {"max_length": [1, 10**400]}}, r"bounds.max_length: .*, found \[1, 10000000*\.\.\."),
        ({"from_options": "best"}, 'from_options: expected an object .*, found "best"'),
        ({"from_options": {"nbest": "best"}}, 'from_options.nbest: expected {"outputs": .*, found "best"'),
        ({"from_options": {"nbest": {"n_best": None}}}, "from_options.nbest: .*, found {"),
        ({"from_options": {"nbest": {"outputs": {}}}}, "from_options.nbest: .*, found {"),
        ({"from_options": {"nbest": {"outputs": ["a"], "n_best": 1}}}, "from_options.nbest: .*, found {"),
        ({"from_options": {"nbest": {"outputs": {"a": ["b"]}, "n_best": 1}}}, "from_options.nbest: .*, found {"),
        ({"from_options": {"nbest": {"outputs": {"a": "b"}, "n_best": 2}}}, "from_options.nbest: .*, found {"),
        ({"inputs": "text"}, 'inputs: expected a list of strings, found "text"'),
        ({"inputs": [1]}, r"inputs: expected a list of strings, found \[1\]"),
        ({"labels": {"no": 0}}, "labels: expected a list of strings, found {"),
        ({"task": 7}, "task: expected a string, found 7"),
        ({"fields": [{"name": "text"}]}, r"fields: expected a list of .*, found \["),
        ({"signatures": ["score"]}, r'signatures: expected an object, found \["score"\]'),
        ({"signatures": {"score": 1}}, "signatures.score: expected an object .*, found 1"),
    ],
)
def test_an_invalid_value_is_reported_wherever_a_model_is_loaded(changed, keys, words):
    place = changed(**keys)
    for call in (lambda: loader.Model.load(place), lambda: Version.load("m", 1, place)):
        with pytest.raises(ModelError, match=f"m/1/textpipe.json: {words}.*; export the model again"):
            call()


def test_missing_and_null_keys_are_accepted():
    keys = ("task", "inputs", "labels", "fields", "signatures", "bounds", "from_options")
    description.check(Path("m/1"), {"format": 1})
    description.check(Path("m/1"), {"format": 1, **dict.fromkeys(keys)})
    ways = {"nbest": {"outputs": {"texts": "texts"}, "n_best": None}, "serving_default": {"outputs": {}, "n_best": 1}}
    description.check(Path("m/1"), {"format": 1, "bounds": {"max_ratio": [0, 2.5]}, "from_options": ways})


def test_the_command_line_names_the_versions(changed, tmp_path):
    place = changed(format=3, versions={"textpipe": "9.0"})
    (tmp_path / "in.txt").write_text("text\n")
    for words in (("predict", place, "text"), ("bulk", place, tmp_path / "in.txt", tmp_path / "out.jsonl")):
        done = CliRunner().invoke(main, ["-v", *map(str, words)], catch_exceptions=False)
        assert done.exit_code == 2 and "written by textpipe 9.0" in done.stderr


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '"text"', "[" * 5000, "\xff"])
def test_an_invalid_textpipe_json_is_reported(exports, tmp_path, text):
    place = tmp_path / "1"
    shutil.copytree(exports["format1_classifier"], place)
    (place / description.NAME).write_bytes(text.encode("latin-1"))
    with pytest.raises(ModelError, match="textpipe.json"):
        loader.Model.load(place)
    with pytest.raises(ModelError, match="textpipe.json: (cannot be read|expected an object)"):
        description.read(place)


def test_no_flipped_bit_in_a_manifest_is_accepted(exports, tmp_path):
    """Also for a manifest of an earlier version, whose entries must match the files."""
    import random

    draw = random.Random(5)
    place = tmp_path / "1"
    shutil.copytree(exports["format1_classifier"], place)
    older = (place / manifest.NAME).read_bytes()
    manifest.write(place)
    sealed = (place / manifest.NAME).read_bytes()
    for genuine in (sealed, older):
        accepted = 0
        for _ in range(200):
            hurt = bytearray(genuine)
            hurt[draw.randrange(len(hurt))] ^= 1 << draw.randrange(8)
            (place / manifest.NAME).write_bytes(hurt)
            try:
                manifest.verify(place)
                accepted += 1
            except ModelError:
                pass
        assert accepted == 0, genuine
    (place / manifest.NAME).unlink()
    (place / manifest.NAME).mkdir()
    with pytest.raises(ModelError, match="manifest.json: cannot be read"):
        manifest.verify(place)


def test_a_run_does_not_start_from_weights_with_a_flipped_bit(exports, tmp_path):
    place = tmp_path / "1"
    shutil.copytree(exports["format1_generator"], place)
    origin = source_weights.locate(source_weights.Init(**{"from": str(place)}))
    origin.check()
    weights = place / "variables/variables.data-00000-of-00001"
    hurt = bytearray(weights.read_bytes())
    hurt[len(hurt) // 3] ^= 8
    weights.write_bytes(hurt)
    with pytest.raises(ArtifactError, match="variables.data-00000-of-00001 is not the file that was written"):
        origin.check()
