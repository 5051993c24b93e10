"""The command line: one verb per stage, then run, plan, predict, data, new, doctor.

Results go to stdout, progress to stderr, so `cd $(textpipe train pipelines/x.toml)` works. A user's mistake ends with
exit code 2 and one message; nothing heavy is imported before a verb needs it.
"""

import json
import logging
import os
import sys
from pathlib import Path
from typing import Any

import click

from textpipe import quiet
from textpipe.errors import TextpipeError
from textpipe.version import __version__

STAGES = {
    "ingest": "Read rows, check and split them.",
    "normalize": "Apply the normalization steps.",
    "tokenize": "Learn the vocabulary on train.",
    "vectorize": "Turn text into ids or n-gram rows.",
    "train": "Train the model; resumes when interrupted.",
    "evaluate": "Score the test rows through the graph that is served.",
    "export": "Write, replay and publish the SavedModel.",
}


class Verbs(click.Group):
    """A group that turns a user's mistake into one message and exit code 2."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

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
    if not verbose:
        quiet.start()
    logging.basicConfig(level=logging.WARNING, format="%(message)s", stream=sys.stderr)
    logging.getLogger("textpipe").setLevel(logging.DEBUG if verbose else logging.INFO)


def pipeline_options(command: Any) -> Any:
    """The pipeline file and what every verb over it takes."""
    for decorate in reversed(
        [
            click.argument("pipeline", type=click.Path(path_type=Path)),
            click.option("-s", "overrides", metavar="KEY=VALUE", multiple=True, help="Override, e.g. train.epochs=3."),
            click.option(
                "--artifacts", type=click.Path(path_type=Path), default=Path("data/artifacts"), show_default=True,
                help="Where results of stages are kept.",
            ),
        ]
    ):  # fmt: skip
        command = decorate(command)
    return command


def published_option(command: Any) -> Any:
    """Where exported versions go."""
    return click.option(
        "--saved-models", type=click.Path(path_type=Path), default=Path("saved_models"), show_default=True,
        help="Where exported versions are published.",
    )(command)  # fmt: skip


def tell(stage: str, state: str, text: str) -> None:
    """One line on stderr as a stage begins or ends."""
    if state == "run":
        click.echo(f"{stage:<10} ...", err=True)
        return
    first, _, rest = text.partition("\n")
    click.echo(f"{stage:<10} {state:<7} {first}", err=True)
    if rest:
        click.echo("\n".join(f"    {line}" for line in rest.splitlines()), err=True)


@main.command()
@pipeline_options
@published_option
@click.option("--until", metavar="STAGE", help="Stop after this stage.")
@click.option("--from", "start", metavar="STAGE", help="Build this stage and those after it again.")
@click.option("--force", is_flag=True, help="Build every stage again.")
@click.option("--show", metavar="N", type=click.IntRange(0), default=0, help="Also print test metrics and N answers of the SavedModel.")
def run(
    pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path,
    until: str | None, start: str | None, force: bool, show: int,
) -> None:  # fmt: skip
    """Run a pipeline file to an exported model; what did not change is taken from the store."""
    from textpipe import pipeline as pipelines

    loaded = pipelines.Pipeline.load(pipeline, overrides)
    result = pipelines.run(
        loaded, until=until, start=start, force=force, artifacts=artifacts, saved_models=saved_models, told=tell
    )
    last = result.saved_model or list(result.artifacts.values())[-1].path
    if show and result.saved_model:
        print_answers(loaded, result, show)
    click.echo(str(last))


def print_answers(loaded: Any, result: Any, count: int) -> None:
    """Test metrics, then answers of the exported model to held-out rows."""
    from textpipe import api, pipeline, rooms
    from textpipe.tables import shards

    click.echo(f"== {loaded.name}: {loaded.task}")
    click.echo(pipeline.module("evaluate").summary(result.artifacts["evaluate"].path))
    source, target = (
        next(field.name for field in rooms.find("tasks", loaded.task).FIELDS if field.side == side)
        for side in ("source", "target")
    )
    rows: list[dict[str, str]] = []
    for batch in shards.read(result.artifacts["ingest"].path, "test"):
        step = max(1, batch.num_rows // count)
        rows += [batch.slice(at, 1).to_pylist()[0] for at in range(0, batch.num_rows, step)][:count]
        break
    answers = api.predict(result.saved_model, [row[source] for row in rows])
    for row, answer in zip(rows, answers, strict=True):
        shown = " / ".join(line for line in row[source].splitlines() if line.strip())
        click.echo(f"  {source}: {shown}")
        click.echo(f"    answer: {answer['answer']}    score {answer['score']:.3f}    ({target}: {row[target]})")


def stage_verb(stage: str, words: str) -> None:
    """`textpipe STAGE PIPELINE`: what it needs, then the stage; prints the result's path."""

    @main.command(stage, help=f"{words} Runs the stages it needs first; prints the path of the result.")
    @pipeline_options
    @published_option
    @click.option("--force", is_flag=True, help="Build this stage again even when nothing changed.")
    def verb(pipeline: Path, overrides: tuple[str, ...], artifacts: Path, saved_models: Path, force: bool) -> None:
        from textpipe import pipeline as pipelines

        result = pipelines.run(
            pipelines.Pipeline.load(pipeline, overrides), until=stage, start=stage if force else None,
            artifacts=artifacts, saved_models=saved_models, told=tell,
        )  # fmt: skip
        click.echo(str(result.saved_model or result.artifacts[stage].path))


