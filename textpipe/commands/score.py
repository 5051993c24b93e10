"""textpipe score"""

import json
from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import overrides_option, tell
from textpipe.commands._tables import columns_option, format_option, read_columns, read_format


@click.command()
@click.argument("model", metavar="MODEL|PIPELINE", type=click.Path(path_type=Path))
@click.argument("files", metavar="FILE [FILE]", nargs=-1, required=True, type=click.Path(path_type=Path))
@columns_option
@format_option
@click.option("--json", "as_json", is_flag=True, help="One JSON object a pair, its tokens among them.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Pairs scored at once.")
@overrides_option
@click.option(
    "--artifacts", type=click.Path(path_type=Path), default=Path("data/artifacts"), show_default=True,
    help="Where results of a pipeline's stages are kept.",
)  # fmt: skip
def command(
    model: Path, files: tuple[Path, ...], columns: str, form: str | None, as_json: bool, batch: int,
    overrides: tuple[str, ...], artifacts: Path,
) -> None:  # fmt: skip
    """How probable the model holds given answers.

    FILE has a column for each field of the task; or give two files of lines, the sources first. A line of output is a
    pair: the natural logarithm of the answer's probability, its tokens and the perplexity per token, with TABs between;
    of a classifier, the logarithm of the given label's probability, and the probability. Totals go to stderr. A
    pipeline file stands for its trained model, and its [ingest] columns for --columns where the file has these.

      textpipe score saved_models/multi30k_en_de pairs.tsv --columns source=en,target=de
    """
    from textpipe.inference import scoring

    options = {"artifacts": artifacts, "told": tell} if model.suffix == ".toml" else {}
    scorer = scoring.Scorer.load(model, overrides, **options)
    rows = read_pairs(files, scorer, read_columns(columns), read_format(form), columns_of(model, overrides, files))
    scored = scorer.score(rows, batch_rows=batch)
    for row in scored:
        click.echo(json.dumps(row, ensure_ascii=False) if as_json else scorer.answers.score_line(row))
    click.echo(scorer.answers.score_summary(scorer.answers.score_totals(scored)), err=True)


def columns_of(model: Path, overrides: tuple[str, ...], files: tuple[Path, ...]) -> dict[str, str | int]:
    """The columns that a pipeline file names, for one file with columns."""
    if model.suffix != ".toml" or len(files) != 1:
        return {}
    from textpipe.pipeline.runner import Pipeline

    return dict(Pipeline.load(model, overrides).sections["ingest"].columns)


def read_pairs(
    files: tuple[Path, ...], scorer: Any, given: dict[str, str | int], form: Any, own: dict[str, str | int]
) -> list[dict[str, str]]:
    """The pairs of files. own: the pipeline's columns, which hold unless others are given or the file has only the fields'."""
    from textpipe.errors import DataError
    from textpipe.inference import scoring

    chosen = {**own, **given}
    try:
        return scoring.read(files, tuple(scorer.fields), chosen, form)
    except DataError:
        if chosen == given:
            raise
        try:
            return scoring.read(files, tuple(scorer.fields), given, form)
        except DataError:
            pass
        raise
