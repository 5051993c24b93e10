"""Read small files that a user names: a device or a pipe has no end, and a large file is not what was meant."""

import errno
import stat
from pathlib import Path

MAX_BYTES = 1_000_000
NOUNS = (
    (stat.S_ISDIR, "a directory"), (stat.S_ISFIFO, "a named pipe"), (stat.S_ISCHR, "a device"), (stat.S_ISBLK, "a device"),
    (stat.S_ISSOCK, "a socket"),
)  # fmt: skip


def special_file(path: Path) -> str | None:
    """What a path is if it is neither a regular file nor a directory: "a named pipe"; None if it is, or does not exist."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return None
    if stat.S_ISREG(mode) or stat.S_ISDIR(mode):
        return None
    return next((noun for is_kind, noun in NOUNS if is_kind(mode)), "a special file")


def refuse_special(path: Path) -> None:
    """Raise OSError, whose strerror says why, for a device, a pipe or a socket."""
    if special := special_file(path):
        raise OSError(errno.EINVAL, f"expected a file, found {special}")


def read_bytes(path: Path, *, max_bytes: int = MAX_BYTES, pipes: bool = False) -> bytes:
    """The bytes of a file. Raises OSError, whose strerror says why, for a device, a pipe and a file of more than max_bytes.

    pipes: read from a pipe too, such as a shell's <(command).
    """
    if not (pipes and path.is_fifo()):
        refuse_special(path)
    with path.open("rb") as file:
        content = file.read(max_bytes + 1)
    if len(content) > max_bytes:
        raise OSError(errno.EFBIG, f"expected at most {max_bytes:,} bytes, found more")
    return content


__all__ = ["MAX_BYTES", "read_bytes", "refuse_special", "special_file"]
