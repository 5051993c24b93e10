"""The models below a folder: which versions serve, which are coming, and why others do not.

    folder/NAME/3/saved_model.pb

A thread looks each second. A version that appears is read, compared with its manifest, and asked (warm.py) before any
caller sees it; only then the one it replaces is let go, after the calls it has taken. What is half copied or damaged
never serves: the version before stays, and status says why.
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from textpipe import garbage
from textpipe.errors import TextpipeError
from textpipe.serve.faults import Fault, invalid
from textpipe.serve.version import Hold, Version

log = logging.getLogger(__name__)

# TensorFlow Serving's states of a version.
START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"
NUMBER = re.compile(r"[0-9]+")
BETWEEN = 10.0  # seconds between two clean-ups
KEPT = 8  # versions that ended, of which status still tells


@dataclass
class Slot:
    """A version: its state, what went wrong, and when its files last changed."""

    number: int
    path: Path
    state: str = START
    fault: str = ""
    version: Version | None = None
    seen: tuple = ()


@dataclass(frozen=True)
class Policy:
    """Which of the versions on disk are wanted: the latest few, all, or some by number."""

    kind: str = "latest"
    count: int = 1
    numbers: tuple[int, ...] = ()

    def wanted(self, found: list[int]) -> list[int]:
        """Of version numbers in rising order."""
        if self.kind == "all":
            return found
        if self.kind == "specific":
            return [number for number in found if number in self.numbers]
        return found[-self.count :]


@dataclass
class Shelf:
    """A model's slots by version, and its labels."""

    name: str
    slots: dict[int, Slot] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)

    def serving(self) -> list[int]:
        return sorted(number for number, slot in self.slots.items() if slot.state == AVAILABLE)


