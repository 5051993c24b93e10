"""An objective with regularization of its inputs (word dropout), hidden rows (mixup) and outputs (R-Drop).

Everything random is a function of (seed, update, batch of the update, shard, pass), so a resumed run draws the same; dropout draws from the
model's own generators, whose states are in the checkpoint.   Shapes: B batch, C classes.
"""

from collections.abc import Iterator, Mapping, Sequence
from types import ModuleType
from typing import Any

from textpipe.config.sections import Section
from textpipe.errors import ConfigError

SETTINGS = ("word_dropout", "mixup", "r_drop")
STREAM = 20_210  # folded into the seed, so that scheduled sampling draws other numbers


def wrap(objective: ModuleType, settings: Any) -> Any:
    """The objective itself if no setting of this module is on."""
    return Regularized(objective) if any(getattr(settings, name) for name in SETTINGS) else objective


def conflicts(settings: Any, model: Section, objective: ModuleType) -> Iterator[tuple[str, str]]:
    """(setting, why it cannot be used) under this model and objective."""
    if objective.NEEDS == "logits" and getattr(model, "loss", "logistic") != "logistic":
        for name in ("label_smoothing", "r_drop"):
            if getattr(settings, name):
                yield name, f"is defined for probabilities, and {model.loss} has none"
    of_labels = objective.NEEDS == "logits" and not hasattr(objective, "gradients")
    if settings.mixup and not of_labels:
        yield "mixup", f"works on the logits of a classifier, and {model.kind} has others"
    if settings.r_drop and not of_labels and not hasattr(objective, "R_DROP"):
        yield (
            "r_drop",
            f"compares the probabilities of a classifier or of a generator's next token, and {model.kind} has others",
        )
    elif settings.r_drop and not settings.word_dropout and not any((rates := dict(dropout_rates(model))).values()):
        cures = [f"[model] {name}" for name in list(rates)[:1]]
        if "word_dropout" not in getattr(objective, "UNUSED", {}):
            cures.append("word_dropout")
        yield "r_drop", f"compares two passes, which are equal without dropout; set {' or '.join(cures)}"


def dropout_rates(model: Section) -> Iterator[tuple[str, float]]:
    """(dotted name, value) of each dropout rate of a model and of its parts, the model's own "dropout" first."""
    names = sorted(type(model).model_fields, key=lambda name: (name != "dropout", name))
    yield from ((name, getattr(model, name)) for name in names if name.endswith("dropout"))
    for part in names:
        if isinstance(value := getattr(model, part), Section):
            yield from ((f"{part}.{name}", rate) for name, rate in dropout_rates(value))


def check_features(settings: Any, inputs: Mapping[str, Mapping[str, Any]]) -> None:
    """Raises ConfigError if word dropout has nothing to drop. inputs: {field: size table}."""
    if not settings.word_dropout:
        return
    kinds = {size["kind"] for size in inputs.values()}
    if any("num_words" in size for size in inputs.values()):
        raise ConfigError(
            "[train] word_dropout: rows of the codec 'hybrid' spell words by letters, which cannot be dropped one by one; "
            "leave word_dropout out"
        )
    if settings.word_dropout.by == "unknown" and "ids" not in kinds:
        raise ConfigError(
            '[train] word_dropout.by: "unknown" replaces token ids, and there are none; set by = "removal", or [vectorize] '
            'features = "ids"'
        )
    if not kinds & {"ids", "sparse"}:
        raise ConfigError("[train] word_dropout: no field has tokens or n-grams; leave word_dropout out")


