"""Checks of the further members of an ensemble of classifiers, without TensorFlow."""

from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.answers._embedded_fields import check_fields
from textpipe.answers._label_settings import Config
from textpipe.errors import ConfigError

CURE = "join exported classifiers of the same classes, such as saved_models/NAME; they may differ in features, model and seed"
MAX_SHOWN = 3  # classes that an error lists


def check_member(folder: Path, task: ModuleType, classes: Sequence[str] | None = None) -> list[str]:
    """The labels of an exported model, in its order.

    classes: of the pipeline, None before they are known. Raises ConfigError for a model that is no classifier, or reads other fields or
    answers with other classes than the pipeline, ModelError for a damaged description.
    """
    from textpipe.savedmodel import description, loader

    if not (folder / "saved_model.pb").is_file():
        raise ConfigError(f"ensemble: {folder}: expected an exported model, found a result of train; {CURE}")
    about: dict[str, Any] = loader.read_about(folder)
    description.check(folder, about)
    labels = list(about.get("labels") or ())
    if about.get("answer") != task.ANSWER or not labels:
        raise ConfigError(
            f"ensemble: {folder}: expected a classifier, found a model of task {about.get('task')!r}; {CURE}"
        )
    try:
        check_fields("ensemble", folder, about, {one.name: one.kind for one in task.FIELDS if one.side == "source"})
    except ValueError as error:
        raise ConfigError(str(error)) from None
    if classes is not None and set(labels) != set(classes):
        more, fewer = (sorted(set(one) - set(other)) for one, other in ((labels, classes), (classes, labels)))
        differences = [
            f"{what} {', '.join(map(repr, names[:MAX_SHOWN]))}"
            for what, names in (("also", more), ("not", fewer))
            if names
        ]
        raise ConfigError(
            f"ensemble: {folder}: expected the {len(classes)} classes of this pipeline, found {len(labels)}, {' and '.join(differences)}; {CURE}"
        )
    return labels


def check_answer(settings: Config) -> None:
    """Raises ConfigError for an [answer] that an ensemble cannot give: a mean of probabilities has no logits."""
    if settings.out_of_scope is not None and settings.score != "probability":
        raise ConfigError(
            f'[answer] score: an ensemble averages probabilities and has no {settings.score}; set score = "probability", or leave ensemble out'
        )
