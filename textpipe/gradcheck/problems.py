"""Losses to check: of a pipeline's model on its own rows, of trained weights, or of any kind of model on random rows."""

import itertools
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from pydantic import ValidationError

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section, describe_plugin_errors, override
from textpipe.errors import ConfigError, DataError, suggest
from textpipe.gradcheck.check import Problem
from textpipe.training.settings import Settings

VOCABULARY, NUM_WORDS, DIM, LENGTH = (
    17,
    11,
    9,
    6,
)  # of random rows; ids from NUM_WORDS on are letters for the model "hybrid"
IDS: dict[str, Any] = {"kind": "ids", "vocab_size": VOCABULARY, "max_length": LENGTH, "num_words": NUM_WORDS}
SOURCES: dict[str, dict[str, Any]] = {
    "ids": IDS,
    "sparse": {"kind": "sparse", "dim": DIM},
    "scalar": {"kind": "scalar"},
    "pixels": {"kind": "pixels", "height": 8, "width": 8, "channels": 3},
}
LABELS: dict[str, list[str]] = {"two classes": ["no", "yes"], "five classes": list("abcde")}
OWN_CODE = "optimizer {} computes what it needs by its own code (training/full_batch.py), which is not checked"
SAMPLING = "scheduled sampling is off: the words it picks are no smooth function of the parameters"


def of_kind(
    kind: str, options: dict[str, Any], settings: Settings, *, rows: int, seed: int, skip: int = 0
) -> Iterator[Problem]:
    """A problem for each kind of source and target that a model of this kind takes, on random rows.

    options: of [model]; skip: variants to leave out, the first ones. Raises ConfigError for unknown kinds and options. Call inside check.float64().
    """
    import keras

    config = checked_model({"kind": kind, **options})
    module = plugins.find("models", kind)
    if hasattr(module, "example"):
        keras.utils.clear_session(free_memory=False)
        sizes, inputs, answers = module.example(rows, seed=seed)
        model = module.build(config, sizes, seed=seed)
        perturb(model, seed)
        objective = objective_of(module, sizes.target["kind"])
        yield Problem(
            model, plugins.find("objectives", objective), settings, inputs, answers, rows,
            f"{kind}: {' and '.join(size['kind'] for size in sizes.inputs.values())}, objective {objective}", notes(settings),
        )  # fmt: skip
        return
    for source, target, objective in itertools.islice(variants(module), skip, None):
        keras.utils.clear_session(free_memory=False)  # layers are numbered from 1
        sizes = Sizes({"source": dict(SOURCES[source])}, "target", target)
        model = module.build(config, sizes, seed=seed)
        perturb(model, seed)
        random = np.random.default_rng(seed)
        inputs = {"source": random_rows(sizes.inputs["source"], rows, random)}
        answers = random_rows(target, rows, random)
        classes = f", {len(target['classes'])} classes" if "classes" in target else ""
        description = f"{kind}: {source} -> {target['kind']}{classes}, objective {objective}"
        yield Problem(
            model, plugins.find("objectives", objective), settings, inputs, answers, rows, description, notes(settings)
        )


def variants(module: ModuleType) -> Iterator[tuple[str, dict[str, Any], str]]:
    """(kind of source, size table of the target, objective); for a model with its own `example` one, that stands for it."""
    if hasattr(module, "example"):
        named = next(
            name for name in plugins.names("objectives") if plugins.find("objectives", name).NEEDS == module.GIVES
        )
        yield "example", {}, named
        return
    targets: list[tuple[dict[str, Any], str]]
    if hasattr(module, "REPLY_READS"):
        targets = [(SOURCES[kind], objective_of(module, kind)) for kind in module.REPLY_READS]
    elif module.GIVES == "logits":
        one = objective_of(module, "label")
        targets = [({"kind": "label", "classes": classes}, one) for classes in LABELS.values()]
        targets.append(({"kind": "multi_hot", "classes": LABELS["five classes"]}, objective_of(module, "multi_hot")))
    else:
        targets = [(IDS, objective_of(module, "ids"))]
    sources = [
        kind for kind in SOURCES if kind in module.READS and not (kind == "scalar" and module.GIVES == "vectors")
    ]
    for source, (target, objective) in itertools.product(sources, targets):
        yield source, dict(target), objective


def objective_of(module: ModuleType, target: str) -> str:
    """The objective of a model, by what it gives, and if several objectives need that, by the kind of its target."""
    named = [name for name in plugins.names("objectives") if plugins.find("objectives", name).NEEDS == module.GIVES]
    return named[0] if len(named) == 1 else OBJECTIVES[target]


