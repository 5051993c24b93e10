"""[answer] of a task that ranks a response set, and checks of the exported models it names; imports no TensorFlow."""

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, field_validator, model_validator

from textpipe.answers._embedded_fields import check_fields
from textpipe.config.sections import Section, describe_plugin_errors
from textpipe.errors import ModelError
from textpipe.savedmodel import description, loader, locations, thresholds

MAX_CANDIDATES = 1000
MAX_EXACT = 100_000  # responses that are compared with every message one by one
RERANK = "rerank"  # the signature of a ranker that scores given candidates


def exported(path: Path) -> Path:
    """The version directory of an exported model; raises ValueError if there is none."""
    try:
        folder = locations.find_version(path)
        description.check(folder, loader.read_about(folder))
    except ModelError as error:
        cure = f"; train and export that pipeline first: textpipe run pipelines/{path.name}.toml"
        raise ValueError(f"{error}{'' if 'textpipe run' in str(error) else cure}") from None
    return folder


Exported = Annotated[Path, AfterValidator(exported)]


class Index(Section):
    """An inverted-file index of the responses; see answers/_index.py.

    cells: number of cells that the responses are divided into; if left out, twice the square root of their number.
    probes: number of cells that are searched for a message; more find more of the best responses and take longer. If left out, one in 32,
        but at least 8.
    """

    cells: int | None = Field(default=None, ge=1, le=65_536)
    probes: int | None = Field(default=None, ge=1, le=65_536)

    @model_validator(mode="after")
    def probes_fit(self) -> "Index":
        if self.cells and self.probes and self.probes > self.cells:
            raise ValueError(f"probes: expected at most the {self.cells} cells, found {self.probes}; lower probes")
        return self


class Config(Section):
    """For a task that suggests replies: which messages get replies, and how responses are ranked.

    trigger: an exported two-class classifier, saved_models/NAME, that decides whether a message gets replies; its fields must be among
        those of this pipeline. Without a trigger every message gets replies.
    threshold: messages get replies if the probability of the trigger's second class is at least this; 0.5 if left out.
    coverage: instead of a threshold, the share of messages that get replies (Kannan et al. 2016: about 0.11), as measured on the
        trigger's valid split.
    rerank: an exported ranker by likelihood, saved_models/NAME, that ranks the best candidates again.
    candidates: number of best responses that rerank ranks again.
    rerank_weight: weight of its log-probability in a candidate's score; the first ranker's has the remaining weight.
    beam_size: for a ranker by likelihood, the number of hypotheses in its search over the responses; a larger beam finds more of them.
    mutual_information: for a ranker by likelihood, weight of log P(response) that is subtracted from the score, where P(response) is
        the mean over training messages; higher values prefer responses specific to the message (Li et al. 2016, equation 9).
    prior: the probability of a response independent of the message: "frequency", its share of the training replies, or "language_model",
        from an n-gram model of the responses, which rates rare wordings of frequent words higher (Henderson et al. 2017, equation 4).
    prior_weight: weight of the logarithm of the prior, which is added to the score; higher values prefer frequent responses. If left out,
        1 for a ranker by matching and 0 for one by likelihood.
    index: for a ranker by matching, search an index of the responses instead of comparing each with the message, which is faster in large
        sets but misses some of the best responses: { cells = 1000, probes = 64 }. "auto" uses an index for more than 100,000 responses;
        "none" never uses one, but allows fewer responses.
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
    index: Index | Literal["auto", "none"] = "auto"

    @field_validator("index", mode="before")
    @classmethod
    def table_or_choice(cls, value: Any) -> Any:
        """A table as an Index, so that its faults are those of a table and not of every type that an index may have."""
        if isinstance(value, dict):
            try:
                return Index(**value)
            except ValidationError as error:
                raise ValueError(describe_plugin_errors(Index, error)) from None
        if not isinstance(value, Index) and value not in ("auto", "none"):
            raise ValueError(f'expected "auto", "none" or a table such as {{ probes = 64 }}, found {value!r}')
        return value

    @model_validator(mode="after")
    def settings_fit(self) -> "Config":
        if self.trigger is None and (self.threshold is not None or self.coverage is not None):
            raise ValueError("threshold and coverage apply to a trigger; set trigger, or leave them out")
        if self.threshold is not None and self.coverage is not None:
            raise ValueError("threshold and coverage cannot both be set; leave one out")
        if self.rerank is None and {"candidates", "rerank_weight"} & self.model_fields_set:
            raise ValueError("candidates and rerank_weight apply to rerank; set rerank, or leave them out")
        return self

    def check(self, task: Any) -> None:
        """Raises ValueError for an exported model that does not fit the task."""
        fields = {field.name: field.kind for field in task.FIELDS if field.side == "source"}
        if self.trigger is not None:
            about = loader.read_about(self.trigger)
            labels = about.get("labels") or []
            if about.get("answer") != "label" or len(labels) != 2:
                is_label = about.get("answer") == "label" and labels
                description = f"{len(labels)} classes" if is_label else f"task {about.get('task')!r}"
                raise ValueError(f"trigger: {self.trigger}: expected a classifier of two classes, found {description}")
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
