"""The Python API: one call for each thing the command line does.

    import textpipe

    pipeline = textpipe.load("pipelines/phrases_en_de.toml", "train.epochs=3")
    result = textpipe.run(pipeline)                       # builds what changed; result.saved_model is the exported version
    textpipe.predict(result.saved_model, ["The woman reads a book."])
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from textpipe import pipeline as _pipeline
from textpipe.pipeline import Pipeline, Result, Step


def load(path: str | Path, *overrides: str) -> Pipeline:
    """A checked pipeline file, with `section.key=value` overrides; raises ConfigError with every fault at once."""
    return Pipeline.load(path, overrides)


def run(pipeline: Pipeline | str | Path, **options: Any) -> Result:
    """Run a pipeline; options are those of textpipe.pipeline.run (until, start, force, artifacts, saved_models, told)."""
    return _pipeline.run(pipeline if isinstance(pipeline, Pipeline) else load(pipeline), **options)


def plan(pipeline: Pipeline | str | Path, **options: Any) -> list[Step]:
    """What `run` would do, and which ingredient changed."""
    return _pipeline.plan(pipeline if isinstance(pipeline, Pipeline) else load(pipeline), **options)


def predict(
    model: str | Path, rows: Sequence[str | Mapping[str, str]], *, signature: str = "serving_default"
) -> list[dict[str, Any]]:
    """Answers of an exported model, a dict of outputs per row: {"answer": "...", "score": 0.93, ...}.

    model: saved_models/NAME (its latest version) or saved_models/NAME/VERSION; rows: texts, or dicts by source field.
    """
    from textpipe.savedmodel import Model

    return Model.load(model).predict(rows, signature=signature)


def score(model: str | Path, rows: Sequence[Mapping[str, str]], **options: Any) -> list[dict[str, Any]]:
    """How probable a model holds given answers, a dict per pair: {"log_prob": -3.1, "tokens": 7, "perplexity": 1.56, ...}.

    model: an exported model, or a pipeline file for its trained one; rows: dicts with the source and the target field;
    options: those of scoring.Scorer.load (overrides, artifacts, told).
    """
    from textpipe.scoring import Scorer

    return Scorer.load(model, **options).score(rows)
