"""Training settings: the part of [train] that the loop reads."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from textpipe.config import plugins
from textpipe.config.sections import Plugin, Section
from textpipe.training.batching.curriculum import Curriculum
from textpipe.training.regularization.subword_sampling import SubwordSampling
from textpipe.training.regularization.word_dropout import WordDropout
from textpipe.training.warm_start.layer_rates import LayerRates, Unfreeze
from textpipe.training.warm_start.source_weights import Init
from textpipe.training.warm_start.word_vectors import Vectors


class EarlyStopping(Section):
    """Stops training when `metric` has not improved by more than `min_delta` for `patience` validations."""

    metric: str = "valid_loss"  # the validation metric to watch
    patience: int = Field(default=3, ge=1)  # validations without improvement before training stops
    min_delta: float = Field(default=0.0, ge=0)  # smaller improvements do not count


class Average(Section):
    """Averages the weights of the `last` or of the `best` validations; give one of the two."""

    last: int | None = Field(default=None, ge=1)  # number of last validations to average
    best: int | None = Field(default=None, ge=1)  # number of best validations to average

    @model_validator(mode="after")
    def exactly_one(self):
        if (self.last is None) == (self.best is None):
            raise ValueError("give either last or best, for example average = { last = 5 }")
        return self


class ScheduledSampling(Section):
    """Replaces some of the decoder's input words by its own predictions; see training/regularization/scheduled_sampling.py.

    probability: final probability of replacing a word.
    start: updates before the probability starts to rise.
    steps: updates over which the probability rises; the inverse sigmoid reaches half of it after half of these.
    curve: one of the three curves of Bengio et al. (2015).
    choose: the likeliest word, or one drawn from the model's distribution.
    """

    probability: float = Field(default=0.25, gt=0, le=1)
    start: int = Field(default=0, ge=0)
    steps: int = Field(default=1000, ge=1)
    curve: Literal["linear", "exponential", "inverse_sigmoid"] = "linear"
    choose: Literal["argmax", "sample"] = "argmax"


class Settings(Section):
    """Options of the training loop.

    batch_tokens: padded tokens per batch, counted on the longest field; token ids only. "auto" finds the largest batch
        that fits into memory (training/batching/batch_budget.py). Default for texts: 4096, unless batch_rows is given.
    batch_rows: rows per batch, also together with batch_tokens. Default for classifiers: 64, unless batch_tokens is given.
    accumulate: batches per update. A step is an update, so schedules and all numbers of steps below count updates.
    num_shapes: maximum number of padded widths of batches. Default: 6 for a model whose step is traced for each width; for a model that
        takes any width, as many as reduce padding.
    clip_norm: scale gradients down to this global norm.
    clip_tensor_norm: scale the gradient of each weight (a matrix or a vector) separately down to this norm, before clip_norm.
    clip_value: clip each entry of the gradients to +-this value.
    word_dropout: drop tokens or n-grams of the source fields in training.
    mixup: interpolate hidden vectors of a batch; alpha of the Beta(alpha, alpha) distribution of the mixing weights (Guo et al. 2019).
        Applies to the pooled vector in "pooled" and to the first hidden layer in "feed_forward".
    r_drop: weight of the divergence between two passes with different dropout (Liang et al. 2021), in the probabilities of the label or
        of each token; each update computes both passes.
    ema: decay of an exponential moving average of the weights, which is validated and kept instead; 0.999 is usual.
    precision: "mixed_bfloat16" computes layers and vocabulary logits of updates in bfloat16, with variables, loss and the logits of
        validation in float32. Meant for hardware with bfloat16 units: a CPU without them is slower than in float32. Weights are saved
        in float32.
    optimizer: the update rule.
    subword_sampling: segment the texts anew in each epoch.
    curriculum: train on the shortest rows first.
    init: weights of another run to start from; its vocabulary may differ.
    freeze: weights that are not trained, by name, prefix of a name ("encoder") or glob ("*_embedding").
    vectors: word vectors that the embeddings of known words start from.
    layer_rates: factors of the learning rate by layer.
    unfreeze: train the layers one after another, from the last; for runs that start from trained weights.
    scheduled_sampling: replace some inputs of the decoder by its own predictions; texts only. For the model "hybrid", known words are
        replaced by known words.
    class_weight: classifiers only. "balanced" weights the rows of a class by rows / (classes * rows of the class), as scikit-learn;
        a table such as { urgent = 3.0 } multiplies the loss of the rows of a label, 1 for the others. With several labels per row,
        a label's weight applies to the rows that have it; "balanced" also weights the rows without it, so that either group has half of
        the total.
    calibration: classifiers only. "temperature" divides the logits by one number, fitted on valid after training, so that
        probabilities match frequencies (Guo et al., 2017). Answers stay the same.
    label_smoothing: share of each target's probability spread evenly over the vocabulary, or over the classes of a label.
    validate_steps: validate after this many steps instead of at the end of each epoch.
    checkpoint_steps: also write a checkpoint after this many steps; one is always written at the end of an epoch.
    checkpoint_minutes: also write a checkpoint after this many minutes.
    max_steps: stop after this many updates, if that comes before the end of the last epoch.
    max_minutes: stop after this training time, counted across resumed runs.
    curve_steps: write training loss, learning rate and speed to logs/ after this many steps.
    metric: the metric that defines the best validation, for keep, for average, and for schedules that depend on validation.
        Default: that of early_stopping, or valid_loss.
    valid_bleu_rows: number of validation rows, evenly spread, to translate for valid_bleu; all by default. If given,
        valid_bleu is measured even if it is not the metric.
    keep: which weights to keep, those of the best validation or the last.
    average: { last = 5 } or { best = 5 } keeps the mean of the weights of these validations instead. The mean is
        validated, and train.json tells whether it is worse than the best validation by the run's metric.
    parallel: number of shards of a batch that are computed in parallel (texts only). Their gradients are summed, so up to
        rounding the update is that of the whole batch. "auto": one per core, up to four, if operations leave cores free
        (runtime/threads.py), as in pipelines whose answers are texts, and there is no GPU; otherwise 1.
    strategy: "mirrored" trains on all local GPUs.
    workers: number of processes that train together, each on its share of every batch (docs/scale.md); the engine starts them. The update
        is that of the whole batch up to rounding.
    """

    seed: int = Field(default=1, ge=0, lt=2**32)
    epochs: int = Field(default=10, ge=1)  # maximum number of passes over the training rows
    batch_tokens: Annotated[int, Field(ge=1)] | Literal["auto"] | None = None
    batch_rows: int | None = Field(default=None, ge=1)
    accumulate: int = Field(default=1, ge=1)
    num_shapes: int | None = Field(default=None, ge=1)
    optimizer: Plugin.of("training.optimizers") = Field(default="adam", validate_default=True)
    schedule: Plugin.of("training.schedules") = Field(default="constant", validate_default=True)  # of the learning rate
    clip_norm: float | None = Field(default=None, gt=0)
    clip_tensor_norm: float | None = Field(default=None, gt=0)
    clip_value: float | None = Field(default=None, gt=0)
    class_weight: Literal["balanced"] | dict[str, Annotated[float, Field(gt=0, allow_inf_nan=False)]] | None = None
    calibration: Literal["none", "temperature"] = "none"
    label_smoothing: float = Field(default=0.0, ge=0, lt=1)
    word_dropout: WordDropout | None = None
    mixup: float | None = Field(default=None, gt=0)
    r_drop: float | None = Field(default=None, gt=0)
    ema: float | None = Field(default=None, gt=0, lt=1)
    precision: Literal["float32", "mixed_bfloat16"] = "float32"
    subword_sampling: SubwordSampling | None = None
    curriculum: Curriculum | None = None
    init: Init | None = None
    freeze: list[str] = []
    vectors: Vectors | None = None
    layer_rates: LayerRates | None = None
    unfreeze: Unfreeze | None = None
    scheduled_sampling: ScheduledSampling | None = None
    early_stopping: EarlyStopping | None = None  # stop when validation no longer improves
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
    workers: int = Field(default=1, ge=1)

    @model_validator(mode="after")
    def trained_weights(self):
        """Embeddings start from one source, and layers are unfrozen one by one only where those below have been trained before."""
        if self.init and self.vectors:
            raise ValueError("vectors: init already sets the embeddings; leave one of them out")
        if self.unfreeze and not (self.init or self.vectors):
            raise ValueError("unfreeze: no layer has trained weights; give init or vectors, or leave unfreeze out")
        if (self.unfreeze or self.layer_rates) and self.strategy != "default":
            name = "unfreeze" if self.unfreeze else "layer_rates"
            raise ValueError(f'{name}: works with strategy = "default" only; leave one of them out')
        return self

    @model_validator(mode="after")
    def curriculum_reaches_all_rows(self):
        """At least one epoch trains on all rows."""
        if self.curriculum and self.curriculum.epochs >= self.epochs:
            raise ValueError(
                f"curriculum.epochs: expected fewer than the {self.epochs} of epochs, found {self.curriculum.epochs}; otherwise no epoch "
                "trains on all rows"
            )
        return self

    @model_validator(mode="after")
    def workers_stay_in_step(self):
        """Refuses settings under which the processes of a group would not make the same decisions."""
        if self.workers > 1:
            for name, default in (
                ("max_minutes", None),
                ("strategy", "default"),
                ("unfreeze", None),
                ("layer_rates", None),
            ):
                if getattr(self, name) != default:
                    raise ValueError(f"{name}: does not work with several workers; leave one of them out")
            if self.batch_tokens == "auto":
                raise ValueError("batch_tokens: several workers need a number; give one, or batch_rows")
        return self

    @model_validator(mode="after")
    def settings_of_the_optimizer(self):
        """Refuses settings that the optimizer does not read or cannot follow, all at once."""
        if faults := self.optimizer_faults():
            raise ValueError("; ".join(faults))
        return self

    def optimizer_faults(self) -> list[str]:
        """The given settings that the optimizer does not read, and why."""
        unused = getattr(plugins.find("training.optimizers", self.optimizer.kind), "unused", None)
        explicit = sorted(self.model_fields_set & Settings.model_fields.keys()) if unused else []
        reasons = {name: unused(name) for name in explicit if getattr(self, name) not in (None, [])} if unused else {}
        return [f"{name}: {reason}" for name, reason in reasons.items() if reason]

    @property
    def best_metric(self) -> str:
        """The metric by which a validation is best."""
        return self.metric or (self.early_stopping.metric if self.early_stopping else "valid_loss")

    @property
    def measures_bleu(self) -> bool:
        """Whether validation measures BLEU."""
        stopping_metric = self.early_stopping.metric if self.early_stopping else None
        return bool(self.valid_bleu_rows) or "valid_bleu" in (self.metric, stopping_metric)
