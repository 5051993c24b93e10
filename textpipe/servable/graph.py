"""The graph from raw rows to answers: clean, normalize, encode, model, answer.

evaluate and export use the same object, so reported metrics are those of the served model. The task's ANSWER names the
module of answers/ that defines the outputs.   Shapes: B batch, D sparse dimension, T source.
"""

import dataclasses
import functools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

import tensorflow as tf

from textpipe.config import plugins
from textpipe.config.answer_settings import config_of
from textpipe.config.fields import Sizes
from textpipe.config.sections import Plugin, Section
from textpipe.decoding import _fits
from textpipe.errors import ConfigError
from textpipe.savedmodel import model_rows
from textpipe.savedmodel.signatures import Input, Signature
from textpipe.servable import tracing
from textpipe.servable.ensemble import Ensemble, build_ensemble
from textpipe.servable.tracing import Tensors
from textpipe.text import vectorizer
from textpipe.text.normalizer import Normalizer


class Servable(tf.Module):
    """Raw rows in, answers out.

    task: its FIELDS and ANSWER; normalizer and features {field: feature or Labels}: as used in training; decode: a
    decoding/ Config, greedy when None; bounds: upper bounds of its options that replace the decoder's; attends: whether
    the model attends to the source; trained: train.json; members: further models of an ensemble that read raw rows.

    The Keras model is held in a closure and its variables in a list, so that the SavedModel has the graph and its weights
    only, and loads without Keras. output: makes the outputs and signatures; see answers/.
    """

    def __init__(
        self,
        task: ModuleType,
        normalizer: Normalizer,
        features: Mapping[str, Any],
        model: Any,
        *,
        decode: Section | None = None,
        lexicon: Mapping[str, str] | None = None,
        bounds: Mapping[str, float] | None = None,
        attends: bool = True,
        trained: Mapping[str, Any] | None = None,
        artifacts: Mapping[str, Path] | None = None,
        answer: Section | None = None,
        members: Any = None,
    ):
        super().__init__(name="servable")
        fields = {field.name: field for field in task.FIELDS}
        sources = tuple(field.name for field in task.FIELDS if field.side == "source")
        # In lambdas: other attributes would be saved with the graph.
        self.fields, self._sources = lambda: fields, lambda: sources
        self.target = next(field.name for field in task.FIELDS if field.side == "target")
        # Traced once for all signatures, as the steps are a few hundred operations.
        self.cleaner = functools.cache(
            lambda name: normalizer.traced(name, getattr(fields[name].cells, "map_tensor", None))
        )
        self.normalizer = normalizer
        self.features = dict(features)
        self.members = members
        self.weights = [variable.value for variable in model.weights]
        self._model = lambda: model
        self._trained = lambda: dict(trained or {})
        answers = plugins.find("answers", task.ANSWER)
        config = config_of(answers)
        settings = {"settings": answer or config()} if config else {}
        self.output = answers.output(
            self, decode=decode or Plugin.check("decoding", "greedy"), lexicon=lexicon, bounds=bounds, attends=attends,
            artifacts=artifacts or {}, **settings,
        )  # fmt: skip

    @classmethod
    def load(
        cls,
        artifacts: Mapping[str, Path],
        task: str | ModuleType,
        decode: Section | None = None,
        *,
        ensemble: Ensemble | None = None,
        bounds: Mapping[str, float] | None = None,
        answer: Section | None = None,
    ) -> "Servable":
        """Load from the artifacts of normalize, tokenize, vectorize and train, by stage name.

        decode: a decoding/ Config, greedy when None; ignored by classifiers. ensemble: trained models that answer together
        with that of train. bounds: upper bounds of the decoder's options that replace its own. answer: [answer] of the
        pipeline file, for tasks that have it.
        """
        module = plugins.find("tasks", task) if isinstance(task, str) else task
        tables = json.loads((artifacts["train"] / "model.json").read_text(encoding="utf-8"))
        sizes = Sizes.from_tables(tables["sizes"], module.FIELDS)
        config = Plugin.check("models", tables["model"])
        decode = decode or Plugin.check("decoding", "greedy")
        if fault := next(_fits.conflicts(decode, config, ensemble), None):
            raise ConfigError(fault)
        model = plugins.find("models", tables["model"]["kind"]).build(config, sizes, seed=0)
        model.load_weights(artifacts["train"] / "model.weights.h5")
        members = None
        if ensemble:
            model, members = build_ensemble(ensemble, model, artifacts["train"], module)
        return cls(
            module,
            Normalizer(artifacts["normalize"]),
            vectorizer.load_features(artifacts["vectorize"], artifacts["tokenize"], module.FIELDS),
            model,
            decode=decode,
            lexicon=vectorizer.load_lexicon(artifacts["tokenize"]),
            bounds=bounds,
            attends=_fits.attends(config, ensemble),
            trained=json.loads((artifacts["train"] / "train.json").read_text(encoding="utf-8")),
            artifacts=artifacts,
            answer=answer,
            members=members,
        )

    @property
    def model(self) -> Any:
        """The Keras model."""
        return self._model()

    @property
    def trained(self) -> dict[str, Any]:
        """train.json: how training ended, and the metrics of the kept weights."""
        return self._trained()

    @property
    def sources(self) -> tuple[str, ...]:
        """The source fields, in the task's order."""
        return self._sources()

    @property
    def source(self) -> str:
        """The source field, for models that read exactly one."""
        (name,) = self.sources
        return name

    @property
    def row_inputs(self) -> dict[str, Input]:
        """The source fields as inputs of signatures."""
        return {name: self.input_of(name) for name in self.sources}

    @property
    def target_input(self) -> dict[str, Input]:
        """The target field as an input, for signatures that take answers."""
        return {self.target: self.input_of(self.target)}

    def input_of(self, field: str) -> Input:
        """The signature input for a field, as callers send it."""
        config = self.fields()[field]
        spec = config.cells.spec()
        return Input(config.kind, spec.dtype.name, tuple(spec.shape.as_list()))

    def has_text(self, field: str) -> bool:
        """Whether a field has text, which is normalized and tokenized."""
        return self.fields()[field].has_text

    def row_texts(self, raw: Mapping[str, Sequence[Any]]) -> list[str]:
        """The texts of each row joined by newlines: {field: cells} -> [B]."""
        columns = [cells for name, cells in raw.items() if self.has_text(name)]
        rows = zip(*columns, strict=True) if columns else (() for _ in next(iter(raw.values())))
        return ["\n".join(cells) for cells in rows]

    def excerpt(self, field: str, cell: Any) -> Any:
        """A cell as reports show it: itself, or for a kind with `excerpt`, a text in its place."""
        shorten = getattr(self.fields()[field].cells, "excerpt", None)
        return shorten(cell) if shorten else cell

    def format_targets(self, references: Sequence[Any]) -> list[str]:
        """Cells of the target field in the form of answers."""
        format_cell = getattr(self.fields()[self.target].cells, "spelled", str)
        return [format_cell(cell) for cell in references]

    def raw_tensor(self, field: str, cells: Sequence[Any]) -> tf.Tensor:
        """Convert cells from ingest to the tensor [B, ...] that callers send. Texts may have lone surrogates."""
        if all(isinstance(cell, str) for cell in cells):
            return tf.constant([model_rows.encode(cell) for cell in cells], tf.string, shape=[len(cells)])
        import pyarrow as pa

        kind = self.fields()[field].cells
        return kind.tensor(pa.array(cells, kind.arrow()))

    def inputs(self, raw: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """The features of raw rows: {field: [B]} -> {field: ids [B, T], or a sparse [B, D]}."""
        return {name: self.encode(name, raw[name]) for name in self.sources}

    def encode(self, field: str, raw: tf.Tensor) -> Any:
        """Encode a field's cells as in training: [B] -> ids [B, T], a sparse [B, D], or numbers [B]."""
        return self.features[field](self.clean(field, raw) if self.has_text(field) else raw)

    def clean(self, field: str, text: tf.Tensor) -> tf.Tensor:
        """Normalize a field's raw texts: [B] -> [B]."""
        return self.cleaner(field)(text)

    @functools.cached_property
    def definitions(self) -> list[Signature]:
        """All signatures; one that follows another has no inputs before it is traced."""
        return self.output.signatures()

    def definition(self, name: str) -> Signature:
        """The signature of this name."""
        return next(definition for definition in self.definitions if definition.name == name)

    @functools.cache  # noqa: B019  a servable lives as long as its process
    def signature(self, name: str) -> Callable[..., Tensors]:
        """The exported function of this name, traced on first use; takes its inputs by name."""
        definition = self.definition(name)
        if definition.follows is not None:
            self.signature(definition.follows)  # defines the tensors of a state
            assert definition.state is not None
            definition = dataclasses.replace(definition, inputs=definition.state())
        return tracing.trace(definition)

    def signatures(self) -> dict[str, Callable[..., Tensors]]:
        """All exported functions by signature name."""
        return {definition.name: self.signature(definition.name) for definition in self.definitions}

    def described(self) -> list[Signature]:
        """All signatures, traced, with their inputs and outputs filled in."""
        described = []
        for definition in self.definitions:
            function: Any = self.signature(definition.name)
            inputs = definition.state() if definition.state else definition.inputs
            outputs = tuple(sorted(function.structured_outputs))
            described.append(dataclasses.replace(definition, inputs=inputs, outputs=outputs))
        return described
