"""A classifier with the interface of scikit-learn, over the stages of a pipeline.

    from textpipe import Classifier

    classifier = Classifier(features={"kind": "tfidf", "words": [1, 2]}, model={"kind": "logistic_regression", "l2": 0.1})
    classifier.fit(texts, labels).predict(["Where is my card?"])
    classifier.export("saved_models/cards")              # the SavedModel that `textpipe run` would publish

Only this module imports scikit-learn when it is imported; `textpipe.Classifier` imports it on first use.
"""

import json
import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from textpipe.errors import ConfigError, DataError
from textpipe.inference import estimator_data, frames
from textpipe.inference.estimator_data import InputError
from textpipe.pipeline import runner

if TYPE_CHECKING:
    import pandas as pd

    from textpipe.explanation.result import Explanation

NAME = "estimator"
NORMALIZE = ("unicode", "casefold", "whitespace")
FEATURES = {"kind": "tfidf", "words": [1, 2]}
MODEL = "logistic_regression"
NESTED = ("features", "model", "train", "tokenize")  # parameters that are tables: set_params(model__l2=0.1)

Table = str | dict[str, Any]


class Classifier(ClassifierMixin, BaseEstimator):
    """Classify texts, or rows of texts and numbers, with the stages and the settings of a pipeline file.

    The parameters are the tables of a pipeline file (docs/settings.md), as dicts or as the bare name of a kind; None is the default
    given here. fit runs ingest, normalize, tokenize, vectorize and train on the rows, so the weights are those of
    `textpipe run` with the same settings and rows.

    model: [model]; "logistic_regression". features: [vectorize] features, of all text columns; TF-IDF of one and two words.
    fields: {column: feature} for single columns. normalize: [normalize] steps; unicode, casefold, whitespace.
    tokenize: [tokenize]; no vocabulary. train: [train]; optimizer lbfgs for logistic_regression of one label per row, else the defaults of [train].
    valid: share of the rows for validation, which is not trained on: needed by a list of l2, early stopping and export; 0 for none.
    random_state: the seed, an int, a RandomState, or None for a random one.
    store: a folder in which stage results are kept and reused by other fits (in a grid search, candidates that differ in `model` alone
    share all earlier stages). None: a temporary folder, deleted with the estimator.

    X is a list, an array or a Series of texts; a DataFrame whose columns are texts or numbers; or an array of numbers, one column
    each. Missing numbers are allowed, missing texts are not. Rows whose texts are all empty are not trained on. y is one class per row, or an
    indicator matrix (array or DataFrame [N, C] of 0 and 1) for any number of labels per row.

    Attributes: classes_ [C], n_features_in_, feature_names_in_ (of a DataFrame), n_iter_ (epochs), pipeline_ (the checked settings).
    Errors of rows and settings are both TextpipeErrors and ValueErrors.
    """

    def __init__(
        self,
        model: Table = MODEL,
        *,
        features: Table | None = None,
        fields: Mapping[str, Table] | None = None,
        normalize: Sequence[Table] | None = None,
        tokenize: Table | None = None,
        train: dict[str, Any] | None = None,
        valid: float = 0.1,
        random_state: Any = 1,
        store: str | Path | None = None,
    ):
        self.model = model
        self.features = features
        self.fields = fields
        self.normalize = normalize
        self.tokenize = tokenize
        self.train = train
        self.valid = valid
        self.random_state = random_state
        self.store = store

    # Parameters

    def set_params(self, **params: Any) -> "Classifier":
        """Set parameters; model__l2=0.1 sets one key of the table `model` and keeps the others, which a grid search uses.

        Also for features, train and tokenize.
        """
        plain = {name: value for name, value in params.items() if "__" not in name}
        super().set_params(**plain)
        for name, value in params.items():
            table, separator, key = name.partition("__")
            if separator:
                if table not in NESTED:
                    raise InputError(f"Classifier {name}: only {', '.join(NESTED)} are tables with keys of their own")
                setattr(self, table, set_key(getattr(self, table) or self.default(table), key.split("__"), value))
        return self

    def default(self, table: str) -> Any:
        """The table that None stands for."""
        return {"features": FEATURES, "tokenize": {"codec": "none"}, "model": MODEL, "train": {}}[table]

    def tables(self, task: Any, seed: int) -> dict[str, Any]:
        """The pipeline file of these parameters, as tables; without its data."""
        model = self.model if isinstance(self.model, str | dict) else dict(self.model)
        kind = model if isinstance(model, str) else model.get("kind", MODEL)
        many = (task if isinstance(task, str) else task["kind"]) == "multi_label"
        train = self.train
        if train is None:
            train = {"optimizer": "lbfgs"} if kind == MODEL and not many else {}
        tokenize = self.tokenize or self.default("tokenize")
        vectorize: dict[str, Any] = {"fields": dict(self.fields)} if self.fields else {}
        names = {"text"} if isinstance(task, str) else set(task["fields"].values())
        if "text" in names:
            vectorize["features"] = self.features or FEATURES
        elif self.features is not None:
            raise InputError("Classifier features: the rows have no texts to make features of; leave features out")
        return {
            "task": task,
            "seed": seed,
            "ingest": {"files": "frames", "format": "parquet", "split": {"valid": self.valid, "test": 0}},
            "normalize": {"steps": list(NORMALIZE if self.normalize is None else self.normalize)},
            "tokenize": {"codec": tokenize} if isinstance(tokenize, str) else dict(tokenize),
            "vectorize": vectorize,
            "model": {"kind": MODEL, **model} if isinstance(model, dict) else model,
            "train": dict(train),
            "evaluate": {"split": "valid"},
        }

    # Fitting

    def fit(self, X: Any, y: Any) -> "Classifier":
        """Train on rows X and classes y. Raises InputError, a ValueError, for invalid rows and settings."""
        if y is None:
            raise InputError(
                "Classifier: requires y to be passed, but the target y is None; give the classes of the rows"
            )
        rows = estimator_data.Rows.of(X)
        target = estimator_data.Target.of(y, rows.count)
        task = rows.task(target.kind)
        try:
            pipeline = runner.Pipeline.from_tables(NAME, "Classifier", self.tables(task, self.seed()))
            store = Path(self.store) if self.store is not None else self.temporary_folder()
            frame = rows.frame.assign(**{rows.target_name(target.kind): target.cells})
            pipeline = frames.pipeline_with_data(pipeline, frame, store)
            result = runner.run(pipeline, until="train", artifacts=store, on_event=quiet)
        except (ConfigError, DataError) as error:
            raise error if isinstance(error, ValueError) else InputError(str(error)) from error
        self.pipeline_ = pipeline
        self.n_features_in_ = len(rows.columns)
        self.__dict__.pop("feature_names_in_", None)
        if rows.names is not None:
            self.feature_names_in_ = np.array(rows.names, object)
        self._columns, self._target = rows.columns, target
        self._root = store
        self._artifacts = {stage: artifact.path.relative_to(store) for stage, artifact in result.artifacts.items()}
        self._files: dict[str, bytes] | None = None
        self._loaded: dict[str, Any] = {}  # the graph and its function of rows, on first use
        self.classes_ = target.classes
        trained = json.loads((store / self._artifacts["train"] / "train.json").read_text(encoding="utf-8"))
        self.n_iter_ = int(trained["epochs"])
        self._order = target.order(self.trained_labels())
        return self

    def seed(self) -> int:
        """random_state as a seed."""
        if isinstance(self.random_state, int | np.integer) and not isinstance(self.random_state, bool):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    def trained_labels(self) -> list[str]:
        """The labels in the order of the model's outputs."""
        table = json.loads((self.artifacts()["train"] / "model.json").read_text(encoding="utf-8"))
        return list(table["sizes"][estimator_data.target_name(self.pipeline_.task)]["classes"])

    # Answers

    def predict(self, X: Any) -> Any:
        """The class of each row [N]; of labels, an indicator matrix [N, C] like y."""
        probabilities = self.predict_proba(X)
        if self._target.kind == "multi_label":
            return self._target.matrix(probabilities >= self.servable().output.threshold)
        return self.classes_[np.argmax(probabilities, axis=1)] if len(probabilities) else self.classes_[:0]

    def predict_proba(self, X: Any) -> np.ndarray:
        """Probabilities [N, C] in the order of classes_, as the exported model gives them."""
        return self.outputs(X)["probabilities"][:, self._order]

    def decision_function(self, X: Any) -> np.ndarray:
        """Logits: [N, C]; for two classes the log-odds of classes_[1], [N]."""
        logits = self.outputs(X)["logits"]
        if logits.shape[1] == 1 and self._target.kind == "classify":
            return logits[:, 0] if self._order[1] == 1 else -logits[:, 0]
        return logits[:, self._order]

    def outputs(self, X: Any) -> dict[str, np.ndarray]:
        """Logits and probabilities of rows, in the model's order of classes."""
        check_is_fitted(self, "classes_")
        from textpipe.savedmodel import batching

        rows = estimator_data.Rows.of(X, columns=self._columns, names=getattr(self, "feature_names_in_", None))
        servable = self.servable()
        columns = rows.inputs()
        answered = batching.run_in_batches(self._loaded["logits"], columns) if rows.count else []
        num_labels = len(servable.output.labels)
        width = {"logits": int(servable.model.num_logits) if hasattr(servable.model, "num_logits") else num_labels}
        return {
            name: np.array([row[name] for row in answered], np.float32).reshape(
                rows.count, width.get(name, num_labels) if not answered else -1
            )
            for name in ("logits", "probabilities")
        }

    def explain(self, row: Any, *, label: Any = None) -> "Explanation":
        """The words that pushed the answer to one row, a text or a dict by column; see textpipe.explain. label: one of classes_."""
        check_is_fitted(self, "classes_")
        from textpipe.explanation import explain
        from textpipe.explanation.subject import Subject

        path = self.artifacts()["train"] / "vocabulary.json"
        subject = Subject.of_graph("Classifier", self.servable(), json.loads(path.read_text(encoding="utf-8")))
        return explain.explain(subject, row, label=None if label is None else self._target.text_of(label))

    def export(self, folder: str | Path) -> Path:
        """Publish the model as the next version of a folder, saved_models/NAME -> saved_models/NAME/1, and return its path.

        The rows of `valid` are evaluated for its textpipe.json. Raises InputError if there are none.
        """
        check_is_fitted(self, "classes_")
        from textpipe.savedmodel import publish

        self.artifacts()
        section: Any = self.pipeline_.sections["ingest"]
        if not section.split.get("valid"):
            raise InputError(
                "Classifier.export: evaluates the rows of valid, but valid is 0; fit with valid=0.1, for example"
            )
        sections = {
            **self.pipeline_.sections,
            "ingest": section.model_copy(update={"files": self._root / self.frame()}),
        }
        result = runner.run(
            replace(self.pipeline_, sections=sections), artifacts=self._root, until="export",
            saved_models=self._root / "saved_models", on_event=quiet,
        )  # fmt: skip
        return publish.publish(result.artifacts["export"].path / "model", Path(folder))

    # Stage results

    def frame(self) -> Path:
        """The file of the training rows, relative to the store."""
        section: Any = self.pipeline_.sections["ingest"]
        return Path(frames.FOLDER) / Path(section.files).name

    def artifacts(self) -> dict[str, Path]:
        """{stage: the folder of its result}."""
        if self._files is not None:  # of a pickle
            self._root = self.temporary_folder()
            for name, content in self._files.items():
                path = self._root / name
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)
            self._files = None
        return {stage: self._root / path for stage, path in self._artifacts.items()}

    def temporary_folder(self) -> Path:
        """A folder that is deleted with the estimator, or when it is fitted again."""
        if "_delete" in self.__dict__:
            self._delete()
        folder = Path(tempfile.mkdtemp(prefix="textpipe-"))
        self._delete = weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return folder

    def servable(self) -> Any:
        """The graph from raw rows to answers, loaded on first use."""
        if not self._loaded:
            import tensorflow as tf

            from textpipe.servable.graph import Servable

            servable = Servable.load(self.artifacts(), self.pipeline_.task)
            specs = {
                name: tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in servable.row_inputs.items()
            }

            @tf.function(input_signature=list(specs.values()), autograph=False)
            def logits(*values: Any) -> dict[str, Any]:
                inputs = servable.inputs(dict(zip(specs, values, strict=True)))
                numbers = tf.cast(servable.model(inputs, training=False), tf.float32)
                return {"logits": numbers, "probabilities": servable.output.probabilities(inputs)}

            self._loaded["servable"] = servable
            self._loaded["logits"] = lambda **columns: logits(*(columns[name] for name in specs))
        return self._loaded["servable"]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        state.pop("_delete", None)
        if "_artifacts" in state:
            root, files = state.pop("_root"), state["_files"]
            if files is None:
                folders = [root / path for path in self._artifacts.values()]
                paths = [path for folder in folders for path in sorted(folder.rglob("*")) if path.is_file()]
                files = {str(path.relative_to(root)): path.read_bytes() for path in [root / self.frame(), *paths]}
            state |= {"_files": files, "_loaded": {}}
        return state

    # scikit-learn

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_label = True
        return tags


def set_key(table: Any, keys: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of a table with one of its keys set; a bare name is a table with this kind."""
    table = {"kind": table} if isinstance(table, str) else dict(table)
    first, *others = keys
    return {**table, first: set_key(table.get(first) or {}, others, value) if others else value}


def quiet(stage: str, state: str, text: str) -> None:
    """Stages of a fit print nothing."""
