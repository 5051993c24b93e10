"""Runs the command line in a separate process without importing TensorFlow again.

A server process imports the libraries that commands use; each command is a fork of it, with its own folder, environment, standard
streams and exit code, and runs `python -m textpipe`. Tests of imports, start-up and signals start a new process instead.

    python forkserver.py     one request per line in, {"words", "cwd", "env", "stdin", "stdout", "stderr"}; its exit code out
"""

import atexit
import json
import os
import runpy
import subprocess
import sys
import tempfile
import threading
import traceback
from pathlib import Path

servers: dict[int, subprocess.Popen] = {}  # by process id: a fork cannot use its parent's pipes


def run(words, cwd, env, stdin=b""):
    """(exit code, standard output, standard error) of textpipe with these arguments."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        (path / "stdin").write_bytes(stdin)
        streams = {name: str(path / name) for name in ("stdin", "stdout", "stderr")}
        request = {"words": list(words), "cwd": str(cwd), "env": dict(env), **streams}
        process = server()
        process.stdin.write(json.dumps(request).encode() + b"\n")
        process.stdin.flush()
        code = json.loads(process.stdout.readline())
        return code, (path / "stdout").read_bytes(), (path / "stderr").read_bytes()


def server():
    """The server of this process, started by the first command."""
    if os.getpid() not in servers:
        process = subprocess.Popen([sys.executable, __file__], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        servers[os.getpid()] = process
        atexit.register(stop, process)
    return servers[os.getpid()]


def stop(process):
    process.stdin.close()
    process.wait()
    process.stdout.close()


def serve():
    import textpipe  # noqa: F401  chooses TensorFlow's kernels

    for name in (
        "tensorflow",
        "tensorflow_text",
        "keras",
        "pandas",
        "pyarrow.parquet",
        "sklearn.metrics",
        "matplotlib.pyplot",
    ):
        __import__(name)
    for line in sys.stdin.buffer:
        request = json.loads(line)
        child = os.fork()
        if child == 0:
            command(request)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{os.waitstatus_to_exitcode(status)}\n")
        sys.stdout.flush()


def command(request):
    """Run the command in the fork, then exit."""
    for number, (name, flags) in enumerate(
        (("stdin", os.O_RDONLY), ("stdout", os.O_RDWR | os.O_CREAT), ("stderr", os.O_RDWR | os.O_CREAT))
    ):
        opened = os.open(request[name], flags, 0o600)
        os.dup2(opened, number)
        os.close(opened)
    code = 1
    try:
        os.chdir(request["cwd"])
        os.environ.clear()
        os.environ.update(request["env"])
        sys.argv = ["textpipe", *request["words"]]
        runpy.run_module("textpipe", run_name="__main__", alter_sys=True)
        code = 0
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException:
        traceback.print_exc()
    finally:
        threading._shutdown()
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


if __name__ == "__main__":
    serve()
