"""textpipe score"""

import json
from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import artifacts_option, overrides_option, print_stage
from textpipe.commands._tables import columns_option, format_option, read_columns, read_format


@click.command()
@click.argument("model", metavar="MODEL|PIPELINE", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILE [FILE]", nargs=-1, required=True, type=click.Path(path_type=Path))
@columns_option
@format_option
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per pair, including its tokens.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Pairs per batch.")
@overrides_option
@artifacts_option
def command(
    model: Path, files: tuple[Path, ...], columns: str, form: str | None, as_json: bool, batch: int,
    overrides: tuple[str, ...], artifacts: Path,
) -> None:  # fmt: skip
    """Compute the log-probability of given answers.

    FILE has a column for each field of the task; or give two parallel files of lines, the sources first. Prints one line
    per pair, separated by TABs: the natural logarithm of the answer's probability, its number of tokens and the
    perplexity per token; for a classifier, the logarithm of the label's probability, and the probability. Totals go to
    stderr. A pipeline file stands for its trained model, and its [ingest] columns are the default of --columns.

      textpipe score saved_models/multi30k_en_de pairs.tsv --columns source=en,target=de
    """
    from textpipe.inference import scoring

    options = {"artifacts": artifacts, "on_event": print_stage} if model.suffix == ".toml" else {}
    scorer = scoring.Scorer.load(model, overrides, **options)
    rows = read_pairs(files, scorer, read_columns(columns), read_format(form), columns_of(model, overrides, files))
    scored = scorer.score(rows, batch_rows=batch)
    for row in scored:
        click.echo(json.dumps(row, ensure_ascii=False) if as_json else scorer.answers.score_line(row))
    click.echo(scorer.answers.score_summary(scorer.answers.score_totals(scored)), err=True)


def columns_of(model: Path, overrides: tuple[str, ...], files: tuple[Path, ...]) -> dict[str, str | int]:
    """The [ingest] columns of a pipeline file, if there is one data file."""
    if model.suffix != ".toml" or len(files) != 1:
        return {}
    from textpipe.pipeline.runner import Pipeline

    return dict(Pipeline.load(model, overrides).sections["ingest"].columns)


def read_pairs(
    files: tuple[Path, ...], scorer: Any, columns: dict[str, str | int], form: Any, defaults: dict[str, str | int]
) -> list[dict[str, Any]]:
    """The pairs of the files. defaults: the pipeline's columns, used unless overridden or absent from the file."""
    from textpipe.errors import DataError
    from textpipe.inference import scoring

    chosen = {**defaults, **columns}
    try:
        return scoring.read_pairs(files, tuple(scorer.fields), chosen, form, scorer.kinds)
    except DataError:
        if chosen == columns:
            raise
        try:
            return scoring.read_pairs(files, tuple(scorer.fields), columns, form, scorer.kinds)
        except DataError:
            pass
        raise
