"""Load, plan and run a pipeline file: a stage is built when its fingerprint changed, else read from the store."""

import functools
import logging
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe import engines
from textpipe.cache import fingerprint, mirror
from textpipe.cache.store import Artifact, Store
from textpipe.config import chosen_fields, plugins
from textpipe.config.sections import Section, check, load, override
from textpipe.decoding import _fits
from textpipe.engines import inline
from textpipe.errors import ConfigError, ModelError, ThresholdError, suggest
from textpipe.pipeline import bundled
from textpipe.pipeline.tune_settings import Tune
from textpipe.runtime import engine, threads

ORDER = ("ingest", "normalize", "tokenize", "vectorize", "train", "evaluate", "export")  # unless the task has STAGES
ARTIFACTS = Path("data/artifacts")
SAVED_MODELS = Path("saved_models")
CODE = "code.json"  # in the store: cached fingerprints of modules' code

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Pipeline:
    """A validated pipeline file: its name (the file's stem), a section per stage, the table [tune], if it has one, and [engine],
    which is part of no cache key.
    """

    name: str
    place: str
    task: str
    sections: dict[str, Section]
    tune: Section | None = None
    engine: Section = inline.Config()

    @classmethod
    def load(cls, path: str | Path, overrides: tuple[str, ...] = ()) -> "Pipeline":
        """Read and validate a file, or a bundled pipeline by name. Raises ConfigError with all errors at once."""
        path = bundled.find(path)
        return cls.from_tables(path, override(load(path), overrides))

    @classmethod
    def from_tables(cls, path: str | Path, tables: Mapping[str, Any], *, name: str | None = None) -> "Pipeline":
        """Validate the tables of a file; path: its name in messages, and its stem the pipeline's name unless `name` is given.

        Raises ConfigError with all errors at once.
        """
        path, tables = Path(path), dict(tables)
        try:
            task = tables["task"] = chosen_fields.format_task(tables.get("task"))
        except ValueError as error:
            raise ConfigError(f"{path} [task] {error}") from None
        if not isinstance(task, str):
            raise ConfigError(f"{path} task: expected one of {', '.join(plugins.names('tasks'))}, found {task!r}")
        try:
            plugins.find("tasks", task)
        except ConfigError as error:
            raise ConfigError(f"{path} task: {error}") from None
        target = next(item for item in plugins.find("tasks", task).FIELDS if item.side == "target")
        if "decode" in tables and not target.has_text:
            raise ConfigError(
                f"{path} [decode]: task {task!r} answers with {target.cells.NOUN}, which needs no decoder; leave [decode] out"
            )
        if "decode" in tables and not getattr(
            plugins.find("answers", plugins.find("tasks", task).ANSWER), "DECODES", True
        ):
            raise ConfigError(
                f"{path} [decode]: task {task!r} ranks the answers of a set and needs no decoder; leave [decode] out"
            )
        chosen = engines.check(f"{path} [engine]", tables.pop("engine", engines.DEFAULT))
        tune_table = {"tune": tables.pop("tune")} if "tune" in tables else {}
        sections = check(str(path), {stage: stage_module(stage).Config for stage in stages_of(task)}, tables)
        # By itself: its seed is that of the search, not the one at the top of the file.
        tune = check(str(path), {"tune": Tune}, tune_table)["tune"] if tune_table else None
        by_stage: dict[str, Any] = sections
        export, model, codec = by_stage["export"], by_stage["train"].model, by_stage["tokenize"].codec
        faults = list(_fits.conflicts(export.decode, model, export.ensemble, codec))
        if faults:
            raise ConfigError("\n".join(f"{path} {fault}" for fault in faults))
        if export.ensemble:
            try:
                plugins.find("answers", plugins.find("tasks", task).ANSWER).check_ensemble(model.kind)
            except ConfigError as error:
                raise ConfigError(f"{path} {error}") from None
        return cls(name or path.stem, str(path), task, sections, tune, chosen)

    @property
    def stages(self) -> tuple[str, ...]:
        """The stages of its task, in order."""
        return stages_of(self.task)


