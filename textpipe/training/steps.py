"""One training step and one validation step as graphs, under a tf.distribute strategy.

A batch reaches every replica whole and each takes its share of the rows, so that a plan of batches is the same for one
device and for eight. Of its share a replica makes several again, which go side by side on the cores of a CPU.
"""

import functools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import Any

import tensorflow as tf

from textpipe.data.columns import Column
from textpipe.runtime import threads
from textpipe.training import losses
from textpipe.training.batching.accumulation import Accumulator
from textpipe.training.batching.batches import Batch
from textpipe.training.batching.rows import Rows
from textpipe.training.regularization.moving_average import MovingAverage
from textpipe.training.settings import Settings


class Steps:
    """Traced steps of a model; each padded width is traced once, whatever the number of rows.

    num_rows: rows of the training split; a model's penalty() is divided by it, so that the sum over an epoch counts
    it once. objective: a module of objectives/.
    """

    def __init__(
        self,
        model: Any,
        optimizer: Any,
        settings: Settings,
        strategy: tf.distribute.Strategy,
        num_rows: int,
        objective: ModuleType,
    ):
        self.objective = objective
        self.model, self.optimizer, self.settings = model, optimizer, settings
        self.strategy, self.num_rows = strategy, num_rows
        self.parallel = default_num_shards(strategy) if settings.parallel == "auto" else settings.parallel
        self.traced: dict[tuple, Callable] = {}
        self.accumulator = Accumulator(model.trainable_variables) if settings.accumulate > 1 else None
        self.average = MovingAverage(model.trainable_variables, settings.ema) if settings.ema else None

    @property
    def variables(self) -> list[Any]:
        """What a step changes beside the model and the optimizer."""
        return self.average.variables if self.average else []

    def train(self, rows: Rows, batches: list[Batch], number: int) -> dict[str, Any]:
        """Update `number`, from 1; floats: `loss` (sum), `weight`, `penalty`, `gradient_norm` (before clipping)."""
        if self.accumulator is None:
            (batch,) = batches
            return self.call(self.train_graph, rows, batch, *self.draws(number, 0))
        sums = {"loss": 0.0, "weight": 0.0}
        for place, batch in enumerate(batches):
            for name, figure in self.call(self.add_graph, rows, batch, *self.draws(number, place)).items():
                sums[name] += figure
        total = tf.constant(sums["weight"], tf.float32)
        return sums | self.run("update", self.update_graph, [total], [exact_spec(total)])

    def draws(self, number: int, place: int) -> tuple:
        """Scalars that the objective draws by, of batch `place` of update `number`."""
        return self.objective.draws(self.settings, number, place) if hasattr(self.objective, "draws") else ()

    def evaluate(self, rows: Rows, batch: Batch) -> dict[str, Any]:
        """Floats: the objective's sums over a batch, without dropout or smoothing."""
        return self.call(self.evaluate_graph, rows, batch)

    def validate(self, rows: Rows, order: list[Batch]) -> dict[str, float]:
        """The objective's figures, such as valid_loss and valid_accuracy."""
        sums: dict[str, float] = {}
        for batch in order:
            for name, figure in self.evaluate(rows, batch).items():
                sums[name] = sums.get(name, 0.0) + figure
        return self.objective.figures(sums)

    def call(self, graph: Callable, rows: Rows, batch: Batch, *scalars: tf.Tensor) -> dict[str, float]:
        inputs = {name: tensors(column, batch, name) for name, column in rows.inputs.items()}
        target = tensors(rows.target, batch, rows.target_name)
        fixed = fixed_widths(self.model)
        specs = [
            *tf.nest.map_structure(functools.partial(batch_spec, fixed=fixed), [inputs, target]),
            *map(exact_spec, scalars),
        ]
        widths = batch.widths.items() if fixed else ()
        parts = self.parallel if self.objective.COUNTS == "tokens" and len(batch.rows) >= self.parallel else 1
        key = graph.__name__, parts, *widths
        return self.run(key, functools.partial(graph, parts), [inputs, target, *scalars], specs)

    def run(self, key: Any, graph: Callable, arguments: list, specs: list) -> dict[str, float]:
        if key not in self.traced:
            # Concrete functions: a tf.function called with new widths warns of retracing, which here is the plan.
            function = tf.function(graph, autograph=False)
            self.traced[key] = function.get_concrete_function(*specs)
        return {name: float(value) for name, value in self.traced[key](*arguments).items()}

    def train_graph(self, parts, inputs, target, *draws):
        return self.on_replicas(functools.partial(self.train_replica, parts), inputs, target, *draws)

    def add_graph(self, parts, inputs, target, *draws):
        return self.on_replicas(functools.partial(self.add_replica, parts), inputs, target, *draws)

    def update_graph(self, total):
        return self.on_replicas(self.update_replica, total)

    def evaluate_graph(self, parts, inputs, target):
        return self.on_replicas(functools.partial(self.evaluate_replica, parts), inputs, target)

    def on_replicas(self, step: Callable, *arguments) -> dict[str, tf.Tensor]:
        sums = self.strategy.run(step, arguments)
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    def train_replica(self, parts, inputs, target, *draws):
        """A whole update."""
        sums, gradients = self.gradients(
            parts, inputs, target, tf.cast(self.objective.weight(target), tf.float32), *draws
        )
        return {"loss": sums["loss"], "weight": sums["weight"], **self.update(gradients)}

    def add_replica(self, parts, inputs, target, *draws):
        """A batch's share of an update."""
        sums, gradients = self.gradients(parts, inputs, target, tf.constant(1.0), *draws)
        self.accumulator.add(gradients)
        return {"loss": sums["loss"], "weight": sums["weight"]}

    def update_replica(self, total):
        """The update from what was accumulated over so many rows or tokens."""
        return self.update([gradient / total for gradient in self.accumulator.take()])

    def gradients(self, parts: int, inputs, target, total, *draws):
        """Sums over this replica's rows, and the dense gradients of their loss / total."""
        variables = [variable.value for variable in self.model.trainable_variables]
        found, gradients = [], []
        with replica_seeds(self.model):
            # Nothing of one part waits for another but the seeds of dropout, which each draws after the one before.
            for part, pair in enumerate(split_rows((replica_rows(inputs), replica_rows(target)), parts)):
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group if draws else 0
                rows, wanted = pair
                sums, slopes = self.of_part(rows, wanted, variables, total, draws, replica * parts + part)
                found.append(sums)
                gradients.append([losses.to_dense(slope) for slope in slopes])
        return add_sums(found), [tf.add_n(slopes) for slopes in zip(*gradients, strict=True)]

    def of_part(self, inputs: Any, target: Any, variables: list, total: Any, draws: tuple, part: Any) -> tuple:
        """Sums over a part of the rows, and the gradients of their loss / total, by the objective or by autodiff."""
        options: dict[str, Any] = {"config": self.settings}
        if hasattr(self.objective, "gradients"):
            options |= {"total": total, "draws": draws, "part": part}
            return self.objective.gradients(self.model, inputs, target, variables, **options)
        with tf.GradientTape() as tape:
            sums = self.objective.sums(self.model, inputs, target, training=True, **options)
            loss = sums["loss"] / total
        return sums, tape.gradient(loss, variables, unconnected_gradients="zero")

    def update(self, gradients: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Adds the penalty's gradients, clips, and lets the optimizer step; `penalty` and `gradient_norm`."""
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        with tf.GradientTape() as tape:
            penalty = self.penalty() / replicas
        slopes = tape.gradient(penalty, [variable.value for variable in self.model.trainable_variables])
        gradients = [
            gradient if slope is None else gradient + losses.to_dense(slope)
            for gradient, slope in zip(gradients, slopes, strict=True)
        ]
        if replicas > 1:
            gradients = context.all_reduce("SUM", gradients)
        norm = tf.linalg.global_norm(gradients)
        if self.settings.clip_value:
            limit = self.settings.clip_value
            gradients = [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
        if self.settings.clip_norm:
            used = tf.linalg.global_norm(gradients) if self.settings.clip_value else norm
            gradients, _ = tf.clip_by_global_norm(gradients, self.settings.clip_norm, use_norm=used)
        if replicas > 1:
            # The optimizer sums over replicas once more; clipping had to see the whole gradient before that.
            gradients = [gradient / replicas for gradient in gradients]
        self.optimizer.apply(gradients, self.model.trainable_variables)
        if self.average is not None:
            self.average.update(self.optimizer.iterations.value)
        return {"penalty": penalty, "gradient_norm": norm / replicas}

    def evaluate_replica(self, parts, inputs, target):
        measure = functools.partial(self.objective.sums, self.model, training=False, config=self.settings)
        return add_sums([measure(*pair) for pair in split_rows((replica_rows(inputs), replica_rows(target)), parts)])

    def penalty(self):
        """What the model adds to the mean loss of a row: its penalty() over the rows of the training split."""
        if not hasattr(self.model, "penalty"):
            return tf.constant(0.0)
        return tf.cast(self.model.penalty(), tf.float32) / self.num_rows


@contextmanager
def replica_seeds(model) -> Iterator[None]:
    """Inside, each replica draws dropout of its own; a single one draws as ever.

    A seed's state is (seed, draws so far), and every replica has the same. Inside a replica counts from a place of its
    own; afterwards all states are alike again, so that a checkpoint of one is that of all.
    """
    context = tf.distribute.get_replica_context()
    states = [variable for variable in getattr(model, "variables", ()) if variable.name == "seed_generator_state"]
    if context.num_replicas_in_sync == 1 or not states:
        yield
        return
    place = context.replica_id_in_sync_group * (2**30 // context.num_replicas_in_sync)
    offset = tf.stack([0, place])
    for state in states:
        state.assign(state.value + tf.cast(offset, state.value.dtype))
    yield
    for state in states:
        state.assign(state.value - tf.cast(offset, state.value.dtype))


def default_num_shards(strategy: tf.distribute.Strategy) -> int:
    """Into how many shares a replica cuts its rows, if nobody says."""
    alone = strategy.num_replicas_in_sync == 1 and not tf.config.list_physical_devices("GPU")
    return threads.num_shards() if alone else 1


def tensors(column: Column, batch: Batch, name: str) -> Any:
    """A field of a batch as tensors, padded to the batch's width."""
    gathered = column.gather(batch.rows, batch.widths.get(name, 0))
    return tf.nest.map_structure(lambda part: part if tf.is_tensor(part) else tf.constant(part), gathered)


def replica_rows(batch: Any) -> Any:
    """This replica's rows of a batch, a nest of tensors."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch
    number, count = tf.cast(context.replica_id_in_sync_group, tf.int64), context.num_replicas_in_sync
    return tf.nest.map_structure(lambda tensor: shard(tensor, number, count), batch)


def split_rows(batch: Any, parts: int) -> list[Any]:
    """The parts of a nest of tensors with as many rows each."""
    if parts == 1:
        return [batch]
    return [tf.nest.map_structure(lambda tensor, at=at: shard(tensor, at, parts), batch) for at in range(parts)]


def shard(tensor, number, count: int):
    """Part `number` of `count`: consecutive rows, as many as any other part's give or take one."""
    sparse = isinstance(tensor, tf.SparseTensor)
    rows = tensor.dense_shape[0] if sparse else tf.shape(tensor, out_type=tf.int64)[0]
    first, last = rows * number // count, rows * (number + 1) // count
    if not sparse:
        return tensor[first:last]
    return tf.sparse.slice(tensor, tf.stack([first, 0]), tf.stack([last - first, tensor.dense_shape[1]]))


def add_sums(sums: list[dict[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """[{"loss": 1, "weight": 2}, {"loss": 3, "weight": 4}] -> {"loss": 4, "weight": 6}"""
    return {name: tf.add_n([one[name] for one in sums]) for name in sums[0]}


def fixed_widths(model) -> bool:
    """Whether a step is traced for each padded width; a model that takes any width says fixed_widths = False."""
    return getattr(model, "fixed_widths", True)


def batch_spec(value, fixed: bool = True):
    """The type of a batch with the number of rows left open: [None, T], or [None, None] where any width goes."""
    if isinstance(value, tf.SparseTensor):
        return tf.SparseTensorSpec([None, value.shape[1]], value.dtype)
    sizes = value.shape[1:] if fixed else [None] * (len(value.shape) - 1)
    return tf.TensorSpec([None, *sizes], tf.as_dtype(value.dtype))


def exact_spec(value):
    """The type of a tensor whose shape is always the same."""
    return tf.TensorSpec(value.shape, value.dtype)
