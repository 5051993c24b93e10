"""Memory that this process uses and that is still available, in bytes, as reported by Linux."""

import re
import resource
import sys
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")

# cgroup version 1 writes one page less than this for "no limit".
UNLIMITED = 2**62


def resident() -> int:
    """Current resident memory; 0 without /proc."""
    return read_field("self/status", "VmRSS")


def peak() -> int:
    """Peak of the resident memory since the process started, or since reset_peak."""
    high_water = read_field("self/status", "VmHWM")
    if high_water:
        return high_water
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Resets the peak; returns False if the system does not support it."""
    try:
        (PROC / "self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def available() -> int:
    """Memory available without swapping, on the machine or in this process's control groups, whichever is less."""
    return min(
        [amount for amount in (read_field("meminfo", "MemAvailable"), *remaining_by_group()) if amount is not None],
        default=0,
    )


def remaining_by_group() -> list[int]:
    """Memory left in each control group of this process that has a limit; cached files count as free."""
    amounts = []
    try:
        lines = (PROC / "self/cgroup").read_text().splitlines()
    except OSError:
        return []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":  # version 2
            root, names = CGROUPS, ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            root, names = CGROUPS / "memory", ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        # In a container the path may be that of the host; the mounted root is then the container's own group.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            amount = remaining(folder, *names)
            if amount is not None:
                amounts.append(amount)
            if folder == root:
                break
    return amounts


def remaining(folder: Path, limit: str, used: str, droppable: str) -> int | None:
    """Limit minus usage of a control group; None without a limit."""
    try:
        most = (folder / limit).read_text().strip()
        if most == "max" or int(most) >= UNLIMITED:
            return None
        stat = (folder / "memory.stat").read_text()
        files = re.search(rf"^{droppable} (\d+)$", stat, re.MULTILINE)
        return int(most) - int((folder / used).read_text()) + (int(files[1]) if files else 0)
    except (OSError, ValueError):
        return None


def read_field(path: str, name: str) -> int:
    """A field of /proc such as "VmHWM:   1234 kB", in bytes; 0 if it is missing."""
    try:
        match = re.search(rf"^{name}:\s+(\d+) kB$", (PROC / path).read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(match[1]) * 1024 if match else 0
