"""textpipe new"""

from pathlib import Path

import click

FILE = click.Path(path_type=Path)


def list_if_asked(context: click.Context, _: click.Parameter, asked: bool) -> None:
    """--list."""
    if asked:
        list_all(context)


@click.command()
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=list_if_asked,
    help="List the tasks, and the pipelines that come with textpipe.",
)  # fmt: skip
@click.argument("task")
@click.option(
    "--data",
    type=FILE,
    multiple=True,
    help="Your rows: TSV, CSV, JSONL, Parquet, text, mbox. Several: one after another; train.en and train.de: side by side.",
)
@click.option("--train", type=FILE, multiple=True, help="Rows to train on, where splits are files of their own.")
@click.option("--valid", type=FILE, multiple=True, help="Rows to validate on; cut from the others when left out.")
@click.option("--test", type=FILE, multiple=True, help="Rows to test on; cut from the others when left out.")
@click.option(
    "--columns",
    metavar="FIELD=COLUMN,...",
    default="",
    help="Which column holds which field of the task; or text=subject+body,numbers=n,label=y: fields by kind, named after their columns.",
)
@click.option("--format", help="The files' format, where their names do not tell: tsv, csv, jsonl, mail, ...")
@click.option(
    "--header",
    type=click.Choice(["first", "none"]),
    default="first",
    help="Whether the first line names the columns; with none they are numbers from 0.",
)
@click.option("--encoding", help="The files' encoding, where it is not UTF-8: cp1252, utf-16, ...")
@click.option("--output", type=FILE, help="The pipeline file to write; default pipelines/<data's name>.toml.")
def command(task, data, train, valid, test, columns, format, header, encoding, output) -> None:
    """Write a commented pipeline file for TASK (classify, multi_label, translate, reply) over your own rows."""
    from textpipe.commands._tables import read_format
    from textpipe.pipeline import scaffold

    files = scaffold.arranged(data, train, valid, test)
    path = output or Path("pipelines") / f"{(data or train)[0].name.split('.')[0]}.toml"
    scaffold.write(task, files, columns, path, format=read_format(format), header=header == "first", encoding=encoding)
    click.echo(str(path))


def list_all(context: click.Context) -> None:
    """A line for each task that `new` writes a pipeline for, and for each bundled pipeline, which `run` takes by name."""
    from textpipe.config import plugins
    from textpipe.pipeline import bundled

    tasks = {name: plugins.find("tasks", name) for name in plugins.names("tasks")}
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
