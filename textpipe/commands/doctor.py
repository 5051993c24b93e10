"""textpipe doctor"""

from pathlib import Path

import click


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
def command(model: Path | None) -> None:
    """Check the installation, or an exported model.

    Without MODEL: print the versions of the libraries and whether they are compatible. With MODEL: list the ops of an
    exported model, which releases of TensorFlow Serving support them, and which of them access files, processes or the
    network.
    """
    if model is None:
        from textpipe.commands import _installed_libraries as check

        lines, sound = check.report()
    else:
        from textpipe.savedmodel import serving_ops, side_effects

        lines, sound = serving_ops.report(model)
        if effects := side_effects.report(model):
            lines, sound = [*lines, *effects], False
    click.echo("\n".join(lines))
    if not sound:
        raise click.exceptions.Exit(2)
