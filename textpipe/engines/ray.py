"""Shards on the machines of a Ray cluster, or on a local Ray.

Every machine needs textpipe with the extra `ray`, and the working folder, the store and the data under the same paths.
"""

import contextlib
import functools
import logging
import os
import signal
import socket
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import Field

from textpipe.config.sections import Section
from textpipe.engines import _worker
from textpipe.engines._scheduler import Died, Scheduler
from textpipe.errors import ResourceError
from textpipe.runtime import extras, threads
from textpipe.runtime.engine import Make, start_here

WAIT_SECONDS = 30.0  # until a message that no worker has started
CONNECT_SECONDS = 10.0  # to reach a cluster
KILL_SECONDS = 10.0  # for a killed command to end
OBJECT_STORE = 200 * 2**20  # bytes of a local Ray's object store, through which items and results pass
PASSED_ON = ("KERAS_BACKEND", "TF_CPP_MIN_LOG_LEVEL", "TF_ENABLE_ONEDNN_OPTS", "TEXTPIPE_DATA", "TEXTPIPE_STORE")

log = logging.getLogger(__name__)


class Config(Section):
    """address: the address of a running cluster ("host:6379", "ray://host:10001" or "auto"); by default RAY_ADDRESS, else a Ray on this
    machine that ends with the run.
    workers: shards, chunks or trials at the same time; by default as many as the cluster has CPUs.
    """

    kind: Literal["ray"] = "ray"
    address: str | None = None
    workers: int | None = Field(default=None, ge=1)
    cpus: float = Field(default=1, gt=0)  # CPUs of the cluster that a worker occupies
    gpus: float = Field(default=0, ge=0)  # GPUs of the cluster that a worker occupies, for bulk and tune


def library() -> Any:
    """Ray. Raises ResourceError if it is not installed."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    return extras.load("ray", "[engine] kind: ray is not installed", "ray")


def check_reachable(address: str) -> None:
    """Raise OSError if nothing accepts connections at host:port or ray://host:port; Ray itself tries such an address for minutes."""
    url = urllib.parse.urlsplit(address if "://" in address else f"ray://{address}")
    if url.scheme == "ray" and url.hostname and url.port:
        socket.create_connection((url.hostname, url.port), CONNECT_SECONDS).close()


def log_messages(ray: Any) -> None:
    """Log what Ray tells about machines, a lost one for example; it prints that to standard output, where results are (2.60)."""

    def write(data: Mapping[str, Any], **_: Any) -> None:
        for line in data["lines"]:
            log.warning("ray: %s", line)

    if hasattr(ray._private.worker, "print_to_stdstream"):  # there is no public setting
        ray._private.worker.print_to_stdstream = write


