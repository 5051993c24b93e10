"""Ensembles: further models that answer together with the pipeline's own.

    ensemble = ["data/artifacts/latest/multi30k_en_de_seed2", "saved_models/multi30k_en_de_transformer"]
    ensemble = { members = ["data/artifacts/train/6fd1..."], mean = "geometric" }

At the top of a pipeline file: evaluate and export then use the pipeline's model together with these. Models that generate text are joined at
each token and share a vocabulary; members of a classifier are exported models, each with features of its own, in the same graph.
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
from textpipe.savedmodel import manifest
from textpipe.training.warm_start import source_weights


class Ensemble(Section):
    """members: trained models as in [train] init.from (a train artifact, data/artifacts/latest/PIPELINE, an exported model),
    or a weights file of the pipeline's own [model]; for classifiers, exported models only. mean: how to average the members' probabilities
    of each next token, or of each class.

    models: the members' [model] tables, read from them, so that results depend on their code.
    """

    members: list[str]
    mean: Literal["arithmetic", "geometric"] = "arithmetic"
    models: list[Plugin.of("models")] = []

    @model_validator(mode="before")
    @classmethod
    def described(cls, value: Any) -> Any:
        """Accept a list as members; read their models."""
        table = {"members": value} if isinstance(value, list) else value
        if not isinstance(table, dict) or not isinstance(table.get("members"), list) or not table["members"]:
            raise ValueError(
                'expected a list of trained models, like ["data/artifacts/latest/NAME"], or a table with members and mean'
            )
        if "models" in table:
            raise ValueError("models: unknown key; the models are read from members")
        origins = [locate_member(member) for member in table["members"]]
        return {**table, "models": [read_model_json(origin)["model"] for origin in origins if origin.model.exists()]}

    @property
    def files(self) -> list[Path]:
        """Every file that is read of the members, for the cache key; an exported model's manifest stands for its graph."""
        origins = [locate_member(member) for member in self.members]
        files = [[*origin.files, exported_folder(origin) / manifest.NAME] for origin in origins]
        return [path for paths in files for path in paths if path.exists()]

    @property
    def folders(self) -> list[Path]:
        """The folder of each member, which has a saved_model.pb if it is an exported model."""
        return [exported_folder(locate_member(member)) for member in self.members]


def locate_member(member: str) -> source_weights.Origin:
    """The files of a member; next to a weights file the others may not exist. Raises ConfigError when there is no model."""
    path = Path(str(member))
    if path.suffix == ".h5":
        if not path.is_file():
            raise ConfigError(f"ensemble: {member}: no such weights file; check the path")
        return source_weights.Origin(path.parent / source_weights.MODEL, path.parent / source_weights.VOCABULARY, path)
    try:
        return source_weights.locate(source_weights.Init.model_validate({"from": str(member)}))
    except ConfigError as error:
        # Its message names [train] init.from.
        raise ConfigError(str(error).replace("[train] init.from:", "ensemble:", 1)) from None


def exported_folder(origin: source_weights.Origin) -> Path:
    """The folder of an exported model, or of a train artifact."""
    return origin.weights.parent


def read_model_json(origin: source_weights.Origin) -> dict[str, Any]:
    """A member's model.json: {"model": its [model] table, "sizes": features.json}.

    Raises ConfigError if it is damaged, or if this version of textpipe has no such model or setting.
    """
    try:
        tables = json.loads(origin.model.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConfigError(
            f"ensemble: {origin.model}: cannot be read ({error}); export or train that model again"
        ) from None
    if not isinstance(tables, dict) or not all(isinstance(tables.get(key), dict) for key in ("model", "sizes")):
        raise ConfigError(
            f"ensemble: {origin.model}: expected an object with model and sizes, found another; export or train that model again"
        )
    try:
        Plugin.check("models", tables["model"])
    except ValueError as error:
        raise ConfigError(
            f"ensemble: {origin.model}: {error}; train that model again with this version of textpipe"
        ) from None
    return tables


def build_ensemble(section: Ensemble, own_model: Any, train: Path, task: ModuleType) -> tuple[Any, Any]:
    """Build one model from the pipeline's own and the section's members; and the members that read raw rows, or None.

    own_model: the built model of the train artifact `train`. Raises ConfigError when a member's vocabulary or classes differ from the
    pipeline's, or when models with this kind of answer cannot be joined.
    """
    answers = plugins.find("answers", task.ANSWER)
    own_tables = json.loads((train / source_weights.MODEL).read_text(encoding="utf-8"))
    answers.check_ensemble(own_tables["model"]["kind"])
    sizes = Sizes.from_tables(own_tables["sizes"], task.FIELDS)
    if hasattr(answers, "embed"):
        trained = json.loads((train / "train.json").read_text(encoding="utf-8"))
        return answers.embed(own_model, section.folders, section.mean, task=task, target=sizes.target, trained=trained)
    vocabulary = read_vocabulary(train / source_weights.VOCABULARY)
    members = [own_model]
    for member in section.members:
        origin = locate_member(member)
        origin.check()
        member_tables = read_model_json(origin) if origin.model.exists() else own_tables
        member_vocabulary = read_vocabulary(origin.vocabulary) if origin.vocabulary.exists() else vocabulary
        if len(member_vocabulary) != len(vocabulary):
            raise ConfigError(
                f"ensemble: {member}: expected a model with {len(vocabulary)} fields, found one with {len(member_vocabulary)}; combine "
                "models of the same tokenize and vectorize results, for example runs with other seeds or another [model]"
            )
        for own_table, table in zip(vocabulary, member_vocabulary, strict=True):
            if own_table != table:
                raise ConfigError(
                    f"ensemble: {member}: expected the {own_table['side']} vocabulary of this pipeline's model, found another; combine "
                    "models of the same tokenize and vectorize results, for example runs with other seeds or another [model]"
                )
        config = Plugin.check("models", member_tables["model"])
        # The vocabularies are equal, so the sizes of this pipeline apply to the member too.
        model = plugins.find("models", config.kind).build(config, sizes, seed=0)
        source_weights.load(model, origin.weights)
        members.append(model)
    return answers.join(members, section.mean), None


def read_vocabulary(path: Path) -> list[dict[str, Any]]:
    """The vocabulary tables of a train artifact, in field order; field names may differ between pipelines."""
    try:
        return list(source_weights.read_vocabulary(path).values())
    except FileNotFoundError:
        raise ConfigError(
            f"ensemble: {path}: no such file; train that model again, as its result is from an older version"
        ) from None
