"""textpipe compare"""

from pathlib import Path

import click

from textpipe.commands._pipeline import artifacts_option
from textpipe.errors import suggest


@click.command()
@click.argument("systems", nargs=-1, required=True, metavar="A B [...]")
@click.option(
    "-s", "overrides", metavar="[N:]KEY=VALUE", multiple=True,
    help="Override a setting of all pipeline files, or only of the Nth system, e.g. model.l2=0.1.",
)  # fmt: skip
@click.option(
    "--rows",
    metavar="PATH",
    help="Input rows for models: a pipeline file (its test rows), or a file with a column for each field.",
)
@click.option("--json", "as_json", is_flag=True, help="Print all figures as one JSON object.")
@click.option("--html", type=click.Path(path_type=Path, dir_okay=False), help="Also write an HTML page with plots.")
@click.option(
    "--show",
    type=click.IntRange(0),
    default=5,
    show_default=True,
    help="Number of improved and of worsened rows to show.",
)
@click.option(
    "--resamples", type=click.IntRange(10), default=1000, show_default=True, help="Resamples of the paired bootstrap."
)
@click.option(
    "--trials",
    type=click.IntRange(10),
    default=10_000,
    show_default=True,
    help="Trials of the randomization test.",
)
@click.option(
    "--seed", type=click.IntRange(0), default=12345, show_default=True, help="Random seed; the default is sacreBLEU's."
)
@click.option(
    "--bleu-tokenizer", default="auto", show_default=True, metavar="NAME",
    help="sacreBLEU tokenizer: 13a, intl, zh, ja-mecab, ko-mecab, char, none, flores200, ...; auto chooses by the script "
    "of the references.",
)  # fmt: skip
@artifacts_option
def command(
    systems: tuple[str, ...], overrides: tuple[str, ...], rows: str | None, as_json: bool, html: Path | None, show: int,
    resamples: int, trials: int, seed: int, bleu_tokenizer: str, artifacts: Path,
) -> None:  # fmt: skip
    """Compare runs or models on the same rows.

    Each system is an evaluated pipeline file, the directory of an evaluate artifact, a predictions.jsonl, or a
    SavedModel. The first system is the baseline. Texts are scored by BLEU, chrF and TER, labels by accuracy and F1, with
    confidence intervals, a paired bootstrap and a randomization test.

    A single pipeline file with -s, or the same file twice, is compared with itself: without and with the overrides.

      textpipe compare pipelines/mail.toml -s model.l2=0.1
    """
    import json

    from textpipe.metrics import bleu_tokenizers
    from textpipe.report import comparison, system_answers
    from textpipe.report.systems import assign_overrides

    if bleu_tokenizer not in bleu_tokenizers.NAMES:
        raise click.UsageError(
            f"--bleu-tokenizer: no tokenizer {bleu_tokenizer!r}{suggest(bleu_tokenizer, bleu_tokenizers.NAMES)}"
        )
    bleu_tokenizers.check(bleu_tokenizer, "--bleu-tokenizer")
    paths, settings = assign_overrides(systems, overrides)
    if len(paths) < 2:
        raise click.UsageError("give at least two systems to compare, or one pipeline file with -s")
    answers = system_answers.load(paths, rows=rows, artifacts=artifacts, overrides=settings)
    result = comparison.compare(
        answers, resamples=resamples, trials=trials, seed=seed, show=show, bleu_tokenizer=bleu_tokenizer
    )
    if html:
        from textpipe.report import comparison_page

        comparison_page.write(result, html)
        click.echo(f"page       {html}", err=True)
    click.echo(json.dumps(result.table, ensure_ascii=False) if as_json else comparison.render_text(result))
