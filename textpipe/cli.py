"""The command line: a verb is a module of commands/, found by its file name.

Results go to stdout, progress to stderr, so `cd $(textpipe train pipelines/x.toml)` works. A user's mistake ends with
exit code 2 and one message, what the machine or the network fails at with another code (EXIT_CODES); nothing heavy is
imported before a verb needs it.
"""

import logging
import os
import sys
from typing import Any

import click

from textpipe.config import plugins
from textpipe.errors import TextpipeError
from textpipe.runtime import environment, gc, stderr
from textpipe.version import __version__

# The way a person goes, for --help; verbs not named here follow by name.
ORDER = (
    "new", "run", "plan", "ingest", "normalize", "tokenize", "vectorize", "train", "evaluate", "export",
    "predict", "bulk", "serve", "score", "attention", "compare", "report", "settings", "data", "doctor",
)  # fmt: skip


class Verbs(click.Group):
    """The modules of commands/ as commands, imported when they are asked for; an error that is none of the code's ends with one line."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        found = [name.replace("_", "-") for name in plugins.names("commands")]
        return [*(name for name in ORDER if name in found), *(name for name in found if name not in ORDER)]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        name = cmd_name.replace("-", "_")
        return plugins.find("commands", name).command if name in plugins.names("commands") else None

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
            environment.abandon_output()
            ctx.exit(0)

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except Exception as error:
            explained = environment.explained(error)
            if explained is None:
                raise
            environment.abandon_output()
            click.echo(f"error: {explained[0]}", err=True)
            sys.exit(explained[1])


EXIT_CODES = """
Exit codes: 0 done; 1 a fault of textpipe itself; 2 a mistake in the call, a file or the data; 3 a threshold of
[evaluate.require] is missed; 4 the machine lacks space, memory, a writable folder or a library; 5 a server or a download
does not answer; 130 interrupted.
"""


@click.group(
    cls=Verbs, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110}, epilog=EXIT_CODES
)
@click.version_option(__version__, prog_name="textpipe")
@click.option("-v", "--verbose", is_flag=True, help="Show what the parts log.")
def main(verbose: bool) -> None:
    """From raw text to a served model: text in, text out in one TensorFlow graph."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    gc.relax_gc()
    environment.write_any_text()
    if not verbose:
        stderr.start()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # where its settings' folder cannot be written it says so twice
    logging.getLogger("textpipe").setLevel(logging.DEBUG if verbose else logging.INFO)
