"""The models below a folder: which versions serve, which are loading, and why others do not.

    folder/NAME/3/saved_model.pb

A thread polls the folder. A new version is loaded, verified against its manifest, and tested (serve/engine/warmup.py) before
it serves; only then is the version it replaces unloaded, once its running requests are done. A half-copied or damaged version
never serves: the previous one stays, and status reports why.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from textpipe.errors import TextpipeError
from textpipe.runtime import gc
from textpipe.serve.engine import model_folder
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_state import (
    AVAILABLE,
    END,
    LOADING,
    UNLOADING,
    ModelState,
    VersionPolicy,
    VersionState,
)
from textpipe.serve.engine.model_version import Hold, Version
from textpipe.serve.engine.redaction import without_paths
from textpipe.serve.engine.search_limits import OptionLimits

log = logging.getLogger(__name__)

GC_INTERVAL = 10.0  # seconds
MAX_ENDED_VERSIONS = 8  # ended versions of a model that status still lists


class Repository:
    """Keeps `models` in step with the folder; all public methods are thread-safe.

    policy: of every model that is not in `policies`; limits: of models' options; trust: whether models may read and
    write files.
    """

    def __init__(
        self,
        folder: Path,
        *,
        policy: VersionPolicy = VersionPolicy(),
        policies: Mapping[str, VersionPolicy] | None = None,
        labels: Mapping[str, Mapping[str, int]] | None = None,
        check: Callable[[Version], None] = lambda version: None,
        poll_seconds: float = 1.0,
        limits: OptionLimits = OptionLimits(),
        trust: bool = False,
    ):
        self.unresolved_folder, self.folder = folder, folder.resolve()
        self.limits, self.trust = limits, trust
        self.policy, self.policies = policy, dict(policies or {})
        self.labels = {name: dict(versions) for name, versions in (labels or {}).items()}
        self.check = check
        self.poll_seconds = poll_seconds
        self.models: dict[str, ModelState] = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None
        self.has_garbage, self.collected_at = False, 0.0
        self.logged: dict[str, str] = {}

    def start(self) -> None:
        """Loads the models, then polls the folder in a thread."""
        self.refresh()
        self.collect_garbage()
        self.thread = threading.Thread(target=self.poll, name="repository", daemon=True)
        self.thread.start()

    def stop(self, timeout: float | None = None) -> bool:
        """Waits up to `timeout` seconds for a running load; returns whether it ended."""
        self.stopping.set()
        if self.thread:
            self.thread.join(timeout)
        return self.thread is None or not self.thread.is_alive()

    def poll(self) -> None:
        while not self.stopping.wait(self.poll_seconds):
            self.refresh()
            if self.has_garbage and time.monotonic() > self.collected_at + GC_INTERVAL:
                self.collect_garbage()

    def collect_garbage(self) -> None:
        """Frees the memory of unloaded versions. Requests wait meanwhile, so this does not run after each of many."""
        self.has_garbage = False
        gc.freeze_gc()
        self.collected_at = time.monotonic()

    # Lookups by requests

    def hold(self, name: str, version: int | None = None, label: str | None = None) -> Hold:
        """The requested version, in memory until the end of a with statement; raises ServingError when there is none."""
        with self.lock:
            return self.find(name, version, label).hold()

    def resolve(self, name: str, version: int | None, label: str | None) -> tuple[ModelState | None, int | None]:
        """A model's state, and the version's number, looked up if it was given by label."""
        model = self.models.get(name)
        if label is None:
            return model, version
        if model is None or label not in model.labels:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return model, model.labels[label]

    def find(self, name: str, version: int | None, label: str | None) -> Version:
        model, version = self.resolve(name, version, label)
        number = version if version is not None else model.latest() if model else None
        if model is None or number is None or not model.serves(number):
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {which}")
        loaded = model.versions[number].loaded
        assert loaded is not None
        return loaded

    def status(self, name: str, version: int | None = None, label: str | None = None) -> list[dict]:
        """TensorFlow Serving's model_version_status, newest first; raises ServingError for an unknown model."""
        with self.lock:
            model, version = self.resolve(name, version, label)
            states = [] if model is None else [v for v in model.versions.values() if version in (None, v.number)]
            model_error = model.error if model else ""
        if model_error and not states and version is None:  # the folder is unreadable, so no version is known
            states = [VersionState(0, self.folder / name, END, model_error)]
        if not states:
            missing = f"version {version} of model {name}" if version is not None else f"any versions of model {name}"
            raise ServingError("NOT_FOUND", f"Could not find {missing}")
        states.sort(key=lambda state: -state.number)
        errors = [state.error or model_error for state in states]
        return [
            {
                "version": str(state.number),
                "state": state.state,
                "status": {"error_code": "UNKNOWN" if error else "OK", "error_message": error},
            }
            for state, error in zip(states, errors, strict=True)
        ]

    def names(self) -> list[str]:
        with self.lock:
            return sorted(name for name, model in self.models.items() if model.on_disk or model.serving())

    def ready(self) -> bool:
        """Whether the folder has models, and each of them serves a version."""
        with self.lock:
            expected = [model for model in self.models.values() if model.on_disk]
            return bool(expected) and all(model.serving() for model in expected)

    # Following the folder

    def refresh(self) -> None:
        """Reads the folder once: loads new versions, then unloads those no longer wanted; never raises."""
        try:
            with self.lock:
                known = frozenset(self.models)
            listings = model_folder.scan(self.folder, known)
        except OSError as error:
            reason = model_folder.error_text(error)
            self.log_change("", f"the folder of models cannot be read ({reason}); loaded models continue to serve")
            return
        self.log_change("", "")
        for name, listing in listings.items():
            try:
                self.update(name, listing)
            except Exception as error:  # an error of one model must not stop the others
                self.log_change(f"{name}/", f"{name}: cannot be read ({type(error).__name__}: {error})")
            else:
                self.log_change(f"{name}/", "")
        with self.lock:
            removed = [model for name, model in self.models.items() if name not in listings]
        for model in removed:
            model.on_disk, model.error = False, ""
            self.unload_others(model, [])

    def log_change(self, key: str, message: str) -> None:
        """Logs an error when it differs from the previous one of the same key; '' resets it."""
        if message != self.logged.get(key, ""):
            self.logged[key] = message
            if message:
                log.error("%s", message)

    def update(self, name: str, listing: model_folder.Listing) -> None:
        """Brings a model's state in line with its listing."""
        paths = listing.versions
        with self.lock:
            if name not in self.models and not (paths or listing.errors or listing.error):
                return
            model = self.models.setdefault(name, ModelState(name, labels=self.labels.get(name, {})))
            model.error = listing.error
            if paths or not (listing.error or listing.errors):
                model.on_disk = bool(paths)
            # Serving versions stay while their folder cannot be read.
            unreadable = [number for number in listing.errors if number in model.serving()]
        self.log_change(name, listing.error and f"{name}: {listing.error}")
        if listing.error:
            return
        selected = self.policies.get(name, self.policy).select(sorted([*paths, *unreadable]))
        labelled = {number for number in model.labels.values() if number in paths}
        for number in sorted(labelled.union(selected)):
            state = model.versions.get(number)
            if number in paths and (state is None or state.state == END):
                self.load(model, number, paths[number], state)
        for number, reason in listing.errors.items():
            state = model.versions.get(number)
            if state is None or (state.state == END and state.error != reason):
                failed = VersionState(number, self.folder / name / str(number))
                with self.lock:
                    model.versions[number] = failed
                self.fail(failed, f"version {number} of {name} {reason}", reason)
        self.unload_others(model, selected)

    def load(self, model: ModelState, number: int, path: Path, previous: VersionState | None) -> None:
        """Loads and tests a version before it serves; one that failed before is tried again only when its files changed."""
        state, unsafe = VersionState(number, path, LOADING), ""
        try:
            state.fingerprint = model_folder.fingerprint(path)
            if previous is not None and previous.error and previous.fingerprint == state.fingerprint:
                return
            unsafe = model_folder.find_unsafe_file(path)
        except OSError as error:
            unsafe = f"cannot be read ({model_folder.error_text(error)})"
            if previous is not None and previous.error == unsafe:
                return
        with self.lock:
            model.versions[number] = state
        if unsafe:
            self.fail(state, f"{path}: {unsafe}", unsafe)
            return
        try:
            version = Version.load(model.name, number, path, self.limits, trust=self.trust)
            self.check(version)
        except TextpipeError as error:
            self.fail(state, str(error))
        except Exception as error:  # TensorFlow may raise anything for a damaged graph
            self.fail(state, f"{path}: {type(error).__name__}: {error}")
        else:
            with self.lock:
                state.loaded, state.state = version, AVAILABLE
            log.info("%s version %d is serving", model.name, number)

    def fail(self, state: VersionState, message: str, public: str | None = None) -> None:
        """message: for the log; public: for status, by default the message without the server's paths."""
        with self.lock:
            state.state = END
            state.error = public or without_paths(message, self.folder, self.unresolved_folder.absolute())
        log.error("%s", message)

    def unload_others(self, model: ModelState, selected: list[int]) -> None:
        """Unloads versions that are neither selected nor labelled, once a selected version serves."""
        with self.lock:
            serving = model.serving()
            if selected and not set(selected) & set(serving):
                return
            kept_versions = set(selected) | set(model.labels.values()) if selected else set()
            ending = [model.versions[number] for number in serving if number not in kept_versions]
            for state in ending:
                state.state = UNLOADING
        for state in ending:
            name = f"unload {model.name} {state.number}"
            threading.Thread(target=self.unload, args=(model, state), name=name, daemon=True).start()

    def unload(self, model: ModelState, state: VersionState) -> None:
        """Frees a version after its last request."""
        assert state.loaded is not None
        state.loaded.wait_until_released()
        with self.lock:
            state.loaded, state.state = None, END
            ended = sorted(number for number, version in model.versions.items() if version.state == END)
            for number in ended[:-MAX_ENDED_VERSIONS]:
                del model.versions[number]
        self.has_garbage = True
        log.info("%s version %d is unloaded", model.name, state.number)
