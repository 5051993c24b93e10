"""The results of one run, read from the store."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.cache import integrity
from textpipe.config import plugins
from textpipe.errors import ArtifactError
from textpipe.pipeline import runner
from textpipe.report.system_answers import source_and_target, view_of
from textpipe.version import __version__

METRICS, PREDICTIONS, ATTENTION = "metrics.json", "predictions.jsonl", "attention.jsonl"


@dataclass(frozen=True)
class Run:
    """The results of one run: its name, and the artifacts of its stages, always including train and evaluate."""

    name: str
    artifacts: Mapping[str, Path]

    @classmethod
    def find(cls, source: str | Path, overrides: tuple[str, ...] = (), artifacts: Path = runner.ARTIFACTS) -> "Run":
        """From a pipeline file with its current settings, or an evaluate artifact's directory.

        Raises ArtifactError if the run is not complete.
        """
        path = Path(source)
        if path.is_dir():
            return cls.from_artifact(path)
        loaded = runner.Pipeline.load(path, overrides)
        steps = runner.plan(loaded, until="evaluate", artifacts=artifacts, contents=True)
        missing = next((step for step in steps if step.path is None), None)
        if missing:
            why = "; ".join(missing.reasons)
            raise ArtifactError(
                f"{path}: the result of {missing.stage} is not in {artifacts} ({why}); run `textpipe evaluate {path}` first"
            )
        return cls(loaded.name, {step.stage: step.path for step in steps if step.path})

    @classmethod
    def from_artifact(cls, evaluate: Path) -> "Run":
        """From an evaluate artifact and the results in the same store that it was computed from."""
        integrity.check(evaluate)
        inputs = read_manifest(evaluate)["ingredients"]["inputs"]
        artifacts = {"evaluate": evaluate}
        for stage, digest in inputs.items():
            for manifest in sorted((evaluate.parent.parent / stage).glob(f"*/{integrity.MANIFEST}")):
                if manifest.parent.suffix != ".damaged" and digest_of(manifest.parent) == digest:
                    artifacts[stage] = manifest.parent
        if "train" not in artifacts:
            raise ArtifactError(
                f"{evaluate}: the train artifact it was computed from is not in {evaluate.parent.parent}; train again"
            )
        return cls(pipeline_name(evaluate), artifacts)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json"""
        return read_json(self.artifacts["evaluate"] / METRICS)

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """The rows of predictions.jsonl; with several source fields, also all of them joined into one text."""
        rows, (source, _) = read_json_lines(self.artifacts["evaluate"] / PREDICTIONS), self.sides
        if len(self.sources) > 1:
            for row in rows:
                row[source] = "\n".join(f"{name}: {row[name]}" for name in self.sources)
        return rows

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The names of the source fields."""
        fields = plugins.find("tasks", self.metrics["task"]).FIELDS
        return tuple(field.name for field in fields if field.side == "source")

    @cached_property
    def sides(self) -> tuple[str, str]:
        """The names of the source and the target field; several source names are joined by commas."""
        _, target = source_and_target(plugins.find("tasks", self.metrics["task"]).FIELDS)
        return ", ".join(self.sources), target.name

    @cached_property
    def view(self) -> ModuleType:
        """The module of views/ that shows the task's answers."""
        return view_of(plugins.find("tasks", self.metrics["task"]).ANSWER)

    @cached_property
    def positive(self) -> str | None:
        """The class of F1, precision and recall of a classifier with two classes, else None."""
        labels: list[str] = self.metrics.get("labels") or []
        return labels[1] if len(labels) == 2 else None

    @cached_property
    def made_of(self) -> str:
        """Fingerprint of everything the page shows."""
        parts = [
            f"{path.name[:12]}.{(path / integrity.MANIFEST).stat().st_mtime_ns}" for path in self.artifacts.values()
        ]
        return " ".join([__version__, self.name, *parts])


def read_manifest(artifact: Path) -> dict[str, Any]:
    """An artifact's manifest; raises ArtifactError if it is missing or damaged."""
    try:
        return integrity.read_manifest(artifact)[0]
    except FileNotFoundError:
        raise ArtifactError(
            f"{artifact}: is not a finished result of a stage; give a pipeline file or an evaluate artifact"
        ) from None
    except ValueError as error:
        raise ArtifactError(f"{artifact / integrity.MANIFEST}: {error}; run its pipeline again") from None


def digest_of(artifact: Path) -> str | None:
    """The digest in a manifest, or None if it cannot be read."""
    try:
        return integrity.read_manifest(artifact)[0]["digest"]
    except (OSError, ValueError):
        return None


def pipeline_name(evaluate: Path) -> str:
    """The pipeline that last used an evaluate artifact, or the start of its key."""
    for path in sorted((evaluate.parent.parent / "latest").glob("*/evaluate.json")):
        if read_json(path).get("path") == evaluate.name:
            return path.parent.name
    return evaluate.name[:8]


def read_json(path: Path) -> dict[str, Any]:
    """Parse a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def read_json_lines(path: Path) -> list[dict[str, Any]]:
    """Parse a file of JSON lines; an empty list if it does not exist."""
    if not path.is_file():
        return []
    # Split at line feeds only: a text may contain other line separators.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
