"""Further models beside the pipeline's own, answering with it as one.

    ensemble = ["data/artifacts/latest/multi30k_en_de_seed2", "saved_models/multi30k_en_de_transformer"]
    ensemble = { members = ["data/artifacts/train/6fd1..."], mean = "geometric" }

at the top of a pipeline file: evaluate measures and export writes the pipeline's model together with these.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from pydantic import model_validator

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ConfigError
from textpipe.training.warm_start import source_weights


class Ensemble(Section):
    """members: what [train] init.from takes (a train artifact, data/artifacts/latest/PIPELINE, an exported model), or a
    file of weights of the pipeline's own [model]. mean: of the members' probabilities for each next token.

    models: the members' [model] tables, read from them; they are here so that their code counts in what a result
    depends on.
    """

    members: list[str]
    mean: Literal["arithmetic", "geometric"] = "arithmetic"
    models: list[Plugin.of("models")] = []

    @model_validator(mode="before")
    @classmethod
    def described(cls, value: Any) -> Any:
        """A list stands for members; models are looked up."""
        table = {"members": value} if isinstance(value, list) else value
        if not isinstance(table, dict) or not isinstance(table.get("members"), list) or not table["members"]:
            raise ValueError(
                'expected a list of trained models, such as ["data/artifacts/latest/NAME"], or a table of members and mean'
            )
        if "models" in table:
            raise ValueError("models: unknown key; the members say what models they are")
        tables = [read_model_json(origin) for origin in map(locate_member, table["members"]) if origin.model.exists()]
        return {**table, "models": [one["model"] for one in tables]}

    @property
    def files(self) -> list[Path]:
        """Every file read of the members, for the cache key."""
        return [path for member in self.members for path in locate_member(member).files if path.exists()]


def locate_member(member: str) -> source_weights.Origin:
    """The files of a member; those beside a file of weights may not exist. Raises ConfigError when there is no model."""
    path = Path(str(member))
    if path.suffix == ".h5":
        if not path.is_file():
            raise ConfigError(f"ensemble: {member}: no such file of weights; check the path")
        return source_weights.Origin(path.parent / source_weights.MODEL, path.parent / source_weights.VOCABULARY, path)
    try:
        return source_weights.locate(source_weights.Init.model_validate({"from": str(member)}))
    except ConfigError as error:
        # It speaks of the one table it was written for.
        raise ConfigError(str(error).replace("[train] init.from:", "ensemble:", 1)) from None


def read_model_json(origin: source_weights.Origin) -> dict[str, Any]:
    """A member's model.json: {"model": its [model] table, "sizes": features.json}."""
    return json.loads(origin.model.read_text(encoding="utf-8"))


def build_ensemble(section: Ensemble, own: Any, train: Path, task: ModuleType) -> Any:
    """The pipeline's own model and the section's members as one.

    own: the built model of the train artifact `train`. Raises ConfigError when a member reads or writes other token ids
    than the pipeline's model, or when models of the task's answers cannot be joined.
    """
    answers = plugins.find("answers", task.ANSWER)
    mine = json.loads((train / source_weights.MODEL).read_text(encoding="utf-8"))
    answers.check_ensemble(mine["model"]["kind"])
    vocabulary = read_vocabulary(train / source_weights.VOCABULARY)
    sizes = Sizes.from_tables(mine["sizes"], task.FIELDS)
    members = [own]
    for member in section.members:
        origin = locate_member(member)
        origin.check()
        of_member = read_model_json(origin) if origin.model.exists() else mine
        theirs = read_vocabulary(origin.vocabulary) if origin.vocabulary.exists() else vocabulary
        if len(theirs) != len(vocabulary):
            raise ConfigError(
                f"ensemble: {member}: expected a model of {len(vocabulary)} fields, found one of {len(theirs)}; join "
                "models of one tokenize and vectorize stage, such as runs with other seeds or another [model]"
            )
        for own_table, table in zip(vocabulary, theirs, strict=True):
            if own_table != table:
                raise ConfigError(
                    f"ensemble: {member}: expected the {own_table['side']} vocabulary of this pipeline's model, found another; join "
                    "models of one tokenize and vectorize stage, such as runs with other seeds or another [model]"
                )
        config = Plugin.check("models", of_member["model"])
        # Equal vocabularies: the sizes that a model is built from are this pipeline's too.
        model = plugins.find("models", config.kind).build(config, sizes, seed=0)
        source_weights.load(model, origin.weights)
        members.append(model)
    return answers.join(members, section.mean)


def read_vocabulary(path: Path) -> list[dict[str, Any]]:
    """What a train artifact's vocabulary axes stand for, field by field; the fields may have other names elsewhere."""
    try:
        return list(source_weights.read_vocabulary(path).values())
    except FileNotFoundError:
        raise ConfigError(
            f"ensemble: {path}: no such file; train that model again, its result is of an older version"
        ) from None
