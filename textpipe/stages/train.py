"""Train the model on the vectorized rows.

Reads vectorize. Writes model.json (the [model] table and the sizes of the features, from which the model can be rebuilt),
vocabulary.json (the meaning of the weights' vocabulary axes), model.weights.h5, history.jsonl (one line per validation),
train.json (a summary) and logs/ (training curve with wall-clock times, speed and peak memory, TensorBoard events).
resume/ holds the checkpoint of an interrupted run.
"""

import json
from pathlib import Path
from types import ModuleType
from typing import Any

from pydantic import model_validator

from textpipe.config import plugins
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin
from textpipe.errors import ConfigError, DataError
from textpipe.stages import _train_group
from textpipe.training.regularization import regularized
from textpipe.training.settings import Settings
from textpipe.training.warm_start import source_weights, word_vectors

# Rows come from vectorize, codecs for vocabulary.json from tokenize, references for validation BLEU from ingest.
INPUTS = ("ingest", "tokenize", "vectorize")
PLUGINS_OF = ("tokenize", "vectorize")

# What a model with these GIVES answers.
ANSWERS = {
    "logits": "label",
    "tokens": "text",
    "vectors": "ranking",
    "masked": "filled mask",
    "next": "next token",
    "program": "program",
}


class Config(Settings):
    """[train]: the loop's settings, with the task and the [model] of the pipeline file."""

    task: str
    model: Plugin.of("models")

    @model_validator(mode="after")
    def fits(self):
        """Refuses contradictory settings before any data is read."""
        module = plugins.find("models", self.model.kind)
        objective = self.objective
        if module.GIVES == objective.NEEDS:  # otherwise check() refuses the model
            metrics = {self.metric, self.early_stopping.metric if self.early_stopping else None} - {None}
            for metric in metrics - objective.METRICS.keys():
                noun = str(metric).removeprefix("valid_").replace("bleu", "BLEU")
                raise ValueError(f"metric: {self.model.kind} has no {noun}; use {' or '.join(objective.METRICS)}")
        for reasons in (objective.UNUSED if module.GIVES == objective.NEEDS else {}, getattr(module, "UNUSED", {})):
            for name, reason in reasons.items():
                if getattr(self, name) != Settings.model_fields[name].get_default():
                    raise ValueError(f"{name}: {self.model.kind} {reason}; leave {name} out")
        for name, reason in regularized.conflicts(self, self.model, objective):
            raise ValueError(f"{name}: {reason}; leave {name} out")
        if self.average and self.keep == "last":
            raise ValueError('keep: "last" and average cannot both be set; leave one out')
        unused = getattr(module, "unused", None)
        for name, reason in (unused(self.model) if unused else {}).items():
            if name in self.model.model_fields_set:
                raise ValueError(f"[model] {name}: {reason}; leave {name} out")
        return self

    @property
    def objective(self) -> ModuleType:
        """The objective module of the task."""
        return plugins.find("objectives", objective_name(self.task, self.model.kind))

    def plugins(self) -> list[tuple[str, str]]:
        """Plug-ins that no key names."""
        return [("objectives", objective_name(self.task, self.model.kind))]

    def optimizer_faults(self) -> list[str]:
        """Those of Settings, and the settings of [model] that the optimizer cannot follow."""
        module = plugins.find("training.optimizers", self.optimizer.kind)
        faults = super().optimizer_faults()
        if isinstance(getattr(self.model, "l2", 0), list) and not getattr(module, "FITS_PATH", False):
            others = {name: plugins.find("training.optimizers", name) for name in plugins.names("training.optimizers")}
            names = [name for name, other in others.items() if getattr(other, "FITS_PATH", False)]
            faults.append(
                f"optimizer: {self.optimizer.kind} does not fit a list of l2; set [model] l2 to one value, or optimizer to "
                + " or ".join(f'"{name}"' for name in names)
            )
        conflicts = getattr(module, "conflicts", None)
        return faults + (conflicts(self.model) if conflicts else [])

    def extra_files(self) -> list[Path]:
        """The files of the run named by init, and the word vectors."""
        files = source_weights.locate(self.init).files if self.init else []
        return [*files, Path(self.vectors.file)] if self.vectors else files


