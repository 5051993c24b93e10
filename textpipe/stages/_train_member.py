"""A process of a training group (stages/_train_group.py).

python -m textpipe.stages._train_member FOLDER ATTEMPT RANK       FOLDER holds the task of the group
"""

import json
import os
import pickle
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
from pathlib import Path

from textpipe.errors import ResourceError, TextpipeError
from textpipe.stages import _train_group, train

POLL_SECONDS = 0.2
MEET_SECONDS = 600.0


def main(folder: Path, attempt: str, rank: int) -> None:
    """Meet the other members, then train; the chief, rank 0, writes the result."""
    config, inputs, output, path = pickle.loads((folder / _train_group.TASK).read_bytes())
    sys.path[:] = path
    threading.Thread(target=end_with, args=(os.getppid(),), daemon=True).start()
    try:
        addresses = rendezvous(folder / attempt, rank, config.workers)
        cluster = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": rank}}
        os.environ["TF_CONFIG"] = json.dumps(cluster)
        import tensorflow as tf

        strategy = tf.distribute.MultiWorkerMirroredStrategy()  # before any operation
        with tempfile.TemporaryDirectory() as scratch:
            if rank and (output / "resume").exists():  # all resume at the same step
                ignored = shutil.ignore_patterns("group")
                shutil.copytree(output / "resume", Path(scratch) / "resume", ignore=ignored)
            train.fit(config, inputs, Path(scratch) if rank else output, strategy)
    except TextpipeError as error:
        part = folder / f"{_train_group.ERROR}.{rank}"
        part.write_bytes(pickle.dumps(error))
        part.replace(folder / _train_group.ERROR)
        sys.exit(error.exit_code)


def end_with(parent: int) -> None:
    """End this process when its parent has ended: alone, it would wait for the others forever."""
    while os.getppid() == parent:
        time.sleep(POLL_SECONDS)
    os._exit(1)


def rendezvous(folder: Path, rank: int, workers: int) -> list[str]:
    """The addresses of all members, in the order of their ranks, once each has chosen a free port and written it to `folder`.

    Raises ResourceError if some do not start, for want of CPUs in a cluster.
    """
    folder.mkdir(exist_ok=True)
    with socket.socket() as chosen:
        chosen.bind(("", 0))
        address = f"{own_host()}:{chosen.getsockname()[1]}"
    part = folder / f"{rank}.part"
    part.write_text(address, encoding="utf-8")
    part.replace(folder / str(rank))
    paths = [folder / str(other) for other in range(workers)]
    deadline = time.monotonic() + MEET_SECONDS
    while not all(path.exists() for path in paths):
        if time.monotonic() > deadline:
            present = sum(path.exists() for path in paths)
            raise ResourceError(
                f"[train] workers: {present} of {workers} processes started within {MEET_SECONDS / 60:g} minutes; set fewer workers, or "
                "give the engine more CPUs"
            )
        time.sleep(POLL_SECONDS)
    return [path.read_text(encoding="utf-8") for path in paths]


def own_host() -> str:
    """The address by which other machines reach this one."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            # Sends nothing: it asks for the route to a documentation address (RFC 5737).
            probe.connect(("192.0.2.1", 9))
            return probe.getsockname()[0]
        except OSError:  # a machine without a network
            return "127.0.0.1"


if __name__ == "__main__":
    # Ctrl-C ends the process that started the group, which kills its members.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    main(Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]))
