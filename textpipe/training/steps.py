"""The training step and the validation step as graphs, under a tf.distribute strategy.

Every replica receives the whole batch and takes its share of the rows, so the plan of batches does not depend on the
number of devices. A replica may split its rows further into shards that run in parallel on the cores of a CPU.
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
from textpipe.training.regularization import regularized
from textpipe.training.regularization.moving_average import MovingAverage
from textpipe.training.settings import Settings
from textpipe.training.warm_start.layer_rates import Factors


class Steps:
    """Traced steps of a model; each padded width is traced once, for any number of rows.

    num_rows: rows of the training split; a model's penalty() is divided by it, so that an epoch counts it once.
    objective: a module of objectives/.
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
        self.objective = regularized.wrap(objective, settings)
        self.model, self.optimizer, self.settings = model, optimizer, settings
        self.strategy, self.num_rows = strategy, num_rows
        self.parallel = default_num_shards(strategy) if settings.parallel == "auto" else settings.parallel
        self.traced: dict[tuple, Callable] = {}
        self.accumulator = Accumulator(model.trainable_variables) if settings.accumulate > 1 else None
        self.factors = Factors(model, settings.layer_rates, settings.unfreeze)  # of the learning rate of each weight
        self.average = MovingAverage(model.trainable_variables, settings.ema) if settings.ema else None

    @property
    def variables(self) -> list[Any]:
        """Variables that a step changes in addition to those of the model and the optimizer."""
        return self.average.variables if self.average else []

    def start_epoch(self, epoch: int) -> None:
        """The layers that are trained from this epoch (from 1) on, and the model's own start_epoch, if it has one."""
        self.factors.start_epoch(epoch)
        if hasattr(self.model, "start_epoch"):
            self.model.start_epoch(epoch)

    def train(self, rows: Rows, batches: list[Batch], number: int) -> dict[str, Any]:
        """Performs update `number`, from 1; floats: `loss` (sum), `weight`, `penalty`, `gradient_norm` (unclipped)."""
        if self.accumulator is None:
            (batch,) = batches
            return self.call(self.train_graph, rows, batch, *self.draws(number, 0))
        sums = {"loss": 0.0, "weight": 0.0}
        for position, batch in enumerate(batches):
            for name, figure in self.call(self.add_graph, rows, batch, *self.draws(number, position)).items():
                sums[name] += figure
        total = tf.constant(sums["weight"], tf.float32)
        return sums | self.run("update", self.update_graph, [total], [exact_spec(total)])

    def draws(self, number: int, position: int) -> tuple:
        """The objective's random scalars for the batch at `position` of update `number`."""
        return self.objective.draws(self.settings, number, position) if hasattr(self.objective, "draws") else ()

    def evaluate(self, rows: Rows, batch: Batch) -> dict[str, Any]:
        """The objective's sums over a batch as floats, without dropout or label smoothing."""
        return self.call(self.evaluate_graph, rows, batch)

    def validate(self, rows: Rows, order: list[Batch]) -> dict[str, float]:
        """The objective's metrics, such as valid_loss and valid_accuracy."""
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
        num_shards = self.parallel if self.objective.COUNTS == "tokens" and len(batch.rows) >= self.parallel else 1
        key = graph.__name__, num_shards, *widths
        return self.run(key, functools.partial(graph, num_shards), [inputs, target, *scalars], specs)

    def run(self, key: Any, graph: Callable, arguments: list, specs: list) -> dict[str, float]:
        if key not in self.traced:
            # Concrete functions: a tf.function called with new widths warns of retracing, which is intended here.
            function = tf.function(graph, autograph=False)
            self.traced[key] = function.get_concrete_function(*specs)
        return {name: float(value) for name, value in self.traced[key](*arguments).items()}

    def train_graph(self, num_shards, inputs, target, *draws):
        return self.on_replicas(functools.partial(self.train_replica, num_shards), inputs, target, *draws)

    def add_graph(self, num_shards, inputs, target, *draws):
        return self.on_replicas(functools.partial(self.add_replica, num_shards), inputs, target, *draws)

    def update_graph(self, total):
        return self.on_replicas(self.update_replica, total)

    def evaluate_graph(self, num_shards, inputs, target):
        return self.on_replicas(functools.partial(self.evaluate_replica, num_shards), inputs, target)

    def on_replicas(self, step: Callable, *arguments) -> dict[str, tf.Tensor]:
        sums = self.strategy.run(step, arguments)
        return {name: self.strategy.reduce("SUM", value, axis=None) for name, value in sums.items()}

    def train_replica(self, num_shards, inputs, target, *draws):
        """A complete update."""
        sums, gradients = self.gradients(
            num_shards, inputs, target, tf.cast(self.objective.weight(target), tf.float32), *draws
        )
        return {"loss": sums["loss"], "weight": sums["weight"], **self.update(gradients)}

    def add_replica(self, num_shards, inputs, target, *draws):
        """Accumulates the gradients of one batch of an update."""
        sums, gradients = self.gradients(num_shards, inputs, target, tf.constant(1.0), *draws)
        self.accumulator.add(gradients)
        return {"loss": sums["loss"], "weight": sums["weight"]}

    def update_replica(self, total):
        """The update from gradients accumulated over `total` rows or tokens."""
        return self.update([gradient / total for gradient in self.accumulator.pop()])

    def gradients(self, num_shards: int, inputs, target, total, *draws):
        """Sums over this replica's rows, and the dense gradients of their loss / total."""
        variables = [variable.value for variable in self.model.trainable_variables]
        all_sums, gradients = [], []
        with replica_seeds(self.model):
            # Shards are independent but for the dropout seeds, from which they draw one after another.
            for number, pair in enumerate(split_rows((replica_rows(inputs), replica_rows(target)), num_shards)):
                replica = tf.distribute.get_replica_context().replica_id_in_sync_group if draws else 0
                shard_inputs, shard_target = pair
                shard_number = replica * num_shards + number
                sums, shard_gradients = self.shard_gradients(
                    shard_inputs, shard_target, variables, total, draws, shard_number
                )
                all_sums.append(sums)
                gradients.append([losses.to_dense(gradient) for gradient in shard_gradients])
        return add_sums(all_sums), [tf.add_n(parts) for parts in zip(*gradients, strict=True)]

    def shard_gradients(
        self, inputs: Any, target: Any, variables: list, total: Any, draws: tuple, number: Any
    ) -> tuple:
        """Sums over a shard, and the gradients of their loss / total, by the objective or by autodiff."""
        options: dict[str, Any] = {"config": self.settings}
        if hasattr(self.objective, "gradients"):
            options |= {"total": total, "draws": draws, "part": number}
            return self.objective.gradients(self.model, inputs, target, variables, **options)
        with tf.GradientTape() as tape:
            sums = self.objective.sums(self.model, inputs, target, training=True, **options)
            loss = sums["loss"] / total
        return sums, tape.gradient(loss, variables, unconnected_gradients="zero")

    def update(self, gradients: list[tf.Tensor]) -> dict[str, tf.Tensor]:
        """Adds the gradients of the penalty, clips, and applies the optimizer; `penalty` and `gradient_norm`."""
        context = tf.distribute.get_replica_context()
        replicas = context.num_replicas_in_sync
        with tf.GradientTape() as tape:
            penalty = self.penalty() / replicas
        penalty_gradients = tape.gradient(penalty, [variable.value for variable in self.model.trainable_variables])
        gradients = [
            gradient if extra is None else gradient + losses.to_dense(extra)
            for gradient, extra in zip(gradients, penalty_gradients, strict=True)
        ]
        if replicas > 1:
            gradients = context.all_reduce("SUM", gradients)
        # Held layers do not count, but the optimizer's averages need their gradients for when they are trained.
        norm = tf.linalg.global_norm(self.factors.trained(gradients))
        if self.settings.clip_value:
            limit = self.settings.clip_value
            gradients = [tf.clip_by_value(gradient, -limit, limit) for gradient in gradients]
        if self.settings.clip_tensor_norm:
            gradients = [tf.clip_by_norm(gradient, self.settings.clip_tensor_norm) for gradient in gradients]
        if self.settings.clip_norm:
            used = tf.linalg.global_norm(self.factors.trained(gradients))
            gradients, _ = tf.clip_by_global_norm(gradients, self.settings.clip_norm, use_norm=used)
        if replicas > 1:
            # The optimizer sums over replicas again; clipping needs the whole gradient before that.
            gradients = [gradient / replicas for gradient in gradients]
        self.factors.apply(self.optimizer, gradients, self.model.trainable_variables)
        if self.average is not None:
            self.average.update(self.optimizer.iterations.value)
        return {"penalty": penalty, "gradient_norm": norm / replicas}

    def evaluate_replica(self, num_shards, inputs, target):
        measure = functools.partial(self.objective.sums, self.model, training=False, config=self.settings)
        return add_sums(
            [measure(*pair) for pair in split_rows((replica_rows(inputs), replica_rows(target)), num_shards)]
        )

    def penalty(self):
        """What the model adds to the mean loss of a row: its penalty() divided by the rows of the training split."""
        if not hasattr(self.model, "penalty"):
            return tf.constant(0.0)
        return losses.loss_precision(self.model.penalty()) / self.num_rows


