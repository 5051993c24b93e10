"""textpipe serve"""

import contextlib
import math
import sys
from pathlib import Path
from typing import Any

import click

SWITCH = 0.0005  # seconds a thread has the interpreter when another, with an answer in hand, wants it


class Remembering(click.Command):
    """Keeps what was typed, for the processes that are started with it."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=Remembering)
@click.argument("models", type=click.Path(path_type=Path))
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen on; 0.0.0.0 for all.")
@click.option(
    "--rest-port", type=int, default=8501, show_default=True, help="TensorFlow Serving's REST; -1 for none, 0 for any."
)
@click.option(
    "--grpc-port", type=int, default=8500, show_default=True, help="TensorFlow Serving's gRPC; -1 for none, 0 for any."
)
@click.option(
    "--versions",
    multiple=True,
    metavar="[MODEL=]WHICH",
    help="latest, latest:N, all, or numbers: 3,5; of one model, or of all others. By default latest.",
)
@click.option(
    "--label", "labels", multiple=True, metavar="MODEL:LABEL=N", help="A name for a version, which then stays loaded."
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="[MODEL:]OPTION=MAX",
    help="The most that a caller may set an option to: beam_size=16.",
)
@click.option("--trust-models", is_flag=True, help="Serve models that reach for files, processes or the network.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="Tokens, one a line; callers must send one. SIGHUP reads it again.",
)
@click.option(
    "--tls-cert", type=click.Path(path_type=Path), help="Certificate chain (PEM) for both doors. SIGHUP reads it again."
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="Its private key (PEM).")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Calls of TensorFlow at a time, two more for full batches; by default one a core, at most 4.",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Servers side by side on the same ports, each with its own copy of the models: more requests a second.",
)
@click.option("--beside", is_flag=True, hidden=True, help="This is one of them.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Rows answered together at most.")
@click.option(
    "--queue", type=click.IntRange(1), default=2048, show_default=True, help="Rows that may wait; beyond, 429."
)
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Seconds a request may take.",
)
@click.option("--max-body", type=click.IntRange(1), default=16 << 20, show_default=True, help="Bytes of a request.")
@click.option("--max-rows", type=click.IntRange(1), default=1024, show_default=True, help="Rows of a request.")
@click.option("--max-text", type=click.IntRange(1), default=1 << 20, show_default=True, help="Bytes of one text.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Seconds for requests under way at the end.",
)
@click.option(
    "--poll",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds between looks at MODELS.",
)
@click.option("--access-log", is_flag=True, help="A JSON object for each request on standard error.")
@click.option("--log-texts", is_flag=True, help="With the texts that were sent; they may be private.")
def command(
    models: Path, host: str, rest_port: int, grpc_port: int, versions: tuple[str, ...], labels: tuple[str, ...],
    limits: tuple[str, ...], trust_models: bool, token_file: Path | None, tls_cert: Path | None, tls_key: Path | None, workers: int | None, processes: int, beside: bool, batch: int, queue: int,
    deadline: float, max_body: int, max_rows: int, max_text: int, grace: float, poll: float, access_log: bool, log_texts: bool,
) -> None:  # fmt: skip
    """Serve exported models over TensorFlow Serving's REST and gRPC, with a page to try them.

    MODELS is a folder with NAME/VERSION/ below it, as `textpipe run` writes; versions that appear there are taken over
    while requests go on.
    """
    import asyncio
    import functools
    import signal

    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until there is something to read again
    from textpipe.errors import ConfigError
    from textpipe.runtime import onednn, stderr, threads, without_keras
    from textpipe.serve import tls
    from textpipe.serve.access import TokenAuth

    if not models.is_dir():
        raise ConfigError(f"{models}: expected a folder of models (NAME/VERSION/saved_model.pb), found none")
    if bool(tls_cert) != bool(tls_key):
        raise ConfigError("--tls-cert and --tls-key belong together; give both")
    if log_texts and not access_log:
        raise ConfigError("--log-texts: there is no log to write texts to; add --access-log")
    if rest_port < 0 and grpc_port < 0:
        raise ConfigError("--rest-port -1 --grpc-port -1: no door would be open; leave one of them")
    if tls_cert and tls_key:
        tls.check(tls_cert, tls_key)
    policies, named, gate, most = (
        read_policies(versions),
        read_labels(labels),
        TokenAuth.read(token_file),
        read_limits(limits),
    )
    policy = policies.pop("", read_policy("latest"))
    rest, remote = (None if port < 0 else port for port in (rest_port, grpc_port))
    threads.limit_intra_op()
    onednn.for_answering()
    try:
        if processes > 1:
            from textpipe.serve import processes as side_by_side

            given = click.get_current_context().meta[__name__]
            if workers is None:
                given = [*given, f"--workers={max(1, threads.num_shards() // processes)}"]
            told = functools.partial(click.echo, err=True)
            raise SystemExit(side_by_side.run(processes, given, host, {"rest": rest, "grpc": remote}, told, grace))
        with without_keras.without_keras():  # which TensorFlow Serving's messages would import by TensorFlow
            from textpipe.serve import server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serving needs {error.name}, which is not installed; pip install 'textpipe[serve]'"
        ) from None
    from textpipe.serve.engine.batch_queue import QueueLimits

    options = server.Options(
        folder=models, host=host, rest_port=rest, grpc_port=remote, shared_ports=beside,
        policy=policy, policies=policies, labels=named, auth=gate, tls_cert=tls_cert, tls_key=tls_key,
        option_limits=most, trust_models=trust_models,
        limits=QueueLimits(workers or threads.num_shards(), batch, queue), deadline_seconds=deadline, max_body_bytes=max_body, max_rows=max_rows,
        max_text_bytes=max_text, grace_seconds=grace, poll_seconds=poll, access_log=access_log, log_texts=log_texts,
    )  # fmt: skip
    sys.setswitchinterval(SWITCH)
    with stderr.loggers("uvicorn.error"), asyncio.Runner(loop_factory=new_loop()) as runner:
        if not runner.run(server.Server(options, lambda text: click.echo(text, err=True), leave).run()):
            leave(0)


def leave(code: int) -> None:
    """Ends the process, whatever its threads are at."""
    import os

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def new_loop() -> Any:
    """uvloop's where it is installed, else None: asyncio's own."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def read_policies(given: tuple[str, ...]) -> dict[str, Any]:
    """("latest:2", "mail=3,5") -> {"": VersionPolicy, "mail": VersionPolicy}; raises ConfigError for what is none or said twice."""
    from textpipe.errors import ConfigError

    found: dict[str, Any] = {}
    for text in given:
        model, _, which = text.rpartition("=")
        if model in found:
            raise ConfigError(f"--versions {text}: {model or 'all models'} twice; say it once")
        found[model] = read_policy(which)
    return found


