"""textpipe export"""

from pathlib import Path
from typing import Any

import click

from textpipe.commands._pipeline import output_options, pipeline_options, print_stage, published_option, run_to
from textpipe.config import plugins

SAVED_MODEL = "saved_model"


@click.command()
@pipeline_options
@published_option
@click.option("--force", is_flag=True, help="Rebuild this stage even if nothing changed.")
@click.option(
    "--format",
    "form",
    type=click.Choice([SAVED_MODEL, *plugins.names("export_formats")]),
    default=SAVED_MODEL,
    show_default=True,
    help="Format to write; those other than saved_model are for other engines.",
)
@click.option(
    "--output",
    type=click.Path(path_type=Path),
    help="Folder to write another format to.  [default: FORMAT_models/NAME]",
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
    """Export, verify and publish the SavedModel.

    Runs the stages it depends on first and prints the path of the result.
    """
    from textpipe.pipeline import runner as pipelines

    if form == SAVED_MODEL:
        if output:
            raise click.UsageError("--output is for other formats; use --saved-models for a SavedModel")
        run_to("export", pipeline, overrides, artifacts, saved_models, force=force, as_json=as_json, quiet=quiet)
        return
    if as_json or quiet:
        raise click.UsageError("--json and --quiet are supported only for the format saved_model")
    click.echo(str(write_format(pipelines.Pipeline.load(pipeline, overrides), form, output, artifacts)))


def write_format(loaded: Any, form: str, output: Path | None, artifacts: Path) -> Path:
    """Write a trained pipeline in a format of export_formats/; returns the folder."""
    from textpipe.export_formats import _folder
    from textpipe.pipeline import runner as pipelines

    module = plugins.find("export_formats", form)
    module.check(loaded.sections)
    answer = plugins.find("answers", plugins.find("tasks", loaded.task).ANSWER)
    inputs: dict[str, Path] = {}
    for stage in ("train", *getattr(answer, "READS", ())):
        result = pipelines.run(loaded, until=stage, artifacts=artifacts, contents=True, on_event=print_stage)
        inputs |= {name: artifact.path for name, artifact in result.artifacts.items()}
    folder = output or Path(f"{form}_models") / loaded.name
    summary = _folder.write_folder(folder, lambda empty: module.write(loaded.task, loaded.sections, inputs, empty))
    click.echo(f"{form:<10} done    {summary}", err=True)
    return folder
