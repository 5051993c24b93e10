"""Pipelines small enough to be built inside a test: a classifier over n-grams and a generator over subwords."""

import random
from pathlib import Path

from textpipe import config, pipeline, rooms

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
    "train": {"epochs": 1, "batch_tokens": 1024, "num_shapes": 1},
    "decode": {"kind": "beam", "beam_size": 3, "max_length": 8},
}


def classifier_rows(path: Path, rows: int = 300) -> Path:
    """Short mails that want a reply or do not, as TSV."""
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
    configs = {stage: rooms.find("stages", stage).Config for stage in pipeline.ORDER}
    sections = config.check(
        "tiny.toml", configs, {**tables, "ingest": {"files": str(rows), **tables.get("ingest", {})}}
    )
    outputs: dict[str, Path] = {}
    for stage in pipeline.ORDER[: pipeline.ORDER.index(until) + 1]:
        module = rooms.find("stages", stage)
        output = folder / stage
        output.mkdir(parents=True)
        module.run(sections[stage], {name: outputs[name] for name in module.INPUTS}, output)
        outputs[stage] = output
    return outputs
