"""How much memory this process uses and may still take, from Linux's own figures; bytes everywhere."""

import re
import resource
import sys
from pathlib import Path

PROC, CGROUPS = Path("/proc"), Path("/sys/fs/cgroup")

# What cgroup version 1 writes for "no limit" is a page short of this.
UNLIMITED = 2**62


def resident() -> int:
    """Resident memory now; 0 where Linux's /proc is absent."""
    return read_field("self/status", "VmRSS")


def peak() -> int:
    """The most memory that was resident since the process began, or since reset_peak."""
    found = read_field("self/status", "VmHWM")
    if found:
        return found
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def reset_peak() -> bool:
    """Lets the peak be counted anew; False where the system does not."""
    try:
        (PROC / "self/clear_refs").write_text("5")
    except OSError:
        return False
    return True


def available() -> int:
    """What can still be taken without swapping: of the machine, or of this process's control groups if that is less."""
    return min(
        [left for left in (read_field("meminfo", "MemAvailable"), *remaining_by_group()) if left is not None], default=0
    )


def remaining_by_group() -> list[int]:
    """What is left in each control group above this process that has a limit; cached files count as free."""
    found = []
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
        # Inside a container the path may be the host's: the root that is mounted is then the container's own group.
        group = root / path.lstrip("/")
        for folder in (group, *group.parents):
            left = remaining(folder, *names)
            if left is not None:
                found.append(left)
            if folder == root:
                break
    return found


def remaining(folder: Path, limit: str, used: str, droppable: str) -> int | None:
    """Limit less use of one control group; None when it has none."""
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
    """A line of /proc such as "VmHWM:   1234 kB", in bytes; 0 when there is none."""
    try:
        found = re.search(rf"^{name}:\s+(\d+) kB$", (PROC / path).read_text(), re.MULTILINE)
    except OSError:
        return 0
    return int(found[1]) * 1024 if found else 0
