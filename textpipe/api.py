"""The Python API: one function for each command.

    import textpipe

    pipeline = textpipe.load("pipelines/phrases_en_de.toml", "train.epochs=3")
    result = textpipe.run(pipeline)                       # builds what changed; result.saved_model is the exported model
    result.metrics["bleu"], result.history                # metrics; the validations as a DataFrame
    textpipe.predict(result.saved_model, ["The woman reads a book."])

Tables are pandas DataFrames; pandas is imported only where one is made.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textpipe.errors import ThresholdError
from textpipe.inference import frame_files as _frame_files
from textpipe.inference import frames as _frames
from textpipe.inference.cells import CellReader as _CellReader
from textpipe.inference.loaded_model import DEFAULT, LoadedModel
from textpipe.pipeline import runner as _pipeline
from textpipe.pipeline.runner import ARTIFACTS, SAVED_MODELS, Pipeline, Step
from textpipe.report.outcome import Result

if TYPE_CHECKING:
    import pandas as pd

    from textpipe.explanation.result import Explanation
    from textpipe.report.comparison import Comparison
    from textpipe.tuning.results import Outcome, Trial

Rows = Any  # texts, dicts by field, a Series of texts, or a DataFrame with a column for each field


def load(path: str | Path, *overrides: str) -> Pipeline:
    """Load and check a pipeline file, with `section.key=value` overrides; raises ConfigError listing all mistakes.

    path: a file, or the name of a bundled pipeline.
    """
    return Pipeline.load(path, overrides)


def run(
    pipeline: Pipeline | str | Path,
    *,
    data: "pd.DataFrame | Mapping[str, pd.DataFrame] | None" = None,
    until: str | None = None,
    start: str | None = None,
    force: bool = False,
    artifacts: str | Path = ARTIFACTS,
    saved_models: str | Path = SAVED_MODELS,
    on_event: Callable[[str, str, str], None] | None = None,
) -> Result:
    """Run a pipeline, or its stages up to `until`; unchanged stages are taken from the cache.

    data: rows to use instead of the files of [ingest]: a DataFrame, which is split like a file, or {"train": ...,
    "valid": ..., "test": ...}. It must have the columns that [ingest] names; equal rows reuse their cached results.
    start: rebuild this stage and all later ones; force: rebuild every stage.
    on_event(stage, state, text): called when a stage starts ("run") and when it ends ("cached" or "done").
    Raises TextpipeError; results of finished stages stay in the store. A ThresholdError carries the result so far.
    """
    try:
        return Result.of(
            _pipeline.run(
                _with_data(pipeline, data, Path(artifacts)), until=until, start=start, force=force,
                artifacts=Path(artifacts), saved_models=Path(saved_models), on_event=on_event,
            )
        )  # fmt: skip
    except ThresholdError as error:
        if error.result is not None:
            error.result = Result.of(error.result)
        raise


def plan(
    pipeline: Pipeline | str | Path,
    *,
    data: "pd.DataFrame | Mapping[str, pd.DataFrame] | None" = None,
    until: str | None = None,
    artifacts: str | Path = ARTIFACTS,
) -> list[Step]:
    """What `run` would build, and why; raises DataError when a file lacks a column."""
    from textpipe.pipeline import header_check

    chosen = _with_data(pipeline, data, Path(artifacts))
    steps = _pipeline.plan(chosen, until=until, artifacts=Path(artifacts))
    header_check.check_planned(chosen, steps)
    return steps


def _with_data(pipeline: Pipeline | str | Path, data: Any, artifacts: Path) -> Pipeline:
    """A loaded pipeline that reads its rows from `data`, if given."""
    if data is not None:
        return _frame_files.pipeline_with_data(pipeline, data, artifacts)
    return pipeline if isinstance(pipeline, Pipeline) else load(pipeline)


def load_model(location: str | Path, *, token: str | None = None) -> LoadedModel:
    """Load a model for repeated use: .predict, .score, .signatures, .fields.

    location: saved_models/NAME (its latest version), saved_models/NAME/VERSION, or a server's
    http://HOST:PORT/v1/models/NAME. token: the server's bearer token. Raises ModelError.
    """
    return LoadedModel.load(location, token=token)


def predict(
    model: str | Path | LoadedModel,
    rows: Rows,
    *,
    signature: str = DEFAULT,
    options: Mapping[str, Any] | None = None,
    columns: Mapping[str, str | int] | None = None,
    frame: bool = False,
) -> "list[dict[str, Any]] | pd.DataFrame":
    """Answers of an exported model, one dict of outputs per row: {"answer": "...", "score": 0.93, ...}.

    model: a location as for load_model, or a loaded model. rows: texts, dicts by source field, a Series of texts, or a
    DataFrame. options, columns, frame: as in LoadedModel.predict; frame=True returns a DataFrame with the rows' index.
    Raises DataError for a single text, ModelError for requests the model does not support.
    """
    loaded = model if isinstance(model, LoadedModel) else load_model(model)
    return loaded.predict(rows, signature=signature, options=options, columns=columns, frame=frame)


def score(
    model: str | Path | LoadedModel,
    rows: Rows,
    *,
    overrides: Sequence[str] = (),
    artifacts: str | Path = ARTIFACTS,
    on_event: Callable[[str, str, str], None] | None = None,
    columns: Mapping[str, str | int] | None = None,
    frame: bool = False,
) -> "list[dict[str, Any]] | pd.DataFrame":
    """Log-probabilities of given answers, one dict per pair: {"log_prob": -3.1, "tokens": 7, "perplexity": 1.56, ...}.

    model: as in predict, or a pipeline file (*.toml) for its trained model; overrides, artifacts and on_event apply only
    to a pipeline file. rows: dicts with the source fields and the target field, or a DataFrame with these columns.
    """
    if isinstance(model, LoadedModel):
        return model.score(rows, columns=columns, frame=frame)
    if Path(model).suffix != ".toml" and not overrides:
        return load_model(model).score(rows, columns=columns, frame=frame)
    from textpipe.inference.scoring import Scorer

    scorer = Scorer.load(model, tuple(overrides), artifacts=Path(artifacts), on_event=on_event)
    reader = _CellReader.of(scorer.kinds)
    pairs, index = _frames.to_rows(rows, scorer.fields, columns=columns, lists=reader.lists)
    scores = scorer.score(cast("list[Mapping[str, Any]]", reader.read(pairs)))
    return _frames.to_frame(scores, index) if frame else scores


def explain(
    model: str | Path | LoadedModel | Result,
    row: str | Mapping[str, Any],
    *,
    label: str | None = None,
    overrides: Sequence[str] = (),
    artifacts: str | Path = ARTIFACTS,
) -> "Explanation":
    """Each word's contribution to the answer for a row, a text or a dict by field.

    model: as in predict, a pipeline that has been run (with overrides), or the result of run. label: the class to explain; by
    default the answer. The contributions in a linear model are exact: bias + their sum is the logit of the class. In any other
    model a contribution is the fall of the log-odds when the word is left out. The explanation's `parts` and `frame` hold every word,
    `features` the strongest n-grams, and print shows it. Raises TextpipeError for a model that cannot be explained.
    """
    from textpipe.explanation import explain as explaining
    from textpipe.explanation.locate import locate

    if isinstance(model, LoadedModel):
        return model.explain(row, label=label)
    location = model.path_of("export") / "model" if isinstance(model, Result) else model
    subject = locate(location, overrides=tuple(overrides), artifacts=Path(artifacts))
    return explaining.explain(subject, row, label=label)


def compare(
    *systems: str | Path | Result | LoadedModel,
    overrides: Sequence[str] = (),
    rows: "str | Path | pd.DataFrame | None" = None,
    artifacts: str | Path = ARTIFACTS,
    resamples: int = 1000,
    trials: int = 10_000,
    seed: int = 12345,
    show: int = 5,
) -> "Comparison":
    """Compare runs or models on the same rows; the first system is the baseline.

    systems: results of run, evaluated pipeline files, directories of evaluate artifacts, or exported models.
    overrides: for the pipeline files, "KEY=VALUE" or "N:KEY=VALUE", as in `textpipe compare -s`. rows: the input rows for
    models, needed when no run provides them: a pipeline, a file or a DataFrame with a column for each field. The comparison's `frame` and `rows` are DataFrames, `table` holds every
    figure, and print shows it.
    """
    from textpipe.errors import ConfigError
    from textpipe.report import comparison, system_answers
    from textpipe.report.systems import assign_overrides, short_names

    if _frames.is_frame(rows):
        rows = _frame_files.store_rows(rows, Path(artifacts))
    paths, settings = assign_overrides([_system_name(system) for system in systems], overrides)
    if len(paths) < 2:
        raise ConfigError("compare: give at least two systems, or one pipeline file with overrides")
    names = short_names(paths, settings)
    own_names = [
        system.pipeline.name if isinstance(system, Result) else name
        for system, name in zip(systems, names, strict=False)
    ]
    if len(own_names) == len(names) == len(set(own_names)):
        names = own_names
    answers = system_answers.load(
        paths, rows=None if rows is None else str(rows), artifacts=Path(artifacts), overrides=settings, names=names
    )
    return comparison.compare(answers, resamples=resamples, trials=trials, seed=seed, show=show)


def tune(
    pipeline: str | Path,
    *overrides: str,
    name: str | None = None,
    storage: str | None = None,
    workers: int = 1,
    new: bool = False,
    test: bool = True,
    output: str | Path | None = None,
    artifacts: str | Path = ARTIFACTS,
    saved_models: str | Path = SAVED_MODELS,
    on_trial: "Callable[[Outcome, Trial], None] | None" = None,
) -> "Outcome":
    """Start or resume the search for the best settings of a pipeline file with a table [tune].

    The result's `best` is the best trial, its `trials` a DataFrame of all; a notebook displays it as a table. Trials are
    compared on the validation split. At the end the best pipeline is written to `output` (by default PIPELINE_best.toml).
    With `test`, all its stages run once: the result's `test` has its scores on the test split.

    name: of the study; by default that of the file. storage: a database URL of Optuna, by default an SQLite file in
    `artifacts`. workers: processes that run trials. new: delete the stored study first. on_trial: called when a trial has ended.
    Raises ConfigError if every trial fails or the stored study has other settings, DataError without validation rows,
    ResourceError if Optuna is not installed. After KeyboardInterrupt, the same call continues the study.
    """
    from textpipe.tuning import search
    from textpipe.tuning.options import Options

    options = Options(
        Path(artifacts), Path(saved_models), name, storage, workers, None if output is None else Path(output), test
    )
    return search.tune(pipeline, tuple(overrides), options, new=new, on_trial=on_trial or (lambda outcome, trial: None))


def _system_name(system: Any) -> str:
    """The path or URL that the command line would take for a system."""
    if isinstance(system, Result):
        return str(system.path_of("evaluate"))
    return system.location if isinstance(system, LoadedModel) else str(system)
