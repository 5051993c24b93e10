"""Start from another run's weights, whose vocabulary may be another.

Rows of embeddings and softmax weights are carried over by the pieces they stand for, columns of n-grams by their
buckets, those of classes by their labels; everything else is copied by name.
"""

import json
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pydantic

from textpipe.cache import integrity
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.errors import ArtifactError, ConfigError
from textpipe.savedmodel import description
from textpipe.training.warm_start import parameters, vocabulary_axes

VOCABULARY = "vocabulary.json"
MODEL = "model.json"
WEIGHTS = "model.weights.h5"
BESIDE = "assets.extra"  # where an exported model has model.json and vocabulary.json
MAX_SHOWN = 3  # mismatches an error lists

log = logging.getLogger(__name__)


class Init(Section):
    """Another run's weights to start from.

    from: a train artifact, data/artifacts/latest/PIPELINE for a pipeline's newest, or saved_models/NAME[/VERSION].
    only: the parts taken over, as freeze names them; all when left out, and then each must fit.
    """

    model_config = pydantic.ConfigDict(populate_by_name=True)

    from_: str = pydantic.Field(alias="from")
    only: list[str] = []


@dataclass(frozen=True)
class Origin:
    """Where a run's model lies: its model.json and vocabulary.json, and its weights (a file, or a SavedModel's folder)."""

    model: Path
    vocabulary: Path
    weights: Path

    @property
    def files(self) -> list[Path]:
        """Every file read, for the cache key."""
        weights = [self.weights] if self.weights.suffix == ".h5" else sorted(self.weights.iterdir())
        return [self.model, self.vocabulary, *weights]

    def check(self) -> None:
        """Compare the run's files with the sums of its manifest, where it has one, and an exported model's format.

        Raises ArtifactError or ModelError; a damaged artifact is set aside, so that its pipeline builds it again.
        """
        root = self.weights.parent
        if self.weights.suffix == ".h5":
            integrity.check(root)
        else:
            integrity.check_listed(root, self.files)
            description.check(root, description.read(root))


def locate(init: Init) -> Origin:
    """The files behind init.from; raises ConfigError when there is no such run."""
    place = Path(init.from_)
    if (place / "train.json").is_file() and not (place / MODEL).exists():  # data/artifacts/latest/PIPELINE
        place = place.parent.parent / "train" / latest_artifact(place / "train.json")
    versions = [part for part in place.iterdir() if part.name.isdecimal()] if place.is_dir() else []
    if versions and not (place / "saved_model.pb").exists():
        place = max(versions, key=lambda part: int(part.name))
    if (place / "saved_model.pb").exists():
        origin = Origin(place / BESIDE / MODEL, place / BESIDE / VOCABULARY, place / "variables")
    else:
        origin = Origin(place / MODEL, place / VOCABULARY, place / WEIGHTS)
    for path in (origin.model, origin.weights, origin.vocabulary):
        if not path.exists():
            found = f"no {path.relative_to(place)} in it" if place.is_dir() else "no such folder"
            cure = "run that pipeline again, its result is of an older version" if place.is_dir() else "check the path"
            raise ConfigError(
                f"[train] init.from: {init.from_}: expected a train artifact, data/artifacts/latest/PIPELINE or an "
                f"exported model, found {found}; {cure}"
            )
    return origin


