"""Initializes a model with the weights of another run, whose vocabulary may differ.

Rows of embeddings and softmax weights are matched by their subword pieces, columns of n-grams by their buckets, those of
classes by their labels; all other weights are copied by name.
"""

import json
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from textpipe.cache import integrity
from textpipe.cache.store import latest_result
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ArtifactError, ConfigError
from textpipe.savedmodel import description
from textpipe.training.warm_start import parameters, vocabulary_axes

VOCABULARY = "vocabulary.json"
MODEL = "model.json"
WEIGHTS = "model.weights.h5"
EXTRA_DIR = "assets.extra"  # folder of an exported model with model.json and vocabulary.json
MAX_SHOWN = 3  # mismatches that an error lists
ENCODER = re.compile(r"(field_\w+/)?encoder/")  # weights of an encoder in models/pooled.py and the language models

log = logging.getLogger(__name__)


class Init(Section):
    """Weights of another run to start from.

    from: a train artifact, data/artifacts/latest/PIPELINE for the latest of a pipeline, or saved_models/NAME[/VERSION]. From a model of another
        kind with an encoder, such as a language model for "pooled", only the encoder is taken over.
    only: the parts to take over, named as in freeze; by default all, which then must all fit.
    """

    model_config = pydantic.ConfigDict(populate_by_name=True)

    from_: str = pydantic.Field(alias="from")
    only: list[str] = []


@dataclass(frozen=True)
class Origin:
    """Paths of a run's model: model.json, vocabulary.json, and the weights (a file, or the folder of a SavedModel)."""

    model: Path
    vocabulary: Path
    weights: Path

    @property
    def files(self) -> list[Path]:
        """All files that are read, for the cache key."""
        weights = [self.weights] if self.weights.suffix == ".h5" else sorted(self.weights.iterdir())
        return [self.model, self.vocabulary, *weights]

    def check(self) -> None:
        """Checks the files against the checksums of their manifest, if there is one, and the format of an exported model.

        Raises ArtifactError or ModelError; a damaged artifact is set aside, so that its pipeline rebuilds it.
        """
        root = self.weights.parent
        if self.weights.suffix == ".h5":
            integrity.check(root)
        else:
            integrity.check_model_files(root, self.files)
            description.check(root, description.read(root))


def locate(init: Init) -> Origin:
    """The files that init.from names; raises ConfigError if there is no such run."""
    folder = Path(init.from_)
    try:
        if not (folder / MODEL).exists():
            folder = latest_result(folder, "train") or folder
    except OSError as error:
        raise ConfigError(f"[train] init.from: {init.from_}: {error.strerror}; check the path") from None
    except ValueError as error:
        raise ConfigError(f"[train] init.from: {error}") from None
    versions = [version for version in folder.iterdir() if version.name.isdecimal()] if folder.is_dir() else []
    if versions and not (folder / "saved_model.pb").exists():
        folder = max(versions, key=lambda version: int(version.name))
    if (folder / "saved_model.pb").exists():
        origin = Origin(folder / EXTRA_DIR / MODEL, folder / EXTRA_DIR / VOCABULARY, folder / "variables")
    else:
        origin = Origin(folder / MODEL, folder / VOCABULARY, folder / WEIGHTS)
    for path in (origin.model, origin.weights, origin.vocabulary):
        if not path.exists():
            problem, cure = "no such folder", "check the path"
            if folder.is_dir():
                problem = f"no {path.relative_to(folder)} in it"
                cure = "run that pipeline again, its result is from an older version"
            raise ConfigError(
                f"[train] init.from: {init.from_}: expected a train artifact, data/artifacts/latest/PIPELINE or an "
                f"exported model, found {problem}; {cure}"
            )
    return origin


