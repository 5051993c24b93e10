"""A model in the server: which of its versions are wanted, and what each of them is at."""

from dataclasses import dataclass, field
from pathlib import Path

from textpipe.serve.engine.model_version import Version

# TensorFlow Serving's states of a version.
START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"


@dataclass
class VersionState:
    """A version: its state, what went wrong, and when its files last changed."""

    number: int
    path: Path
    state: str = START
    fault: str = ""
    version: Version | None = None
    seen: tuple = ()


@dataclass(frozen=True)
class VersionPolicy:
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
class ModelState:
    """A model's slots by version, and its labels.

    wanted: whether the folder has it; fault: why that cannot be said, while what is loaded serves on.
    """

    name: str
    slots: dict[int, VersionState] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    wanted: bool = False
    fault: str = ""

    def serving(self) -> list[int]:
        return sorted(number for number, slot in self.slots.items() if slot.state == AVAILABLE)
