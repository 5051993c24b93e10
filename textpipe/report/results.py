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
from textpipe.report.system_answers import pair, view_of
from textpipe.version import __version__

METRICS, PREDICTIONS, ATTENTION = "metrics.json", "predictions.jsonl", "attention.jsonl"


@dataclass(frozen=True)
class Run:
    """The results of one run: its name, and the artifact of each stage that is there; evaluate and train always are."""

    name: str
    artifacts: Mapping[str, Path]

    @classmethod
    def find(cls, place: str | Path, overrides: tuple[str, ...] = (), artifacts: Path = runner.ARTIFACTS) -> "Run":
        """From a pipeline file as it stands, or an evaluate artifact's directory; raises ArtifactError if not built."""
        place = Path(place)
        if place.is_dir():
            return cls.around(place)
        loaded = runner.Pipeline.load(place, overrides)
        steps = runner.plan(loaded, until="evaluate", artifacts=artifacts, contents=True)
        missing = next((step for step in steps if step.path is None), None)
        if missing:
            why = "; ".join(missing.reasons)
            raise ArtifactError(
                f"{place}: its {missing.stage} is not in {artifacts} ({why}); run `textpipe evaluate {place}` first"
            )
        return cls(loaded.name, {step.stage: step.path for step in steps if step.path})

    @classmethod
    def around(cls, evaluate: Path) -> "Run":
        """From an evaluate artifact, and beside it in the store the results it was made from."""
        integrity.check(evaluate)
        inputs = manifest(evaluate)["ingredients"]["inputs"]
        found = {"evaluate": evaluate}
        for stage, digest in inputs.items():
            for other in sorted((evaluate.parent.parent / stage).glob(f"*/{integrity.MANIFEST}")):
                if other.parent.suffix != ".damaged" and digest_of(other.parent) == digest:
                    found[stage] = other.parent
        if "train" not in found:
            raise ArtifactError(
                f"{evaluate}: the training it belongs to is not in {evaluate.parent.parent}; train again"
            )
        return cls(named(evaluate), found)

    @cached_property
    def metrics(self) -> dict[str, Any]:
        """metrics.json"""
        return read(self.artifacts["evaluate"] / METRICS)

    @cached_property
    def predictions(self) -> list[dict[str, Any]]:
        """The lines of predictions.jsonl; where there are several source fields, with all of them as one text besides."""
        found, (source, _) = lines(self.artifacts["evaluate"] / PREDICTIONS), self.sides
        if len(self.sources) > 1:
            for line in found:
                line[source] = "\n".join(f"{name}: {line[name]}" for name in self.sources)
        return found

    @cached_property
    def sources(self) -> tuple[str, ...]:
        """The names of the source fields."""
        fields = plugins.find("tasks", self.metrics["task"]).FIELDS
        return tuple(field.name for field in fields if field.side == "source")

    @cached_property
    def sides(self) -> tuple[str, str]:
        """The names of the source and the target field; of several sources, all of their names."""
        _, target = pair(plugins.find("tasks", self.metrics["task"]).FIELDS)
        return ", ".join(self.sources), target.name

    @cached_property
    def view(self) -> ModuleType:
        """How the report shows the task's answers: a module of views/."""
        return view_of(plugins.find("tasks", self.metrics["task"]).ANSWER)

    @cached_property
    def positive(self) -> str | None:
        """Of a classifier of two classes, the one that F1, precision and recall are of."""
        labels: list[str] = self.metrics.get("labels") or []
        return labels[1] if len(labels) == 2 else None

    @cached_property
    def made_of(self) -> str:
        """Changes when the page would."""
        parts = [
            f"{path.name[:12]}.{(path / integrity.MANIFEST).stat().st_mtime_ns}" for path in self.artifacts.values()
        ]
        return " ".join([__version__, self.name, *parts])


def manifest(artifact: Path) -> dict[str, Any]:
    """An artifact's manifest; raises ArtifactError when there is none, or it is damaged."""
    try:
        return integrity.read_manifest(artifact)[0]
    except FileNotFoundError:
        raise ArtifactError(
            f"{artifact}: is no finished result of a stage; give a pipeline file or an evaluate artifact"
        ) from None
    except ValueError as error:
        raise ArtifactError(f"{artifact / integrity.MANIFEST}: {error}; run its pipeline again") from None


def digest_of(artifact: Path) -> str | None:
    """The digest a manifest gives, or None when it cannot be read."""
    try:
        return integrity.read_manifest(artifact)[0]["digest"]
    except (OSError, ValueError):
        return None


def named(evaluate: Path) -> str:
    """The pipeline that an evaluate artifact was last used by, else the first letters of its key."""
    for path in sorted((evaluate.parent.parent / "latest").glob("*/evaluate.json")):
        if read(path).get("path") == evaluate.name:
            return path.parent.name
    return evaluate.name[:8]


def read(path: Path) -> dict[str, Any]:
    """A JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def lines(path: Path) -> list[dict[str, Any]]:
    """A file of JSON lines; empty when it is not there."""
    if not path.is_file():
        return []
    # Only a line feed ends a line: a text may hold other separators.
    return [json.loads(line) for line in path.read_text(encoding="utf-8").split("\n") if line.strip()]
