"""What a run from Python leaves: paths, figures, and tables as DataFrames."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.errors import ArtifactError
from textpipe.pipeline import runner
from textpipe.report import results

if TYPE_CHECKING:
    import pandas as pd

SHOWN = 3  # metrics of a short repr


@dataclass(repr=False, eq=False)
class Result(runner.Result):
    """pipeline.Result, with what its stages found read when it is asked for."""

    @classmethod
    def of(cls, found: runner.Result) -> "Result":
        """The same result, as Python callers have it."""
        return cls(found.pipeline, found.artifacts, found.saved_model)

    @property
    def paths(self) -> dict[str, Path]:
        """{stage: its result's folder}, and "saved_model": the published version, when export ran."""
        paths = {stage: artifact.path for stage, artifact in self.artifacts.items()}
        return {**paths, "saved_model": self.saved_model} if self.saved_model else paths

    @property
    def report(self) -> dict[str, Any]:
        """metrics.json as evaluate wrote it: metrics, their intervals, signatures, notes."""
        return results.read(self.path_of("evaluate") / results.METRICS)

    @property
    def metrics(self) -> dict[str, float | None]:
        """{metric: figure on the evaluated split}; None for one that is not defined."""
        return self.report["metrics"]

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """{metric: its 95 % interval}."""
        return {name: tuple(bounds) for name, bounds in self.report["intervals"].items()}

    @property
    def history(self) -> "pd.DataFrame":
        """A row for each validation during training: epoch, step, losses, and what else was measured."""
        return self.frame("train", "history.jsonl")

    @property
    def predictions(self) -> "pd.DataFrame":
        """A row for each row that was evaluated: its number, the task's fields, the answer and its score."""
        return self.frame("evaluate", results.PREDICTIONS)

    def frame(self, stage: str, file: str) -> "pd.DataFrame":
        """A file of JSON lines as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(results.lines(self.path_of(stage) / file))

    def path_of(self, stage: str) -> Path:
        """The folder of a stage's result; raises ArtifactError when the run ended before it."""
        if stage not in self.artifacts:
            last = list(self.artifacts)[-1] if self.artifacts else "nothing"
            raise ArtifactError(
                f"{self.pipeline.name}: {stage} has not run, only up to {last}; run it with until={stage!r}"
            )
        return self.artifacts[stage].path

    def __repr__(self) -> str:
        parts = []
        if "evaluate" in self.artifacts:
            parts.append(", ".join(f"{name} {figure(value)}" for name, value in list(self.metrics.items())[:SHOWN]))
        parts.append(str(self.saved_model or (list(self.paths.values())[-1] if self.paths else "nothing was run")))
        return f"Result({self.pipeline.name}: {'; '.join(parts)})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = []
        if "evaluate" in self.artifacts:
            intervals = self.intervals
            for name, value in self.metrics.items():
                bounds = " to ".join(map(figure, intervals[name])) if name in intervals else ""
                rows.append((name, figure(value), bounds))
        rows += [(name, str(path), "") for name, path in self.paths.items()]
        cells = "".join(
            "<tr><th style='text-align:left'>" + "</th>".join(map(html.escape, row[:1])) + "</th>"
            + "".join(f"<td style='text-align:left'>{html.escape(value)}</td>" for value in row[1:]) + "</tr>"
            for row in rows
        )  # fmt: skip
        return f"<table><caption>{html.escape(self.pipeline.name)}</caption>{cells}</table>"


def figure(value: float | None) -> str:
    """Four digits, or a dash for a figure that is not defined."""
    return "-" if value is None else f"{value:.4g}"
