"""Checks that the installed libraries are compatible; names each conflict and its fix."""

import importlib.metadata
import os
import platform
import subprocess
import sys

from textpipe.cache.fingerprint import VERSIONED_LIBRARIES

# (library, minimum version, first incompatible version, reason)
REQUIREMENTS = (
    ("tensorflow", (2, 21), (2, 22), "tensorflow-text 2.21 is built against it"),
    ("tensorflow-text", (2, 21, 1), (2, 22), "2.21.0 fails on import; its ops must match tensorflow's"),
    ("keras", (3, 15), (4,), "earlier versions corrupt vocabularies and exports on reload"),
    ("sentencepiece", (0, 2), (0, 3), "vocabulary files are read by tensorflow-text"),
)


def version_numbers(version: str) -> tuple[int, ...]:
    """The leading integers of a version: "2.21.1rc0" -> (2, 21, 1)."""
    numbers = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def installed_versions() -> dict[str, str | None]:
    """Versions of the relevant libraries, None for those not installed."""
    versions: dict[str, str | None] = {}
    for name in (
        *VERSIONED_LIBRARIES,
        "tensorflow-cpu",
        "numpy",
        "pandas",
        "pyarrow",
        "pydantic",
        "sacrebleu",
        "scikit-learn",
    ):
        try:
            versions[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            versions[name] = None
    return versions


def find_conflicts(versions: dict[str, str | None]) -> list[str]:
    """One message with its fix per incompatible library or pair; empty if all are compatible."""
    conflicts = []
    for name, minimum, below, reason in REQUIREMENTS:
        version = versions.get(name)
        requirement = f"{name}>={'.'.join(map(str, minimum))},<{'.'.join(map(str, below))}"
        if version is None:
            conflicts.append(f"{name} is not installed; pip install '{requirement}'")
        elif not minimum <= version_numbers(version) < below:
            conflicts.append(f"{name} {version} is not supported: {reason}; pip install '{requirement}'")
    base, text = versions.get("tensorflow"), versions.get("tensorflow-text")
    if base and text and version_numbers(base)[:2] != version_numbers(text)[:2]:
        conflicts.append(
            f"tensorflow {base} and tensorflow-text {text} are incompatible: their major and minor versions must be equal; "
            f"pip install 'tensorflow-text=={'.'.join(map(str, version_numbers(base)[:2]))}.*'"
        )
    if base and versions.get("tensorflow-cpu"):
        conflicts.append(
            f"tensorflow {base} and tensorflow-cpu {versions['tensorflow-cpu']} are two copies of the same library; "
            "pip uninstall tensorflow-cpu, then pip install --force-reinstall tensorflow"
        )
    return conflicts


def import_error() -> str | None:
    """The error raised when the libraries are imported in a new process; None if they load."""
    script = "import tensorflow, tensorflow_text, keras; assert keras.backend.backend() == 'tensorflow', keras.backend.backend()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    )
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def report() -> tuple[list[str], bool]:
    """The lines to print, and whether everything is compatible."""
    versions = installed_versions()
    lines = [
        f"python            {platform.python_version()}  {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    ]
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        lines.append("problem           Python 3.11, 3.12 or 3.13 is required")
    lines += [
        f"{name:<17} {version or 'absent'}" for name, version in versions.items() if version or name != "tensorflow-cpu"
    ]
    conflicts = find_conflicts(versions)
    if not conflicts:
        error = import_error()
        conflicts += [f"tensorflow, tensorflow-text and keras cannot be imported together: {error}"] if error else []
    lines += [f"problem           {conflict}" for conflict in conflicts] or ["all libraries are compatible"]
    return lines, not conflicts