def objectives_of(task: str) -> dict[str, str]:
    """{what a model gives: objective} of a task that has several, else {}."""
    named = plugins.find("tasks", task).OBJECTIVE
    return {} if isinstance(named, str) else dict(named)


def objective_name(task: str, model: str) -> str:
    """The objective of a task for a kind of model: its OBJECTIVE, or the one for what the model gives.

    The first of several where there is none; `check` then refuses the model.
    """
    named = objectives_of(task)
    if not named:
        return plugins.find("tasks", task).OBJECTIVE
    return named.get(plugins.find("models", model).GIVES, next(iter(named.values())))


def reads(config: Config) -> tuple[str, ...]:
    """The stages of INPUTS that are read under these settings."""
    return INPUTS if config.measures_bleu else INPUTS[1:]


def run(config: Config, inputs: dict[str, Path], output: Path) -> None:
    """Trains the model, or resumes an interrupted run from output/resume.

    Raises ConfigError if the features do not fit the model or training diverges, DataError if there is nothing to learn
    from.
    """
    if config.workers > 1:
        _train_group.run(config, inputs, output)
    else:
        fit(config, inputs, output)


def fit(config: Config, inputs: dict[str, Path], output: Path, strategy: Any = None) -> None:
    """Train in this process. strategy: the tf.distribute strategy of a group; by default that of the settings."""
    task, module = plugins.find("tasks", config.task), plugins.find("models", config.model.kind)
    objective = config.objective
    tables = json.loads((inputs["vectorize"] / "features.json").read_text(encoding="utf-8"))
    sizes = Sizes.from_tables(tables, task.FIELDS)
    check(config, sizes, module, objective)

    import keras
    import tensorflow as tf

    from textpipe.training import calibration, class_weights, loop, precision, validation_bleu, weight_memory
    from textpipe.training.batching import rows
    from textpipe.training.regularization import subword_sampling
    from textpipe.training.warm_start import layer_rates, parameters, vocabulary_axes

    data = {split: rows.read(inputs["vectorize"], split, sizes) for split in ("train", "valid")}
    if config.calibration != "none" and not len(data["valid"]):
        raise ConfigError(
            "[train] calibration: there are no validation rows to fit it on; set [ingest] split.valid, or leave calibration out"
        )
    if config.subword_sampling:
        options = config.subword_sampling
        data["train"] = subword_sampling.with_samplers(
            data["train"], inputs["tokenize"], sizes, options, seed=config.seed
        )
    vocabulary = vocabulary_axes.describe_vocabulary(inputs["tokenize"], inputs["vectorize"], sizes)
    check_tokens(config, vocabulary)
    source = source_weights.SourceWeights(config.init, config.model, sizes, vocabulary) if config.init else None
    vectors = None
    if config.vectors:
        vectors = word_vectors.WordVectors(config.vectors, config.model, sizes, inputs["tokenize"], vocabulary)
    weights_of_classes = class_weights.resolve(
        config.class_weight, data["train"].target, sizes.target.get("classes", [])
    )
    if hasattr(module, "kernel_shape"):
        optimizer = plugins.find("training.optimizers", config.optimizer.kind)
        weight_memory.check_model(module.kernel_shape(config.model, sizes), config.optimizer, optimizer)
    # Layer names are numbered per process and stored in the weights file, which must not differ between runs.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(config.seed)
    if strategy is None:
        strategy = tf.distribute.MirroredStrategy() if config.strategy == "mirrored" else tf.distribute.get_strategy()
    measures = []
    if config.measures_bleu and len(data["valid"]):
        measures.append(validation_bleu.from_artifacts(inputs, sizes, data["valid"], config.valid_bleu_rows))
    with strategy.scope():
        with precision.policy(config.precision):
            model = module.build(config.model, sizes, seed=config.seed)
        regularized.check_model(config, model)
        model.class_weights = weights_of_classes
        initial: dict[str, Any] = {"init": source.apply(model)} if source else {}
        if config.freeze:
            initial["frozen"] = parameters.freeze(model, config.freeze)
        if vectors:
            initial["vectors"] = vectors.apply(model)
        if config.layer_rates or config.unfreeze:
            initial["layer_rates"] = layer_rates.Factors(model, config.layer_rates, config.unfreeze).described()
        result = loop.fit(model, data, config, output, measures, objective)
        if config.calibration != "none":
            result["calibration"] = calibration.fit(model, data["valid"], config)
    write(output / source_weights.MODEL, {"model": config.model.model_dump(mode="json"), "sizes": tables})
    write(output / source_weights.VOCABULARY, vocabulary)
    write(output / "train.json", {**result, **initial})


