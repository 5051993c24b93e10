"""The models below a folder: which versions serve, which are coming, and why others do not.

    folder/NAME/3/saved_model.pb

A thread looks each second. A version that appears is read, compared with its manifest, and asked (serve/engine/warmup.py) before any
caller sees it; only then the one it replaces is let go, after the calls it has taken. What is half copied or damaged
never serves: the version before stays, and status says why.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path

from textpipe.errors import TextpipeError
from textpipe.runtime import gc
from textpipe.serve.engine import model_folder as disk
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

GC_INTERVAL = 10.0  # seconds between two clean-ups
MAX_ENDED_VERSIONS = 8  # versions that ended, of which status still tells


class Repository:
    """Keeps `shelves` as the folder says; everything public may be called from any thread.

    policy: of every model that `policies` does not name; limits: of models' options; trust: whether models may read and
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
        self.given, self.folder = folder, folder.resolve()
        self.limits, self.trust = limits, trust
        self.policy, self.policies = policy, dict(policies or {})
        self.labels = {name: dict(given) for name, given in (labels or {}).items()}
        self.check = check
        self.poll_seconds = poll_seconds
        self.shelves: dict[str, ModelState] = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None
        self.ended, self.settled = False, 0.0
        self.said: dict[str, str] = {}

    def start(self) -> None:
        """Loads what is there, then watches."""
        self.look()
        self.settle()
        self.thread = threading.Thread(target=self.watch, name="repository", daemon=True)
        self.thread.start()

    def stop(self, patience: float | None = None) -> bool:
        """Waits for a load that is under way, so many seconds; whether it came to its end."""
        self.stopping.set()
        if self.thread:
            self.thread.join(patience)
        return self.thread is None or not self.thread.is_alive()

    def watch(self) -> None:
        while not self.stopping.wait(self.poll_seconds):
            self.look()
            if self.ended and time.monotonic() > self.settled + GC_INTERVAL:
                self.settle()

    def settle(self) -> None:
        """Gives back what versions that ended still hold; requests wait meanwhile, so not after each of many."""
        self.ended = False
        gc.freeze_gc()
        self.settled = time.monotonic()

    # What a caller asks

    def hold(self, name: str, version: int | None = None, label: str | None = None) -> Hold:
        """The version a request means, in memory until the end of a with statement; raises Fault when there is none."""
        with self.lock:
            return self.find(name, version, label).hold()

    def meant(self, name: str, version: int | None, label: str | None) -> tuple[ModelState | None, int | None]:
        """A model's shelf, and the version by number where it was given by label."""
        shelf = self.shelves.get(name)
        if label is None:
            return shelf, version
        if shelf is None or label not in shelf.labels:
            raise invalid_argument(f"Unrecognized servable version label: {label}")
        return shelf, shelf.labels[label]

    def find(self, name: str, version: int | None, label: str | None) -> Version:
        shelf, version = self.meant(name, version, label)
        serving = shelf.serving() if shelf else []
        number = version if version is not None else max(serving, default=None)
        if shelf is None or number not in serving:
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise ServingError("NOT_FOUND", f"Servable not found for request: {which}")
        found = shelf.slots[number].version
        assert found is not None
        return found

    def status(self, name: str, version: int | None = None, label: str | None = None) -> list[dict]:
        """TensorFlow Serving's model_version_status, newest first; raises Fault for a model nobody ever saw."""
        with self.lock:
            shelf, version = self.meant(name, version, label)
            slots = [] if shelf is None else [slot for slot in shelf.slots.values() if version in (None, slot.number)]
            fault = shelf.fault if shelf else ""
        if fault and not slots and version is None:  # no version is known, for its folder cannot be read
            slots = [VersionState(0, self.folder / name, END, fault)]
        if not slots:
            missing = f"version {version} of model {name}" if version is not None else f"any versions of model {name}"
            raise ServingError("NOT_FOUND", f"Could not find {missing}")
        slots.sort(key=lambda slot: -slot.number)
        faults = [slot.fault or fault for slot in slots]
        return [
            {
                "version": str(slot.number),
                "state": slot.state,
                "status": {"error_code": "UNKNOWN" if why else "OK", "error_message": why},
            }
            for slot, why in zip(slots, faults, strict=True)
        ]

    def names(self) -> list[str]:
        with self.lock:
            return sorted(name for name, shelf in self.shelves.items() if shelf.wanted or shelf.serving())

    def ready(self) -> bool:
        """Whether every model that the folder has serves a version, and there is one."""
        with self.lock:
            wanted = [shelf for shelf in self.shelves.values() if shelf.wanted]
            return bool(wanted) and all(shelf.serving() for shelf in wanted)

    # What the folder says

    def look(self) -> None:
        """One look at the folder: loads what is new and wanted, then lets go what is not; never raises."""
        try:
            with self.lock:
                known = frozenset(self.shelves)
            listings = disk.scan(self.folder, known)
        except OSError as error:
            self.say("", f"the folder of models cannot be read ({disk.error_text(error)}); what is loaded serves on")
            return
        self.say("", "")
        for name, listing in listings.items():
            try:
                self.update(name, listing)
            except Exception as error:  # whatever is wrong with one model, the others are looked at
                self.say(f"{name}/", f"{name}: cannot be looked at ({type(error).__name__}: {error})")
            else:
                self.say(f"{name}/", "")
        with self.lock:
            gone = [shelf for name, shelf in self.shelves.items() if name not in listings]
        for shelf in gone:
            shelf.wanted, shelf.fault = False, ""
            self.let_go(shelf, [])

    def say(self, name: str, message: str) -> None:
        """To the log, once for each change."""
        if message != self.said.get(name, ""):
            self.said[name] = message
            if message:
                log.error("%s", message)

    def update(self, name: str, listing: disk.Listing) -> None:
        """Makes a model's shelf as its listing says."""
        found = listing.versions
        with self.lock:
            if name not in self.shelves and not (found or listing.faults or listing.fault):
                return
            shelf = self.shelves.setdefault(name, ModelState(name, labels=self.labels.get(name, {})))
            shelf.fault = listing.fault
            if found or not (listing.fault or listing.faults):
                shelf.wanted = bool(found)
            # What serves stays as it is while its folder cannot be looked at.
            kept = [number for number in listing.faults if number in shelf.serving()]
        self.say(name, listing.fault and f"{name}: {listing.fault}")
        if listing.fault:
            return
        wanted = self.policies.get(name, self.policy).wanted(sorted([*found, *kept]))
        labelled = {number for number in shelf.labels.values() if number in found}
        for number in sorted(labelled.union(wanted)):
            slot = shelf.slots.get(number)
            if number in found and (slot is None or slot.state == END):
                self.bring(shelf, number, found[number], slot)
        for number, reason in listing.faults.items():
            slot = shelf.slots.get(number)
            if slot is None or (slot.state == END and slot.fault != reason):
                failed = VersionState(number, self.folder / name / str(number))
                with self.lock:
                    shelf.slots[number] = failed
                self.fail(failed, f"version {number} of {name} {reason}", reason)
        self.let_go(shelf, wanted)

    def bring(self, shelf: ModelState, number: int, path: Path, before: VersionState | None) -> None:
        """Loads a version and asks it before anybody else can; one that failed `before` only when its files changed."""
        slot, stray = VersionState(number, path, LOADING), ""
        try:
            slot.seen = disk.fingerprint(path)
            if before is not None and before.fault and before.seen == slot.seen:
                return
            stray = disk.find_unsafe_file(path)
        except OSError as error:
            stray = f"cannot be read ({disk.error_text(error)})"
            if before is not None and before.fault == stray:
                return
        with self.lock:
            shelf.slots[number] = slot
        if stray:
            self.fail(slot, f"{path}: {stray}", stray)
            return
        try:
            version = Version.load(shelf.name, number, path, self.limits, trust=self.trust)
            self.check(version)
        except TextpipeError as error:
            self.fail(slot, str(error))
        except Exception as error:  # what a damaged graph raises is TensorFlow's choice
            self.fail(slot, f"{path}: {type(error).__name__}: {error}")
        else:
            with self.lock:
                slot.version, slot.state = version, AVAILABLE
            log.info("%s version %d serves", shelf.name, number)

    def fail(self, slot: VersionState, message: str, told: str | None = None) -> None:
        """message: for the log; told: what status says, by default the message without this server's paths."""
        with self.lock:
            slot.state, slot.fault = END, told or without_paths(message, self.folder, self.given.absolute())
        log.error("%s", message)

    def let_go(self, shelf: ModelState, wanted: list[int]) -> None:
        """Ends versions that neither the policy nor a label wants, once what the policy wants serves."""
        with self.lock:
            serving = shelf.serving()
            if wanted and not set(wanted) & set(serving):
                return
            kept = set(wanted) | set(shelf.labels.values()) if wanted else set()
            ending = [shelf.slots[number] for number in serving if number not in kept]
            for slot in ending:
                slot.state = UNLOADING
        for slot in ending:
            name = f"unload {shelf.name} {slot.number}"
            threading.Thread(target=self.end, args=(shelf, slot), name=name, daemon=True).start()

    def end(self, shelf: ModelState, slot: VersionState) -> None:
        """After the last call it took, a version leaves memory."""
        assert slot.version is not None
        slot.version.retire()
        with self.lock:
            slot.version, slot.state = None, END
            ended = sorted(number for number, other in shelf.slots.items() if other.state == END)
            for number in ended[:-MAX_ENDED_VERSIONS]:
                del shelf.slots[number]
        self.ended = True
        log.info("%s version %d ended", shelf.name, slot.number)
