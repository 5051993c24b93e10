"""How a model is trained: the part of [train] that the loop reads."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from textpipe.config.sections import Plugin, Section
from textpipe.training.regularization.subword_sampling import SubwordSampling
from textpipe.training.warm_start.source_weights import Init

# What the optimizer lbfgs reads of [train], and why it does not read others.
LBFGS_READS = {"seed", "optimizer", "init"}
NO_USE = "lbfgs sees all rows at once and has no use for it; leave it out"
OWN_END = "lbfgs ends by optimizer.tolerance and optimizer.max_iterations; set those and leave this out"
ONE_FUNCTION = 'lbfgs minimizes one function of all weights; set optimizer to "adam" or leave this out'
LBFGS = {
    **dict.fromkeys(("epochs", "max_steps", "max_minutes", "early_stopping"), OWN_END),
    **dict.fromkeys(("freeze", "subword_sampling"), ONE_FUNCTION),
    **dict.fromkeys(("checkpoint_steps", "checkpoint_minutes"), "lbfgs takes seconds and is not resumed; leave it out"),
    "average": "lbfgs ends in one optimum, there is nothing to average; leave average out",
}


class EarlyStopping(Section):
    """Stop after `patience` validations in which `metric` has not improved by more than `min_delta`."""

    metric: str = "valid_loss"  # which validation figure must improve
    patience: int = Field(default=3, ge=1)  # validations without an improvement that are borne
    min_delta: float = Field(default=0.0, ge=0)  # an improvement has to be larger than this


class Average(Section):
    """The mean of the weights of the `last` or the `best` so many validations; one of the two is given."""

    last: int | None = Field(default=None, ge=1)  # how many of the last validations
    best: int | None = Field(default=None, ge=1)  # how many of the best validations

    @model_validator(mode="after")
    def one(self):
        if (self.last is None) == (self.best is None):
            raise ValueError("give either last or best, for example average = { last = 5 }")
        return self


class ScheduledSampling(Section):
    """A decoder reads its own words in place of some of the reference's; see training/regularization/scheduled_sampling.py.

    probability: of a word being replaced, once risen. start: updates before the rise begins. steps: updates it takes
    (of the inverse sigmoid, to halfway and as much again). curve: Bengio et al.'s (2015) three. choose: the likeliest
    word, or one drawn from the model's distribution.
    """

    probability: float = Field(default=0.25, gt=0, le=1)
    start: int = Field(default=0, ge=0)
    steps: int = Field(default=1000, ge=1)
    curve: Literal["linear", "exponential", "inverse_sigmoid"] = "linear"
    choose: Literal["argmax", "sample"] = "argmax"


class Settings(Section):
    """The training loop's options.

    batch_tokens: padded tokens per batch, on the longer of the two sides; for ids (4096 when neither is given, texts).
        "auto" tries what fits into memory (training/batching/batch_budget.py).
    batch_rows: rows per batch; may stand beside batch_tokens (64 when neither is given, classifiers).
    accumulate: batches per update; a step is an update, so schedules and the numbers of steps below count updates.
    num_shapes: how many padded widths batches are cut to. When left out, 6 for a model whose step is traced for each of
        them; a model that takes batches of any width has as many as save padding.
    clip_norm: gradients are scaled down to this global norm; clip_value: each entry is cut to +-this.
    ema: decay of an exponential moving average of the weights, which is then validated and kept; 0.999 is usual.
    precision: "mixed_bfloat16" computes layers in bfloat16, with variables, vocabulary logits and loss in float32. It is
        for hardware with bfloat16 units: a CPU without them is slower than in float32. What is saved is float32.
    optimizer: the rule of an update.
    subword_sampling: texts are segmented anew for each epoch.
    init: another run's weights to start from, whose vocabulary may be another; freeze: weights that are not trained, by
        name, beginning of a name ("encoder") or glob ("*_embedding").
    scheduled_sampling: texts only. Of the model "hybrid" it replaces known words by known words.
    label_smoothing: share of each target's probability spread evenly over the vocabulary (texts only).
    validate_steps: validate every so many steps instead of at the end of each epoch.
    checkpoint_steps, checkpoint_minutes: besides the end of each epoch.
    max_steps: updates after which the best weights so far are the result, if that comes before the last epoch's end.
    max_minutes: training time, counted across resumed runs, after which the best weights so far are the result.
    curve_steps: training loss, learning rate and speed go to logs/ every so many steps.
    metric: which validation is best: for keep and average, and for the schedules that look at it. early_stopping's
        when left out, or valid_loss.
    valid_bleu_rows: how many of the validation's rows, evenly spread, are translated for valid_bleu; all when left out.
        Given, valid_bleu is measured even where it is not the metric.
    keep: the weights that are the result, of the best validation or the last.
    average: { last = 5 } or { best = 5 } makes the mean of these validations' weights the result instead. They
        are validated, and train.json says whether that is worse than the best validation by the run's metric.
    parallel: texts only: shares of a batch that are computed side by side; their gradients are summed, so the update is
        that of the whole batch up to rounding. "auto" is one for each core, up to four, where operations leave cores free
        (runtime/threads.py), as in pipelines whose answers are texts, and no GPU is there; otherwise 1.
    strategy: "mirrored" trains on every local GPU at once.
    """

    seed: int = Field(default=1, ge=0, lt=2**32)
    epochs: int = Field(default=10, ge=1)  # passes over the training rows, at most
    batch_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    batch_rows: int | None = Field(default=None, ge=1)
    accumulate: int = Field(default=1, ge=1)
    num_shapes: int | None = Field(default=None, ge=1)
    optimizer: Plugin.of("training.optimizers") = Field(default="adam", validate_default=True)
    schedule: Plugin.of("training.schedules") = Field(default="constant", validate_default=True)  # of the learning rate
    clip_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = Field(default=None, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    ema: float | None = Field(default=None, gt=0, lt=1)
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    subword_sampling: SubwordSampling | None = None
    init: Init | None = None
    freeze: list[str] = []
    scheduled_sampling: ScheduledSampling | None = None
    early_stopping: EarlyStopping | None = None  # ends the run when validation no longer improves
    metric: str | None = None
    valid_bleu_rows: int | None = Field(default=None, ge=1)
    validate_steps: int | None = Field(default=None, ge=1)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    checkpoint_minutes: float | None = Field(default=10, gt=0)
    max_steps: int | None = Field(default=None, ge=1)
    max_minutes: float | None = Field(default=None, gt=0)
    keep: Literal["best", "last"] = "best"
    average: Average | None = None
    curve_steps: int = Field(default=50, ge=1)
    parallel: Annotated[int, Field(ge=1)] | Literal["auto"] = "auto"
    strategy: Literal["default", "mirrored"] = "default"

    @model_validator(mode="after")
    def lbfgs_reads_little(self):
        """L-BFGS goes over all rows again and again until it has converged: what it does not read is refused, all at once."""
        faults = self.lbfgs_conflicts() if self.optimizer.kind == "lbfgs" else []
        if faults:
            raise ValueError("; ".join(faults))
        return self

    def lbfgs_conflicts(self) -> list[str]:
        """What is set and lbfgs does not read, and why."""
        given = sorted(self.model_fields_set & Settings.model_fields.keys() - LBFGS_READS)
        return [f"{name}: {LBFGS.get(name, NO_USE)}" for name in given if getattr(self, name) not in (None, [])]

    @property
    def chosen_by(self) -> str:
        """The metric by which a validation is the best."""
        return self.metric or (self.early_stopping.metric if self.early_stopping else "valid_loss")

    @property
    def measures_bleu(self) -> bool:
        """Whether validation translates."""
        stops_by = self.early_stopping.metric if self.early_stopping else None
        return bool(self.valid_bleu_rows) or "valid_bleu" in (self.metric, stops_by)
