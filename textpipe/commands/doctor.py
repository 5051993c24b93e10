"""textpipe doctor"""

from pathlib import Path

import click


@click.command()
@click.argument("model", required=False, type=click.Path(path_type=Path))
def command(model: Path | None) -> None:
    """Check the installation, or an exported model.

    Without MODEL: print the versions of the libraries and whether they are compatible. With MODEL: list the ops of an
    exported model, which releases of TensorFlow Serving support them, and which of them access files, processes or the
    network; and compare its files with its manifest. Exits with 2 for a fault.
    """
    if model is None:
        from textpipe.commands import _installed_libraries as check

        lines, sound = check.report()
    else:
        lines, sound = report(model)
    click.echo("\n".join(lines))
    if not sound:
        raise click.exceptions.Exit(2)


def report(model: Path) -> tuple[list[str], bool]:
    """What is known of an exported model, as lines, and whether it has no fault. Raises ModelError if there is none."""
    from textpipe.errors import ModelError
    from textpipe.savedmodel import loader, locations, serving_ops, side_effects

    folder = locations.find_version(model)
    faults: list[str] = []
    try:
        loader.check_files(folder)
    except ModelError as error:
        faults.append(f"fault             {error}; textpipe predict and textpipe serve refuse the model")
    try:
        lines, sound = serving_ops.report(folder)
        faults += side_effects.report(folder)
    except ModelError as error:
        if not faults:
            raise
        return [*faults, f"fault             {error}"], False
    if not faults:
        lines.append("textpipe serve: loads it with the TensorFlow and TensorFlow Text of this environment")
    return [*lines, *faults], sound and not faults
