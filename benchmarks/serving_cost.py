"""Processor time of a server per request, which other processes of the machine disturb less than its throughput.

    python benchmarks/serving_cost.py saved_models/mail_reply_or_not TEXTS.txt [--loads 64x1 64x32] [--requests 20000]
        [--engines textpipe empty] [--rounds 3] [--output benchmarks/results/serving_cost.json]

Of all processes of an engine (benchmarks/serving.py): user and system time, by thread group as well (the event loop, TensorFlow's
callers, its own threads), context switches, and the rate. "ceiling" is the model alone, as in benchmarks/serving.py.
"""

import argparse
import json
import os
import time
from collections import Counter
from pathlib import Path

from serving import Engine, ceiling, in_process, loaded, spread

TICKS = os.sysconf("SC_CLK_TCK")


def group(name, first):
    """A thread's group, by its name; first: whether it is the process's main thread."""
    if first:
        return "event loop"
    return {"tensorflow": "callers of TensorFlow", "tf_": "TensorFlow"}.get(
        name.split("_")[0], name.rstrip("0123456789_-")
    )


def processes(root):
    """The process and its descendants."""
    children = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
            except OSError:
                continue
            children.setdefault(parent, []).append(int(entry.name))
    pending = [root]
    while pending:
        yield (process := pending.pop())
        pending += children.get(process, [])


def usage(root):
    """Seconds of all threads by group, and context switches."""
    total = Counter()
    for process in processes(root):
        for task in Path(f"/proc/{process}/task").iterdir():
            name, _, stat = (task / "stat").read_text().partition("(")[2].rpartition(")")
            fields = stat.split()
            seconds = (int(fields[11]) / TICKS, int(fields[12]) / TICKS)
            total["user"] += seconds[0]
            total["system"] += seconds[1]
            total[group(name, task.name == str(process))] += sum(seconds)
            for line in (task / "status").read_text().splitlines():
                if "ctxt_switches" in line:
                    total["switches"] += int(line.split()[1])
    return total


def measure(engine, texts, load, seconds):
    callers, rows = map(int, load.split("x"))
    before, began = usage(engine.process.pid), time.perf_counter()
    one = loaded(engine.port, engine.path, texts, callers, seconds, rows)
    took, used = time.perf_counter() - began, usage(engine.process.pid)
    used.subtract(before)
    count = one["requests_per_second"] * seconds
    micro = {key: round(1e6 * value / count, 1) for key, value in used.items() if key != "switches" and value > 0}
    return {
        "microseconds": round(1e6 * (used["user"] + used["system"]) / count, 1),
        "switches": round(used["switches"] / count, 3),
        "requests_per_second": round(one["requests_per_second"]),
        "p50_ms": round(one["p50_ms"], 2),
        "faults": one["faults"],
        "callers_microseconds": round(1e6 * one["callers_share_of_cores"] * os.cpu_count() * took / count, 1),
        "by_group": micro,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("texts", type=Path)
    parser.add_argument("--loads", nargs="+", default=["64x1", "64x32"])
    parser.add_argument("--engines", nargs="+", default=["textpipe", "empty"])
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--output", type=Path)
    arguments = parser.parse_args()
    texts = [line for line in arguments.texts.read_text(encoding="utf-8").split("\n") if line][:2000]
    results = {}
    for turn in range(arguments.rounds):
        for name in arguments.engines:
            if name == "ceiling":
                rows = in_process(ceiling, str(arguments.model.resolve()), texts, arguments.seconds)
                print(json.dumps({"ceiling": rows}), flush=True)
                continue
            engine = Engine(name, arguments.model.resolve(), 18650 + turn, None, ("--queue", "16384"))
            try:
                loaded(engine.port, engine.path, texts, 8, 1)
                for load in arguments.loads:
                    one = measure(engine, texts, load, arguments.seconds)
                    results.setdefault(name, {}).setdefault(load, []).append(one)
                    print(name, load, json.dumps(one), flush=True)
            finally:
                engine.close()
    summary = {
        name: {
            load: {key: spread([one[key] for one in runs]) for key in runs[0] if key != "by_group"}
            for load, runs in by.items()
        }
        for name, by in results.items()
    }
    if arguments.output:
        arguments.output.write_text(json.dumps(summary, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
