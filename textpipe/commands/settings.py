"""textpipe settings"""

import click


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--markdown", is_flag=True, help="Print it as docs/settings.md is written.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of tables, each with its keys.")
def command(name: str | None, markdown: bool, as_json: bool) -> None:
    """Print what can be set in a pipeline file: every key, what it takes, its default and bounds, and what it does.

    NAME is a stage (train), a table (model, decode), a kind of one (model.recurrent, tokenize.bpe, train.adam) or a key
    (train.epochs); all settings when left out.
    """
    import dataclasses
    import json

    from textpipe.pipeline import settings_reference

    found = settings_reference.chosen(name)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(group) for group in found], ensure_ascii=False, indent=1))
    else:
        click.echo(settings_reference.markdown(found).rstrip("\n") if markdown else settings_reference.text(found))
