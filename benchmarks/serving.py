"""Throughput and latency of a served model with 1, 8 and 64 callers.

    python benchmarks/serving.py saved_models/mail_reply_or_not TEXTS.txt [--seconds 8] [--rounds 3]
        [--loads 1x1 8x1 64x1 64x8 64x32 64x128] [--engines textpipe textpipe-2 plain empty ray] [--ray-python PYTHON]

textpipe-2 is `textpipe serve --processes 2`; the queue is large enough for all callers. Compared with: the ceiling, i.e.
the same SavedModel called in this process with full batches on all cores; a plain FastAPI handler that calls the model
once per request; a handler without a model on the same HTTP server, an upper limit for that server; and Ray Serve with
its batching (in its own environment, --ray-python). The plain handler needs fastapi. A load is CALLERSxTEXTS: 64x1 stands for interactive callers, 64x32
for batch programs. Engines take turns, each in its own processes. The callers run in one more process on the same cores;
its share of CPU time is reported. Writes benchmarks/results/serving.json.
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import resource
import signal
import statistics
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

HOME = Path(__file__).parent
JSON = {"Content-Type": "application/json"}
OURS = {"textpipe": 1, "textpipe-2": 2}  # engine: number of processes
OTHERS = {"plain": HOME / "peers" / "serving_plain.py", "empty": HOME / "peers" / "serving_empty.py"}


class Caller(asyncio.Protocol):
    """A connection that sends the next request as soon as it has its response."""

    def __init__(self, requests, at, waits, end, done):
        self.requests, self.at, self.waits, self.end, self.done = requests, at, waits, end, done
        self.buffer, self.faults = b"", 0

    def connection_made(self, transport):
        self.transport = transport
        self.send()

    def send(self):
        self.began = time.perf_counter()
        if self.began >= self.end:
            self.transport.close()
            return
        self.transport.write(self.requests[self.at % len(self.requests)])
        self.at += 1

    def data_received(self, data):
        self.buffer += data
        head = self.buffer.find(b"\r\n\r\n")
        if head < 0:
            return
        low = self.buffer[:head].lower()
        place = low.find(b"content-length:")
        if place < 0:  # chunked
            if not self.buffer.endswith(b"\r\n0\r\n\r\n"):
                return
        elif len(self.buffer) < head + 4 + int(low[place + 15 :].split(b"\r\n", 1)[0]):
            return
        status, self.buffer = int(self.buffer[9:12]), b""
        self.answered(status, time.perf_counter() - self.began)

    def answered(self, status, wait):
        if status == 200:
            self.waits.append(wait)
        else:
            self.faults += 1
        self.send()

    def connection_lost(self, error):
        if not self.done.done():
            self.done.set_result(self.faults)


async def call(port, path, texts, rows, callers, seconds, make=Caller):
    """(latencies in seconds, errors) of the callers."""
    loop, requests = asyncio.get_running_loop(), requests_of(path, texts, rows)
    waits, end, ends = [], time.perf_counter() + seconds, []
    for number in range(callers):
        done = loop.create_future()
        ends.append(done)
        await loop.create_connection(lambda n=number, d=done: make(requests, n * 37, waits, end, d), "127.0.0.1", port)
    return waits, sum(await asyncio.gather(*ends))


def requests_of(path, texts, rows):
    """HTTP requests with `rows` texts each."""
    made = []
    for at in range(0, len(texts) - rows + 1, rows):
        body = json.dumps({"instances": texts[at : at + rows]}).encode()
        head = (
            f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        made.append(head.encode() + body)
    return made


def load(port, path, texts, rows, callers, seconds, pipe):
    """Run the callers in this process; sends the measurements through `pipe`."""
    began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_SELF)
    waits, faults = asyncio.run(call(port, path, texts, rows, callers, seconds))
    took, after = time.perf_counter() - began, resource.getrusage(resource.RUSAGE_SELF)
    waits.sort()
    busy = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    pipe.send(
        {
            "requests_per_second": len(waits) / took,
            "rows_per_second": rows * len(waits) / took,
            "p50_ms": 1e3 * waits[len(waits) // 2],
            "p99_ms": 1e3 * waits[int(len(waits) * 0.99)],
            "faults": faults,
            "callers_share_of_cores": busy / took / os.cpu_count(),
        }
    )


def loaded(port, path, texts, callers, seconds, rows=1):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.Process(target=load, args=(port, path, texts, rows, callers, seconds, theirs))
    process.start()
    measurements = ours.recv()
    process.join()
    return measurements


def ceiling(model, texts, seconds, pipe):
    """Rows per second of the SavedModel in this process: the best of batches of 64 and 128, and of as many parallel calls
    as the server has workers or two more."""
    from concurrent.futures import ThreadPoolExecutor

    import numpy as np

    from textpipe.runtime import threads as cores
    from textpipe.savedmodel.loader import Model

    cores.limit_intra_op()
    import tensorflow as tf

    loaded = Model.load(model)
    function, name = loaded.signatures["serving_default"], loaded.fields[0]

    def measured(size, threads):
        batches = [
            tf.constant(np.resize(np.array(texts[at : at + size], object), size)) for at in range(0, len(texts), size)
        ]
        for batch in batches[:4]:
            function(**{name: batch})
        began = time.perf_counter()

        def work(number):
            done = 0
            while time.perf_counter() < began + seconds / 2:
                function(**{name: batches[(number + done) % len(batches)]})
                done += 1
            return done

        with ThreadPoolExecutor(threads) as pool:
            rows = size * sum(pool.map(work, range(threads)))
        return rows / (time.perf_counter() - began)

    workers = cores.num_shards()
    pipe.send(max(measured(size, threads) for size in (64, 128) for threads in (workers, workers + 2)))


def in_process(target, *arguments):
    ours, theirs = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=target, args=(*arguments, theirs))
    process.start()
    measurements = ours.recv()
    process.join()
    return measurements


class Engine:
    """A running server in its own processes, ready when constructed; options: those of textpipe serve."""

    def __init__(self, name, model, port, ray_python=None, options=()):
        self.path = f"/v1/models/{model.name}:predict"
        environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "TEXTPIPE_MODEL": str(model), "PORT": str(port)}
        if name in OURS:
            command = [
                sys.executable,
                "-m",
                "textpipe",
                "serve",
                str(model.parent),
                "--rest-port",
                str(port),
                "--grpc-port",
                "-1",
                "--processes",
                str(OURS[name]),
                *options,
            ]
        elif name in OTHERS:
            command, self.path = [sys.executable, str(OTHERS[name])], "/"
        else:
            command, self.path = [ray_python, str(HOME / "peers" / "serving_ray.py")], "/"
        began = time.monotonic()
        self.process = subprocess.Popen(
            command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        )
        self.port, body = port, json.dumps({"instances": ["x"]}).encode()
        while True:
            try:
                urllib.request.urlopen(
                    urllib.request.Request(f"http://127.0.0.1:{port}{self.path}", body, JSON), timeout=60
                ).read()
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() - began > 180:
                    raise SystemExit(f"{name} does not start") from None
                time.sleep(0.05)
        self.seconds_to_first_answer = time.monotonic() - began

    def close(self):
        os.killpg(self.process.pid, signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(self.process.pid, signal.SIGKILL)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--loads", nargs="+", default=["1x1", "8x1", "64x1", "64x8", "64x32", "64x128"], metavar="CALLERSxTEXTS"
    )
    parser.add_argument("--engines", nargs="+", default=["textpipe", "textpipe-2", "plain", "empty"])
    parser.add_argument("--ray-python", default=os.environ.get("TEXTPIPE_RAY_PYTHON"))
    parser.add_argument("--output", type=Path, default=HOME / "results" / "serving.json")
    arguments = parser.parse_args()
    model = arguments.model.resolve()
    texts = [line for line in arguments.texts.read_text(encoding="utf-8").split("\n") if line][:2000]
    results = {
        "ceiling": [],
        **{name: {"start": [], **{load: [] for load in arguments.loads}} for name in arguments.engines},
    }
    for turn in range(arguments.rounds):
        results["ceiling"].append(in_process(ceiling, str(model), texts, arguments.seconds))
        print(f"round {turn + 1}: ceiling {results['ceiling'][-1]:,.0f} rows/s", flush=True)
        for name in arguments.engines:
            engine = Engine(name, model, 18600 + turn, arguments.ray_python, ("--queue", "16384"))
            try:
                results[name]["start"].append(engine.seconds_to_first_answer)
                loaded(engine.port, engine.path, texts, 8, 2)  # warm-up
                for load in arguments.loads:
                    callers, rows = map(int, load.split("x"))
                    one = loaded(engine.port, engine.path, texts, callers, arguments.seconds, rows)
                    results[name][load].append(one)
                    print(
                        f"  {name}, {load}: {one['rows_per_second']:,.0f} texts a second, p50 {one['p50_ms']:.1f} ms, "
                        f"p99 {one['p99_ms']:.1f} ms, callers' share of cores {one['callers_share_of_cores']:.0%}, {one['faults']} faults",
                        flush=True,
                    )
            finally:
                engine.close()
    summary = {"ceiling": spread(results["ceiling"])}
    for name in arguments.engines:
        summary[name] = {"seconds_to_first_answer": spread(results[name]["start"])}
        for load in arguments.loads:
            runs = results[name][load]
            summary[name][load] = {key: spread([run[key] for run in runs]) for key in runs[0]}
            summary[name][load]["of_ceiling"] = spread(
                [run["rows_per_second"] / top for run, top in zip(runs, results["ceiling"], strict=True)]
            )
            for own in OURS if name not in OURS else ():
                if own in results:
                    ratios = zip(results[own][load], runs, strict=True)
                    summary[name][load][f"ratio_of_{own}"] = spread(
                        [one["requests_per_second"] / other["requests_per_second"] for one, other in ratios]
                    )
    about = {
        "command": " ".join(["python", "benchmarks/serving.py", model.name, arguments.texts.name, *sys.argv[3:]]),
        "machine": {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()},
        "mean_characters": round(statistics.mean(map(len, texts))),
    }
    arguments.output.write_text(json.dumps({**about, **summary}, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(summary, indent=1))


def spread(values):
    return {"median": statistics.median(values), "lowest": min(values), "highest": max(values)}


if __name__ == "__main__":
    main()
