"""What a study optimizes: a metric of training's validations, or one of evaluate, measured on the validation split."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from textpipe.config import plugins
from textpipe.errors import ConfigError, DataError, suggest
from textpipe.pipeline.runner import Pipeline

# Settings of evaluate in a trial: no test rows, no threshold to miss, no confidence intervals that nobody reads.
ON_VALID = {"evaluate.split": "valid", "evaluate.require": {}, "evaluate.resamples": 0}


@dataclass(frozen=True)
class Objective:
    """metric: its name; direction: "min" or "max"; stage: "train" or "evaluate", the last stage of a trial."""

    metric: str
    direction: str
    stage: str

    @classmethod
    def of(cls, pipeline: Pipeline) -> "Objective":
        """That of a pipeline with [tune]. Raises ConfigError for a metric that neither training nor evaluate measures."""
        train: Any = pipeline.sections["train"]
        assert pipeline.tune is not None
        metric = pipeline.tune.metric or train.best_metric
        validations, scores = train.objective.METRICS, plugins.find("tasks", pipeline.task).METRICS
        if metric in validations:
            if metric == "valid_bleu" and not train.measures_bleu:
                raise ConfigError(
                    f"{pipeline.place} [tune] metric: training does not measure valid_bleu; set [train] valid_bleu_rows"
                )
            return cls(metric, validations[metric], "train")
        if metric not in scores:
            known = [*validations, *scores]
            raise ConfigError(f"{pipeline.place} [tune] metric: {metric!r} is not measured{suggest(metric, known)}")
        if pipeline.tune.pruner.kind != "none":
            raise ConfigError(
                f"{pipeline.place} [tune] pruner: {metric} is measured after training, so it cannot end a trial early; "
                f'set pruner = "none", or metric to one of {", ".join(validations)}'
            )
        return cls(metric, scores[metric], "evaluate")

    @property
    def extra(self) -> dict[str, Any]:
        """Values that every trial's pipeline has besides its assignment, by key."""
        return ON_VALID if self.stage == "evaluate" else {}

    @property
    def optuna_direction(self) -> str:
        """The direction in Optuna's words."""
        return "minimize" if self.direction == "min" else "maximize"

    def loss(self, value: float) -> float:
        """The value with its sign such that lower is better."""
        return value if self.direction == "min" else -value

    def read(self, folder: Path) -> float:
        """The value in the result of `stage`: of the weights that training kept. Raises DataError if it is undefined."""
        import json

        if self.stage == "evaluate":
            figures = json.loads((folder / "metrics.json").read_text(encoding="utf-8"))["metrics"]
        else:
            summary = json.loads((folder / "train.json").read_text(encoding="utf-8"))
            figures = summary["average"] if self.metric in summary.get("average", {}) else summary["best"]
        if figures.get(self.metric) is None:
            raise DataError(f"{self.metric} is undefined; measured: {', '.join(figures)}")
        return float(figures[self.metric])