class SourceWeights:
    """The weights of another run, ready to initialize a model of `config` and `sizes`.

    vocabulary: of the model to train, as vocabulary_axes.describe_vocabulary returns it. Builds models: create it before
    the model to train, because layers are numbered in the order of their creation.

    Raises ConfigError if the other run's model is of another kind, unless both have an encoder.
    """

    def __init__(self, init: Init, config: Section, sizes: Sizes, vocabulary: dict[str, Any]):
        self.init, self.config, self.vocabulary = init, config, vocabulary
        origin = locate(init)
        origin.check()
        described = json.loads(origin.model.read_text(encoding="utf-8"))
        self.source_vocabulary = read_vocabulary(origin.vocabulary)
        self.options = described["model"]
        self.encoder_only = self.options["kind"] != config.kind
        if self.encoder_only and not ("encoder" in self.options and "encoder" in type(config).model_fields):
            raise ConfigError(
                f"[train] init.from: {init.from_}: expected a model of kind {config.kind!r}, found "
                f"{self.options['kind']!r}; set [model] kind = {self.options['kind']!r} or start from another run"
            )
        source_sizes = sizes_from_vocabulary(self.source_vocabulary, described["sizes"])
        self.fields = match_fields(sizes, source_sizes)
        if self.encoder_only and len(source_sizes.inputs) == 1:  # it is the source of the encoder of every text field
            texts = (name for name, size in sizes.inputs.items() if "vocab_size" in size)
            self.fields |= dict.fromkeys(texts, next(iter(source_sizes.inputs)))
        source = vocabulary_axes.build_model(Plugin.check("models", self.options), source_sizes)
        load(source, origin.weights)
        import numpy as np

        self.weights = {name: np.array(weight.value) for name, weight in parameters.weights_by_name(source).items()}
        self.enlarged, self.shapes = vocabulary_axes.enlarged_shapes(config, sizes)
        self.axes: vocabulary_axes.Axes = {}

    def apply(self, model: Any) -> dict[str, Any]:
        """Assigns the weights that fit to a built model and returns a report for train.json.

        {"from", "copied": [names of weights], "carried": {name: {field: {"carried", "of"}}}, "fresh": [names]}

        Rows without a counterpart keep their initial values: the mean of the carried rows with noise of their spread
        (Hewitt, 2021) did worse (Multi30k en-fr from en-de, 2,302 of 5,000 pieces carried over: validation loss 3.85
        after 100 steps, 3.91 with means, 3.99 from scratch).

        Raises ConfigError if a requested weight is missing in the other run or has another shape there.
        """
        weights = parameters.weights_by_name(model)
        self.axes = vocabulary_axes.find_axes(weights, self.enlarged, self.shapes)
        names = list(weights)
        everything = {name for name in names if ENCODER.match(name)} if self.encoder_only else set(names)
        requested = parameters.match_names(self.init.only, names, "[train] init.only") if self.init.only else everything
        checked = (self.mismatch(name, tuple(weights[name].shape)) for name in names if name in requested)
        mismatches = [mismatch for mismatch in checked if mismatch]
        if mismatches:
            raise ConfigError(self.mismatch_error(mismatches, len(requested)))
        report: dict[str, Any] = {"from": self.init.from_, "copied": [], "carried": {}, "fresh": []}
        for name, weight in weights.items():
            if name not in requested:
                report["fresh"].append(name)
            elif not self.axes[name]:
                weight.assign(self.weights[self.source_name(name)])
                report["copied"].append(name)
            else:
                self.copy_common(weight, name, report)
        self.log_report(report)
        return report

    def source_name(self, name: str) -> str:
        """The name there of a weight: that of the only encoder for those of the encoders of several fields."""
        return name if name in self.weights or not self.encoder_only else ENCODER.sub("encoder/", name)

    def mismatch(self, name: str, shape: tuple[int, ...]) -> str | None:
        """Why a weight cannot be taken over, or None: it is missing, or differs in an axis that is not a vocabulary."""
        source_weight = self.weights.get(self.source_name(name))
        if source_weight is None:
            return f"{name} {list(shape)} is not there"
        source_shape, free_axes = source_weight.shape, self.axes[name]
        fixed = [axis for axis in range(len(shape)) if axis not in free_axes]
        if len(source_shape) != len(shape) or any(shape[axis] != source_shape[axis] for axis in fixed):
            return f"{name} is {list(source_shape)} there and {list(shape)} here"
        return None

    def mismatch_error(self, mismatches: list[str], count: int) -> str:
        """The error message for weights that do not fit: the first of them, and the differing options."""
        options = self.config.model_dump(mode="json")
        differing = [
            f"{name} = {json.dumps(value)}"
            for name, value in self.options.items()
            if name in options and options[name] != value
        ]
        more = f" and {len(mismatches) - MAX_SHOWN} more" if len(mismatches) > MAX_SHOWN else ""
        cure = f"set [model] {', '.join(differing)} as there, or " if differing else ""
        return (
            f"[train] init.from: {self.init.from_}: {len(mismatches)} of {count} weights do not fit: "
            f"{'; '.join(mismatches[:MAX_SHOWN])}{more}; {cure}name the parts to take over in init.only"
        )

    def copy_common(self, weight: Any, name: str, report: dict[str, Any]) -> None:
        """Copies the rows or columns of the pieces, buckets or classes that both runs have."""
        import numpy as np

        values, source_values = np.array(weight.value), self.weights[self.source_name(name)]
        target_indices, source_indices = [], []
        counts = {}
        for axis, (size, source_size) in enumerate(zip(values.shape, source_values.shape, strict=True)):
            field_part = self.axes[name].get(axis)
            pairs = (
                self.common_positions(*field_part, size, source_size) if field_part else [(i, i) for i in range(size)]
            )
            target_indices.append([i for i, _ in pairs])
            source_indices.append([i for _, i in pairs])
            if field_part:
                counts[field_part[0]] = {"carried": len(pairs), "of": size}
        values[np.ix_(*target_indices)] = source_values[np.ix_(*source_indices)]
        weight.assign(values)
        if all(count["carried"] for count in counts.values()):
            report["carried"][name] = counts
        else:
            report["fresh"].append(name)

    def common_positions(self, field: str, part: str, size: int, source_size: int) -> list[tuple[int, int]]:
        """(position here, position there) of the entries common to both vocabularies.

        part: "all" of a vocabulary, its "words" or its "letters"; size, source_size: lengths of the axis here and there.
        """
        if field not in self.fields:
            return []
        table, source_table = self.vocabulary[field], self.source_vocabulary[self.fields[field]]
        if table["kind"] != source_table["kind"] or table.get("features") != source_table.get("features"):
            return []
        if table.get("features", {}).get("pieces") and table != source_table:
            return []  # n-grams of token ids, which mean other pieces there
        names, source_names = (vocabulary_axes.names_of_part(each, part) for each in (table, source_table))
        if names == source_names and size == source_size:
            return [(i, i) for i in range(size)]  # also the single logit of two classes
        if size != len(names) or source_size != len(source_names):
            return []
        positions = {name: i for i, name in enumerate(vocabulary_axes.number_duplicates(source_names))}
        return [
            (i, positions[name]) for i, name in enumerate(vocabulary_axes.number_duplicates(names)) if name in positions
        ]

    def log_report(self, report: dict[str, Any]) -> None:
        """Logs the report."""
        log.info("init: %d weights copied from %s", len(report["copied"]), self.init.from_)
        for name, fields in report["carried"].items():
            shown = ", ".join(f"{count['carried']:,} of {count['of']:,} of {field}" for field, count in fields.items())
            log.info("init: %s: %s carried over, the rest is freshly initialized", name, shown)
        if report["fresh"]:
            log.info("init: not taken over: %s", ", ".join(report["fresh"]))


