"""The command line: a verb is a module of verbs/, found by its file name.

Results go to stdout, progress to stderr, so `cd $(textpipe train pipelines/x.toml)` works. A user's mistake ends with
exit code 2 and one message; nothing heavy is imported before a verb needs it.
"""

import logging
import os
import sys
from typing import Any

import click

from textpipe import garbage, quiet, rooms
from textpipe.errors import TextpipeError
from textpipe.version import __version__

# The way a person goes, for --help; verbs not named here follow by name.
ORDER = (
    "new", "run", "plan", "ingest", "normalize", "tokenize", "vectorize", "train", "evaluate", "export",
    "predict", "bulk", "serve", "score", "attention", "compare", "report", "settings", "data", "doctor",
)  # fmt: skip


class Verbs(click.Group):
    """The modules of verbs/ as commands, imported when they are asked for; a user's mistake ends with exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = [name.replace("_", "-") for name in rooms.names("verbs")]
        return [*(name for name in ORDER if name in found), *(name for name in found if name not in ORDER)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        return rooms.find("verbs", name).command if name in rooms.names("verbs") else None

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except TextpipeError as error:
            click.echo(f"error: {error}", err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("\ninterrupted: nothing half-written was kept; the same command goes on from here", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            ctx.exit(0)
        except OSError as error:
            if error.errno is None or error.filename is None:
                raise
            click.echo(f"error: {error.filename}: {error.strerror}", err=True)
            ctx.exit(2)


@click.group(cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="textpipe")
@click.option("-v", "--verbose", is_flag=True, help="Show what the parts log.")
def main(verbose: bool) -> None:
    """From raw text to a served model: text in, text out in one TensorFlow graph."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    garbage.seldom()
    if not verbose:
        quiet.start()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("textpipe").setLevel(logging.DEBUG if verbose else logging.INFO)
