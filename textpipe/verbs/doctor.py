"""textpipe doctor"""

import click


@click.command()
def command() -> None:
    """Versions of the libraries, whether they fit each other, and the machine."""
    from textpipe import doctor as check

    lines, sound = check.report()
    click.echo("\n".join(lines))
    if not sound:
        raise click.exceptions.Exit(2)