for _stage, _words in STAGES.items():
    stage_verb(_stage, _words)


@main.command()
@pipeline_options
@click.option("--until", metavar="STAGE", help="Plan only up to this stage.")
def plan(pipeline: Path, overrides: tuple[str, ...], artifacts: Path, until: str | None) -> None:
    """Print what `run` would build, and which ingredient changed."""
    from textpipe import pipeline as pipelines

    for step in pipelines.plan(pipelines.Pipeline.load(pipeline, overrides), until=until, artifacts=artifacts):
        click.echo(f"{step.stage:<10} {step.state:<8} {step.path or '; '.join(step.reasons)}")


@main.command()
@click.argument("model", type=click.Path(path_type=Path))
@click.argument("text", default="-")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line with all the signature gives.")
@click.option("--signature", default="serving_default", show_default=True, help="Which signature to call.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Lines answered at once.")
def predict(model: Path, text: str, as_json: bool, signature: str, batch: int) -> None:
    """Answer TEXT, or each line of standard input (-): the answer, a TAB, its score.

    A line that is a JSON string or object is read as such, so that a mail with line breaks fits on one line.
    """
    from textpipe.savedmodel import Model

    loaded = Model.load(model)
    if text != "-":
        print_predictions(loaded.predict([text], signature=signature), as_json)
        return
    lines: list[Any] = []
    for number, line in enumerate(sys.stdin.buffer, 1):
        lines.append(read_line(line, number, loaded.fields))
        if len(lines) == batch:
            print_predictions(loaded.predict(lines, signature=signature), as_json)
            lines = []
    if lines:
        print_predictions(loaded.predict(lines, signature=signature), as_json)


def read_line(line: bytes, number: int, fields: tuple[str, ...]) -> str | dict[str, str]:
    """A text, or a JSON string or object of the model's fields; bad UTF-8 is replaced as ingest does."""
    text = line.decode("utf-8", errors="replace").removeprefix("\ufeff" if number == 1 else "").rstrip("\r\n")
    if text[:1] in ('"', "{"):
        try:
            value = json.loads(text)
        except ValueError:
            return text
        if isinstance(value, str):
            return value
        if isinstance(value, dict) and set(fields) <= set(value):
            return {name: str(value[name]) for name in fields}
    return text


def print_predictions(rows: list[dict[str, Any]], as_json: bool) -> None:
    """One output line per row; line breaks within an answer are written as \\n."""
    for row in rows:
        if as_json or "answer" not in row:
            click.echo(json.dumps(row, ensure_ascii=False))
        else:
            answer = row["answer"].replace("\\", "\\\\").replace("\n", "\\n").replace("\t", "\\t").replace("\r", "\\r")
            click.echo(f"{answer}\t{row['score']:.6g}")


@main.group()
def data() -> None:
    """Datasets: their cards, downloads and checksums. TEXTPIPE_DATA names a local mirror used instead of the network."""


@data.command("list")
def data_list() -> None:
    """The datasets there are cards for."""
    from textpipe import catalog

    for name in catalog.names():
        card = catalog.card(name)
        click.echo(f"{name:<16} {card.licence:<16} {card.title}")


@data.command("get")
@click.argument("name")
def data_get(name: str) -> None:
    """Download a dataset, verify it, print its folder."""
    from textpipe import catalog

    click.echo(str(catalog.get(name, progress=show_download())))


def show_download() -> Any:
    """Tells of a download on stderr at every tenth of a file."""
    told: dict[str, int] = {}

    def progress(path: Any, done: int, total: int) -> None:
        tenth = 10 * done // total if total else 0
        if told.get(str(path)) != tenth:
            told[str(path)] = tenth
            click.echo(f"{path}: {done / 1e6:.1f} of {total / 1e6:.1f} MB", err=True)

    return progress


@data.command("check")
@click.argument("name")
def data_check(name: str) -> None:
    """Compare a dataset's files with the sums in its card."""
    from textpipe import catalog

    states = catalog.check(name)
    for path, state in states:
        click.echo(f"{state:<10} {path}")
    if any(state != "ok" for _, state in states):
        raise click.exceptions.Exit(2)


@main.command()
@click.argument("task")
@click.option("--data", "file", type=click.Path(path_type=Path), required=True, help="Your rows: TSV, CSV, JSONL, Parquet.")
@click.option("--columns", metavar="FIELD=COLUMN,...", default="", help="Which column holds which field of the task.")
@click.option("--output", type=click.Path(path_type=Path), help="The pipeline file to write; default pipelines/<data's name>.toml.")
def new(task: str, file: Path, columns: str, output: Path | None) -> None:
    """Write a commented pipeline file for TASK (classify, translate, reply) over your own rows."""
    from textpipe import scaffold

    path = output or Path("pipelines") / f"{file.name.split('.')[0]}.toml"
    scaffold.write(task, file, columns, path)
    click.echo(str(path))


@main.command()
def doctor() -> None:
    """Versions of the libraries, whether they fit each other, and the machine."""
    from textpipe import doctor as check

    lines, sound = check.report()
    click.echo("\n".join(lines))
    if not sound:
        raise click.exceptions.Exit(2)
