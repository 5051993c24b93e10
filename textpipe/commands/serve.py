"""textpipe serve"""

import contextlib
import math
import sys
from pathlib import Path
from typing import Any

import click

SWITCH_INTERVAL = 0.0005  # seconds until a thread yields the interpreter to one that holds a finished answer


class ArgumentsCommand(click.Command):
    """Keeps the raw arguments, to start further processes with them."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.meta[__name__] = list(args)
        return super().parse_args(ctx, args)


@click.command(cls=ArgumentsCommand)
@click.argument("models", type=click.Path(path_type=Path))
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all interfaces."
)
@click.option(
    "--rest-port",
    type=int,
    default=8501,
    show_default=True,
    help="Port of the REST API; 0 picks a free one, -1 disables it.",
)
@click.option(
    "--grpc-port",
    type=int,
    default=8500,
    show_default=True,
    help="Port of the gRPC API; 0 picks a free one, -1 disables it.",
)
@click.option(
    "--versions",
    multiple=True,
    metavar="[MODEL=]WHICH",
    help="Versions to serve: latest, latest:N, all, or numbers (3,5); for one model, or for all others.  [default: latest]",
)
@click.option(
    "--label",
    "labels",
    multiple=True,
    metavar="MODEL:LABEL=N",
    help="Label for a version; a labelled version stays loaded.",
)
@click.option(
    "--limit",
    "limits",
    multiple=True,
    metavar="[MODEL:]OPTION=MAX",
    help="Maximum that a caller may set an option to, e.g. beam_size=16.",
)
@click.option("--trust-models", is_flag=True, help="Serve even models that access files, processes or the network.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path),
    help="File of accepted bearer tokens, one per line. Reloaded on SIGHUP.",
)
@click.option(
    "--tls-cert", type=click.Path(path_type=Path), help="Certificate chain (PEM) for REST and gRPC. Reloaded on SIGHUP."
)
@click.option("--tls-key", type=click.Path(path_type=Path), help="Private key of the certificate (PEM).")
@click.option(
    "--workers",
    type=click.IntRange(1),
    help="Concurrent TensorFlow calls, plus two for full batches.  [default: one per core, at most 4]",
)
@click.option(
    "--processes",
    type=click.IntRange(1),
    default=1,
    show_default=True,
    help="Server processes on the same ports, each with its own copy of the models.",
)
@click.option("--beside", is_flag=True, hidden=True, help="This process is one of several.")
@click.option("--batch", type=click.IntRange(1), default=64, show_default=True, help="Maximum rows per batch.")
@click.option(
    "--queue",
    type=click.IntRange(1),
    default=2048,
    show_default=True,
    help="Maximum rows in the queue; further requests get 429.",
)
@click.option(
    "--deadline",
    type=click.FloatRange(0, min_open=True),
    default=60.0,
    show_default=True,
    help="Maximum seconds per request.",
)
@click.option(
    "--max-body", type=click.IntRange(1), default=16 << 20, show_default=True, help="Maximum bytes per request."
)
@click.option("--max-rows", type=click.IntRange(1), default=1024, show_default=True, help="Maximum rows per request.")
@click.option("--max-text", type=click.IntRange(1), default=1 << 20, show_default=True, help="Maximum bytes per text.")
@click.option(
    "--grace",
    type=click.FloatRange(0),
    default=30.0,
    show_default=True,
    help="Seconds to finish open requests at shutdown.",
)
@click.option(
    "--poll",
    type=click.FloatRange(0, min_open=True),
    default=1.0,
    show_default=True,
    help="Seconds between scans of MODELS for new versions.",
)
@click.option("--access-log", is_flag=True, help="Log each request to stderr as a JSON object.")
@click.option("--log-texts", is_flag=True, help="Include the texts in the access log; they may be private.")
@click.option(
    "--feedback-log",
    type=click.Path(path_type=Path),
    help="Append users' feedback on suggested replies to this file (JSON lines), with the texts they answer; they may be private.",
)
@click.option(
    "--feedback-limit",
    type=click.IntRange(1),
    default=100_000_000,
    show_default=True,
    help="Maximum bytes of the feedback log; further requests get 507.",
)
def command(
    models: Path, host: str, rest_port: int, grpc_port: int, versions: tuple[str, ...], labels: tuple[str, ...],
    limits: tuple[str, ...], trust_models: bool, token_file: Path | None, tls_cert: Path | None, tls_key: Path | None, workers: int | None, processes: int, beside: bool, batch: int, queue: int,
    deadline: float, max_body: int, max_rows: int, max_text: int, grace: float, poll: float, access_log: bool, log_texts: bool,
    feedback_log: Path | None, feedback_limit: int,
) -> None:  # fmt: skip
    """Serve exported models over REST and gRPC.

    The APIs are those of TensorFlow Serving; a web page to try the models is included. MODELS is a folder of
    NAME/VERSION/ directories, as `textpipe run` writes it. New versions are loaded without interrupting requests.
    """
    import asyncio
    import functools
    import signal

    with contextlib.suppress(ValueError):  # not the main thread
        signal.signal(signal.SIGHUP, signal.SIG_IGN)  # until the server can reload its files
    from textpipe.errors import ConfigError
    from textpipe.runtime import lazy_tensorflow, malloc, onednn, stderr, threads
    from textpipe.serve import tls
    from textpipe.serve.access import TokenAuth

    if not models.is_dir():
        default = "; did you mean 'saved_models'?" if Path("saved_models").is_dir() else ""
        found = "a file" if models.is_file() else "no folder"
        raise ConfigError(
            f"{models}: expected a folder of models (NAME/VERSION/saved_model.pb), found {found}{default}"
        )
    if bool(tls_cert) != bool(tls_key):
        raise ConfigError("--tls-cert and --tls-key must be given together")
    if log_texts and not access_log:
        raise ConfigError("--log-texts: requires --access-log")
    if feedback_log and rest_port < 0:
        raise ConfigError("--feedback-log: requires the REST API; leave out --rest-port -1")
    if rest_port < 0 and grpc_port < 0:
        raise ConfigError("--rest-port -1 --grpc-port -1: both APIs are disabled; enable one of them")
    if tls_cert and tls_key:
        tls.check(tls_cert, tls_key)
    policies, version_labels, gate, option_limits = (
        read_policies(versions),
        read_labels(labels),
        TokenAuth.read(token_file),
        read_limits(limits),
    )
    policy = policies.pop("", read_policy("latest"))
    rest, grpc = (None if port < 0 else port for port in (rest_port, grpc_port))
    threads.limit_intra_op()
    onednn.disable_by_default()
    malloc.limit_arenas()
    try:
        if processes > 1:
            from textpipe.serve import processes as server_processes

            arguments = click.get_current_context().meta[__name__]
            if workers is None:
                arguments = [*arguments, f"--workers={max(1, threads.num_shards() // processes)}"]
            log = functools.partial(click.echo, err=True)
            raise SystemExit(server_processes.run(processes, arguments, host, {"rest": rest, "grpc": grpc}, log, grace))
        lazy_tensorflow.install()  # TensorFlow Serving's messages import TensorFlow
        from textpipe.serve import server
    except ModuleNotFoundError as error:
        raise ConfigError(
            f"serving needs {error.name}, which is not installed; pip install 'textpipe[serve]'"
        ) from None
    from textpipe.serve.engine.batch_queue import QueueLimits

    options = server.Options(
        folder=models, host=host, rest_port=rest, grpc_port=grpc, shared_ports=beside,
        policy=policy, policies=policies, labels=version_labels, auth=gate, tls_cert=tls_cert, tls_key=tls_key,
        option_limits=option_limits, trust_models=trust_models,
        limits=QueueLimits(workers or threads.num_shards(), batch, queue), deadline_seconds=deadline, max_body_bytes=max_body, max_rows=max_rows,
        max_text_bytes=max_text, grace_seconds=grace, poll_seconds=poll, access_log=access_log, log_texts=log_texts,
        feedback_log=feedback_log, feedback_limit=feedback_limit,
    )  # fmt: skip
    sys.setswitchinterval(SWITCH_INTERVAL)
    with stderr.quiet_loggers("uvicorn.error"), asyncio.Runner(loop_factory=event_loop_factory()) as runner:
        if not runner.run(server.Server(options, lambda text: click.echo(text, err=True), exit_now).run()):
            exit_now(0)


def exit_now(code: int) -> None:
    """End the process without waiting for its threads."""
    import os

    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def event_loop_factory() -> Any:
    """uvloop's event loop if installed, else None for asyncio's own."""
    try:
        import uvloop
    except ModuleNotFoundError:
        return None
    return uvloop.new_event_loop


def read_policies(values: tuple[str, ...]) -> dict[str, Any]:
    """("latest:2", "mail=3,5") -> {"": VersionPolicy, "mail": VersionPolicy}; raises ConfigError for invalid or repeated values."""
    from textpipe.errors import ConfigError

    policies: dict[str, Any] = {}
    for text in values:
        model, _, which = text.rpartition("=")
        if model in policies:
            raise ConfigError(f"--versions {text}: given twice for {model or 'all models'}; give it once")
        policies[model] = read_policy(which)
    return policies


def read_policy(text: str) -> Any:
    """latest, latest:2, all, 3,5 -> VersionPolicy; raises ConfigError for anything else."""
    from textpipe.errors import ConfigError
    from textpipe.serve.engine.model_state import VersionPolicy

    kind, _, count = text.partition(":")
    if kind == "latest" and (not count or parse_number(count)):
        return VersionPolicy("latest", parse_number(count) or 1)
    if text == "all":
        return VersionPolicy("all")
    numbers = [parse_number(number.strip()) for number in text.split(",")]
    known = tuple(number for number in numbers if number is not None)
    if len(known) == len(numbers):
        return VersionPolicy("specific", numbers=known)
    raise ConfigError(f"--versions {text}: expected latest, latest:N, all or numbers, for example --versions 3,5")


def read_labels(values: tuple[str, ...]) -> dict[str, dict[str, int]]:
    """("mail:stable=3",) -> {"mail": {"stable": 3}}; raises ConfigError for invalid values."""
    from textpipe.errors import ConfigError

    labels: dict[str, dict[str, int]] = {}
    for text in values:
        name, colon, rest = text.partition(":")
        label, equals, number = rest.partition("=")
        version = parse_number(number)
        if not (name and colon and label and equals) or version is None:
            raise ConfigError(f"--label {text}: expected MODEL:LABEL=N, for example --label mail:stable=3")
        labels.setdefault(name, {})[label] = version
    return labels


def read_limits(values: tuple[str, ...]) -> Any:
    """("beam_size=16", "mail:max_length=200") -> OptionLimits; raises ConfigError for invalid or repeated values."""
    from textpipe.errors import ConfigError
    from textpipe.serve.engine.search_limits import OptionLimits

    limits: dict[str, dict[str, float]] = {"": {}}
    for text in values:
        key, _, number = text.rpartition("=")
        model, _, option = key.rpartition(":")
        try:
            limit = float(number)
        except ValueError:
            limit = math.nan
        if not option or not math.isfinite(limit):
            raise ConfigError(f"--limit {text}: expected [MODEL:]OPTION=MAX, for example --limit beam_size=16")
        if option in limits.setdefault(model, {}):
            raise ConfigError(f"--limit {text}: {key} is given twice; give it once")
        limits[model][option] = limit
    return OptionLimits(limits.pop(""), limits)


def parse_number(text: str) -> int | None:
    """A version number or a count; None if it is not one."""
    return int(text) if text.isdecimal() and len(text) < 20 and int(text) < 2**63 else None
