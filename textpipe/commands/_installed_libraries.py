"""Do the installed libraries fit each other? Names the pair that does not, and the cure."""

import importlib.metadata
import os
import platform
import subprocess
import sys

from textpipe.cache.fingerprint import VERSIONED

# (library, lowest, below, why)
FLOORS = (
    ("tensorflow", (2, 21), (2, 22), "tensorflow-text 2.21 is built against it"),
    ("tensorflow-text", (2, 21, 1), (2, 22), "2.21.0 fails on import; its ops must match tensorflow's"),
    ("keras", (3, 15), (4,), "earlier versions corrupt vocabularies and exports on reload"),
    ("sentencepiece", (0, 2), (0, 3), "vocabulary files are read by tensorflow-text"),
)


def numbers(version: str) -> tuple[int, ...]:
    """Leading whole numbers of a version: "2.21.1rc0" -> (2, 21, 1)."""
    found = []
    for part in version.split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        found.append(int(digits))
    return tuple(found)


def installed() -> dict[str, str | None]:
    """Version of each library that matters, None where it is absent."""
    found: dict[str, str | None] = {}
    for name in (*VERSIONED, "tensorflow-cpu", "numpy", "pandas", "pyarrow", "pydantic", "sacrebleu", "scikit-learn"):
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def faults(found: dict[str, str | None]) -> list[str]:
    """Each pair that does not fit, with its cure; empty when all is well."""
    wrong = []
    for name, lowest, below, why in FLOORS:
        version = found.get(name)
        wanted = f"{name}>={'.'.join(map(str, lowest))},<{'.'.join(map(str, below))}"
        if version is None:
            wrong.append(f"{name} is not installed; pip install '{wanted}'")
        elif not lowest <= numbers(version) < below:
            wrong.append(f"{name} {version} does not fit: {why}; pip install '{wanted}'")
    base, text = found.get("tensorflow"), found.get("tensorflow-text")
    if base and text and numbers(base)[:2] != numbers(text)[:2]:
        wrong.append(
            f"tensorflow {base} and tensorflow-text {text} do not fit each other: their first two numbers must be equal; "
            f"pip install 'tensorflow-text=={'.'.join(map(str, numbers(base)[:2]))}.*'"
        )
    if base and found.get("tensorflow-cpu"):
        wrong.append(
            f"tensorflow {base} and tensorflow-cpu {found['tensorflow-cpu']} are two copies of one library; "
            "pip uninstall tensorflow-cpu, then pip install --force-reinstall tensorflow"
        )
    return wrong


def import_fault() -> str | None:
    """What happens when the ops are imported in a clean process; None when they load."""
    script = "import tensorflow, tensorflow_text, keras; assert keras.backend.backend() == 'tensorflow', keras.backend.backend()"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "2"}
    )
    return None if done.returncode == 0 else done.stderr.strip().splitlines()[-1]


def report() -> tuple[list[str], bool]:
    """Lines to show, and whether all is well."""
    found = installed()
    lines = [
        f"python            {platform.python_version()}  {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    ]
    if not (3, 11) <= sys.version_info[:2] < (3, 14):
        lines.append("fault             Python 3.11, 3.12 or 3.13 is needed")
    lines += [
        f"{name:<17} {version or 'absent'}" for name, version in found.items() if version or name != "tensorflow-cpu"
    ]
    wrong = faults(found)
    if not wrong:
        broken = import_fault()
        wrong += [f"tensorflow, tensorflow-text and keras do not load together: {broken}"] if broken else []
    lines += [f"fault             {fault}" for fault in wrong] or ["all fit each other"]
    return lines, not wrong