def read_vocabulary(path: Path) -> dict[str, Any]:
    """The vocabularies of a run by field; see vocabulary_axes.describe_vocabulary."""
    vocabulary = json.loads(path.read_text(encoding="utf-8"))
    if "field" in vocabulary.get("source", {}):  # an export of format 1 or 2 has {side: {"field", ...}}
        return {table.pop("field"): {"side": side, **table} for side, table in vocabulary.items()}
    return vocabulary


def sizes_from_vocabulary(vocabulary: dict[str, Any], tables: dict[str, Any]) -> Sizes:
    """The Sizes of a run, from its vocabulary and its size tables {field: table}."""
    inputs = {name: tables[name] for name, table in vocabulary.items() if table["side"] == "source"}
    target = next(name for name, table in vocabulary.items() if table["side"] == "target")
    return Sizes(inputs, target, tables[target])


def match_fields(sizes: Sizes, source_sizes: Sizes) -> dict[str, str]:
    """{field here: field there}: targets, inputs of the same name, and single inputs of any name."""
    matches = {name: name for name in sizes.inputs if name in source_sizes.inputs}
    if len(sizes.inputs) == len(source_sizes.inputs) == 1:
        matches = dict(zip(sizes.inputs, source_sizes.inputs, strict=True))
    return {**matches, sizes.target_name: source_sizes.target_name}


def load(model: Any, weights: Path) -> None:
    """Loads the weights of a run into its rebuilt model; raises ArtifactError if the file is damaged."""
    if weights.suffix == ".h5":
        try:
            model.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{weights}: cannot be read ({error}); train that model again") from None
        return
    import tensorflow as tf

    # A servable keeps the weights of its model as a list, in the order of model.weights.
    reader = tf.train.load_checkpoint(str(weights / "variables"))
    for position, weight in enumerate(model.weights):
        weight.assign(reader.get_tensor(f"weights/{position}/.ATTRIBUTES/VARIABLE_VALUE"))