def check_argument(model: str, overrides: tuple[str, ...]) -> None:
    """Raise a TextpipeError for an argument that none of the functions below takes, without importing TensorFlow."""
    from textpipe.pipeline.runner import Pipeline

    path = Path(model)
    if path.is_dir():
        read_artifact(path)
    elif path.suffix == ".toml" or path.exists():
        Pipeline.load(path, overrides)
    else:
        options, _ = read_settings(overrides)
        checked_model({"kind": model, **options})


def read_artifact(folder: Path) -> tuple[Section, Sizes]:
    """The Config and the sizes of a train artifact; raises ConfigError if it is none, or damaged."""
    from textpipe.training.warm_start import source_weights

    try:
        described = json.loads((folder / source_weights.MODEL).read_text(encoding="utf-8"))
        vocabulary = source_weights.read_vocabulary(folder / source_weights.VOCABULARY)
        sizes = source_weights.sizes_from_vocabulary(vocabulary, described["sizes"])
        return checked_model(described["model"]), sizes
    except FileNotFoundError as error:
        raise ConfigError(
            f"{folder}: expected a train artifact, found no {Path(error.filename).name} in it; `textpipe train PIPELINE` prints its folder"
        ) from None
    except (ValueError, KeyError, TypeError, StopIteration):
        raise ConfigError(
            f"{folder}: {source_weights.MODEL} or {source_weights.VOCABULARY} is damaged; train the model again"
        ) from None


def of_artifact(folder: Path, *, rows: int, seed: int) -> Problem:
    """The trained model of a train artifact on random rows of the kinds and sizes it was trained for."""
    from textpipe.training.warm_start import source_weights

    config, sizes = read_artifact(folder)
    module = plugins.find("models", config.kind)
    model = module.build(config, sizes, seed=seed)
    try:
        model.load_weights(folder / source_weights.WEIGHTS)
    except (OSError, ValueError, KeyError) as error:
        raise ConfigError(f"{folder / source_weights.WEIGHTS}: {error}; train the model again") from None
    random = np.random.default_rng(seed)
    inputs = {name: random_rows(size, rows, random) for name, size in sizes.inputs.items()}
    objective = objective_of(module, sizes.target["kind"])
    target, settings = random_rows(sizes.target, rows, random), Settings()
    description = f"{folder}: trained {config.kind}, random rows, objective {objective}"
    return Problem(model, plugins.find("objectives", objective), settings, inputs, target, rows, description)


def of_pipeline(
    file: Path,
    overrides: tuple[str, ...],
    *,
    rows: int,
    seed: int,
    artifacts: Path,
    on_event: Callable[[str, str, str], None] | None = None,
) -> Problem:
    """The model of a pipeline file, untrained and slightly perturbed, on rows of its training split.

    Runs the stages up to vectorize, if they are not cached. Raises TextpipeError as they do, and as train does for features that do
    not fit the model.
    """
    from textpipe.pipeline import runner
    from textpipe.stages import train
    from textpipe.training.batching import rows as vectorized

    pipeline = runner.Pipeline.load(file, overrides)
    result = runner.run(pipeline, until="vectorize", artifacts=artifacts, on_event=on_event)
    settings: Any = pipeline.sections["train"]
    module, folder = plugins.find("models", settings.model.kind), result.artifacts["vectorize"].path
    sizes = Sizes.read(folder / "features.json", plugins.find("tasks", pipeline.task).FIELDS)
    train.check(settings, sizes, module, settings.objective)
    data = vectorized.read(folder, "train", sizes)
    if not len(data):
        raise DataError(f"{file}: expected training rows, found none; check the splits that ingest wrote")
    chosen = np.unique(np.linspace(0, len(data) - 1, rows).astype(int))
    model = module.build(settings.model, sizes, seed=settings.seed)
    perturb(model, seed)
    cells = {name: gather(column, chosen) for name, column in data.columns.items()}
    target = cells.pop(data.target_name)
    objective = train.objective_name(pipeline.task, settings.model.kind)
    description = f"{pipeline.place}: {settings.model.kind}, {len(chosen)} training rows, objective {objective}"
    return Problem(model, settings.objective, settings, cells, target, len(data), description, notes(settings))


def gather(column: Any, chosen: np.ndarray) -> Any:
    """Rows of a column as tensors, padded to the longest, numbers in float64."""
    width = int(column.lengths[chosen].max()) if column.lengths is not None else 0
    return in_float64(column.gather(chosen, width))