class Regularized:
    """A module of objectives/ whose gradients are those of the regularized loss; all else is the module's own."""

    def __init__(self, objective: ModuleType):
        self.objective = objective

    def __getattr__(self, name: str) -> Any:
        return getattr(self.objective, name)

    def draws(self, config: Any, number: int, place: int) -> tuple:
        """The seed [2] of batch `place` of update `number`, then the objective's own draws."""
        import tensorflow as tf

        objective_draws = self.objective.draws(config, number, place) if hasattr(self.objective, "draws") else ()
        seed = [config.seed % 2**31, (number * config.accumulate + place) % 2**31]
        return tf.constant(seed, tf.int32), *objective_draws

    def gradients(
        self,
        model: Any,
        inputs: Mapping[str, Any],
        targets: Any,
        variables: Sequence[Any],
        *,
        total: Any,
        config: Any,
        draws: tuple,
        part: Any = 0,
    ) -> tuple[dict, list[Any]]:
        """Sums of `loss` and `weight`, and the gradient of loss / total for each variable; see objectives/sequence.py."""
        import tensorflow as tf

        fold_in = tf.random.experimental.stateless_fold_in
        seed, *own_draws = draws
        seed = fold_in(fold_in(seed, STREAM), part)
        if hasattr(self.objective, "gradients"):
            passes = [
                self.dropped(inputs, config, fold_in(seed, number)) for number in range(2 if config.r_drop else 1)
            ]
            if config.r_drop:
                inputs, targets = joined(passes), tf.concat([targets, targets], axis=0)
            else:
                (inputs,) = passes
            return self.objective.gradients(
                model, inputs, targets, variables, total=total, config=config, draws=tuple(own_draws), part=part
            )
        with tf.GradientTape() as tape:
            batch_sums = self.sums_of_passes(model, inputs, targets, config, seed)
            loss = batch_sums["loss"] / total
        return batch_sums, tape.gradient(loss, variables, unconnected_gradients="zero")

    def sums_of_passes(self, model: Any, inputs: Mapping[str, Any], targets: Any, config: Any, seed: Any) -> dict:
        """Sums over the rows of a batch. Both passes of R-Drop mix the same rows and drop different words."""
        import tensorflow as tf

        from textpipe.training.regularization import mixup, r_drop

        fold_in = tf.random.experimental.stateless_fold_in
        mix = mixup.draw(config.mixup, tf.shape(targets)[0], fold_in(seed, 2)) if config.mixup else None
        passes = [
            self.one_pass(model, self.dropped(inputs, config, fold_in(seed, number)), targets, config, mix)
            for number in range(2 if config.r_drop else 1)
        ]
        (batch_sums, logits), *others = passes
        if not others:
            return batch_sums
        ((other_sums, other_logits),) = others
        independent = logits.shape[-1] == 1 or len(targets.shape) == 2
        disagreement = r_drop.divergence(logits, other_logits, independent=independent)
        loss = (batch_sums["loss"] + other_sums["loss"]) / 2 + config.r_drop * disagreement
        return {**batch_sums, "loss": loss}

    def one_pass(
        self, model: Any, inputs: Mapping[str, Any], targets: Any, config: Any, mix: Any
    ) -> tuple[dict[str, Any], Any]:
        """The objective's sums, and the output of the model that they are of."""
        import tensorflow as tf

        if mix is None:
            output = Output(model, model(inputs, training=True))
            return self.objective.sums(output, inputs, targets, training=True, config=config), output.value
        vectors = mix.rows(model.represent(inputs, training=True))
        output = Output(model, model.classify(vectors, training=True))
        target_sums, partner_sums = (
            self.objective.sums(output, inputs, labels, training=True, config=config)
            for labels in (targets, tf.gather(targets, mix.partners))
        )
        share = tf.cast(mix.share, target_sums["loss"].dtype)
        return {**target_sums, "loss": share * target_sums["loss"] + (1 - share) * partner_sums["loss"]}, output.value

    def dropped(self, inputs: Mapping[str, Any], config: Any, seed: Any) -> Mapping[str, Any]:
        """The inputs with word dropout, if it is on."""
        from textpipe.training.regularization import word_dropout

        return word_dropout.apply(inputs, config.word_dropout, seed) if config.word_dropout else inputs


def joined(batches: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The rows of several batches of inputs, one after the other."""
    import tensorflow as tf

    def concat(*parts: Any) -> Any:
        return tf.sparse.concat(0, parts) if isinstance(parts[0], tf.SparseTensor) else tf.concat(parts, axis=0)

    return tf.nest.map_structure(concat, *batches)


class Output:
    """A model that has been called already: any further call gives the same output."""

    def __init__(self, model: Any, value: Any):
        self.model, self.value = model, value

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        return self.value

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)


def check_model(settings: Any, model: Any) -> None:
    """Raises ConfigError if a built model has no hidden rows to mix."""
    if settings.mixup and not (hasattr(model, "represent") and hasattr(model, "classify")):
        raise ConfigError(
            "[train] mixup: the model has no hidden layer to mix (no represent() and classify()); use feed_forward or pooled, "
            "or leave mixup out"
        )
