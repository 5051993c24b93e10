"""textpipe settings"""

import click


@click.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--markdown", is_flag=True, help="Print Markdown, as in docs/settings.md.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON list of tables and their keys.")
def command(name: str | None, markdown: bool, as_json: bool) -> None:
    """List the settings of a pipeline file.

    Shows every key with its type, default, bounds and meaning. NAME is a stage (train), a table (model, decode), a kind
    of a table (model.recurrent, tokenize.bpe, train.adam) or a key (train.epochs); all settings if omitted.
    """
    import dataclasses
    import json

    from textpipe.pipeline import settings_reference

    groups = settings_reference.select(name)
    if as_json:
        click.echo(json.dumps([dataclasses.asdict(group) for group in groups], ensure_ascii=False, indent=1))
    else:
        click.echo(settings_reference.markdown(groups).rstrip("\n") if markdown else settings_reference.text(groups))
