"""A server under ten times what it can do, and for a long while at seventy percent of it: waits, refusals, memory.

    python benchmarks/serving_soak.py saved_models/mail_reply_or_not TEXTS.txt [--minutes 20] [--overload-seconds 60] [--queue 64]

Capacity is what 64 callers get. Unloaded are 8 callers. Overload are so many callers, each asking again at once (after
a second when it was refused), that ten times as many requests wait as the server holds. The soak's callers keep to a
clock. Memory is the server's resident set, every five seconds; its slope is told with a 95 % interval. Writes
benchmarks/results/serving_soak.json.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import random
import signal
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import numpy as np
from scipy import stats
from serving import Caller, loaded

HOME = Path(__file__).parent
PORT = 18700


class Patient(Caller):
    """Waits a second after a refusal, as Retry-After says; remembers waits of accepted requests alone."""

    def __init__(self, requests, at, waits, end, done, refused):
        super().__init__(requests, at, waits, end, done)
        self.refused = refused

    def data_received(self, data):
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        size = int(self.buffer[:head].lower().split(b"content-length:")[1].split(b"\r\n", 1)[0])
        if len(self.buffer) < head + 4 + size:
            return
        status, self.buffer = self.buffer[9:12], b""
        if status == b"200":
            self.waits.append(time.perf_counter() - self.began)
            self.send()
            return
        self.faults += status != b"429"
        self.refused.append(1)
        asyncio.get_running_loop().call_later(random.uniform(0.5, 1.5), self.send)


class Paced(Caller):
    """Asks at its own times, or at once when it is late."""

    rate = 1.0

    def connection_made(self, transport):
        self.next = time.perf_counter() + random.random() / self.rate
        super().connection_made(transport)

    def data_received(self, data):
        self.buffer += data
        if not self.buffer.endswith(b"}"):
            return
        self.faults += not self.buffer.startswith(b"HTTP/1.1 200")
        self.buffer = b""
        self.waits.append(time.perf_counter() - self.began)
        self.next += 1 / self.rate
        asyncio.get_running_loop().call_later(max(0.0, self.next - time.perf_counter()), self.send)


def requests_of(texts, path):
    made = []
    for text in texts:
        body = json.dumps({"instances": [text]}).encode()
        made.append(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body)
    return made


def drive(kind, path, texts, callers, seconds, rate, pipe):
    async def run():
        loop, waits, refused, ends = asyncio.get_running_loop(), [], [], []
        end, requests = time.perf_counter() + seconds, requests_of(texts, path)
        for number in range(callers):
            done = loop.create_future()
            ends.append(done)
            if kind == "overload":
                make = lambda n=number, d=done: Patient(requests, n * 37, waits, end, d, refused)  # noqa: E731
            else:
                paced = type("P", (Paced,), {"rate": rate / callers})
                make = lambda n=number, d=done, p=paced: p(requests, n * 37, waits, end, d)  # noqa: E731
            await loop.create_connection(make, "127.0.0.1", PORT)
        faults = sum(await asyncio.gather(*ends))
        return waits, len(refused), faults

    waits, refused, faults = asyncio.run(run())
    waits.sort()
    pipe.send({
        "accepted": len(waits), "accepted_per_second": len(waits) / seconds, "refused": refused, "faults": faults,
        "p50_ms": 1e3 * waits[len(waits) // 2], "p99_ms": 1e3 * waits[int(len(waits) * 0.99)],
    })  # fmt: skip


def rss(pid):
    """Resident megabytes."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def driven(pid, *arguments):
    """Figures of a drive, with the server's memory meanwhile."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=drive, args=(*arguments, theirs))
    began, memory = time.monotonic(), []
    process.start()
    while not ours.poll(5):
        memory.append((time.monotonic() - began, rss(pid)))
    found = ours.recv()
    process.join()
    times, sizes = map(np.array, zip(*memory, strict=True))
    settled = times > times[-1] / 5  # the first fifth fills caches
    line = stats.linregress(times[settled] / 60, sizes[settled])
    half = stats.t.ppf(0.975, max(1, settled.sum() - 2)) * line.stderr
    return found | {
        "memory_mb": {"first": sizes[0], "last": sizes[-1], "highest": sizes.max()},
        "memory_slope_mb_per_minute": {"value": line.slope, "lowest": line.slope - half, "highest": line.slope + half},
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument("--queue", type=int, default=64)
    parser.add_argument("--output", type=Path, default=HOME / "results" / "serving_soak.json")
    arguments = parser.parse_args()
    texts = [line for line in arguments.texts.read_text(encoding="utf-8").split("\n") if line][:2000]
    path = f"/v1/models/{arguments.model.name}:predict"
    command = [
        sys.executable,
        "-m",
        "textpipe",
        "serve",
        str(arguments.model.parent),
        "--rest-port",
        str(PORT),
        "--grpc-port",
        "-1",
    ]
    server = subprocess.Popen(
        [*command, "--queue", str(arguments.queue)], stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{PORT}/readyz", timeout=5).read()
                break
            except OSError:
                time.sleep(0.1)
        loaded(PORT, path, texts, 8, 5)
        found = {"unloaded": loaded(PORT, path, texts, 8, 15), "capacity": loaded(PORT, path, texts, 64, 15)}
        callers = 10 * (arguments.queue + 64)
        found["overload"] = driven(server.pid, "overload", path, texts, callers, arguments.overload_seconds, 0)
        found["overload"]["callers"] = callers
        found["overload"]["p99_over_unloaded"] = found["overload"]["p99_ms"] / found["unloaded"]["p99_ms"]
        print(json.dumps(found, indent=1), flush=True)
        rate = 0.7 * found["capacity"]["requests_per_second"]
        found["soak"] = driven(server.pid, "soak", path, texts, 32, 60 * arguments.minutes, rate)
        found["soak"]["asked_per_second"] = rate
        found["alive_afterwards"] = server.poll() is None
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(60)
    found["command"] = " ".join(
        ["python", "benchmarks/serving_soak.py", arguments.model.name, arguments.texts.name, *sys.argv[3:]]
    )
    arguments.output.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main()