@dataclass(frozen=True)
class Step:
    """One stage of a plan. state: "cached", "run", or "perhaps" (an input will be rebuilt and may be unchanged)."""

    stage: str
    state: str
    reasons: tuple[str, ...]
    path: Path | None


@dataclass
class Result:
    """The result of a run: an artifact per stage, and the published SavedModel if export ran."""

    pipeline: Pipeline
    artifacts: dict[str, Artifact] = field(default_factory=dict)
    saved_model: Path | None = None


def stage_module(stage: str) -> ModuleType:
    """The module of a stage."""
    return plugins.find("stages", stage)


def stages_of(task: str) -> tuple[str, ...]:
    """The stages of a task, in order: its STAGES, or ORDER."""
    return getattr(plugins.find("tasks", task), "STAGES", ORDER)


def check_stage(pipeline: Pipeline, stage: str | None, option: str) -> None:
    """Raise ConfigError for a stage that the pipeline does not have."""
    if stage is not None and stage not in pipeline.stages:
        raise ConfigError(f"{option} {stage}: no such stage{suggest(stage, pipeline.stages)}")


def stages_until(pipeline: Pipeline, until: str | None) -> list[str]:
    """The stages needed to run up to `until`, in order: itself and those it may read, directly or not."""
    if until is None:
        return list(pipeline.stages)
    stages, waiting = set(), [until]
    while waiting:
        stage = waiting.pop()
        stages.add(stage)
        waiting += {*stage_module(stage).INPUTS, *inputs_of(pipeline, stage)} - stages
    return [stage for stage in pipeline.stages if stage in stages]


def inputs_of(pipeline: Pipeline, stage: str) -> tuple[str, ...]:
    """The stages whose outputs a stage reads under its settings: its INPUTS or some of them."""
    code = stage_module(stage)
    return code.reads(pipeline.sections[stage]) if hasattr(code, "reads") else code.INPUTS


def stage_fingerprint(pipeline: Pipeline, stage: str, inputs: dict[str, str]) -> dict[str, Any]:
    """Everything a stage's result depends on; a stage that rebuilds the graph also depends on the plug-ins of PLUGINS_OF."""
    code = stage_module(stage)
    behind = [pipeline.sections[other] for other in getattr(code, "PLUGINS_OF", ())]
    return fingerprint.compute(stage, code.__name__, pipeline.sections[stage], inputs, behind)


def plan(
    pipeline: Pipeline, *, until: str | None = None, artifacts: Path = ARTIFACTS, contents: bool = False
) -> list[Step]:
    """What `run` would do, stage by stage, and why. Writes nothing. Raises DataError when an input file is missing.

    contents: verify the checksums of all cached files, for callers that read the results.
    """
    check_stage(pipeline, until, "--until")
    with fingerprint.cached_analyses(artifacts / CODE):
        return plan_steps(pipeline, until, mirror.open_store(artifacts), contents)


def plan_steps(pipeline: Pipeline, until: str | None, store: Store, contents: bool) -> list[Step]:
    """The steps of `plan`."""
    steps: list[Step] = []
    known: dict[str, str] = {}
    for stage in stages_until(pipeline, until):
        inputs = inputs_of(pipeline, stage)
        unknown = [name for name in inputs if name not in known]
        current = stage_fingerprint(pipeline, stage, {name: known.get(name, "?") for name in inputs})
        artifact = None if unknown else store.look(stage, fingerprint.key(current), contents=contents)
        if artifact:
            known[stage] = artifact.digest
            steps.append(Step(stage, "cached", (), artifact.path))
            continue
        last = store.latest(stage, pipeline.name)
        reasons = [] if last is None else [r for r in fingerprint.changes(last, current) if not r.startswith("inputs ")]
        if last is None:
            steps.append(Step(stage, "run", ("never run",), None))
        elif reasons:
            steps.append(Step(stage, "run", tuple(reasons), None))
        elif unknown:
            steps.append(Step(stage, "perhaps", tuple(f"input {name} is built again" for name in unknown), None))
        else:
            changed = list(fingerprint.changes(last, current)) or ["its result was deleted or damaged"]
            steps.append(Step(stage, "run", tuple(changed), None))
    return steps


