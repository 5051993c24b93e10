"""Runs the loops of several programs in turns, so that other load on the machine affects all equally.

A worker is any program that calls `tick` after each unit of work (a training step, a decoded file). Between windows it
blocks inside `tick`. It exchanges lines of JSON with its driver over its original standard output; anything its libraries
print goes to standard error.

    driver -> worker   {"seconds": 6, "steps": 3}       run for at least this long and this many steps
    worker -> driver   {"steps": 4, "seconds": 6.1, "processor": 11.9, "peak_mb": 912, "tokens": 12001, ...}
    driver -> worker   {"end": true}
"""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

STARTED = dict(os.environ)  # before importing textpipe sets kernels and threads for the driver's process


class Metronome:
    """The worker's side. about: sent to the driver when the worker is ready."""

    def __init__(self, **about):
        self.out = os.fdopen(os.dup(1), "w")
        os.dup2(2, 1)
        self.say({"ready": True, **about})
        self.wait()

    def say(self, message):
        self.out.write(json.dumps(message) + "\n")
        self.out.flush()

    def wait(self):
        """Block until the driver requests a window."""
        line = sys.stdin.readline()
        order = json.loads(line) if line else {"end": True}
        if order.get("end"):
            os._exit(0)  # skip the libraries' exit hooks; nothing is left to save
        self.order, self.counts, self.steps = order, {}, 0
        self.began, self.used = time.perf_counter(), time.process_time()

    def tick(self, **counts):
        """Report one unit of work; counts are summed over the window."""
        self.steps += 1
        for name, value in counts.items():
            self.counts[name] = self.counts.get(name, 0) + value
        seconds = time.perf_counter() - self.began
        if seconds >= self.order["seconds"] and self.steps >= self.order["steps"]:
            self.say({
                "steps": self.steps,
                "seconds": seconds,
                "processor": time.process_time() - self.used,
                "peak_mb": peak_mb(),
                **self.counts,
            })  # fmt: skip
            self.wait()


def peak_mb():
    """Peak memory of this process in MB; getrusage would include the driver's, which a child inherits."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    return round(int(line.split()[1]) / 1024)


class Worker:
    """The driver's side: a started program that waits. environment: variables to set, or to unset if None."""

    def __init__(self, name, python, script, *arguments, log, environment=None):
        self.name, self.log = name, Path(log)
        with self.log.open("w") as errors:
            self.process = subprocess.Popen(
                [str(python), str(Path(__file__).parent / script), *map(str, arguments)],
                stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True,
                env={name: value for name, value in {**STARTED, **(environment or {})}.items() if value is not None},
            )  # fmt: skip
        self.about = self.read()

    def read(self):
        line = self.process.stdout.readline()
        if not line:
            tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-15:])
            raise SystemExit(f"{self.name} ended by itself; the end of {self.log}:\n{tail}")
        return json.loads(line)

    def window(self, seconds, steps=1):
        """Run for one window; returns its counts."""
        self.process.stdin.write(json.dumps({"seconds": seconds, "steps": steps}) + "\n")
        self.process.stdin.flush()
        return self.read()

    def processor(self):
        """CPU seconds used so far, including busy-waiting threads."""
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def end(self):
        self.process.stdin.write('{"end": true}\n')
        self.process.stdin.close()
        self.process.wait(30)
