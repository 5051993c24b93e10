"""Every parameter of a model: sampled entries and random directions, the training step's gradients against differences."""

import contextlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any

import numpy as np

from textpipe.errors import ConfigError
from textpipe.gradcheck import differences
from textpipe.training.settings import Settings

TOLERANCE = 1e-7


@dataclass(frozen=True)
class Problem:
    """A loss to differentiate: a built float64 model, its objective, and a few rows.

    inputs: {field: [B, ...]}, target: [B, ...] as the objective takes it. num_rows: of the training split, for the penalty.
    notes: what this check leaves out.
    """

    model: Any
    objective: ModuleType
    settings: Settings
    inputs: dict[str, Any]
    target: Any
    num_rows: int
    description: str
    notes: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class ParameterReport:
    """entries: how many of the parameter's `size` entries were compared; directions: random unit vectors over the whole parameter.

    kinks: points where the loss has no derivative. norm: of the gradient. worst: the comparison with the largest error, and `at`, its
    entry or "direction i".
    """

    path: str
    shape: tuple[int, ...]
    size: int
    entries: int
    directions: int
    kinks: int
    norm: float
    worst: differences.Comparison
    at: str
    passed: bool


@contextlib.contextmanager
def float64() -> Iterator[None]:
    """While open, layers are built with float64 variables and compute in float64."""
    import keras

    before = keras.config.floatx(), keras.config.dtype_policy()
    keras.config.set_floatx("float64")
    keras.config.set_dtype_policy("float64")
    try:
        yield
    finally:
        keras.config.set_floatx(before[0])
        keras.config.set_dtype_policy(before[1])


def check(
    problem: Problem,
    *,
    entries: int = 12,
    directions: int = 2,
    tolerance: float = TOLERANCE,
    seed: int = 1,
    on_parameter: Callable[[str, int, int], None] | None = None,
) -> list[ParameterReport]:
    """Compare the gradient of every trainable parameter with differences of the loss; call it inside float64().

    The loss is the objective's mean over the rows, as in training: with dropout, whose masks stay the same at every point, with batch
    statistics, label smoothing and the model's penalty. The gradients are those of training.steps.Steps.

    entries: per parameter, all of them if there are no more, else half drawn from those with a nonzero gradient and half from
    all; directions: per parameter. on_parameter(path, position, count) is called before each. Raises ConfigError if the loss is
    not finite.
    """
    loss = Loss(problem)
    value, gradients = loss.value(), loss.gradients()
    if not math.isfinite(value):
        raise ConfigError(
            f"gradcheck: the loss of {problem.description} is {value}; check the weights, or choose other rows"
        )
    random, reports = np.random.default_rng(seed), []
    variables = problem.model.trainable_variables
    for position, (variable, gradient) in enumerate(zip(variables, gradients, strict=True)):
        if on_parameter:
            on_parameter(variable.path, position, len(variables))
        lines = list(lines_through(gradient, entries, directions, random))
        compared = [
            (name, differences.compare(loss.along(variable, line), float(analytic), value, tolerance))
            for name, line, analytic in lines
        ]
        at, worst = max(compared, key=lambda comparison: (not comparison[1].passed, comparison[1].error))
        reports.append(
            ParameterReport(
                path=variable.path,
                shape=tuple(gradient.shape),
                size=gradient.size,
                entries=sum(not name.startswith("direction") for name, _ in compared),
                directions=sum(name.startswith("direction") for name, _ in compared),
                kinks=sum(comparison.state == "kink" for _, comparison in compared),
                norm=float(np.linalg.norm(gradient)),
                worst=worst,
                at=at,
                passed=all(comparison.passed for _, comparison in compared),
            )
        )
    loss.restore()
    return reports


