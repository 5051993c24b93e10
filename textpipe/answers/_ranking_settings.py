"""The settings of a ranking, and of the exported models it is joined with; imports no TensorFlow."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from textpipe.config.sections import Section
from textpipe.errors import ModelError
from textpipe.savedmodel import description, loader, thresholds

MAX_CANDIDATES = 1000
RERANK = "rerank"  # the signature of a ranker that scores given candidates


def exported(path: Path) -> Path:
    """The version directory of an exported model; raises ValueError when there is none."""
    try:
        folder = loader.find_version(path)
        description.check(folder, loader.read_about(folder))
    except ModelError as error:
        raise ValueError(
            f"{error}; train and export that pipeline first: textpipe run pipelines/{path.name}.toml"
        ) from None
    return folder


Exported = Annotated[Path, AfterValidator(exported)]


class Config(Section):
    """For a task that suggests replies: whether to suggest, and how responses are ranked.

    trigger: an exported yes/no classifier, saved_models/NAME, that decides whether a message gets replies at all; its fields must be
        among those of this pipeline. Without it every message does.
    threshold: the lowest probability of the trigger's second class that gets replies.
    coverage: in place of a threshold the share of messages that get replies; Kannan et al. (2016) answer about 0.11. It holds for
        messages like the valid split of the trigger.
    rerank: an exported ranker by likelihood, saved_models/NAME, that ranks the first candidates again.
    candidates: how many responses it ranks again.
    rerank_weight: its share of a candidate's score; the rest is the first ranker's log-probability.
    beam_size: of a ranker by likelihood, the hypotheses of its search along the responses' tokens; more find more responses.
    mutual_information: of a ranker by likelihood, how much of the log-probability that the model gives a response whatever the message, as
        its mean over training messages, is taken off its score: more suggests what fits this message only (Li et al. 2016, equation 9).
    prior: how probable a response is whatever the message: "frequency", its share of the training replies, or "language_model", under an
        n-gram model of the responses, which does not underrate a rare wording of frequent words (Henderson et al. 2017, equation 4).
    prior_weight: of the logarithm of this probability, which is added to its score: more suggests
        what is frequent whatever the message, less what is rare. 1 for a ranker by matching and 0 for one by likelihood if left out.
    """

    trigger: Exported | None = None
    threshold: float | None = Field(default=None, ge=0, le=1)
    coverage: float | None = Field(default=None, gt=0, le=1)
    rerank: Exported | None = None
    candidates: int = Field(default=50, ge=2, le=MAX_CANDIDATES)
    rerank_weight: float = Field(default=0.5, ge=0, le=1)
    beam_size: int = Field(default=64, ge=1, le=1000)
    mutual_information: float = Field(default=0.0, ge=0, le=1)
    prior: Literal["frequency", "language_model"] = "frequency"
    prior_weight: float | None = Field(default=None, ge=-10, le=10)

    @model_validator(mode="after")
    def settings_fit(self) -> "Config":
        if self.trigger is None and (self.threshold is not None or self.coverage is not None):
            raise ValueError("threshold and coverage belong to a trigger; name one, or leave them out")
        if self.threshold is not None and self.coverage is not None:
            raise ValueError("threshold and coverage exclude each other; leave one out")
        if self.rerank is None and {"candidates", "rerank_weight"} & self.model_fields_set:
            raise ValueError("candidates and rerank_weight belong to rerank; name a ranker there, or leave them out")
        return self

    def check(self, task: Any) -> None:
        """Raises ValueError for an exported model that does not fit the task."""
        fields = {field.name: field.kind for field in task.FIELDS if field.side == "source"}
        if self.trigger is not None:
            about = loader.read_about(self.trigger)
            labels = about.get("labels") or []
            if about.get("answer") != "label" or len(labels) != 2:
                is_label = about.get("answer") == "label" and labels
                found = f"{len(labels)} classes" if is_label else f"task {about.get('task')!r}"
                raise ValueError(f"trigger: {self.trigger}: expected a classifier of two classes, found {found}")
            check_fields("trigger", self.trigger, about, fields)
            if self.coverage is not None:
                try:
                    thresholds.threshold_at(about, self.coverage, model=str(self.trigger))
                except ModelError as error:
                    raise ValueError(f"coverage: {error}") from None
        if self.rerank is not None:
            about = loader.read_about(self.rerank)
            if RERANK not in about.get("signatures", {}):
                raise ValueError(
                    f"rerank: {self.rerank}: expected a ranker by likelihood (task suggest with a [model] that generates text), found "
                    f"task {about.get('task')!r} without a signature {RERANK!r}"
                )
            check_fields("rerank", self.rerank, about, fields)


def check_fields(name: str, folder: Path, about: dict[str, Any], fields: dict[str, str]) -> None:
    """Raises ValueError where an exported model reads a field that the task has not, or one of another kind."""
    kinds = {field["name"]: field["kind"] for field in about.get("fields") or ()}
    inputs = about.get("inputs") or ()
    if not inputs or not kinds.keys() >= set(inputs):
        raise ValueError(
            f"{name}: {folder}: textpipe.json: expected the model's inputs and their fields, found inputs {', '.join(inputs) or 'none'} and "
            f"fields {', '.join(kinds) or 'none'}; export the model again"
        )
    for field in inputs:
        if fields.get(field) != kinds[field]:
            found = f"one of kind {fields[field]!r}" if field in fields else f"only {', '.join(fields)}"
            raise ValueError(
                f"{name}: {folder}: reads a field {field!r} of kind {kinds[field]!r}, but this pipeline has {found}; choose the fields of "
                "both alike: task = { kind = ..., fields = { ... } }"
            )
