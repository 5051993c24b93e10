"""How a model is trained: the part of [train] that the loop reads."""

from typing import Literal

from pydantic import Field, model_validator

from textpipe.config import Plugin, Section

# Metrics that grow as a model gets better; every other one falls.
RISING = ("valid_accuracy",)


class EarlyStopping(Section):
    """Stop after `patience` validations in which `metric` has not improved by more than `min_delta`."""

    metric: Literal["valid_loss", "valid_accuracy", "valid_perplexity"] = "valid_loss"
    patience: int = Field(default=3, ge=1)
    min_delta: float = Field(default=0.0, ge=0)


class Average(Section):
    """The mean of the weights of the `last` or the `best` so many validations; one of the two is given."""

    last: int | None = Field(default=None, ge=1)
    best: int | None = Field(default=None, ge=1)

    @model_validator(mode="after")
    def one(self):
        if (self.last is None) == (self.best is None):
            raise ValueError("give either last or best, for example average = { last = 5 }")
        return self


class Settings(Section):
    """The training loop's options.

    batch_tokens: padded tokens per batch, on the longer of the two sides; for ids (4096 when neither is given, texts).
    batch_rows: rows per batch; may stand beside batch_tokens (64 when neither is given, classifiers).
    num_shapes: how many padded widths batches are cut to; each is traced once.
    clip_norm: gradients are scaled down to this global norm; clip_value: each entry is cut to +-this.
    label_smoothing: share of each target's probability spread evenly over the vocabulary (texts only).
    validate_steps: validate every so many steps instead of at the end of each epoch.
    checkpoint_steps, checkpoint_minutes: besides the end of each epoch.
    max_minutes: training time, counted across resumed runs, after which the best weights so far are the result.
    curve_steps: training loss, learning rate and speed go to logs/ every so many steps.
    keep: the weights that are the result, of the best validation (by early_stopping's metric, or valid_loss) or the last.
    average: { last = 5 } or { best = 5 } makes the mean of these validations' weights the result instead; the run's metric of
        the averaged weights is measured, and train.json says whether it is worse than the best validation's.
    strategy: "mirrored" trains on every local GPU at once.
    """

    seed: int = Field(default=1, ge=0, lt=2**32)
    epochs: int = Field(default=10, ge=1)
    batch_tokens: int | None = Field(default=None, ge=1)
    batch_rows: int | None = Field(default=None, ge=1)
    num_shapes: int = Field(default=6, ge=1)
    optimizer: Plugin.of("training.optimizers") = Field(default="adam", validate_default=True)
    schedule: Plugin.of("training.schedules") = Field(default="constant", validate_default=True)
    clip_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = Field(default=None, gt=0)
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    early_stopping: EarlyStopping | None = None
    validate_steps: int | None = Field(default=None, ge=1)
    checkpoint_steps: int | None = Field(default=None, ge=1)
    checkpoint_minutes: float | None = Field(default=10, gt=0)
    max_minutes: float | None = Field(default=None, gt=0)
    keep: Literal["best", "last"] = "best"
    average: Average | None = None
    curve_steps: int = Field(default=50, ge=1)
    strategy: Literal["default", "mirrored"] = "default"