def in_float64(cells: Any) -> Any:
    import tensorflow as tf

    if isinstance(cells, tf.SparseTensor):
        return tf.SparseTensor(cells.indices, tf.cast(cells.values, tf.float64), cells.dense_shape)
    cells = tf.constant(cells)
    return tf.cast(cells, tf.float64) if cells.dtype.is_floating else cells


def random_rows(size: dict[str, Any], rows: int, random: np.random.Generator) -> Any:
    """Cells of a size table: ids [B, T], sparse [B, D], numbers [B], pixels [B, H, W, C], labels [B] or sets of labels [B, C]."""
    draw = DRAWS.get(size["kind"])
    if draw is None:
        raise ConfigError(
            f"gradcheck: makes no random rows of {size['kind']!r} features; check the pipeline file, which has real ones"
        )
    return draw(size, rows, random)


def random_ids(size: dict[str, Any], rows: int, random: np.random.Generator) -> Any:
    width = min(size["max_length"], LENGTH)
    ids = np.zeros((rows, width), np.int32)
    for row in range(rows):
        length = 1 + (row + 1) * (width - 1) // rows
        ids[row, : length - 1] = random.integers(4, size.get("num_words", size["vocab_size"]), length - 1)
        ids[row, length - 1] = 3  # end_id
    return in_float64(ids)


def random_sparse(size: dict[str, Any], rows: int, random: np.random.Generator) -> Any:
    import tensorflow as tf

    dense, count = np.zeros((rows, size["dim"])), min(size["dim"], 5)
    for row in dense:
        row[random.choice(size["dim"], count, replace=False)] = random.uniform(0.2, 1.5, count)
    return tf.sparse.from_dense(dense)


def random_pixels(size: dict[str, Any], rows: int, random: np.random.Generator) -> Any:
    shape = (rows, size["height"], size["width"], size["channels"])
    return in_float64(random.integers(1, 256, shape).astype(np.uint8))


DRAWS: dict[str, Callable[..., Any]] = {
    "ids": random_ids,
    "sparse": random_sparse,
    "scalar": lambda size, rows, random: in_float64(random.normal(size=rows)),
    "label": lambda size, rows, random: in_float64(np.arange(rows, dtype=np.int32) % len(size["classes"])),
    "pixels": random_pixels,
    "multi_hot": lambda size, rows, random: in_float64(random.integers(0, 2, (rows, len(size["classes"]))) * 1.0),
}
OBJECTIVES = {"label": "softmax", "multi_hot": "sigmoid"}  # of logits, by the target


def perturb(model: Any, seed: int) -> None:
    """Add noise to every parameter: a gradient that is wrong only away from zero would hide behind zero weights.

    Matrices [D, H] get a standard deviation of 0.5 / sqrt(D), so that activations do not saturate; all others 0.1.
    """
    random = np.random.default_rng(seed)
    for variable in model.trainable_variables:
        scale = 0.5 / np.sqrt(variable.shape[0]) if len(variable.shape) > 1 else 0.1
        variable.assign(variable.numpy() + random.normal(scale=scale, size=variable.shape))


def notes(settings: Settings) -> list[str]:
    """What of these settings the check leaves out."""
    kind = settings.optimizer.kind
    full_batch = hasattr(plugins.find("training.optimizers", kind), "minimize")
    left_out = [OWN_CODE.format(kind)] if full_batch else []
    return [*left_out, SAMPLING] if settings.scheduled_sampling else left_out


def checked_model(table: dict[str, Any]) -> Section:
    """The Config of a [model] table."""
    if "." not in str(table["kind"]) and table["kind"] not in plugins.names("models"):
        known = suggest(str(table["kind"]), plugins.names("models"))
        raise ConfigError(
            f"{table['kind']}: expected a pipeline file, a train artifact or a kind of model, found none{known}"
        )
    try:
        return Plugin.check("models", table)
    except ValueError as error:
        raise ConfigError(f"[model] {error}") from None


def read_settings(overrides: tuple[str, ...]) -> tuple[dict[str, Any], Settings]:
    """The options of [model] and the settings of [train] in overrides, for a kind of model."""
    tables = override({}, overrides)
    unknown = [name for name in tables if name not in ("model", "train")]
    if unknown:
        raise ConfigError(f"-s {unknown[0]}: without a pipeline file there are only model.* and train.*")
    try:
        return tables.get("model", {}), Settings(**tables.get("train", {}))
    except ValidationError as error:
        raise ConfigError(f"-s train.{describe_plugin_errors(Settings, error)}") from None
