"""Where a study is stored, and which process works on a trial.

A process that works on trials holds the lock of a file next to the studies; a trial names that file. Once nobody holds the
lock, or for a storage shared by several machines once its sign of life is old, the trial was lost.
"""

import contextlib
import fcntl
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError
from textpipe.runtime import extras

FOLDER = "studies"  # in the store
BEAT_SECONDS = 60.0  # between two signs of life of a trial
LOST_SECONDS = 300.0  # a trial of another machine without a sign of life for so long was lost
OWNER, BEAT = "owner", "beat"  # attributes of a trial


def library() -> Any:
    """Optuna, without its own messages. Raises ResourceError if it is not installed."""
    optuna = extras.load("optuna", "tune needs Optuna, which is not installed", "tune")
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    return optuna


class Place:
    """The storage of a study: an SQLite file in the store, or `url`, and the folder of its locks.

    url: any database URL of Optuna, or the path of a journal file, `journal:///PATH`.
    """

    def __init__(self, artifacts: Path, name: str, url: str | None):
        self.folder, self.name = artifacts / FOLDER, name
        self.shared = url is not None
        self.url = url or f"sqlite:///{self.folder / name}.db"

    def connect(self) -> Any:
        """The Optuna storage. Raises ConfigError for a URL that cannot be opened."""
        optuna = library()
        self.folder.mkdir(parents=True, exist_ok=True)
        try:
            if self.url.startswith("journal://"):
                from optuna.storages import JournalStorage
                from optuna.storages.journal import JournalFileBackend

                return JournalStorage(JournalFileBackend(self.url.removeprefix("journal://")))
            waits = {"connect_args": {"timeout": 120}} if self.url.startswith("sqlite:") else {"pool_pre_ping": True}
            return optuna.storages.RDBStorage(self.url, engine_kwargs=waits)
        except Exception as error:
            first = (str(error).strip().splitlines() or [type(error).__name__])[0]
            cure = (
                "give a database URL such as mysql+pymysql://USER@HOST/DB, or journal:///PATH" if self.shared
                else "delete the file, or give another --name"
            )  # fmt: skip
            raise ConfigError(f"{self.public_url}: the study cannot be opened: {first}; {cure}") from None

    @property
    def public_url(self) -> str:
        """The URL without a password."""
        scheme, separator, rest = self.url.partition("://")
        login, at, host = rest.rpartition("@")
        return f"{scheme}{separator}{login.partition(':')[0]}{at}{host}"

    @contextlib.contextmanager
    def lock(self) -> Iterator[None]:
        """Held while a trial is chosen, so that the workers of a machine do not choose the same."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with open(self.folder / f"{self.name}.lock", "a", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    @contextlib.contextmanager
    def owner(self) -> Iterator[str]:
        """The name of this process as the owner of trials, with its lock held."""
        self.folder.mkdir(parents=True, exist_ok=True)
        path = self.folder / f"{self.name}.{uuid.uuid4().hex}.worker"
        with open(path, "w", encoding="utf-8") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield path.name
            finally:
                path.unlink(missing_ok=True)

    def is_lost(self, attributes: dict[str, Any]) -> bool:
        """Whether the process that works on a trial with these attributes has ended."""
        path = self.folder / str(attributes.get(OWNER, ""))
        if not path.is_file():
            return not self.shared or time.time() - attributes.get(BEAT, 0) > LOST_SECONDS
        with open(path, "a", encoding="utf-8") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        path.unlink(missing_ok=True)
        return True

    @contextlib.contextmanager
    def heartbeats(self, trial: Any) -> Iterator[None]:
        """While open, a trial of a shared storage says at intervals that it is being worked on."""
        if not self.shared:
            yield
            return
        done = threading.Event()

        def beat() -> None:
            while not done.wait(BEAT_SECONDS):
                with contextlib.suppress(Exception):  # the next one may arrive
                    trial.set_user_attr(BEAT, time.time())

        trial.set_user_attr(BEAT, time.time())
        thread = threading.Thread(target=beat, daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