def run(
    pipeline: Pipeline,
    *,
    until: str | None = None,
    start: str | None = None,
    force: bool = False,
    artifacts: Path = ARTIFACTS,
    saved_models: Path = SAVED_MODELS,
    contents: bool = False,
    on_event: Callable[[str, str, str], None] | None = None,
) -> Result:
    """Run a pipeline, or its stages up to `until`.

    start: rebuild this stage and those after it, even when cached; force: rebuild every stage.
    contents: verify the checksums of cached files too, for callers that build something from them.
    on_event(stage, state, text) is called as each stage begins ("run") and ends ("cached" or "done").
    Raises TextpipeError; results of finished stages stay in the store. A ThresholdError carries the result so far.
    """
    check_stage(pipeline, until, "--until")
    check_stage(pipeline, start, "--from")
    store, result = mirror.open_store(artifacts), Result(pipeline)
    if all(field.has_text for field in plugins.find("tasks", pipeline.task).FIELDS):
        threads.limit_intra_op()
    notify = on_event or (lambda stage, state, text: log.info("%s %s %s", stage, state, text))
    stages = pipeline.stages
    rebuild = set(stages) if force else set(stages[stages.index(start) :] if start else ())
    with fingerprint.cached_analyses(artifacts / CODE), engine.use(engines.open(pipeline.engine)):
        try:
            build(result, store, stages_until(pipeline, until), rebuild, notify, contents)
            if "export" in result.artifacts:
                result.saved_model = publish_export(result, store, saved_models / pipeline.name, notify)
        except ThresholdError as error:
            error.result = result
            raise
    return result


def build(
    result: Result,
    store: Store,
    stages: list[str],
    rebuild: set[str],
    notify: Callable[[str, str, str], None],
    contents: bool = False,
) -> None:
    """Fill result.artifacts stage by stage, from the store or by building; stages in `rebuild` are built even when cached.

    Before a stage is built, the checksums of its inputs are verified. A damaged input is set aside, and the loop restarts
    from its stage.
    """
    pipeline = result.pipeline
    keys: dict[str, str] = {}
    verified: set[str] = set()  # stages whose checksums were compared
    at = 0
    while at < len(stages):
        stage = stages[at]
        code = stage_module(stage)
        inputs = {name: result.artifacts[name] for name in inputs_of(pipeline, stage)}
        current = stage_fingerprint(pipeline, stage, {name: artifact.digest for name, artifact in inputs.items()})
        key = keys[stage] = fingerprint.key(current)
        artifact = None if stage in rebuild else store.find(stage, key, contents=contents and stage not in verified)
        if artifact:
            notify(stage, "cached", str(artifact.path))
        else:
            unverified = [name for name in stages[:at] if name in inputs and name not in verified]
            damaged = next((name for name in unverified if not store.find(name, keys[name], contents=True)), None)
            if damaged:
                at = stages.index(damaged)
                continue
            verified.update(unverified)
            notify(stage, "run", "")
            began = time.monotonic()
            paths = {name: source.path for name, source in inputs.items()}
            section = pipeline.sections[stage]
            work = functools.partial(code.run, section, paths)
            artifact = store.build(stage, key, current, work, force=stage in rebuild)
            rebuild = rebuild - {stage}
            verified.add(stage)
            summary = code.summary(artifact.path) if hasattr(code, "summary") else ""
            notify(
                stage,
                "done",
                f"{time.monotonic() - began:.1f} s  {artifact.path}" + (f"\n{summary}" if summary else ""),
            )
        store.remember(pipeline.name, artifact)
        result.artifacts[stage] = artifact
        if hasattr(code, "check_thresholds"):
            code.check_thresholds(pipeline.sections[stage], artifact.path)
        at += 1


def publish_export(result: Result, store: Store, base: Path, notify: Callable[[str, str, str], None]) -> Path:
    """Publish the exported model; if its artifact is damaged, export it again first."""
    from textpipe.savedmodel import publish

    try:
        return publish.publish(result.artifacts["export"].path / "model", base)
    except ModelError:
        build(result, store, list(result.artifacts), set(), notify, contents=True)
        return publish.publish(result.artifacts["export"].path / "model", base)
