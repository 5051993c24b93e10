"""Several processes work on one study: `textpipe tune PIPELINE --workers N`.

Each is a `textpipe tune --worker`, started by the pipeline's engine, with a log file next to the study; the store's locks keep two of
them from building the same result.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from textpipe import engines
from textpipe.errors import ConfigError, ResourceError
from textpipe.runtime import threads
from textpipe.runtime.engine import Engine, Process
from textpipe.runtime.module_command import module_command
from textpipe.tuning import results
from textpipe.tuning.options import OnTrial, Options
from textpipe.tuning.study import Study

POLL_SECONDS = 0.5
MAX_DEATHS = 4  # processes that die one after another without a trial that ends
STOP_SECONDS = 120.0  # for a process to finish its training step after Ctrl-C
USER_ERROR, RESOURCE_ERROR = ConfigError.exit_code, ResourceError.exit_code


def run(study: Study, overrides: tuple[str, ...], options: Options, on_trial: OnTrial) -> None:
    """Run trials in `options.workers` processes until all of them end. A process that dies is replaced.

    Raises the error that ends a process, and KeyboardInterrupt after all have stopped.
    """
    with contextlib.closing(engines.open(study.pipeline.engine)) as engine:
        watch(study, lambda number: start(engine, study, number, overrides, options), options.workers, on_trial)


def watch(study: Study, start_worker: Callable[[int], Process], workers: int, on_trial: OnTrial) -> None:
    """Start workers 1, 2, ... and replace those that die, until all have ended."""
    running = {number: start_worker(number) for number in range(1, workers + 1)}
    shown = set(map(identity, results.read(study).ended))
    deaths = 0
    try:
        while running:
            time.sleep(POLL_SECONDS)
            shown, progressed = show(study, shown, on_trial)
            deaths = 0 if progressed else deaths
            for number, process in list(running.items()):
                code = process.poll()
                if code is None:
                    continue
                del running[number]
                if code < 0 and deaths < MAX_DEATHS:
                    deaths += 1
                    running[number] = start_worker(number)
                elif code:
                    raise failure(study, number, code)
        show(study, shown, on_trial)
    finally:
        stop(list(running.values()))


def identity(trial: results.Trial) -> str:
    """What tells an ended trial from others: numbers move up when a trial is lost."""
    return repr((trial.state, trial.value, trial.seconds, trial.settings))


def show(study: Study, shown: set[str], on_trial: OnTrial) -> tuple[set[str], bool]:
    """Call on_trial for trials that have ended since."""
    outcome = results.read(study)
    fresh = [trial for trial in outcome.ended if identity(trial) not in shown]
    for trial in fresh:
        on_trial(outcome, trial)
    return shown | set(map(identity, fresh)), bool(fresh)


def start(engine: Engine, study: Study, number: int, overrides: tuple[str, ...], options: Options) -> Process:
    """Start a process, with its share of the cores; its own stages run inline."""
    words = [*module_command("textpipe"), "tune", study.pipeline.place, "--worker", "--name", study.place.name]
    words += ["--artifacts", str(options.artifacts)]
    words += [word for override in overrides for word in ("-s", override)]
    words += ["--storage", options.storage] if options.storage else []
    words += ["--engine", engines.DEFAULT]
    share = str(max(1, threads.num_cores() // options.workers))
    environment = {threads.VARIABLE: os.environ.get(threads.VARIABLE, share), threads.SHARE: share}
    return engine.start(words, environment, log_file(study, number).resolve())


def log_file(study: Study, number: int) -> Path:
    """The log of a process."""
    study.place.folder.mkdir(parents=True, exist_ok=True)
    return study.place.folder / f"{study.place.name}.worker-{number}.log"


def failure(study: Study, number: int, code: int) -> Exception:
    """The error that ended a process, from its log."""
    path = log_file(study, number)
    lines = path.read_text(encoding="utf-8", errors="replace").splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith("error: ")]
    message = "\n".join(lines[starts[-1] :]).removeprefix("error: ") if starts else ""
    if code == USER_ERROR and message:
        return ConfigError(message)
    reason = message or f"ended with code {code}"
    return ResourceError(f"worker {number}: {reason}; its log is {path}")


def stop(processes: list[Any]) -> None:
    """Pass Ctrl-C on; processes that do not end after their training step are killed."""
    for process in processes:
        process.send_signal(signal.SIGINT)
    deadline = time.monotonic() + STOP_SECONDS
    try:
        for process in processes:
            process.wait(max(0.1, deadline - time.monotonic()))
    except (subprocess.TimeoutExpired, KeyboardInterrupt):
        for process in processes:
            process.kill()
            process.wait()
