"""What the machine must have, and what is said where it lacks: folders that can be written, space, memory, libraries.

TensorFlow asks Python for the folder of temporary files when it is imported, and Python raises an error where the root is
read-only and no such folder is mounted, as in many containers. Nothing that answers needs one.
"""

import errno
import os
import sys

# What is wrong with the call, not with the machine.
CALLER_ERRNOS = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
# What libraries with errors of their own (TensorFlow, HDF5, Arrow) quote of the operating system.
QUOTED_ERRNOS = (*DISK_FULL_ERRNOS, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENOMEM, errno.EIO)
USER_ERROR, RESOURCE_ERROR = 2, 4  # exit codes


def find_temporary_folder() -> None:
    """Where nothing that Python would take for temporary files can be written: memory's folder, else a name alone."""
    places = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    places = [*filter(None, places), "/tmp", "/var/tmp", "/usr/tmp", "."]
    if any(map(is_writable, places)):
        return
    if is_writable("/dev/shm"):
        os.environ["TMPDIR"] = "/dev/shm"
        return
    import tempfile

    tempfile.tempdir = places[0]


def is_writable(folder: str) -> bool:
    """Whether a folder is there, may be written, and has room."""
    try:
        return os.access(folder, os.W_OK | os.X_OK) and os.statvfs(folder).f_bfree > 0
    except OSError:
        return False


def explained(error: BaseException) -> tuple[str, int] | None:
    """One line for an error of the surroundings, and the exit code; None for a fault of the code, which needs its traceback."""
    if isinstance(error, MemoryError):
        return "out of memory; ask for smaller batches or shorter texts, or give the machine more", RESOURCE_ERROR
    if type(error).__name__ == "ResourceExhaustedError" and type(error).__module__.startswith("tensorflow"):
        return f"out of memory: {first_line(error)}; ask for smaller batches, or give the machine more", RESOURCE_ERROR
    if isinstance(error, OSError) and "No usable temporary directory" in str(error):
        return (
            "no folder for temporary files can be written, or all are full; set TMPDIR to one that can",
            RESOURCE_ERROR,
        )
    library = failed_import(error)
    if library:
        return (
            f"{library} cannot be imported ({first_line(error)}); `textpipe doctor` says what is installed",
            RESOURCE_ERROR,
        )
    if isinstance(error, OSError) and error.errno is not None:
        return explain_os_error(error)
    if isinstance(error, Exception) and any(os.strerror(number) in str(error) for number in QUOTED_ERRNOS):
        return first_line(error), RESOURCE_ERROR
    return None


def explain_os_error(error: OSError) -> tuple[str, int]:
    """What an error of the operating system says, and whether the caller or the machine is to blame."""
    place = error.filename if error.filename is not None else "output" if error.errno in DISK_FULL_ERRNOS else None
    where = "" if place is None else f"{os.fsdecode(place) if isinstance(place, bytes) else place}: "
    if error.errno in DISK_FULL_ERRNOS:
        return f"{where}the disk is full ({error.strerror}); free some space and run again", RESOURCE_ERROR
    return f"{where}{error.strerror}", USER_ERROR if error.errno in CALLER_ERRNOS and where else RESOURCE_ERROR


def failed_import(error: BaseException) -> str | None:
    """The library of others whose import failed: one that is not there, or the innermost whose module was being run."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("textpipe"):
        return error.name
    traceback, library = error.__traceback__, None
    while traceback:
        frame = traceback.tb_frame
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        own = name in ("", "__main__", "textpipe") or frame.f_code.co_filename.startswith(os.getcwd() + os.sep)
        if frame.f_code.co_name == "<module>" and not own:
            library = name
        traceback = traceback.tb_next
    return library


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def write_any_text() -> None:
    """Let standard output take every text: where its encoding is not UTF-8, what it lacks is written as \\\\u escapes."""
    encoding = getattr(sys.stdout, "encoding", None)
    if encoding and encoding.lower().replace("_", "-") != "utf-8" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def abandon_output() -> None:
    """After standard output failed: what it still holds must not be tried again when Python ends."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        return