def latest_artifact(path: Path) -> str:
    """The name of the artifact that a pipeline used last; raises ConfigError when it does not say."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["path"])
    except (ValueError, KeyError, TypeError):
        raise ConfigError(f"[train] init.from: {path}: is damaged; run that pipeline again") from None


class SourceWeights:
    """The other run's weights, read and ready to be put into a model of `config` and `sizes`.

    Builds models: call it before the model that is trained is built, since layers are numbered as they are made.

    Raises ConfigError when the other run's model is of another kind.
    """

    def __init__(self, init: Init, config: Section, sizes: Sizes, mine: dict[str, Any]):
        self.init, self.config, self.mine = init, config, mine
        origin = locate(init)
        origin.check()
        described = json.loads(origin.model.read_text(encoding="utf-8"))
        self.theirs = read_vocabulary(origin.vocabulary)
        self.options = described["model"]
        if self.options["kind"] != config.kind:
            raise ConfigError(
                f"[train] init.from: {init.from_}: expected a model of kind {config.kind!r}, found "
                f"{self.options['kind']!r}; set [model] kind = {self.options['kind']!r} or start from another run"
            )
        theirs = sizes_from_vocabulary(self.theirs, described["sizes"])
        self.fields = match_fields(sizes, theirs)
        donor = vocabulary_axes.build_model(Plugin.check("models", self.options), theirs)
        load(donor, origin.weights)
        import numpy as np

        self.weights = {name: np.array(weight.value) for name, weight in parameters.weights_by_name(donor).items()}
        self.grown, self.shapes = vocabulary_axes.enlarged_shapes(config, sizes)
        self.axes: vocabulary_axes.Axes = {}

    def give(self, model: Any) -> dict[str, Any]:
        """Puts into a built model what fits it; what was carried over, for train.json.

        {"from", "copied": [names of weights as they were], "carried": {name: {field: {"carried", "of"}}}, "fresh": [names]}

        Rows without a counterpart stay as the model's initializer made them: the mean of the carried rows with their
        spread as noise (Hewitt, 2021) did worse (Multi30k en-fr from en-de, 2,302 of 5,000 pieces carried over: validation
        loss 3.85 after 100 steps, 3.91 with means, 3.99 from nothing).

        Raises ConfigError when a weight that is asked for is not there or has another shape.
        """
        weights = parameters.weights_by_name(model)
        self.axes = vocabulary_axes.find_axes(weights, self.grown, self.shapes)
        names = list(weights)
        wanted = parameters.match_names(self.init.only, names, "[train] init.only") if self.init.only else set(names)
        faults = [fault for name in names if name in wanted and (fault := self.fault(name, tuple(weights[name].shape)))]
        if faults:
            raise ConfigError(self.misfit(faults, len(wanted)))
        report: dict[str, Any] = {"from": self.init.from_, "copied": [], "carried": {}, "fresh": []}
        for name, weight in weights.items():
            if name not in wanted:
                report["fresh"].append(name)
            elif not self.axes[name]:
                weight.assign(self.weights[name])
                report["copied"].append(name)
            else:
                self.carry(weight, name, report)
        self.tell(report)
        return report

    def fault(self, name: str, shape: tuple[int, ...]) -> str | None:
        """What keeps a weight from being taken over, or None: a missing counterpart, or other sizes but the vocabularies'."""
        if name not in self.weights:
            return f"{name} {list(shape)} is not there"
        found = self.weights[name].shape
        free = self.axes[name]
        if len(found) != len(shape) or any(
            one != other for axis, (one, other) in enumerate(zip(shape, found, strict=True)) if axis not in free
        ):
            return f"{name} is {list(found)} there and {list(shape)} here"
        return None

    def misfit(self, faults: list[str], count: int) -> str:
        """The error for weights that do not fit: the first of them, and the options that differ."""
        mine = self.config.model_dump(mode="json")
        differing = [
            f"{name} = {json.dumps(value)}"
            for name, value in self.options.items()
            if name in mine and mine[name] != value
        ]
        more = f" and {len(faults) - MAX_SHOWN} more" if len(faults) > MAX_SHOWN else ""
        cure = f"set [model] {', '.join(differing)} as there, or " if differing else ""
        return (
            f"[train] init.from: {self.init.from_}: {len(faults)} of {count} weights do not fit: "
            f"{'; '.join(faults[:MAX_SHOWN])}{more}; {cure}name the parts to take over in init.only"
        )

    def carry(self, weight: Any, name: str, report: dict[str, Any]) -> None:
        """Assign a weight with vocabulary axes: where both runs have the piece, bucket or class, the other's numbers."""
        import numpy as np

        values, theirs = np.array(weight.value), self.weights[name]
        here, there = [], []
        counts = {}
        for axis, (size, other) in enumerate(zip(values.shape, theirs.shape, strict=True)):
            grows = self.axes[name].get(axis)
            pairs = self.pairs(*grows, size, other) if grows else [(at, at) for at in range(size)]
            here.append([at for at, _ in pairs])
            there.append([at for _, at in pairs])
            if grows:
                counts[grows[0]] = {"carried": len(pairs), "of": size}
        values[np.ix_(*here)] = theirs[np.ix_(*there)]
        weight.assign(values)
        if all(count["carried"] for count in counts.values()):
            report["carried"][name] = counts
        else:
            report["fresh"].append(name)

    def pairs(self, field: str, part: str, size: int, other: int) -> list[tuple[int, int]]:
        """(place here, place there) of what both vocabularies have, for an axis of this size here and that one there.

        part: "all" of a vocabulary, its "words" or its "letters".
        """
        if field not in self.fields:
            return []
        mine, theirs = self.mine[field], self.theirs[self.fields[field]]
        if mine["kind"] != theirs["kind"] or mine.get("features") != theirs.get("features"):
            return []
        if mine.get("features", {}).get("pieces") and mine != theirs:
            return []  # n-grams of token numbers, which mean other pieces there
        names, others = names_of_part(mine, part), names_of_part(theirs, part)
        if names == others and size == other:
            return [(at, at) for at in range(size)]  # also the one logit of two classes
        if size != len(names) or other != len(others):
            return []
        places = {name: at for at, name in enumerate(number_duplicates(others))}
        return [(at, places[name]) for at, name in enumerate(number_duplicates(names)) if name in places]

    def tell(self, report: dict[str, Any]) -> None:
        """The report as lines of the log."""
        log.info("init: %d weights copied from %s", len(report["copied"]), self.init.from_)
        for name, fields in report["carried"].items():
            shown = ", ".join(
                f"{count['carried']:,} of {count['of']:,} of the {field}'s" for field, count in fields.items()
            )
            log.info("init: %s: %s carried over, the others start afresh", name, shown)
        if report["fresh"]:
            log.info("init: not taken over: %s", ", ".join(report["fresh"]))


