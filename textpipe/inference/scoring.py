"""How probable a model holds given answers: pairs in, log-probabilities out.

    scorer = Scorer.load("saved_models/phrases_en_de")
    scorer.score([{"source": "The woman reads.", "target": "Die Frau liest."}])

The same graph, whether it comes from an exported model (its signature that gives likelihoods) or from a pipeline's trained weights.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

from textpipe.config import plugins
from textpipe.errors import ConfigError, DataError, ModelError, suggest
from textpipe.savedmodel import batching, loader, model_rows
from textpipe.savedmodel.signatures import LIKELIHOOD, giving

Scored = dict[str, Any]


@dataclass(frozen=True)
class Scorer:
    """place: the model or pipeline file; fields: {field: dtype} of a pair, the sources and then the target; labels: all
    there are, () where answers are of no closed set; answers: the module of answers/ that says what a score is."""

    place: Path
    fields: dict[str, str]
    target: str
    labels: tuple[str, ...]
    answers: ModuleType
    function: Any  # takes tensors [B] by field name

    @classmethod
    def load(cls, path: str | Path, overrides: tuple[str, ...] = (), **options: Any) -> "Scorer":
        """From an exported model, or from a pipeline file (*.toml), which is trained first if it is not.

        overrides: `section.key=value` for a pipeline; options: those of pipeline.run (artifacts, on_event).
        Raises ModelError for a model that cannot score, ConfigError for a pipeline file that is not one.
        """
        path = Path(path)
        if path.suffix == ".toml":
            return cls.of_pipeline(path, overrides, options)
        if overrides:
            raise ConfigError(f"-s {overrides[0]}: {path} is an exported model; only a pipeline file takes overrides")
        return cls.of_model(loader.Model.load(path))

    @classmethod
    def of_model(cls, model: loader.Model) -> "Scorer":
        """From an exported model that is loaded already; raises ModelError for one that cannot score."""
        scoring = giving(model.described.values(), LIKELIHOOD)
        if scoring is None or "fields" not in model.about:
            raise ModelError(f"{model.path}: has no signature 'score'; export the pipeline again to have one")
        target = next(field["name"] for field in model.about["fields"] if field["side"] == "target")
        fields = {name: scoring.inputs[name].dtype for name in (*model.about["inputs"], target)}
        labels = tuple(model.about["labels"] or ())
        # The model stands in the place of the function, for a loaded signature does not keep its variables alive.
        answers = answers_of(model.about, scoring.outputs)
        function = Held(model, model.signatures[scoring.name])
        return cls(model.path, fields, target, labels, answers, function)

    @classmethod
    def of_pipeline(cls, path: Path, overrides: tuple[str, ...], options: Mapping[str, Any]) -> "Scorer":
        """From a pipeline file's trained model, run or taken from the store."""
        from textpipe.pipeline import runner

        loaded = runner.Pipeline.load(path, overrides)
        artifacts = runner.run(loaded, until="train", contents=True, **options).artifacts

        from textpipe.servable.graph import Servable

        paths = {stage: artifact.path for stage, artifact in artifacts.items()}
        found = Servable.load(paths, loaded.task, ensemble=loaded.sections["export"].ensemble)
        scoring = giving(found.definitions, LIKELIHOOD)
        assert scoring is not None
        function = found.signature(scoring.name)
        labels, answers = (
            tuple(found.output.labels or ()),
            plugins.find("answers", plugins.find("tasks", loaded.task).ANSWER),
        )
        fields = {name: one.dtype for name, one in {**found.row_inputs, **found.target_input}.items()}
        return cls(path, fields, found.target, labels, answers, Held(found, function))

    def score(self, rows: Sequence[Mapping[str, Any]], *, batch_rows: int = batching.BATCH_ROWS) -> list[Scored]:
        """One dict a pair, in order; rows are dicts with the source fields and the target field.

        Of a generator: log_prob (natural logarithm of the whole answer's probability, its end included), tokens,
        perplexity (exp of nats per token), cut (whether the answer was longer than the model reads, and only its
        beginning scored), and by token target_tokens and log_probs. Of a classifier: log_prob and probability.
        Raises DataError for a row without its fields, or with a label that is no class of the model.

        {"source": "Hallo", "target": "Hello"} -> {"log_prob": -0.4, "tokens": 2, "perplexity": 1.22, ...}
        """
        columns: dict[str, list[Any]] = {field: [] for field in self.fields}
        for number, row in enumerate(rows):
            for field, dtype in self.fields.items():
                try:
                    cell = model_rows.cell_of(row.get(field), dtype, field, number)
                except ModelError as error:
                    raise DataError(str(error)) from None
                columns[field].append(model_rows.as_value(cell))
            for label in self.answers.names(row[self.target]) if self.labels else ():
                if label not in self.labels:
                    raise DataError(
                        f"row {number}: {label!r} is no {self.target} of {self.place}{suggest(label, self.labels)}"
                    )
        found = batching.answered(self.function, columns, batch_rows=batch_rows)
        return list(map(self.answers.score_row, found))


@dataclass(frozen=True)
class Held:
    """A function, and what must live as long as it does."""

    owner: Any
    function: Any

    def __call__(self, **texts: Any) -> Any:
        return self.function(**texts)


def answers_of(about: Mapping[str, Any], outputs: Collection[str]) -> ModuleType:
    """The module of answers/ that a textpipe.json names, else the one whose scores have these outputs."""
    if name := about.get("answer"):
        return plugins.find("answers", name)
    for name in plugins.names("answers"):
        module = plugins.find("answers", name)
        if set(module.SCORES) <= set(outputs):
            return module
    raise ModelError(f"scores of an unknown kind: {', '.join(outputs)}; export the model again")


def read(
    files: Sequence[Path], fields: Sequence[str], columns: Mapping[str, str | int], form: Any = None
) -> list[dict[str, str]]:
    """Pairs from one file with a column for each field, or from a source and a target file side by side.

    fields: the sources and then the target.

    columns: {field: column, or its number from 0}; a field not named has its own name as column. form: a format of
    data.formats as in [ingest] format; guessed from the file's name when None. Bytes that are not UTF-8 become
    U+FFFD, as at ingest. Raises DataError naming file and line.
    """
    from textpipe.data import sources, statistics
    from textpipe.data.rows import Repairs

    for field in columns:
        if field not in fields:
            raise ConfigError(f"--columns {field}: the model has no such field{suggest(field, fields)}")
    if len(files) > 2 or (len(files) == 2 and (columns or len(fields) > 2)):
        raise ConfigError(
            f"{files[-1]}: expected one file with columns, or two files of lines, the {fields[0]} first; "
            "--columns is for one"
        )
    wanted: list[str | int] = [columns.get(field, field) for field in fields]
    origin: sources.Source = files[0] if len(files) == 1 else dict(zip(fields, files, strict=True))
    options = sources.options_of(files[0], form or sources.guess(origin), given=form is not None)
    rows: list[dict[str, str]] = []
    repairs = Repairs()
    for found in sources.read(origin, options, repairs, wanted, "test"):
        found = repairs.mend(found)
        rows += [dict(zip(fields, cells, strict=True)) for cells in zip(*found.columns, strict=True)]
    statistics.tell(files[0], repairs)
    if not rows:
        raise DataError(f"{files[0]}: has no pairs to score; give it a row")
    return rows