class RayCommand:
    """A command on a machine of the cluster, run by an actor; as subprocess.Popen."""

    def __init__(self, actor: Any, words: Sequence[str], environment: Mapping[str, str], log: Path):
        self.actor, self.words, self.ray = actor, words, library()
        self.ended = actor.run.remote(list(words), dict(environment), str(log))
        self.code: int | None = None

    def poll(self) -> int | None:
        """The exit code, None while it runs."""
        try:
            return self.wait(0)
        except subprocess.TimeoutExpired:
            return None

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, -9 if its machine was lost. Raises subprocess.TimeoutExpired."""
        if self.code is None:
            try:
                self.code = self.ray.get(self.ended, timeout=timeout)
            except self.ray.exceptions.GetTimeoutError:
                raise subprocess.TimeoutExpired(list(self.words), timeout or 0) from None
            except self.ray.exceptions.RayError as error:
                log.debug("%s", error)
                self.code = -signal.SIGKILL
            self.ray.kill(self.actor)  # its CPU is free for another command
        return self.code

    def send_signal(self, sig: int) -> None:
        """Send a signal to the command."""
        if self.code is None:
            self.actor.signal.remote(sig)

    def kill(self) -> None:
        """Kill the command, then its actor."""
        if self.code is None:
            self.actor.signal.remote(signal.SIGKILL)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.wait(KILL_SECONDS)
            self.ray.kill(self.actor)


class Ray:
    """Shards run on actors of a cluster, which is joined or started with the first one."""

    parallel = True

    def __init__(self, config: Config):
        self.config = config
        self.scheduler: Scheduler | None = None
        self.connected = False  # by this engine

    @functools.cached_property
    def ray(self) -> Any:
        """The library, which a run without work does not import."""
        return library()

    def connect(self) -> None:
        """Join the cluster, unless this process has. Raises ResourceError if there is none at the address."""
        if self.ray.is_initialized():
            return
        address = self.config.address or os.environ.get("RAY_ADDRESS")
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR}
        log_messages(self.ray)
        if address:
            try:
                check_reachable(address)
                self.ray.init(address=address, **quiet)
            except (OSError, RuntimeError, ValueError) as error:
                reason = str(error).partition("\n")[0]
                raise ResourceError(
                    f"[engine] address {address}: no Ray cluster answers ({reason}); start one with `ray start --head`, or leave "
                    "address and RAY_ADDRESS out to use this machine"
                ) from None
        else:
            cores = self.config.workers or threads.num_cores()
            cpus = max(1, round(cores * self.config.cpus))
            self.ray.init(num_cpus=cpus, object_store_memory=OBJECT_STORE, include_dashboard=False, **quiet)
        self.connected = True

    def map(self, make: Make, items: Iterable[Any]) -> Iterator[Any]:
        """make()(item) for each item, in order."""
        if self.scheduler is None:
            self.connect()
            self.scheduler = Scheduler(RayLauncher(self.config), self.size())
        return self.scheduler.map(make, items)

    def start(self, words: Sequence[str], environment: Mapping[str, str], log: Path) -> RayCommand:
        """Start a command on a machine of the cluster; its output is appended to a log file, which all machines see."""
        self.connect()
        actors = self.ray.remote(CommandActor).options(**resources(self.config), max_concurrency=2)
        actor = actors.remote(os.getcwd(), sys.path, passed_on())
        return RayCommand(actor, words, environment, log)

    def size(self) -> int:
        """The number of workers."""
        total = int(self.ray.cluster_resources().get("CPU", 1) / self.config.cpus)
        return self.config.workers or max(1, total)

    def close(self) -> None:
        """End the workers, and leave the cluster if this engine joined it."""
        if self.scheduler is not None:
            self.scheduler.close()
            self.scheduler = None
        if self.connected:
            self.ray.shutdown()
            self.connected = False


class CommandActor:
    """Runs one command, which finds its parent process gone when the actor is killed."""

    def __init__(self, folder: str, path: Sequence[str], environment: Mapping[str, str]):
        _worker.enter(folder, path, environment)
        self.lock = threading.Lock()
        self.process: Any = None
        self.pending_signals: list[int] = []  # signals sent before the process started

    def run(self, words: list[str], environment: dict[str, str], log: str) -> int:
        """The exit code."""
        with self.lock:
            self.process = start_here([sys.executable, *words[1:]], environment, Path(log))
            for sig in self.pending_signals:
                self.process.send_signal(sig)
        return self.process.wait()

    def signal(self, sig: int) -> None:
        """Pass a signal on."""
        with self.lock:
            if self.process is None:
                self.pending_signals.append(sig)
            else:
                self.process.send_signal(sig)


class RayWorker:
    """An actor and its pending answer."""

    def __init__(self, actor: Any, answer: Any):
        self.actor, self.answer, self.started = actor, answer, False


class RayLauncher:
    """Starts actors that run items."""

    def __init__(self, config: Config):
        self.ray = library()
        # Not restarted by Ray: the scheduler gives the item to another worker, also where no CPU is left for a new one.
        self.actor = self.ray.remote(_worker.Worker).options(**resources(config), max_restarts=0)

    def launch(self) -> RayWorker:
        """A worker that is starting."""
        actor = self.actor.remote()
        return RayWorker(actor, actor.prepare.remote(os.getcwd(), sys.path, {threads.VARIABLE: "1", **passed_on()}))

    def submit(self, worker: RayWorker, job: bytes, item: bytes) -> None:
        """Run an item."""
        worker.answer, worker.started = worker.actor.run.remote(job, item), True

    def wait(self, workers: list[RayWorker]) -> list[tuple[RayWorker, bytes | Died]]:
        """The answers of the workers that have one, at least one."""
        by_answer = {worker.answer: worker for worker in workers}
        while True:
            ready, _ = self.ray.wait(list(by_answer), num_returns=1, timeout=WAIT_SECONDS)
            if ready:
                return [(by_answer[answer], self.receive(answer)) for answer in ready]
            if not any(worker.started for worker in workers):
                log.warning("[engine] waiting for the cluster: no worker could start yet; are its CPUs in use?")

    def receive(self, answer: Any) -> bytes | Died:
        """An answer, or how its worker ended."""
        try:
            return self.ray.get(answer)
        except self.ray.exceptions.RayError as error:
            return Died(" ".join(str(error).split())[:300])

    def kill(self, worker: RayWorker) -> None:
        """End a worker."""
        self.ray.kill(worker.actor)


def resources(config: Config) -> dict[str, float]:
    """What a worker occupies, as options of an actor."""
    return {"num_cpus": config.cpus, "num_gpus": config.gpus}


def passed_on() -> dict[str, str]:
    """The environment that results or messages depend on, for the workers."""
    return {name: os.environ[name] for name in PASSED_ON if name in os.environ}


def open(config: Config) -> Ray:
    """The engine; nothing starts before the first shard."""
    return Ray(config)