class Repository:
    """Keeps `shelves` as the folder says; everything public may be called from any thread.

    policy: of every model that `policies` does not name.
    """

    def __init__(
        self,
        folder: Path,
        *,
        policy: Policy = Policy(),
        policies: Mapping[str, Policy] | None = None,
        labels: Mapping[str, Mapping[str, int]] | None = None,
        check: Callable[[Version], None] = lambda version: None,
        poll_seconds: float = 1.0,
    ):
        self.folder = folder.resolve()
        self.policy, self.policies = policy, dict(policies or {})
        self.labels = {name: dict(given) for name, given in (labels or {}).items()}
        self.check = check
        self.poll_seconds = poll_seconds
        self.shelves: dict[str, Shelf] = {}
        self.lock = threading.Lock()
        self.stopping = threading.Event()
        self.thread: threading.Thread | None = None
        self.ended, self.settled = False, 0.0

    def start(self) -> None:
        """Loads what is there, then watches."""
        self.look()
        self.settle()
        self.thread = threading.Thread(target=self.watch, name="repository", daemon=True)
        self.thread.start()

    def stop(self) -> None:
        self.stopping.set()
        if self.thread:
            self.thread.join()

    def watch(self) -> None:
        while not self.stopping.wait(self.poll_seconds):
            try:
                self.look()
            except Exception:  # a server lives on whatever a disk does
                log.exception("the folder of models could not be read")
            if self.ended and time.monotonic() > self.settled + BETWEEN:
                self.settle()

    def settle(self) -> None:
        """Gives back what versions that ended still hold; requests wait meanwhile, so not after each of many."""
        self.ended = False
        garbage.settle()
        self.settled = time.monotonic()

    # What a caller asks

    def hold(self, name: str, version: int | None = None, label: str | None = None) -> Hold:
        """The version a request means, in memory until the end of a with statement; raises Fault when there is none."""
        with self.lock:
            return self.find(name, version, label).hold()

    def meant(self, name: str, version: int | None, label: str | None) -> tuple[Shelf | None, int | None]:
        """A model's shelf, and the version by number where it was given by label."""
        shelf = self.shelves.get(name)
        if label is None:
            return shelf, version
        if shelf is None or label not in shelf.labels:
            raise invalid(f"Unrecognized servable version label: {label}")
        return shelf, shelf.labels[label]

    def find(self, name: str, version: int | None, label: str | None) -> Version:
        shelf, version = self.meant(name, version, label)
        serving = shelf.serving() if shelf else []
        number = version if version is not None else max(serving, default=None)
        if shelf is None or number not in serving:
            which = f"Latest({name})" if version is None else f"Specific({name}, {version})"
            raise Fault("NOT_FOUND", f"Servable not found for request: {which}")
        found = shelf.slots[number].version
        assert found is not None
        return found

    def status(self, name: str, version: int | None = None, label: str | None = None) -> list[dict]:
        """TensorFlow Serving's model_version_status, newest first; raises Fault for a model nobody ever saw."""
        with self.lock:
            shelf, version = self.meant(name, version, label)
            slots = [] if shelf is None else [slot for slot in shelf.slots.values() if version in (None, slot.number)]
        if not slots:
            missing = f"version {version} of model {name}" if version is not None else f"any versions of model {name}"
            raise Fault("NOT_FOUND", f"Could not find {missing}")
        return [
            {
                "version": str(slot.number),
                "state": slot.state,
                "status": {"error_code": "UNKNOWN" if slot.fault else "OK", "error_message": slot.fault},
            }
            for slot in sorted(slots, key=lambda slot: -slot.number)
        ]

    def names(self) -> list[str]:
        with self.lock:
            return sorted(self.shelves)

    def ready(self) -> bool:
        """Whether every model that was seen has a version that serves."""
        with self.lock:
            return bool(self.shelves) and all(shelf.serving() for shelf in self.shelves.values())

    # What the folder says

    def look(self) -> None:
        """One look at the folder: loads what is new and wanted, then lets go what is not."""
        on_disk = self.on_disk()
        for name, found in on_disk.items():
            with self.lock:
                shelf = self.shelves.setdefault(name, Shelf(name, labels=self.labels.get(name, {})))
            wanted = self.policies.get(name, self.policy).wanted(sorted(found))
            labelled = {number for number in shelf.labels.values() if number in found}
            for number in sorted(labelled.union(wanted)):
                slot = shelf.slots.get(number)
                if slot is not None and slot.state != END:
                    continue
                # What failed is tried again when its files have changed, and not before.
                state = footprint(found[number])
                if slot is None or slot.seen != state:
                    self.bring(shelf, Slot(number, found[number], LOADING, seen=state))
            self.let_go(shelf, wanted)
        with self.lock:
            gone = [shelf for name, shelf in self.shelves.items() if name not in on_disk]
        for shelf in gone:
            self.let_go(shelf, [])

    def on_disk(self) -> dict[str, dict[int, Path]]:
        """{name: {version: its directory}}; a link that leads out of the folder is not followed."""
        found: dict[str, dict[int, Path]] = {}
        for model in sorted(self.folder.iterdir()):
            if model.name.startswith(".") or not self.inside(model):
                continue
            versions = {
                int(place.name): place
                for place in model.iterdir()
                if NUMBER.fullmatch(place.name) and self.inside(place) and (place / "saved_model.pb").is_file()
            }
            if versions or model.name in self.shelves:
                found[model.name] = versions
        return found

    def inside(self, place: Path) -> bool:
        return place.is_dir() and place.resolve().is_relative_to(self.folder)

    def bring(self, shelf: Shelf, slot: Slot) -> None:
        """Loads a version and asks it before anybody else can."""
        with self.lock:
            shelf.slots[slot.number] = slot
        try:
            version = Version.load(shelf.name, slot.number, slot.path)
            self.check(version)
        except TextpipeError as error:
            self.fail(slot, str(error))
        except Exception as error:  # what a damaged graph raises is TensorFlow's choice
            self.fail(slot, f"{slot.path}: {type(error).__name__}: {error}")
        else:
            with self.lock:
                slot.version, slot.state = version, AVAILABLE
            log.info("%s version %d serves", shelf.name, slot.number)

    def fail(self, slot: Slot, message: str) -> None:
        with self.lock:
            slot.state, slot.fault = END, message
        log.error("%s", message)

    def let_go(self, shelf: Shelf, wanted: list[int]) -> None:
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

    def end(self, shelf: Shelf, slot: Slot) -> None:
        """After the last call it took, a version leaves memory."""
        assert slot.version is not None
        slot.version.retire()
        with self.lock:
            slot.version, slot.state = None, END
            ended = sorted(number for number, other in shelf.slots.items() if other.state == END)
            for number in ended[:-KEPT]:
                del shelf.slots[number]
        self.ended = True
        log.info("%s version %d ended", shelf.name, slot.number)


def footprint(place: Path) -> tuple:
    """Names, sizes and times of a version's files: whether anything has changed since."""
    return tuple(
        (path.relative_to(place).as_posix(), path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(place.rglob("*"))
        if path.is_file()
    )
