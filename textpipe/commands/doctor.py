"""textpipe doctor"""

from pathlib import Path

import click


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
def command(model: Path | None) -> None:
    """Versions of the libraries, whether they fit each other, and the machine.

    With MODEL: the ops of an exported model, which releases of TensorFlow Serving know them, and which of them reach for
    files, processes or the network.
    """
    if model is None:
        from textpipe.commands import _installed_libraries as check

        lines, sound = check.report()
    else:
        from textpipe.savedmodel import serving_ops, side_effects

        lines, sound = serving_ops.report(model)
        if reaching := side_effects.report(model):
            lines, sound = [*lines, *reaching], False
    click.echo("\n".join(lines))
    if not sound:
        raise click.exceptions.Exit(2)