@contextmanager
def replica_seeds(model) -> Iterator[None]:
    """While open, each replica draws different dropout masks; with a single replica nothing changes.

    The state of a seed is (seed, number of draws), the same on every replica. While open, each replica adds its own
    offset to the number; afterwards all states are equal again, so that one checkpoint serves all replicas.
    """
    context = tf.distribute.get_replica_context()
    states = [variable for variable in getattr(model, "variables", ()) if variable.name == "seed_generator_state"]
    if context.num_replicas_in_sync == 1 or not states:
        yield
        return
    first = context.replica_id_in_sync_group * (2**30 // context.num_replicas_in_sync)
    offset = tf.stack([0, first])
    for state in states:
        state.assign(state.value + tf.cast(offset, state.value.dtype))
    yield
    for state in states:
        state.assign(state.value - tf.cast(offset, state.value.dtype))


def default_num_shards(strategy: tf.distribute.Strategy) -> int:
    """Into how many shards a replica splits its rows by default."""
    single_device = strategy.num_replicas_in_sync == 1 and not tf.config.list_physical_devices("GPU")
    return threads.num_shards() if single_device else 1


def tensors(column: Column, batch: Batch, name: str) -> Any:
    """A field of a batch as tensors, padded to its width."""
    gathered = column.gather(batch.rows, batch.widths.get(name, 0))
    return tf.nest.map_structure(lambda value: value if tf.is_tensor(value) else tf.constant(value), gathered)


def replica_rows(batch: Any) -> Any:
    """This replica's rows of a batch, a nest of tensors."""
    context = tf.distribute.get_replica_context()
    if context.num_replicas_in_sync == 1:
        return batch
    number, count = tf.cast(context.replica_id_in_sync_group, tf.int64), context.num_replicas_in_sync
    return tf.nest.map_structure(lambda tensor: shard(tensor, number, count), batch)


def split_rows(batch: Any, num_shards: int) -> list[Any]:
    """Splits a nest of tensors into shards of equally many rows."""
    if num_shards == 1:
        return [batch]
    return [
        tf.nest.map_structure(lambda tensor, number=number: shard(tensor, number, num_shards), batch)
        for number in range(num_shards)
    ]


def shard(tensor, number, count: int):
    """Shard `number` of `count`: consecutive rows; sizes differ by one row at most."""
    sparse = isinstance(tensor, tf.SparseTensor)
    rows = tensor.dense_shape[0] if sparse else tf.shape(tensor, out_type=tf.int64)[0]
    first, last = rows * number // count, rows * (number + 1) // count
    if not sparse:
        return tensor[first:last]
    return tf.sparse.slice(tensor, tf.stack([first, 0]), tf.stack([last - first, tensor.dense_shape[1]]))


def add_sums(sums: list[dict[str, tf.Tensor]]) -> dict[str, tf.Tensor]:
    """[{"loss": 1, "weight": 2}, {"loss": 3, "weight": 4}] -> {"loss": 4, "weight": 6}"""
    return {name: tf.add_n([shard_sums[name] for shard_sums in sums]) for name in sums[0]}


def fixed_widths(model) -> bool:
    """Whether a step is traced for each padded width; a model that takes any width has fixed_widths = False."""
    return getattr(model, "fixed_widths", True)


def batch_spec(value, fixed: bool = True):
    """The spec of a tensor for any number of rows: [None, T], or [None, None] for any width."""
    if isinstance(value, tf.SparseTensor):
        return tf.SparseTensorSpec([None, value.shape[1]], value.dtype)
    sizes = value.shape[1:] if fixed else [None] * (len(value.shape) - 1)
    return tf.TensorSpec([None, *sizes], tf.as_dtype(value.dtype))


def exact_spec(value):
    """The spec of a tensor of constant shape."""
    return tf.TensorSpec(value.shape, value.dtype)
