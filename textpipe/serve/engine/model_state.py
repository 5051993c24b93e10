"""The state of a model in the server: which of its versions to serve, and the state of each."""

from dataclasses import dataclass, field
from pathlib import Path

from textpipe.serve.engine.model_version import Version

# TensorFlow Serving's states of a version.
START, LOADING, AVAILABLE, UNLOADING, END = "START", "LOADING", "AVAILABLE", "UNLOADING", "END"


@dataclass
class VersionState:
    """A version: its state, its error, the loaded model, and the fingerprint of the files it was loaded from."""

    number: int
    path: Path
    state: str = START
    error: str = ""
    loaded: Version | None = None
    fingerprint: tuple = ()


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions on disk to serve: the latest few, all, or some by number."""

    kind: str = "latest"
    count: int = 1
    numbers: tuple[int, ...] = ()

    def select(self, available: list[int]) -> list[int]:
        """The versions to serve out of those available, given in ascending order."""
        if self.kind == "all":
            return available
        if self.kind == "specific":
            return [number for number in available if number in self.numbers]
        return available[-self.count :]


@dataclass
class ModelState:
    """A model's versions by number, and its labels.

    on_disk: whether the folder has the model; error: why that is unknown, while loaded versions continue to serve.
    """

    name: str
    versions: dict[int, VersionState] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    on_disk: bool = False
    error: str = ""

    def serves(self, number: int) -> bool:
        return number in self.versions and self.versions[number].state == AVAILABLE

    def latest(self) -> int | None:
        return max([number for number, version in self.versions.items() if version.state == AVAILABLE], default=None)

    def serving(self) -> list[int]:
        return sorted(number for number, version in self.versions.items() if version.state == AVAILABLE)
