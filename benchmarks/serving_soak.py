"""Latency, refusals and memory of a server at ten times its capacity, and for a long time at 70 % of it.

    python benchmarks/serving_soak.py saved_models/phrases_en_de TEXTS.txt [--minutes 20] [--overload-seconds 60] [--queues 2 12]

Overload is measured for several queue sizes: a short queue refuses more requests and has lower latency. Capacity is the
throughput of closed-loop callers, as many as the queue holds rows plus half a batch; the soak uses that of the last
queue. Overload latencies are compared with those of one and of eight closed-loop callers. The callers of overload and
soak send on a schedule, together at ten times and .7 times the capacity, whatever the last response was. A caller has one
open request, so a server that is too slow even to refuse gets fewer requests than scheduled; both numbers are reported.
Memory is the server's resident set, sampled every five seconds; its slope in the second half is reported with a 95 %
interval. Writes benchmarks/results/serving_soak.json.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import random
import sys
import time
from pathlib import Path

import numpy as np
from scipy import stats
from serving import Caller, Engine, call, loaded

HOME = Path(__file__).parent
PORT = 18700


class Paced(Caller):
    """Sends on a schedule, or at once if late, whatever the last response was; reconnects when disconnected."""

    rate, refused, away = 1.0, None, None

    def connection_made(self, transport):
        self.buffer, self.transport, self.at_work = b"", transport, False
        if not hasattr(self, "next"):
            self.next = time.perf_counter() + random.random() / self.rate
        self.wait_and(self.send)

    def wait_and(self, work):
        asyncio.get_running_loop().call_later(max(0.0, self.next - time.perf_counter()), work)

    def send(self):
        if not self.transport.is_closing():
            self.at_work = True
            super().send()

    def answered(self, status, wait):
        if not self.at_work:  # the server's connection limit was reached
            return
        self.at_work = False
        if status == 200:
            self.waits.append(wait)
        elif status in (429, 503):
            self.refused.append(wait)
        else:
            self.faults += 1
        self.next += 1 / self.rate
        self.wait_and(self.send)

    def connection_lost(self, error):
        if time.perf_counter() >= self.end:
            super().connection_lost(error)
            return
        self.away.append(1)
        self.next = max(self.next, time.perf_counter()) + 1 / self.rate
        self.wait_and(lambda: asyncio.ensure_future(self.come_again()))

    async def come_again(self):
        try:
            await asyncio.get_running_loop().create_connection(lambda: self, "127.0.0.1", PORT)
        except OSError as error:
            self.connection_lost(error)


def drive(path, texts, callers, seconds, rate, pipe):
    refused, away = [], []
    paced = type("P", (Paced,), {"rate": rate / callers, "refused": refused, "away": away})
    waits, faults = asyncio.run(call(PORT, path, texts, 1, callers, seconds, paced))
    pipe.send({
        "callers": callers, "wanted_per_second": rate,
        "asked_per_second": (len(waits) + len(refused) + len(away)) / seconds, "sent_away_per_second": len(away) / seconds,
        "accepted_per_second": len(waits) / seconds, "refused_per_second": len(refused) / seconds, "faults": faults,
        **quantiles("", waits), **quantiles("refusal_", refused),
    })  # fmt: skip


def quantiles(prefix, waits):
    if not waits:
        return {}
    return {f"{prefix}p{share}_ms": 1e3 * float(np.quantile(waits, share / 100)) for share in (50, 99)}


def rss(pid):
    """Resident memory in MB."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20


def driven(pid, *arguments):
    """The measurements of a drive, with samples of the server's memory."""
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=drive, args=(*arguments, theirs))
    began, memory = time.monotonic(), []
    process.start()
    while not ours.poll(5):
        memory.append((time.monotonic() - began, rss(pid)))
    measurements = ours.recv()
    process.join()
    times, sizes = map(np.array, zip(*memory, strict=True))
    figures = {"first": sizes[0], "last": sizes[-1], "highest": sizes.max()}
    minutes = [float(sizes[times // 60 == minute].mean()) for minute in range(int(times[-1] // 60) + 1)]
    return measurements | {"memory_mb": figures, "memory_mb_by_minute": minutes, **slope(minutes)}


def slope(minutes):
    """Memory growth per minute with a 95 % t interval: the mean of the minute-to-minute changes in the second half.

    The first half fills caches. A line fitted to all samples would have too narrow an interval, because successive
    samples are correlated: a process rarely returns memory.
    """
    changes = np.diff(minutes[len(minutes) // 2 :])
    if len(changes) < 2:
        return {}
    half = stats.t.ppf(0.975, len(changes) - 1) * stats.sem(changes)
    middle = changes.mean()
    return {"memory_slope_mb_per_minute": {"value": middle, "lowest": middle - half, "highest": middle + half}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--minutes", type=float, default=20)
    parser.add_argument("--overload-seconds", type=float, default=60)
    parser.add_argument(
        "--queues",
        type=int,
        nargs="+",
        default=[2, 12],
        help="queue sizes for overload, one by one; the soak uses the default",
    )
    parser.add_argument("--output", type=Path, default=HOME / "results" / "serving_soak.json")
    arguments = parser.parse_args()
    texts = [line for line in arguments.texts.read_text(encoding="utf-8").split("\n") if line][:2000]
    path = f"/v1/models/{arguments.model.name}:predict"
    model = arguments.model.resolve()
    results = {"queues": {}}
    for queue in arguments.queues:
        with contextlib.closing(Engine("textpipe", model, PORT, options=("--queue", str(queue)))) as engine:
            loaded(PORT, path, texts, 8, 5)
            one = {
                "one_caller": loaded(PORT, path, texts, 1, 30),
                "eight_callers": loaded(PORT, path, texts, 8, 15),
                "capacity": loaded(PORT, path, texts, queue + 32, 15),
            }
            capacity = one["capacity"]["requests_per_second"]
            callers, seconds = 10 * (queue + 32), arguments.overload_seconds
            one["overload"] = driven(engine.process.pid, path, texts, callers, seconds, 10 * capacity)
            for quiet in ("one_caller", "eight_callers"):
                one["overload"][f"p99_over_{quiet}"] = one["overload"]["p99_ms"] / one[quiet]["p99_ms"]
            one["alive_afterwards"] = engine.process.poll() is None
            results["queues"][queue] = one
            print(queue, json.dumps(one, indent=1), flush=True)
    if arguments.minutes:
        with contextlib.closing(Engine("textpipe", model, PORT)) as engine:
            loaded(PORT, path, texts, 8, 5)
            results["soak"] = driven(engine.process.pid, path, texts, 32, 60 * arguments.minutes, 0.7 * capacity)
            results["alive_after_soak"] = engine.process.poll() is None
    results["command"] = " ".join(
        ["python", "benchmarks/serving_soak.py", arguments.model.name, arguments.texts.name, *sys.argv[3:]]
    )
    arguments.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
