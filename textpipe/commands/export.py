"""textpipe export"""

from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import output_options, pipeline_options, published_option, run_to, tell
from textpipe.config import plugins

SAVED_MODEL = "saved_model"


@click.command()
@pipeline_options
@published_option
@click.option("--force", is_flag=True, help="Build this stage again even when nothing changed.")
@click.option(
    "--format",
    "form",
    type=click.Choice([SAVED_MODEL, *plugins.names("export_formats")]),
    default=SAVED_MODEL,
    show_default=True,
    help="What to write; formats other than the SavedModel are for other engines.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder of another format; default FORMAT_models/<the pipeline's name>.",
)
@output_options
def command(
    pipeline: Path,
    overrides: tuple[str, ...],
    artifacts: Path,
    saved_models: Path,
    force: bool,
    form: str,
    output: Path | None,
    as_json: bool,
    quiet: bool,
) -> None:
    """Write, replay and publish the SavedModel, or another format. Runs the stages it needs first; prints the path."""
    from textpipe.pipeline import runner as pipelines

    if form == SAVED_MODEL:
        if output:
            raise click.UsageError("--output is for formats other than saved_model; --saved-models says where those go")
        run_to("export", pipeline, overrides, artifacts, saved_models, force=force, as_json=as_json, quiet=quiet)
        return
    if as_json or quiet:
        raise click.UsageError("--json and --quiet are for the format saved_model")
    click.echo(str(other(pipelines.Pipeline.load(pipeline, overrides), form, output, artifacts)))


def other(loaded: Any, form: str, output: Path | None, artifacts: Path) -> Path:
    """Write a format of the package export_formats/ from a trained pipeline; the folder."""
    from textpipe.export_formats import _folder
    from textpipe.pipeline import runner as pipelines

    module = plugins.find("export_formats", form)
    module.check(loaded.sections)
    result = pipelines.run(loaded, until="train", artifacts=artifacts, contents=True, on_event=tell)
    inputs = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    place = output or Path(f"{form}_models") / loaded.name
    told = _folder.fill(place, lambda folder: module.write(loaded.task, loaded.sections, inputs, folder))
    click.echo(f"{form:<10} done    {told}", err=True)
    return place
