"""textpipe new"""

from pathlib import Path

import click


@click.command()
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=lambda context, _, asked: asked and list_all(context),
    help="List the tasks, and the pipelines that come with textpipe.",
)  # fmt: skip
@click.argument("task")
@click.option("--data", "file", type=click.Path(path_type=Path), required=True, help="Your rows: TSV, CSV, JSONL, Parquet.")
@click.option("--columns", metavar="FIELD=COLUMN,...", default="", help="Which column holds which field of the task.")
@click.option("--output", type=click.Path(path_type=Path), help="The pipeline file to write; default pipelines/<data's name>.toml.")
def command(task: str, file: Path, columns: str, output: Path | None) -> None:
    """Write a commented pipeline file for TASK (classify, translate, reply) over your own rows."""
    from textpipe import scaffold

    path = output or Path("pipelines") / f"{file.name.split('.')[0]}.toml"
    scaffold.write(task, file, columns, path)
    click.echo(str(path))


def list_all(context: click.Context) -> None:
    """A line for each task that `new` writes a pipeline for, and for each bundled pipeline, which `run` takes by name."""
    from textpipe import bundled, rooms

    tasks = {name: rooms.find("tasks", name) for name in rooms.names("tasks")}
    files = bundled.places()
    width = max(map(len, [*tasks, *files]))
    click.echo("Tasks, for your own rows: textpipe new TASK --data FILE")
    for name, module in tasks.items():
        about = (module.__doc__ or "").strip().splitlines()[0]
        click.echo(f"  {name:<{width}}  {about} Fields: {', '.join(field.name for field in module.FIELDS)}.")
    click.echo("\nBundled pipelines: textpipe run NAME")
    for name, path in files.items():
        click.echo(f"  {name:<{width}}  {bundled.title(path)}")
    context.exit()
