"""The Python API: one call for each thing the command line does.

    import textpipe

    pipeline = textpipe.load("pipelines/phrases_en_de.toml", "train.epochs=3")
    result = textpipe.run(pipeline)                       # builds what changed; result.saved_model is the exported version
    result.metrics["bleu"], result.history                # figures; a DataFrame of the validations
    textpipe.predict(result.saved_model, ["The woman reads a book."])

Tables come in and go out as pandas DataFrames; pandas is imported only where one is made.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from textpipe.errors import ThresholdError
from textpipe.inference import frames as _frames
from textpipe.inference.loaded_model import DEFAULT, LoadedModel
from textpipe.pipeline import runner as _pipeline
from textpipe.pipeline.runner import ARTIFACTS, SAVED_MODELS, Pipeline, Step
from textpipe.report.outcome import Result

if TYPE_CHECKING:
    import pandas as pd

    from textpipe.report.comparison import Comparison

Rows = Any  # texts, dicts by field, a Series of texts, or a DataFrame with a column for each field


def load(path: str | Path, *overrides: str) -> Pipeline:
    """A checked pipeline file, with `section.key=value` overrides; raises ConfigError with every fault at once.

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
    """Run a pipeline, or its stages up to `until`; what did not change is taken from the store.

    data: rows in place of [ingest]'s own: a DataFrame, of which shares become valid and test as of a file, or {"train":
    ..., "valid": ..., "test": ...}. It has the columns that [ingest] names; equal rows find the results they had.
    start: build this stage and those after it again, even when cached; force: build every stage again.
    on_event(stage, state, text) is called as each stage begins ("run") and ends ("cached" or "done").
    Raises TextpipeError; what earlier stages finished stays in the store. A ThresholdError has the result so far.
    """
    try:
        return Result.of(
            _pipeline.run(
                _chosen(pipeline, data, Path(artifacts)), until=until, start=start, force=force,
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
    """What `run` would do, and which ingredient changed; raises DataError when a file lacks a column."""
    from textpipe.pipeline import header_check

    chosen = _chosen(pipeline, data, Path(artifacts))
    steps = _pipeline.plan(chosen, until=until, artifacts=Path(artifacts))
    header_check.check_planned(chosen, steps)
    return steps


def _chosen(pipeline: Pipeline | str | Path, data: Any, artifacts: Path) -> Pipeline:
    """A loaded pipeline, its rows those of `data` if there is any."""
    if data is not None:
        return _frames.pipeline_of(pipeline, data, artifacts)
    return pipeline if isinstance(pipeline, Pipeline) else load(pipeline)


def load_model(place: str | Path, *, token: str | None = None) -> LoadedModel:
    """A model that is loaded once and asked often: .predict, .score, .signatures, .fields.

    place: saved_models/NAME (its latest version), saved_models/NAME/VERSION, or a server's http://HOST:PORT/v1/models/NAME;
    token: the server's bearer token. Raises ModelError.
    """
    return LoadedModel.load(place, token=token)


def predict(
    model: str | Path | LoadedModel,
    rows: Rows,
    *,
    signature: str = DEFAULT,
    options: Mapping[str, Any] | None = None,
    columns: Mapping[str, str | int] | None = None,
    frame: bool = False,
) -> "list[dict[str, Any]] | pd.DataFrame":
    """Answers of an exported model, a dict of outputs per row: {"answer": "...", "score": 0.93, ...}.

    model: as for load_model, or what that gave; rows: texts, dicts by source field, a Series of texts, or a DataFrame.
    options, columns, frame: as for LoadedModel.predict; with frame a DataFrame that keeps the rows' index.
    Raises DataError for a bare text, ModelError for what the model cannot do.
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
    """How probable a model holds given answers, a dict per pair: {"log_prob": -3.1, "tokens": 7, "perplexity": 1.56, ...}.

    model: as for predict, or a pipeline file (*.toml) for its trained model, which overrides, artifacts and told are for;
    rows: dicts with the source and the target field, or a DataFrame with these columns.
    """
    if isinstance(model, LoadedModel):
        return model.score(rows, columns=columns, frame=frame)
    if Path(model).suffix != ".toml" and not overrides:
        return load_model(model).score(rows, columns=columns, frame=frame)
    from textpipe.inference.scoring import Scorer

    scorer = Scorer.load(model, tuple(overrides), artifacts=Path(artifacts), on_event=on_event)
    given, index = _frames.rows_of(rows, scorer.fields, columns=columns)
    found = scorer.score(cast("list[Mapping[str, Any]]", given))
    return _frames.as_frame(found, index) if frame else found


def compare(
    *systems: str | Path | Result | LoadedModel,
    overrides: Sequence[str] = (),
    rows: str | Path | None = None,
    artifacts: str | Path = ARTIFACTS,
    resamples: int = 1000,
    trials: int = 10_000,
    seed: int = 12345,
    show: int = 5,
) -> "Comparison":
    """Compare runs or models on the same rows; the first is what the others are compared with.

    systems: results of run, pipeline files that were evaluated, directories of evaluate artifacts, or exported models.
    overrides: of the pipeline files, "KEY=VALUE" or "N:KEY=VALUE", as `textpipe compare -s`; rows: what models are asked,
    where no run says. The comparison's `frame` and `rows` are DataFrames; `table` has every figure; print shows it.
    """
    from textpipe.errors import ConfigError
    from textpipe.report import comparison, system_answers
    from textpipe.report.systems import distinct, spread

    given, settings = spread([_system(one) for one in systems], overrides)
    if len(given) < 2:
        raise ConfigError("compare: give at least two systems, or one pipeline file with overrides")
    names = distinct(given, settings)
    own = [one.pipeline.name if isinstance(one, Result) else name for one, name in zip(systems, names, strict=False)]
    if len(own) == len(names) == len(set(own)):
        names = own
    found = system_answers.load(
        given, rows=None if rows is None else str(rows), artifacts=Path(artifacts), overrides=settings, names=names
    )
    return comparison.compare(found, resamples=resamples, trials=trials, seed=seed, show=show)


def _system(one: Any) -> str:
    """A system as the command line names it."""
    if isinstance(one, Result):
        return str(one.path_of("evaluate"))
    return one.place if isinstance(one, LoadedModel) else str(one)
