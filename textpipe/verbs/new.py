"""textpipe new"""

from pathlib import Path

import click


@click.command()
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
