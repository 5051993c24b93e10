"""Pipelines small enough to be built inside a test: a classifier over n-grams and a generator over subwords."""

import fcntl
import json
import os
import random
from collections.abc import Callable
from pathlib import Path

from textpipe.config import plugins
from textpipe.config import sections as config
from textpipe.pipeline import runner

CLASSIFIER = {
    "task": "classify",
    "seed": 1,
    "tokenize": {"codec": "none"},
    "vectorize": {"features": {"kind": "tfidf", "num_buckets": 4096}},
    "model": {"kind": "logistic_regression"},
    "train": {"epochs": 4},
}
GENERATOR = {
    "task": "translate",
    "seed": 1,
    "tokenize": {"codec": {"kind": "unigram", "vocab_size": 300}},
    "vectorize": {"features": {"kind": "ids", "max_length": 24}},
    "model": {"kind": "recurrent", "units": 16, "embedding_size": 16, "attention_size": 8},
    "train": {"epochs": 1, "batch_tokens": 1024},
    "decode": {"kind": "beam", "beam_size": 3, "max_length": 8},
}


def classifier_rows(path: Path, rows: int = 300) -> Path:
    """Short mails that need a reply or do not, as TSV."""
    draw = random.Random(1)
    asks = ("could you send", "please tell me", "when will you bring")
    tells = ("thank you for", "i have read", "we received")
    lines = ["text\tlabel"]
    for _ in range(rows):
        label = draw.choice(("no", "yes"))
        opening = draw.choice(asks if label == "yes" else tells)
        if draw.random() < 0.1:  # noise, so that figures are not all 1
            label = draw.choice(("no", "yes"))
        lines.append(f"{opening} the {draw.choice(('report', 'Grüße', 'plan'))} {draw.randrange(100)}\t{label}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def generator_rows(path: Path, rows: int = 300) -> Path:
    """English and German phrases, as TSV."""
    draw = random.Random(2)
    nouns = {"house": "Haus", "car": "Auto", "dog": "Hund", "cat": "Katze"}
    adjectives = {"red": "rot", "green": "grün", "old": "alt", "new": "neu"}
    lines = ["source\ttarget"]
    for _ in range(rows):
        noun, adjective, number = draw.choice(list(nouns)), draw.choice(list(adjectives)), draw.randrange(100)
        lines.append(f"the {noun} {number} is {adjective}\tdas {nouns[noun]} {number} ist {adjectives[adjective]}")
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def build(folder: Path, tables: dict, rows: Path, *, until: str) -> dict[str, Path]:
    """Run the stages up to `until` on a file of rows: {stage: its output}."""
    configs = {stage: plugins.find("stages", stage).Config for stage in runner.ORDER}
    sections = config.check(
        "tiny.toml", configs, {**tables, "ingest": {"files": str(rows), **tables.get("ingest", {})}}
    )
    outputs: dict[str, Path] = {}
    for stage in runner.ORDER[: runner.ORDER.index(until) + 1]:
        module = plugins.find("stages", stage)
        output = folder / stage
        output.mkdir(parents=True)
        module.run(sections[stage], {name: outputs[name] for name in module.INPUTS}, output)
        outputs[stage] = output
    return outputs


def once(base: Path, name: str, tables: dict, rows: Callable[[Path], Path]) -> dict[str, Path]:
    """A pipeline of `tables` run up to its export, once for all tests: {stage: its output}. Read only.

    base: pytest's folder for this run. The project is in base/name: name.toml, data/artifacts and saved_models.
    """
    # Parallel test processes have their own folders inside a shared one.
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / name
    folder.mkdir(exist_ok=True)
    done = folder / "done.json"
    with (folder / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not done.exists():
            file = folder / f"{name}.toml"
            file.write_text(
                toml({**tables, "ingest": {"files": str(rows(folder / "rows.tsv")), **tables.get("ingest", {})}}),
                encoding="utf-8",
            )
            places = {"artifacts": folder / "data/artifacts", "saved_models": folder / "saved_models"}
            result = runner.run(runner.Pipeline.load(file), **places)
            done.write_text(json.dumps({stage: str(artifact.path) for stage, artifact in result.artifacts.items()}))
    return {stage: Path(path) for stage, path in json.loads(done.read_text()).items()}


def toml(tables: dict) -> str:
    """A pipeline file with a line for each of its tables."""

    def written(value):
        if isinstance(value, dict):
            return "{ " + ", ".join(f"{key} = {written(one)}" for key, one in value.items()) + " }"
        return json.dumps(value)

    return "".join(f"{key} = {written(value)}\n" for key, value in tables.items())