def read_vocabulary(path: Path) -> dict[str, Any]:
    """What a run's vocabulary axes stand for, by field: see axes.vocabulary."""
    found = json.loads(path.read_text(encoding="utf-8"))
    if "field" in found.get("source", {}):  # an export of format 1 or 2 has {side: {"field", ...}}
        return {table.pop("field"): {"side": side, **table} for side, table in found.items()}
    return found


def sizes_from_vocabulary(vocabulary: dict[str, Any], tables: dict[str, Any]) -> Sizes:
    """A run's sizes, from its vocabulary and its size tables {field: table}."""
    inputs = {name: tables[name] for name, table in vocabulary.items() if table["side"] == "source"}
    target = next(name for name, table in vocabulary.items() if table["side"] == "target")
    return Sizes(inputs, target, tables[target])


def match_fields(mine: Sizes, theirs: Sizes) -> dict[str, str]:
    """{field here: field there}: targets, inputs of one name, and the only input of each, whatever they are called."""
    found = {name: name for name in mine.inputs if name in theirs.inputs}
    if len(mine.inputs) == len(theirs.inputs) == 1:
        found = dict(zip(mine.inputs, theirs.inputs, strict=True))
    return {**found, mine.target_name: theirs.target_name}


def names_of_part(vocabulary: dict[str, Any], part: str) -> list[Any]:
    """The names of all of a vocabulary, of its words or of its letters."""
    cut = vocabulary.get("num_words", 0)
    return {"all": vocabulary["names"], "words": vocabulary["names"][:cut], "letters": vocabulary["names"][cut:]}[part]


def number_duplicates(names: Sequence[Any]) -> list[tuple[Any, int]]:
    """Names that may occur twice with the number of times they did before: ["a", "b", "a"] -> [(a, 0), (b, 0), (a, 1)]."""
    seen: dict[Any, int] = {}
    out = []
    for name in names:
        out.append((name, seen.get(name, 0)))
        seen[name] = seen.get(name, 0) + 1
    return out


def load(model: Any, weights: Path) -> None:
    """A run's weights into its own model, built again; raises ArtifactError when the file is damaged."""
    if weights.suffix == ".h5":
        try:
            model.load_weights(weights)
        except (OSError, ValueError, KeyError) as error:
            raise ArtifactError(f"{weights}: cannot be read ({error}); train that model again") from None
        return
    import tensorflow as tf

    # A servable keeps its model's weights as a list, in the order of the model's.
    reader = tf.train.load_checkpoint(str(weights / "variables"))
    for position, weight in enumerate(model.weights):
        weight.assign(reader.get_tensor(f"weights/{position}/.ATTRIBUTES/VARIABLE_VALUE"))