def check(config: Config, sizes: Sizes, module: ModuleType, objective: ModuleType) -> None:
    """Raises if the model does not take these features or this target, or if a setting has no effect on them."""
    kind = config.model.kind
    for name, size in sizes.inputs.items():
        beside = getattr(module, "READS_BESIDE", ()) if len(sizes.inputs) > 1 else ()
        if size["kind"] not in (*module.READS, *beside):
            expected = "ids" if "ids" in module.READS else "counts or tfidf"
            raise ConfigError(
                f"[model] {kind}: expects {' or '.join(module.READS)} features, found {size['kind']} for "
                f"{name!r}; set [vectorize] features to {expected}"
            )
    if not any(size["kind"] == "ids" for size in sizes.inputs.values()):
        for name, section in (("embedding", config.model), ("num_shapes", config)):
            if name in section.model_fields_set and getattr(section, name) is not None:
                table = "[train]" if section is config else "[model]"
                raise ConfigError(
                    f"{table} {name}: applies to rows of token ids, but these are sparse; leave {name} out"
                )
    regularized.check_features(config, sizes.inputs)
    if objective.NEEDS != module.GIVES:
        named = objectives_of(config.task)
        needs = [plugins.find("objectives", name).NEEDS for name in named.values()] if named else [objective.NEEDS]
        matching = [name for name in plugins.names("models") if plugins.find("models", name).GIVES in needs]
        expected = " or a ".join(ANSWERS[name] for name in needs)
        raise ConfigError(
            f"[model] {kind}: answers with a {ANSWERS[module.GIVES]}, but task {config.task!r} asks for a {expected}; "
            f"use {' or '.join(matching)}"
        )
    if "classes" in sizes.target and len(sizes.target["classes"]) < 2:
        raise DataError(
            f"train: expected at least two classes in {sizes.target_name!r}, found {sizes.target['classes']}; "
            "a classifier needs rows of every class"
        )


def check_tokens(config: Config, vocabulary: dict[str, Any]) -> None:
    """Raises ConfigError if fields that the model reads with one vocabulary have different tokens."""
    kind = config.model.kind
    shared = getattr(plugins.find("models", kind), "shared_sides", None)
    sides = shared(config.model) if shared else ()
    names = [table["names"] for table in vocabulary.values() if table["kind"] == "ids" and table["side"] in sides]
    if any(other != names[0] for other in names):
        raise ConfigError(
            f'[model] {kind}: reads these fields with one vocabulary, but their tokens differ; set [tokenize] vocabulary = "joint"'
        )


def write(path: Path, table: dict[str, Any]) -> None:
    path.write_text(json.dumps(table, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def summary(output: Path) -> str:
    """stopped by early_stopping after 12 epochs; best: epoch 9, valid_loss 1.234, valid_accuracy 0.71"""
    result = json.loads((output / "train.json").read_text(encoding="utf-8"))
    best, kept_weights = result["best"], f"epoch {result['best']['epoch']}"
    if "average" in result:
        best, kept_weights = result["average"], f"the mean of {len(result['average']['steps'])} validations"
    figures = "".join(f", {name} {best[name]:.4g}" for name in best if name == "loss" or name.startswith("valid_"))
    count = f"{result['parameters']:,} parameters, {result['epochs']} epochs, {result['steps']} steps"
    lines = [f"{count} (ended by {result['stopped']}); kept: {kept_weights}{figures}"]
    if "nonzero" in result:
        lines.append(f"{result['nonzero']:,} weights are not 0")
    if table := result.get("calibration"):
        before, after = table["calibration_error"]
        lines.append(
            f"calibrated on {table['rows']:,} validation rows: temperature {table['temperature']:.3g}, calibration error {before:.4f} "
            f"before and {after:.4f} after"
        )
    return "\n".join(lines + [f"WARNING: {warning}" for warning in result.get("warnings", [])])
