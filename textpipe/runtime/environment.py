"""Errors of the environment (folders, disk space, memory, libraries), and a fallback for the temporary folder.

TensorFlow asks Python for the temporary folder when it is imported, and Python raises an error when the root file
system is read-only and no temporary folder is mounted, as in many containers. Prediction and serving do not need one.
"""

import errno
import os
import re
import sys

# Errors of the call, not of the machine.
CALLER_ERRNOS = (errno.ENOENT, errno.EISDIR, errno.ENOTDIR, errno.EEXIST, errno.ENAMETOOLONG, errno.ELOOP, errno.EINVAL)
DISK_FULL_ERRNOS = (errno.ENOSPC, errno.EDQUOT)
# Errors of the operating system that TensorFlow, HDF5 and Arrow quote in their own exceptions.
QUOTED_ERRNOS = (*DISK_FULL_ERRNOS, errno.EROFS, errno.EACCES, errno.EMFILE, errno.ENOMEM, errno.EIO)
SHORT_WRITE = re.compile(r"\d+ requested and \d+ written")  # of numpy.ndarray.tofile
USER_ERROR, RESOURCE_ERROR = 2, 4  # exit codes
RESOURCE_EXHAUSTED = 8  # the code of a c_api.CallError


def ensure_temporary_folder() -> None:
    """If Python finds no writable temporary folder, use /dev/shm, or else set a folder without checking it."""
    candidates = [os.environ.get(name, "") for name in ("TMPDIR", "TEMP", "TMP")]
    candidates = [*filter(None, candidates), "/tmp", "/var/tmp", "/usr/tmp", "."]
    if any(map(is_writable, candidates)):
        return
    if is_writable("/dev/shm"):
        os.environ["TMPDIR"] = "/dev/shm"
        return
    import tempfile

    tempfile.tempdir = candidates[0]


def is_writable(folder: str) -> bool:
    """Whether a folder exists, is writable, and has free space."""
    try:
        return os.access(folder, os.W_OK | os.X_OK) and os.statvfs(folder).f_bfree > 0
    except OSError:
        return False


def explain(error: BaseException) -> tuple[str, int] | None:
    """A message and an exit code for an error of the environment; None for a bug, which needs its traceback."""
    if isinstance(error, MemoryError):
        return "out of memory; use smaller batches or shorter texts, or add memory", RESOURCE_ERROR
    name, module = type(error).__name__, type(error).__module__
    exhausted = name == "ResourceExhaustedError" and module.startswith("tensorflow")
    if exhausted or (name == "CallError" and getattr(error, "code", None) == RESOURCE_EXHAUSTED):
        return f"out of memory: {first_line(error)}; use smaller batches, or add memory", RESOURCE_ERROR
    if isinstance(error, OSError) and "No usable temporary directory" in str(error):
        return (
            "no temporary folder is writable and has free space; set TMPDIR to one that is",
            RESOURCE_ERROR,
        )
    library = failed_import(error)
    if library:
        return (
            f"{library} cannot be imported ({first_line(error)}); `textpipe doctor` lists what is installed",
            RESOURCE_ERROR,
        )
    if isinstance(error, OSError) and error.errno is not None:
        return explain_os_error(error)
    if isinstance(error, OSError) and SHORT_WRITE.fullmatch(str(error)):
        return f"output: the disk is full ({error}); free some space and run again", RESOURCE_ERROR
    if isinstance(error, Exception) and any(os.strerror(number) in str(error) for number in QUOTED_ERRNOS):
        return first_line(error), RESOURCE_ERROR
    return None


def explain_os_error(error: OSError) -> tuple[str, int]:
    """A message for an error of the operating system, and the exit code of a wrong call or of a machine's problem."""
    path = error.filename if error.filename is not None else "output" if error.errno in DISK_FULL_ERRNOS else None
    prefix = "" if path is None else f"{os.fsdecode(path) if isinstance(path, bytes) else path}: "
    if error.errno in DISK_FULL_ERRNOS:
        return f"{prefix}the disk is full ({error.strerror}); free some space and run again", RESOURCE_ERROR
    return f"{prefix}{error.strerror}", USER_ERROR if error.errno in CALLER_ERRNOS and prefix else RESOURCE_ERROR


def failed_import(error: BaseException) -> str | None:
    """The third-party library whose import failed: a missing one, or the innermost one whose module was executing."""
    if isinstance(error, ModuleNotFoundError) and error.name and not error.name.startswith("textpipe"):
        return error.name.partition(".")[0]
    traceback, library = error.__traceback__, None
    while traceback:
        frame = traceback.tb_frame
        name = str(frame.f_globals.get("__name__", "")).partition(".")[0]
        is_own_code = name in ("", "__main__", "textpipe") or frame.f_code.co_filename.startswith(os.getcwd() + os.sep)
        if frame.f_code.co_name == "<module>" and not is_own_code:
            library = name
        traceback = traceback.tb_next
    return library


def first_line(error: BaseException) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]


def open_closed_streams() -> None:
    """Open the null device in place of closed standard streams, as after `2>&-`; else the next file would take the place of one."""
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.open(os.devnull, os.O_RDWR), mode, encoding="utf-8", errors="backslashreplace"))  # noqa: SIM115


def escape_unencodable_output() -> None:
    """If standard output is not UTF-8, write characters that its encoding lacks as \\u escapes instead of failing."""
    encoding = getattr(sys.stdout, "encoding", None)
    if encoding and encoding.lower().replace("_", "-") != "utf-8" and hasattr(sys.stdout, "reconfigure"):
        sys.stdout.reconfigure(errors="backslashreplace")


def discard_output() -> None:
    """After standard output failed, discard its buffer, so that Python does not flush it again at exit."""
    try:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (AttributeError, OSError, ValueError):
        return
