"""textpipe new"""

import os
from pathlib import Path

import click

FILE = click.Path(path_type=Path)


def list_callback(context: click.Context, _: click.Parameter, value: bool) -> None:
    """--list."""
    if value:
        list_all(context)


@click.command()
@click.option(
    "--list", is_flag=True, is_eager=True, expose_value=False, callback=list_callback,
    help="List the tasks and the bundled pipelines.",
)  # fmt: skip
@click.argument("task")
@click.argument("files", nargs=-1, type=FILE)
@click.option(
    "--data",
    type=FILE,
    multiple=True,
    help="The same as FILES.",
)
@click.option(
    "--mbox",
    type=FILE,
    multiple=True,
    help="Instead of --data: a mailbox to take messages and their answers from: mbox file, Maildir or folder of .eml; several are read as one, such as inbox and sent mail.",
)
@click.option(
    "--me", metavar="ADDRESS", multiple=True, help="Your address in --mbox, or @DOMAIN: only your answers count."
)
@click.option("--train", type=FILE, multiple=True, help="Training file, if each split has its own file.")
@click.option("--valid", type=FILE, multiple=True, help="Validation file; taken from the other rows if omitted.")
@click.option("--test", type=FILE, multiple=True, help="Test file; taken from the other rows if omitted.")
@click.option(
    "--columns",
    metavar="FIELD=COLUMN,...",
    default="",
    help="Column of each field of the task; or fields by kind, named after their columns: text=subject+body,numbers=n,label=y.",
)
@click.option("--format", help="File format, if the names do not show it: tsv, csv, jsonl, mail, ...")
@click.option(
    "--header",
    type=click.Choice(["first", "none"]),
    default="first",
    help="Whether the first line names the columns; with none, columns are numbered from 0.",
)
@click.option("--encoding", help="Encoding, if not UTF-8: cp1252, utf-16, ...")
@click.option(
    "--on-bad-rows",
    type=click.Choice(["error", "drop"]),
    default="error",
    help="Whether a row that does not fit its format is an error or is dropped, here and by ingest.",
)
@click.option(
    "--output", type=FILE, help="Pipeline file to write.  [default: pipelines/NAME.toml, after the data file]"
)
def command(
    task, files, data, mbox, me, train, valid, test, columns, format, header, encoding, on_bad_rows, output
) -> None:
    """Write a pipeline file for your own data.

    TASK is classify, multi_label, translate, reply, suggest, pretrain, qa, table_qa or caption. FILES are the data: TSV, CSV, JSONL,
    Parquet, text, mbox; several are concatenated, and train.en and train.de are read in parallel. The pipeline file is commented, and
    its settings suit the number of rows. With suggest and --mbox, a second file is written for the trigger: a classifier that learns which mails are answered.
    """
    from textpipe.commands._tables import read_format
    from textpipe.pipeline import scaffold

    data = (*files, *data)
    form, default_columns = read_format(format), not columns
    if mbox or me:
        form, columns = scaffold.mailbox_options(task, mbox, me, columns, others=bool(data or train or format))
    files = scaffold.arrange_files(mbox or data, train, valid, test)
    path = output or Path("pipelines") / f"{name_of((mbox or data or train)[0])}.toml"
    trigger = path.with_stem(f"{path.stem}_trigger") if mbox and default_columns and scaffold.suggests(task) else None
    if trigger:
        scaffold.write_trigger(files, me, trigger)
    try:
        scaffold.write(
            task, files, columns, path,
            format=form, header=header == "first", encoding=encoding, on_bad_rows=on_bad_rows, trigger=trigger,
        )  # fmt: skip
    except BaseException:  # Ctrl-C too
        if trigger:  # both files or none, so that the command can be repeated
            trigger.unlink()
        raise
    if trigger:
        click.echo(str(trigger))
    click.echo(str(path))


def name_of(data: Path) -> str:
    """The name of a pipeline, after its first data file. mails.tsv.gz -> "mails";   . in /home/a/inbox -> "inbox" """
    name = Path(os.path.abspath(data)).name
    return name.lstrip(".").split(".")[0] or "data"


def list_all(context: click.Context) -> None:
    """Print the tasks of `new` and the bundled pipelines, which `run` takes by name."""
    from textpipe.config import plugins
    from textpipe.pipeline import bundled

    tasks = {name: plugins.find("tasks", name) for name in plugins.names("tasks")}
    files = bundled.pipelines()
    width = max(map(len, [*tasks, *files]))
    click.echo("Tasks, for your own data: textpipe new TASK FILE")
    for name, module in tasks.items():
        summary = (module.__doc__ or "").strip().splitlines()[0]
        click.echo(f"  {name:<{width}}  {summary} Fields: {', '.join(field.name for field in module.FIELDS)}.")
    click.echo("\nBundled pipelines: textpipe run NAME")
    for name, path in files.items():
        click.echo(f"  {name:<{width}}  {bundled.title(path)}")
    context.exit()
