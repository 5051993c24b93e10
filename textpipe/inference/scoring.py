"""Log-probabilities of given answers.

    scorer = Scorer.load("saved_models/phrases_en_de")
    scorer.score([{"source": "The woman reads.", "target": "Die Frau liest."}])

The graph is the same for an exported model (its likelihood signature) and for a pipeline's trained weights.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any

from textpipe.config import plugins
from textpipe.errors import ConfigError, DataError, ModelError, suggest
from textpipe.inference import cells
from textpipe.savedmodel import batching, loader, model_rows
from textpipe.savedmodel.signatures import LIKELIHOOD, find_giving

Scores = dict[str, Any]


@dataclass(frozen=True)
class Scorer:
    """path: the model or pipeline file; fields: {field: dtype} of a pair, the sources, then the target; labels: the
    classes, () for free text; answers: the module of answers/ that formats the scores; kinds: {field: module of kinds/} of
    the sources."""

    path: Path
    fields: dict[str, str]
    target: str
    labels: tuple[str, ...]
    answers: ModuleType
    function: Any  # takes tensors [B] by field name
    kinds: Mapping[str, ModuleType] = field(default_factory=dict)

    @classmethod
    def load(cls, path: str | Path, overrides: tuple[str, ...] = (), **options: Any) -> "Scorer":
        """Load an exported model, or a pipeline file (*.toml), which is trained first if necessary.

        overrides: `section.key=value` for a pipeline; options: artifacts and on_event of pipeline.run.
        Raises ModelError for a model that cannot score, ConfigError for an invalid pipeline file.
        """
        path = Path(path)
        if path.suffix == ".toml":
            return cls.from_pipeline(path, overrides, options)
        if overrides:
            raise ConfigError(f"-s {overrides[0]}: {path} is an exported model; only a pipeline file takes overrides")
        return cls.from_model(loader.Model.load(path))

    @classmethod
    def from_model(cls, model: loader.Model) -> "Scorer":
        """A scorer for a loaded model; raises ModelError if it cannot score."""
        scoring = find_giving(model.described.values(), LIKELIHOOD)
        if scoring is None or "fields" not in model.about:
            raise ModelError(f"{model.path}: has no signature 'score'; export the pipeline again to have one")
        target = next(field["name"] for field in model.about["fields"] if field["side"] == "target")
        fields = {name: scoring.inputs[name].dtype for name in (*model.about["inputs"], target)}
        labels = tuple(model.about["labels"] or ())
        # A loaded signature does not keep its variables alive, so the model is kept too.
        answers = answer_module(model.about, scoring.outputs)
        function = BoundFunction(model, model.signatures[scoring.name])
        return cls(model.path, fields, target, labels, answers, function, cells.kinds_of(model))

    @classmethod
    def from_pipeline(cls, path: Path, overrides: tuple[str, ...], options: Mapping[str, Any]) -> "Scorer":
        """A scorer for a pipeline file's trained model, which is trained if it is not cached."""
        from textpipe.pipeline import runner

        loaded = runner.Pipeline.load(path, overrides)
        artifacts = runner.run(loaded, until="train", contents=True, **options).artifacts

        from textpipe.servable.graph import Servable

        paths = {stage: artifact.path for stage, artifact in artifacts.items()}
        export = loaded.sections["export"]
        servable = Servable.load(paths, loaded.task, ensemble=export.ensemble, answer=export.answer)
        scoring = find_giving(servable.definitions, LIKELIHOOD)
        assert scoring is not None
        function = servable.signature(scoring.name)
        labels, answers = (
            tuple(servable.output.labels or ()),
            plugins.find("answers", plugins.find("tasks", loaded.task).ANSWER),
        )
        fields = {name: spec.dtype for name, spec in {**servable.row_inputs, **servable.target_input}.items()}
        kinds = {item.name: item.cells for item in plugins.find("tasks", loaded.task).FIELDS if item.side == "source"}
        return cls(path, fields, servable.target, labels, answers, BoundFunction(servable, function), kinds)

    def score(self, rows: Sequence[Mapping[str, Any]], *, batch_rows: int = batching.BATCH_ROWS) -> list[Scores]:
        """One dict per pair, in order; rows are dicts with the source fields and the target field.

        For a generator: log_prob (natural logarithm of the probability of the whole answer including its end token),
        tokens, perplexity (exp of nats per token), cut (whether the answer exceeds the model's maximum length, so that
        only its beginning was scored), and per token target_tokens and log_probs. For a classifier: log_prob and
        probability. Raises DataError for a row without its fields, or with a label that the model does not know.

        {"source": "Hallo", "target": "Hello"} -> {"log_prob": -0.4, "tokens": 2, "perplexity": 1.22, ...}
        """
        columns: dict[str, list[Any]] = {name: [] for name in self.fields}
        for number, row in enumerate(rows, 1):
            for name, dtype in self.fields.items():
                try:
                    cell = model_rows.parse_cell(row.get(name), dtype, name, number)
                except ModelError as error:
                    raise DataError(str(error)) from None
                columns[name].append(model_rows.encode_cell(cell))
            for label in self.answers.names(row[self.target]) if self.labels else ():
                if label not in self.labels:
                    raise DataError(
                        f"row {number}: {label!r} is not a known value of {self.target!r} in {self.path}{suggest(label, self.labels)}"
                    )
        scores = batching.run_in_batches(self.function, columns, batch_rows=batch_rows)
        return list(map(self.answers.score_row, scores))


