"""The command line: every module of commands/ is a command, found by its file name.

Results go to stdout and progress to stderr, so `cd $(textpipe train pipelines/x.toml)` works. A user's mistake ends with
exit code 2 and one message, a failure of the machine or the network with another code (EXIT_CODES). Heavy libraries are
imported only by the commands that need them.
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

# The order of --help, by workflow; commands not named here follow in alphabetical order.
ORDER = (
    "new", "run", "plan", "ingest", "normalize", "tokenize", "vectorize", "train", "evaluate", "export",
    "tune", "predict", "bulk", "serve", "score", "explain", "attention", "compare", "report", "settings", "data", "doctor",
)  # fmt: skip


class CommandGroup(click.Group):
    """Imports commands on first use; errors of the user, the machine or the network end with one line instead of a traceback."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        names = [name.replace("_", "-") for name in plugins.names("commands")]
        return [*(name for name in ORDER if name in names), *(name for name in names if name not in ORDER)]

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
            click.echo("\ninterrupted: what was finished is kept; run the same command again to continue", err=True)
            ctx.exit(130)
        except BrokenPipeError:
            environment.discard_output()
            ctx.exit(0)

    def main(self, *args: Any, **extra: Any) -> Any:
        try:
            return super().main(*args, **extra)
        except Exception as error:
            explained = environment.explain(error)
            if explained is None:
                raise
            environment.discard_output()
            click.echo(f"error: {explained[0]}", err=True)
            sys.exit(explained[1])


EXIT_CODES = """
Exit codes: 0 success; 1 internal error; 2 invalid arguments, files or data; 3 a threshold of [ingest.require] or
[evaluate.require] was missed; 4 out of disk space or memory, no writable directory, or a missing library; 5 a server or a download is
unavailable; 130 interrupted.
"""


@click.group(
    cls=CommandGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
    epilog=EXIT_CODES,
)
@click.version_option(__version__, prog_name="textpipe")
@click.option("-v", "--verbose", is_flag=True, help="Show debug messages and TensorFlow's own output.")
def main(verbose: bool) -> None:
    """Train text models and export them as one TensorFlow graph: text in, text out."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    gc.relax_gc()
    environment.open_closed_streams()
    environment.escape_unencodable_output()
    if not verbose:
        stderr.start_filter()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("matplotlib").setLevel(
        logging.ERROR
    )  # it warns twice when its configuration directory is not writable
    logging.getLogger("textpipe").setLevel(logging.DEBUG if verbose else logging.INFO)
