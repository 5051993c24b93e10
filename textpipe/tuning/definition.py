"""What a study's values depend on, stored with it: a study of other settings, rows or code is another study."""

import random
from collections.abc import Iterator, Mapping
from typing import Any

from textpipe.cache.fingerprint import flatten
from textpipe.errors import ConfigError
from textpipe.pipeline import runner
from textpipe.pipeline.runner import Pipeline
from textpipe.pipeline.tune_settings import Parameter
from textpipe.tuning.objective import Objective
from textpipe.tuning.space import Space, unknown_condition

MAX_TRIES = 30  # random assignments with a value before it is refused


def define(pipeline: Pipeline, objective: Objective) -> dict[str, Any]:
    """The definition of a study as JSON.

    {"pipeline": settings of the stages of a trial, "files": digests, "tune": ..., "code": digests, "versions": ...}
    """
    assert pipeline.tune is not None
    definition: dict[str, Any] = {"pipeline": {}, "files": {}, "code": {}, "versions": {}}
    for stage in runner.stages_until(pipeline, objective.stage):
        parts = runner.stage_fingerprint(pipeline, stage, {})
        definition["pipeline"][stage] = parts["section"]
        for group in ("files", "code", "versions"):
            definition[group] |= parts[group]
    tune = pipeline.tune
    definition["tune"] = {
        "metric": objective.metric,
        "sampler": tune.sampler.model_dump(mode="json"),
        "pruner": tune.pruner.model_dump(mode="json"),
        "seed": tune.seed,
        "settings": {parameter.key: parameter.described for parameter in tune.parameters},
    }
    return definition


def changes(old: Mapping[str, Any], new: Mapping[str, Any], groups: tuple[str, ...]) -> list[str]:
    """The differences of two definitions in some groups: ["train.epochs: 3 -> 5", "data/mail.tsv"]."""
    differences = []
    for group in groups:
        before, after = flatten(old.get(group, {})), flatten(new.get(group, {}))
        for name in sorted({*before, *after}):
            if before.get(name) != after.get(name):
                full = f"tune.{name}" if group == "tune" else name
                shown = f": {before.get(name)!r} -> {after.get(name)!r}" if group in ("pipeline", "tune") else ""
                differences.append(full + shown)
    return differences


def check_space(space: Space, objective: Objective) -> None:
    """Refuse a setting that no pipeline has, a value that none accepts, and a setting that no trial's stages read.

    A value is refused only if it fails with every one of a few assignments to the others. Raises ConfigError.
    """
    place = f"{space.place} [tune] settings"
    fault = unknown_condition(space)
    if fault:
        raise ConfigError(f"{place} {fault}")
    draw = random.Random(0)
    for parameter in space.parameters:
        sections: dict[str, dict[str, Any]] = {}
        ends = list(parameter.choices) or [parameter.low, parameter.high]
        for value in ends:
            pipeline, error = try_value(space, objective, parameter, value, draw)
            if pipeline is None and error is not None:
                hint = ""
                if not parameter.choices and not parameter.integer and parameter.low == int(parameter.low):
                    hint = "; for whole numbers add int = true" if "whole number" in str(error) else ""
                reason = str(error).replace(f"{space.place} ", "")
                raise ConfigError(f"{place} {parameter.key} = {value!r}: {reason}{hint}")
            if pipeline is not None:
                sections[repr(value)] = stage_sections(pipeline, objective.stage)
        if len(ends) > 1 and len(sections) == len(ends) and not differs(list(sections.values())):
            raise ConfigError(
                f"{place} {parameter.key}: has no effect on {objective.metric}, which {objective.stage} measures; leave it out"
            )


def incomparable(space: Space, objective: Objective, counts: str) -> Iterator[str]:
    """Reasons why values of the metric differ between trials that are equally good. counts: the objective's COUNTS."""
    keys = [parameter.key for parameter in space.parameters]
    if objective.metric == "valid_loss" and "model.loss" in keys:
        yield "valid_loss is another quantity for each model.loss; set [tune] metric to valid_accuracy or valid_f1"
    per_token = objective.metric in ("valid_loss", "valid_accuracy", "valid_perplexity", "token_accuracy", "perplexity")
    tokens = [key for key in keys if key.split(".")[0] in ("tokenize", "normalize")]
    if counts == "tokens" and per_token and tokens:
        yield (
            f"{objective.metric} is measured per token, and {', '.join(tokens)} changes what a token is, so that fewer or more frequent tokens seem "
            "better; set [tune] metric to one of whole texts, such as bleu, if the task has one"
        )


def try_value(space: Space, objective: Objective, parameter: Any, value: Any, draw: Any) -> tuple[Pipeline | None, Any]:
    """The pipeline of the first assignment with a value that is valid, or the first error; both None if none has it."""
    error = None
    for attempt in range(MAX_TRIES):

        def choose(one: Any, first: bool = attempt == 0) -> Any:
            if one is parameter:
                return value
            ends = list(one.choices) or [one.low, one.high]
            condition = parameter.when.get(one.key)
            allowed = [end for end in ends if condition is None or end in condition] or ends
            return allowed[0] if first else draw.choice(allowed)

        assignment = space.walk(choose)
        if parameter.key not in assignment:
            continue
        try:
            return space.pipeline(assignment, objective.extra), None
        except ConfigError as fault:
            error = error or fault
    return None, error


def stage_sections(pipeline: Pipeline, until: str) -> dict[str, Any]:
    """The settings of the stages up to `until`."""
    stages = runner.stages_until(pipeline, until)
    return {stage: pipeline.sections[stage].model_dump(mode="json") for stage in stages}


def shares_training(space: Space, objective: Objective, *, grid: bool) -> bool:
    """Whether trials to come may differ from a finished one only in what is read after training, such as [decode].

    grid: values are drawn from a grid, so that those of a range come again.
    """
    draw = random.Random(0)
    after = [parameter for parameter in space.parameters if not changes_training(space, objective, parameter, draw)]
    before = [parameter for parameter in space.parameters if parameter not in after]
    return bool(after) and all(
        grid or parameter.choices or parameter.integer or parameter.step is not None for parameter in before
    )


def changes_training(space: Space, objective: Objective, parameter: Parameter, draw: random.Random) -> bool:
    """Whether a parameter changes a setting of train or of a stage before it."""
    ends = list(parameter.choices) or [parameter.low, parameter.high]
    pipelines = [try_value(space, objective, parameter, value, draw)[0] for value in ends]
    return differs([stage_sections(pipeline, "train") for pipeline in pipelines if pipeline is not None])


def differs(tables: list[Any]) -> bool:
    """Whether any two tables differ."""
    return any(table != tables[0] for table in tables)