def lines_through(
    gradient: np.ndarray, entries: int, directions: int, random: np.random.Generator
) -> Iterator[tuple[str, Any, float]]:
    """(name, entry or direction, derivative along it) for the entries and the unit directions to compare."""
    flat = gradient.ravel()
    chosen = np.arange(flat.size)
    if flat.size > entries:
        used = np.flatnonzero(flat)
        some = random.choice(used, min(len(used), (entries + 1) // 2), replace=False)
        rest = random.choice(flat.size, entries, replace=False)
        chosen = np.unique(np.concatenate([some, np.setdiff1d(rest, some)[: entries - len(some)]]))
    for entry in chosen:
        index = tuple(int(coordinate) for coordinate in np.unravel_index(entry, gradient.shape))
        yield str(list(index)), index, flat[entry]
    for number in range(directions if flat.size > 1 else 0):
        direction = random.normal(size=gradient.shape)
        direction /= np.linalg.norm(direction)
        yield f"direction {number + 1}", direction, float(np.sum(direction * gradient))


class Loss:
    """The mean loss of a problem's rows, and its gradients, as functions of the model's variables."""

    def __init__(self, problem: Problem):
        import tensorflow as tf

        from textpipe.training.steps import Steps

        self.model, objective = problem.model, problem.objective
        settings = problem.settings.model_copy(update={"scheduled_sampling": None})
        wrong = [variable.path for variable in self.model.trainable_variables if variable.dtype != "float64"]
        if wrong:
            raise ConfigError(f"gradcheck: expected float64 parameters, found others: {', '.join(wrong)}")
        # Dropout draws from seed variables, batch normalization updates its means: every value starts from the same state.
        trained = {id(variable) for variable in self.model.trainable_variables}
        self.states = [
            (state_variable, state_variable.numpy())
            for state_variable in self.model.variables
            if id(state_variable) not in trained
        ]
        steps = Steps(self.model, None, settings, tf.distribute.get_strategy(), problem.num_rows, objective)
        inputs, target = problem.inputs, problem.target
        total = tf.cast(objective.weight(target), tf.float64)
        draws = steps.draws(1, 0)
        # Only the objective's own gradients know smoothed labels of texts, and what is drawn.
        custom_gradients = hasattr(steps.objective, "gradients") and (draws or settings.label_smoothing)

        def value():
            self.restore()
            if custom_gradients:
                variables = [variable.value for variable in self.model.trainable_variables]
                options = {"total": total, "config": settings, "draws": draws}
                sums, _ = steps.objective.gradients(self.model, inputs, target, variables, **options)
            else:
                sums = objective.sums(self.model, inputs, target, training=True, config=settings)
            return sums["loss"] / total + tf.cast(steps.penalty(), tf.float64)

        def gradients():
            self.restore()
            _, gradients = steps.gradients(1, inputs, target, total, *draws)
            variables = [variable.value for variable in self.model.trainable_variables]
            with tf.GradientTape() as tape:
                penalty = steps.penalty()
            extra = tape.gradient(penalty, variables, unconnected_gradients="zero")
            return [gradient + tf.cast(added, gradient.dtype) for gradient, added in zip(gradients, extra, strict=True)]

        self.traced_value = tf.function(value, autograph=False).get_concrete_function()
        self.traced_gradients = tf.function(gradients, autograph=False).get_concrete_function()

    def restore(self) -> None:
        """Set the variables that are not trained back to their first values."""
        for variable, first in self.states:
            variable.assign(first)

    def value(self) -> float:
        return float(self.traced_value())

    def gradients(self) -> list[np.ndarray]:
        """In the order of model.trainable_variables."""
        return [np.array(gradient.numpy()) for gradient in self.traced_gradients()]

    def along(self, variable: Any, line: Any) -> Callable[[float], float]:
        """t -> the loss with this entry (an index) moved by t, or the variable moved by t in this direction (an array)."""
        before = np.array(variable.numpy())

        def moved(distance: float) -> float:
            if isinstance(line, tuple):
                after = before.copy()
                after[line] += distance
            else:
                after = before + distance * line
            variable.assign(after)
            try:
                return self.value()
            finally:
                variable.assign(before)

        return moved
