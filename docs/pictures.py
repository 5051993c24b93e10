"""Draws the README's pictures: `make pictures`, after `make run`."""

import sys
from pathlib import Path

from textpipe.pipeline.runner import Pipeline, run
from textpipe.report import figures
from textpipe.savedmodel.loader import Model

STAGES = (
    ("ingest", "checked rows,\nthree splits"),
    ("normalize", "clean text"),
    ("tokenize", "vocabulary"),
    ("vectorize", "ids, n-grams"),
    ("train", "weights"),
    ("evaluate", "honest scores"),
    ("export", "SavedModel"),
)


def main(pipeline: str, text: str, folder: str) -> None:
    """Draw the pipeline diagram, and the learning curve and an attention map of one trained pipeline."""
    out = Path(folder)
    print(figures.diagram(STAGES, out / "pipeline.png"))
    result = run(Pipeline.load(pipeline))
    lines = figures.history(result.artifacts["train"].path / "history.jsonl")
    print(figures.learning_curve(lines, out / "learning_curve.png", title=Path(pipeline).stem))
    (row,) = Model.load(result.saved_model).predict([text], signature="attention")
    source = [piece for piece in row["source_tokens"] if piece]
    target = [piece for piece in row["target_tokens"] if piece]
    weights = [line[: len(source)] for line in row["weights"][: len(target)]]
    print(figures.attention_map(weights, source, target, out / "attention.png"))


if __name__ == "__main__":
    main(*sys.argv[1:])
