"""The result of a run from Python: paths, metrics, and tables as DataFrames."""

import html
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from textpipe.errors import ArtifactError
from textpipe.pipeline import runner
from textpipe.report import results

if TYPE_CHECKING:
    import pandas as pd

NUM_SHOWN = 3  # metrics in the repr


@dataclass(repr=False, eq=False)
class Result(runner.Result):
    """runner.Result with lazy access to the results of its stages."""

    @classmethod
    def of(cls, result: runner.Result) -> "Result":
        """Wrap the runner's result."""
        return cls(result.pipeline, result.artifacts, result.saved_model)

    @property
    def paths(self) -> dict[str, Path]:
        """{stage: the folder of its result}, and "saved_model": the published version, if export ran."""
        paths = {stage: artifact.path for stage, artifact in self.artifacts.items()}
        return {**paths, "saved_model": self.saved_model} if self.saved_model else paths

    @property
    def report(self) -> dict[str, Any]:
        """metrics.json of evaluate: metrics, their intervals, signatures, notes."""
        return results.read_json(self.path_of("evaluate") / results.METRICS)

    @property
    def metrics(self) -> dict[str, float | None]:
        """{metric: value on the evaluated split}; None if undefined."""
        return self.report["metrics"]

    @property
    def intervals(self) -> dict[str, tuple[float, float]]:
        """{metric: its 95 % interval}."""
        return {name: tuple(bounds) for name, bounds in self.report["intervals"].items()}

    @property
    def history(self) -> "pd.DataFrame":
        """One row per validation during training: epoch, step, losses and other measurements."""
        return self.frame("train", "history.jsonl")

    @property
    def predictions(self) -> "pd.DataFrame":
        """One row per evaluated row: its number, the task's fields, the answer and its score."""
        return self.frame("evaluate", results.PREDICTIONS)

    def frame(self, stage: str, file: str) -> "pd.DataFrame":
        """A file of JSON lines as a DataFrame."""
        import pandas as pd

        return pd.DataFrame(results.read_json_lines(self.path_of(stage) / file))

    def path_of(self, stage: str) -> Path:
        """The folder of a stage's result; raises ArtifactError if the run ended before that stage."""
        if stage not in self.artifacts:
            last = list(self.artifacts)[-1] if self.artifacts else "nothing"
            raise ArtifactError(
                f"{self.pipeline.name}: {stage} has not run (last stage: {last}); run the pipeline with until={stage!r}"
            )
        return self.artifacts[stage].path

    def __repr__(self) -> str:
        parts = []
        if "evaluate" in self.artifacts:
            parts.append(
                ", ".join(f"{name} {format_figure(value)}" for name, value in list(self.metrics.items())[:NUM_SHOWN])
            )
        parts.append(str(self.saved_model or (list(self.paths.values())[-1] if self.paths else "nothing was run")))
        return f"Result({self.pipeline.name}: {'; '.join(parts)})"

    def _repr_html_(self) -> str:
        """A table for notebooks."""
        rows = []
        if "evaluate" in self.artifacts:
            intervals = self.intervals
            for name, value in self.metrics.items():
                bounds = " to ".join(map(format_figure, intervals[name])) if name in intervals else ""
                rows.append((name, format_figure(value), bounds))
        rows += [(name, str(path), "") for name, path in self.paths.items()]
        cells = "".join(
            "<tr><th style='text-align:left'>" + "</th>".join(map(html.escape, row[:1])) + "</th>"
            + "".join(f"<td style='text-align:left'>{html.escape(value)}</td>" for value in row[1:]) + "</tr>"
            for row in rows
        )  # fmt: skip
        return f"<table><caption>{html.escape(self.pipeline.name)}</caption>{cells}</table>"


def format_figure(value: float | None) -> str:
    """Four significant digits, or a dash for an undefined value."""
    return "-" if value is None else f"{value:.4g}"
