"""A classifier with the interface of scikit-learn, over the stages of a pipeline.

    from textpipe import Classifier

    classifier = Classifier(features={"kind": "tfidf", "words": [1, 2]}, model={"kind": "logistic_regression", "l2": 0.1})
    classifier.fit(texts, labels).predict(["Where is my card?"])
    classifier.export("saved_models/cards")              # the SavedModel that `textpipe run` would publish

Only this module imports scikit-learn when it is imported; `textpipe.Classifier` imports it on first use.
"""

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.validation import check_is_fitted

from textpipe.errors import ConfigError, DataError
from textpipe.inference import estimator_data
from textpipe.inference.estimator_data import InputError, Rows
from textpipe.inference.fitted_pipeline import FittedPipeline
from textpipe.pipeline import classifier_defaults, runner

if TYPE_CHECKING:
    from textpipe.explanation.result import Explanation

NAME = "estimator"
KIND = "logistic_regression"  # of a [model] without kind
NESTED = ("features", "model", "train", "tokenize")  # parameters that are tables: set_params(model__l2=0.1)

Table = str | dict[str, Any]


class Classifier(ClassifierMixin, BaseEstimator):
    """Classify texts, or rows of texts and numbers, with the stages and the settings of a pipeline file.

    The parameters are the tables of a pipeline file (docs/settings.md), as dicts or as the bare name of a kind; None is what
    `textpipe new` would write for rows of this number and size (pipeline/classifier_defaults.py). fit runs ingest, normalize, tokenize,
    vectorize and train on the rows, so the weights are those of `textpipe run` with the same settings and rows.

    model: [model]; None: with one label per row, logistic_regression with the best of several l2, or, with fewer than 30 rows for
    validation, with l2 = 0.1; with several labels, feed_forward.
    features: [vectorize] features, of all text columns; None: TF-IDF of words, characters and, in short texts, pairs of words.
    fields: {column: feature} for single columns. normalize: [normalize] steps; unicode, casefold, whitespace.
    tokenize: [tokenize]; no vocabulary. train: [train]; None: for logistic_regression of one label per row, optimizer lbfgs, or
    liblinear where the loss is a hinge; for the feed_forward of several labels early stopping; else the defaults of [train].
    valid: share of the rows for validation, which is not trained on: needed by a list of l2, calibration, early stopping and export;
    0 for none.
    random_state: the seed, an int, a RandomState, or None for a random one.
    store: a folder in which stage results are kept and reused by other fits (in a grid search, candidates that differ in `model` alone
    share all earlier stages). None: a temporary folder, deleted with the estimator.

    X is a list, an array or a Series of texts; a DataFrame whose columns are texts or numbers; or an array of numbers, one column
    each. Missing numbers are allowed, missing texts are not. As in a pipeline, rows with an empty text are not trained on. y is one class per row, or an
    indicator matrix (array or DataFrame [N, C] of 0 and 1) for any number of labels per row.

    Attributes: classes_ [C], n_features_in_, feature_names_in_ (of a DataFrame), n_iter_ (epochs), pipeline_ (the checked settings).
    Errors of rows and settings are both TextpipeErrors and ValueErrors.
    """

    def __init__(
        self,
        model: Table | None = None,
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
                setattr(self, table, set_key(getattr(self, table) or default_table(table), key.split("__"), value))
        return self

    def _tables(self, task: Any, rows: Rows, num_classes: int, seed: int) -> dict[str, Any]:
        """The pipeline file of these parameters, as tables; without its data."""
        several = (task if isinstance(task, str) else task["kind"]) == "multi_label"
        num_valid = rows.count * self.valid if isinstance(self.valid, int | float) else 0.0  # ingest refuses others
        default = classifier_defaults.model(num_valid, several_labels=several, num_classes=num_classes)
        model = default if self.model is None else self.model
        model = {"kind": model} if isinstance(model, str) else {"kind": KIND, **model}
        train = self.train
        if train is None:
            train = classifier_defaults.train(
                model, several_labels=several, num_valid=num_valid, num_classes=num_classes
            )
        tokenize = self.tokenize or default_table("tokenize")
        vectorize: dict[str, Any] = {"fields": dict(self.fields)} if self.fields else {}
        names = {"text"} if isinstance(task, str) else set(task["fields"].values())
        if "text" in names:
            vectorize["features"] = self.features or classifier_defaults.features(
                rows.num_characters, rows.count, num_classes
            )
        elif self.features is not None:
            raise InputError("Classifier features: the rows have no texts to make features of; leave features out")
        return {
            "task": task,
            "seed": seed,
            "ingest": {"files": "frames", "format": "parquet", "split": {"valid": self.valid, "test": 0}},
            "normalize": {"steps": list(classifier_defaults.STEPS if self.normalize is None else self.normalize)},
            "tokenize": {"codec": tokenize} if isinstance(tokenize, str) else dict(tokenize),
            "vectorize": vectorize,
            "model": model,
            "train": dict(train),
            "evaluate": {"split": "valid"},
        }

    # Fitting

    def fit(self, X: Any, y: Any) -> "Classifier":  # noqa: N803  scikit-learn's name
        """Train on rows X and classes y. Raises InputError, a ValueError, for invalid rows and settings."""
        if y is None:
            raise InputError(
                "Classifier: requires y to be passed, but the target y is None; give the classes of the rows"
            )
        rows = Rows.of(X)
        target = estimator_data.Target.of(y, rows.count)
        with input_errors():
            tables = self._tables(rows.task(target.kind), rows, len(target.classes), self._seed())
            pipeline = runner.Pipeline.from_tables("Classifier", tables, name=NAME)
            frame = rows.frame.assign(**{rows.target_name(target.kind): target.cells})
            self._fitted = FittedPipeline(pipeline, frame, self.store)
        self.n_features_in_ = len(rows.columns)
        self.__dict__.pop("feature_names_in_", None)
        if rows.names is not None:
            self.feature_names_in_ = np.array(rows.names, object)
        self._columns, self._target = rows.columns, target
        self._order = target.order(self._fitted.labels())
        self.classes_ = target.classes
        self.n_iter_ = int(self._fitted.trained("train.json")["epochs"])
        return self

    def _seed(self) -> int:
        """random_state as a seed."""
        if isinstance(self.random_state, int | np.integer) and not isinstance(self.random_state, bool):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31))

    @property
    def pipeline_(self) -> runner.Pipeline:
        """The checked settings that were fitted."""
        check_is_fitted(self, "classes_")
        return self._fitted.pipeline

    # Answers

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The class of each row [N]; of labels, an indicator matrix [N, C] like y."""
        probabilities = self.predict_proba(X)
        if self._target.kind == "multi_label":
            return (probabilities >= self._fitted.servable().output.threshold).astype(int)
        return self.classes_[np.argmax(probabilities, axis=1)]

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities [N, C] in the order of classes_, as the exported model gives them."""
        return self._outputs(X)["probabilities"][:, self._order]

    def decision_function(self, X: Any) -> np.ndarray:  # noqa: N803
        """Logits: [N, C]; for two classes the log-odds of classes_[1], [N]."""
        logits = self._outputs(X)["logits"]
        if logits.shape[1] == 1 and self._target.kind == "classify":
            return logits[:, 0] if self._order[1] == 1 else -logits[:, 0]
        return logits[:, self._order]

    def _outputs(self, X: Any) -> dict[str, np.ndarray]:  # noqa: N803
        """Logits and probabilities of rows, in the model's order of classes."""
        check_is_fitted(self, "classes_")
        rows = Rows.of(X, columns=self._columns, names=getattr(self, "feature_names_in_", None))
        answered = self._fitted.outputs(rows.inputs())
        return {name: np.array([row[name] for row in answered], np.float32) for name in ("logits", "probabilities")}

    def explain(self, row: Any, *, label: Any = None) -> "Explanation":
        """Each word's contribution to the answer for one row, a text or a dict by column; see textpipe.explain. label: one of classes_."""
        check_is_fitted(self, "classes_")
        from textpipe.explanation import explain
        from textpipe.explanation.subject import Subject

        if isinstance(row, Mapping):
            fields = {column.source: column.field for column in self._columns}
            row = {fields.get(name, name): cell for name, cell in row.items()}
        subject = Subject.of_graph("Classifier", self._fitted.servable(), self._fitted.trained("vocabulary.json"))
        return explain.explain(subject, row, label=None if label is None else self._target.text_of(label))

    def export(self, folder: str | Path) -> Path:
        """Publish the model as the next version of a folder, saved_models/NAME -> saved_models/NAME/1, and return its path.

        The rows of `valid` are evaluated for its textpipe.json. Raises InputError if there are none.
        """
        check_is_fitted(self, "classes_")
        with input_errors():
            return self._fitted.export(Path(folder))

    # scikit-learn

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.string = True
        tags.input_tags.allow_nan = True
        tags.classifier_tags.multi_label = True
        return tags


def default_table(parameter: str) -> Any:
    """The table that None stands for when one of its keys is set."""
    return {"features": classifier_defaults.features(0, 0), "tokenize": {"codec": "none"}, "model": KIND, "train": {}}[
        parameter
    ]


def set_key(table: Any, keys: Sequence[str], value: Any) -> dict[str, Any]:
    """A copy of a table with one of its keys set; a bare name is a table with this kind."""
    table = {"kind": table} if isinstance(table, str) else dict(table)
    first, *others = keys
    return {**table, first: set_key(table.get(first) or {}, others, value) if others else value}


@contextlib.contextmanager
def input_errors() -> Iterator[None]:
    """Raise errors of settings and rows as InputError."""
    try:
        yield
    except (ConfigError, DataError) as error:
        raise error if isinstance(error, ValueError) else InputError(str(error)) from error
