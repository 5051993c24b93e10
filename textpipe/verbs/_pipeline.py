"""What the verbs over a pipeline file share: their options, the lines they tell, and the verb of one stage."""

from pathlib import Path
from typing import Any

import click

overrides_option = click.option(
    "-s", "overrides", metavar="KEY=VALUE", multiple=True, help="Override, e.g. train.epochs=3; KEY= leaves it out."
)


def pipeline_options(command: Any) -> Any:
    """The pipeline file and what every verb over it takes."""
    for decorate in reversed(
        [
            click.argument("pipeline", type=click.Path(path_type=Path)),
            overrides_option,
            click.option(
                "--artifacts", type=click.Path(path_type=Path), default=Path("data/artifacts"), show_default=True,
                help="Where results of stages are kept.",
            ),
        ]
    ):  # fmt: skip
        command = decorate(command)
    return command


def published_option(command: Any) -> Any:
    """Where exported versions go."""
    return click.option(
        "--saved-models", type=click.Path(path_type=Path), default=Path("saved_models"), show_default=True,
        help="Where exported versions are published.",
    )(command)  # fmt: skip


def tell(stage: str, state: str, text: str) -> None:
    """One line on stderr as a stage begins or ends."""
    if state == "run":
        click.echo(f"{stage:<10} ...", err=True)
        return
    first, _, rest = text.partition("\n")
    click.echo(f"{stage:<10} {state:<7} {first}", err=True)
    if rest:
        click.echo("\n".join(f"    {line}" for line in rest.splitlines()), err=True)


def stage_command(stage: str, words: str) -> click.Command:
    """`textpipe STAGE PIPELINE`: the stages it needs, then the stage; prints the result's path."""

    @click.command(stage, help=f"{words} Runs the stages it needs first; prints the path of the result.")
    @pipeline_options
    @published_option
    @click.option("--force", is_flag=True, help="Build this stage again even when nothing changed.")
    def verb(pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, force: bool) -> None:
        from textpipe import pipeline as pipelines

        result = pipelines.run(
            pipelines.Pipeline.load(pipeline, overrides), until=stage, start=stage if force else None,
            artifacts=artifacts, saved_models=saved_models, told=tell,
        )  # fmt: skip
        click.echo(str(result.saved_model or result.artifacts[stage].path))

    return verb
