"""textpipe gradcheck"""

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import artifacts_option, overrides_option, print_json, print_stage


@click.command()
@click.argument("model", metavar="PIPELINE|ARTIFACT|KIND")
@overrides_option
@click.option(
    "--rows", type=click.IntRange(2), default=4, show_default=True, help="Rows whose mean loss is differentiated."
)
@click.option("--entries", type=click.IntRange(1), default=12, show_default=True, help="Entries per parameter.")
@click.option(
    "--directions", type=click.IntRange(0), default=2, show_default=True, help="Random directions per parameter."
)
@click.option(
    "--tolerance", type=click.FloatRange(1e-12, 1), default=1e-7, show_default=True, help="Largest relative error."
)
@click.option(
    "--seed",
    type=click.IntRange(0),
    default=1,
    show_default=True,
    help="Seed of the sampled entries, directions and noise.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@artifacts_option
@click.pass_context
def command(
    ctx: click.Context, model: str, overrides: tuple[str, ...], rows: int, entries: int, directions: int,
    tolerance: float, seed: int, as_json: bool, artifacts: Path,
) -> None:  # fmt: skip
    """Check a model's gradients against central differences in float64.

    PIPELINE is a pipeline file: its untrained model is checked on its training rows. ARTIFACT is the folder of a trained model, checked
    on random rows. KIND is a kind of model, such as recurrent, checked on random rows of every kind it reads; -s model.units=8 sets its
    options.

    The loss is that of training, with dropout (its masks fixed), batch statistics, label smoothing and penalties. For each parameter,
    sampled entries and random directions are compared. Where the loss has a kink (relu, max pooling, l1), the gradient must lie
    between the one-sided derivatives. Exits with 1 if a parameter fails.
    """
    from textpipe.gradcheck import check, problems

    options = {"rows": rows, "seed": seed}
    path = Path(model)
    if path.is_dir() and overrides:
        raise click.UsageError("-s applies to a pipeline file or a kind of model; a trained model has its own settings")
    problems.check_argument(model, overrides)  # before TensorFlow is imported
    reports: list[tuple[Any, list[Any]]] = []
    with check.float64():
        checked_problems: Iterable[Any]
        if path.is_dir():
            checked_problems = [problems.of_artifact(path, **options)]
        elif path.suffix == ".toml" or path.exists():
            checked_problems = [
                problems.of_pipeline(path, overrides, artifacts=artifacts, on_event=print_stage, **options),
            ]
        else:
            model_options, settings = problems.read_settings(overrides)
            checked_problems = problems.of_kind(model, model_options, settings, **options)
        for problem in checked_problems:
            result = check.check(
                problem, entries=entries, directions=directions, tolerance=tolerance, seed=seed, on_parameter=progress
            )
            reports.append((problem, result))
            if not as_json:
                print_table(problem, result)
    failed = sum(not report.passed for _, result in reports for report in result)
    if as_json:
        print_json(
            {
                "tolerance": tolerance,
                "failed": failed,
                "checks": [
                    {
                        "model": problem.description,
                        "notes": problem.notes,
                        "parameters": [row(parameter) for parameter in result],
                    }
                    for problem, result in reports
                ],
            }
        )
    checked = sum(len(result) for _, result in reports)
    click.echo(f"{checked - failed} of {checked} parameters passed at a relative error of {tolerance:g}", err=True)
    if failed:
        ctx.exit(1)


def progress(path: str, position: int, count: int) -> None:
    """A line on a terminal that is overwritten."""
    if sys.stderr.isatty():
        end = "\r" if position + 1 < count else "\r\033[K"
        click.echo(f"\033[K{position + 1}/{count} {path}"[:100] + end, err=True, nl=False)


def row(report: Any) -> dict[str, Any]:
    """A parameter's report as JSON."""
    return {
        "parameter": report.path, "shape": list(report.shape), "entries": report.entries, "size": report.size,
        "directions": report.directions, "kinks": report.kinks, "gradient_norm": report.norm,
        "max_relative_error": report.worst.error, "at": report.at, "analytic": report.worst.analytic,
        "numeric": report.worst.numeric, "passed": report.passed,
    }  # fmt: skip


def print_table(problem: Any, result: list[Any]) -> None:
    """A table with a row for each parameter on stdout."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=problem.description, title_justify="left", box=None, pad_edge=False)
    table.add_column("parameter", overflow="fold")
    for name in ("shape", "entries", "directions", "kinks", "|gradient|", "error", "at", "result"):
        table.add_column(name, justify="right", no_wrap=True)
    for report in result:
        table.add_row(
            report.path, str(list(report.shape)), f"{report.entries} of {report.size:,}", str(report.directions),
            str(report.kinks), f"{report.norm:.3g}", f"{report.worst.error:.1e}", report.at,
            "passed" if report.passed else "FAILED",
        )  # fmt: skip
    console = Console() if sys.stdout.isatty() else Console(width=160)
    console.print(table, highlight=False)
    for note in problem.notes:
        console.print(f"note: {note}", highlight=False)
    for report in result:
        if not report.passed:
            worst = report.worst
            console.print(
                f"{report.path} {report.at}: gradient {worst.analytic:.10g}, differences {worst.numeric:.10g}", highlight=False
            )  # fmt: skip