def read_policy(text: str) -> Any:
    """latest, latest:2, all, 3,5 -> VersionPolicy; raises ConfigError for anything else."""
    from textpipe.errors import ConfigError
    from textpipe.serve.engine.model_state import VersionPolicy

    kind, _, count = text.partition(":")
    if kind == "latest" and (not count or number_of(count)):
        return VersionPolicy("latest", number_of(count) or 1)
    if text == "all":
        return VersionPolicy("all")
    numbers = [number_of(number.strip()) for number in text.split(",")]
    known = tuple(number for number in numbers if number is not None)
    if len(known) == len(numbers):
        return VersionPolicy("specific", numbers=known)
    raise ConfigError(f"--versions {text}: expected latest, latest:N, all or numbers, for example --versions 3,5")


def read_labels(given: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """("mail:stable=3",) -> {"mail": {"stable": 3}}; raises ConfigError for what is none."""
    from textpipe.errors import ConfigError

    found: dict[str, dict[str, int]] = {}
    for text in given:
        name, colon, rest = text.partition(":")
        label, equals, number = rest.partition("=")
        wanted = number_of(number)
        if not (name and colon and label and equals) or wanted is None:
            raise ConfigError(f"--label {text}: expected MODEL:LABEL=N, for example --label mail:stable=3")
        found.setdefault(name, {})[label] = wanted
    return found


def read_limits(given: tuple[str, ...]) -> Any:
    """("beam_size=16", "mail:max_length=200") -> OptionLimits; raises ConfigError for what is none or said twice."""
    from textpipe.errors import ConfigError
    from textpipe.serve.engine.search_limits import OptionLimits

    found: dict[str, dict[str, float]] = {"": {}}
    for text in given:
        where, _, number = text.rpartition("=")
        model, _, option = where.rpartition(":")
        try:
            most = float(number)
        except ValueError:
            most = math.nan
        if not option or not math.isfinite(most):
            raise ConfigError(f"--limit {text}: expected [MODEL:]OPTION=MAX, for example --limit beam_size=16")
        if option in found.setdefault(model, {}):
            raise ConfigError(f"--limit {text}: {where} twice; say it once")
        found[model][option] = most
    return OptionLimits(found.pop(""), found)


def number_of(text: str) -> int | None:
    """A version's number, or a count; None for what is none."""
    return int(text) if text.isdecimal() and len(text) < 20 and int(text) < 2**63 else None