@dataclass(frozen=True)
class BoundFunction:
    """A function and the object that owns its variables."""

    owner: Any
    function: Any

    def __call__(self, **texts: Any) -> Any:
        return self.function(**texts)


def answer_module(about: Mapping[str, Any], outputs: Collection[str]) -> ModuleType:
    """The module of answers/ named in a textpipe.json, else the one whose scores have these outputs."""
    if name := about.get("answer"):
        return plugins.find("answers", name)
    for name in plugins.names("answers"):
        module = plugins.find("answers", name)
        if set(module.SCORES) <= set(outputs):
            return module
    raise ModelError(f"scores of an unknown kind: {', '.join(outputs)}; export the model again")


def read_pairs(
    files: Sequence[Path], fields: Sequence[str], columns: Mapping[str, str | int], form: Any = None,
    kinds: Mapping[str, ModuleType] = MappingProxyType({}),
) -> list[dict[str, Any]]:  # fmt: skip
    """Pairs from one file with a column for each field, or from parallel source and target files.

    fields: the sources, then the target. columns: {field: column, or its number from 0}; by default a column has the
    name of its field. form: a format as in [ingest] format; guessed from the file name if None. kinds: {field: module of
    kinds/} that parses its cells. Bytes that are not UTF-8 become U+FFFD, as in ingest. Raises DataError naming file and line.
    """
    from textpipe.data import sources, statistics
    from textpipe.data.rows import Repairs

    for name in columns:
        if name not in fields:
            raise ConfigError(f"--columns {name}: the model has no such field{suggest(name, fields)}")
    if len(files) > 2 or (len(files) == 2 and (columns or len(fields) > 2)):
        raise ConfigError(
            f"{files[-1]}: expected one file with columns, or two files of lines, the {fields[0]} first; "
            "--columns needs one file"
        )
    column_names: list[str | int] = [columns.get(name, name) for name in fields]
    reader = cells.CellReader.of(kinds, files[0].parent)
    origin: sources.Source = files[0] if len(files) == 1 else dict(zip(fields, files, strict=True))
    options = sources.format_options(files[0], form or sources.infer_format(origin), given=form is not None)
    rows: list[dict[str, Any]] = []
    repairs = Repairs(list_columns=frozenset(columns.get(str(name), name) for name in reader.lists))
    for chunk in sources.read(origin, options, repairs, column_names, "test"):
        chunk = repairs.repair(chunk)
        for line, texts in zip(chunk.lines, zip(*chunk.columns, strict=True), strict=True):
            rows.append(reader.read_row(dict(zip(fields, texts, strict=True)), f"{chunk.source}, {chunk.unit} {line}"))
    statistics.log_repairs(files[0], repairs)
    if not rows:
        raise DataError(f"{files[0]}: has no pairs to score; add at least one row")
    return rows
