"""Errors on the bAbI tasks: the tables of docs/stories.md.

    TEXTPIPE_DATA=FOLDER python benchmarks/babi.py memory_joint --seeds 5          # end-to-end memory network, all tasks of 1k at once
    TEXTPIPE_DATA=FOLDER python benchmarks/babi.py reduction_1k --seeds 10         # query-reduction network, each task of 1k by itself
    TEXTPIPE_DATA=FOLDER python benchmarks/babi.py reduction_10k --seeds 1         # the same with 10,000 questions; task 3 is not at hand
    TEXTPIPE_DATA=FOLDER python benchmarks/babi.py entity_10k --seeds 1            # recurrent entity network, tasks 1, 2, 6, 7, 9, 15
    python benchmarks/babi.py table                                               # what has been measured so far

Work is in benchmarks/babi.work; every run that ends is recorded in benchmarks/results/babi.json and not repeated, and a run that is killed
resumes. --tasks and --minutes take a part. Of several seeds the run with the lowest loss on rows that are not test rows counts: valid, or
for the joint memory network train, as Sukhbaatar et al. did. The test split chooses nothing. A task has failed if its error exceeds 5 %.
"""

import argparse
import json
import platform
import statistics
import time
from pathlib import Path

from textpipe.pipeline import runner
from textpipe.version import __version__

ROOT = Path(__file__).parents[1]
WORK = Path(__file__).parent / "babi.work"
RESULTS = Path(__file__).parent / "results" / "babi.json"
FAILED = 0.05
TASKS = list(range(1, 21))

BASE = {
    "task": "qa",
    "normalize": {"steps": ["unicode", "casefold", "punctuation", "whitespace"]},
    "tokenize": {"codec": "words"},
}
REDUCTION = {
    "vectorize": {"features": {"kind": "sentence_ids", "max_sentences": 50}},
    # As in the authors' program. Weight decay of the mean loss by 0.001 and 0.0005: l2 is over all rows of train.
    "model": {
        "kind": "query_reduction", "size": 50, "layers": 2, "gates": "scalar", "reset": "directions", "tie_layers": True,
        "init_stddev": 1.0, "sentence_scale": 0.5, "l2": 0.9,
    },
    "train": {
        "epochs": 150, "batch_rows": 32, "num_shapes": 1, "optimizer": {"kind": "adagrad", "learning_rate": 0.5}, "clip_norm": 1.0,
        "early_stopping": {"metric": "valid_loss", "patience": 25, "min_delta": 0.002}, "checkpoint_minutes": 5,
    },
}  # fmt: skip
PARTS = {
    # task: dataset, tasks of a run ([]: all at once), tables over BASE, how a run is chosen
    "memory_joint": ("babi", [[]], None, "train"),
    "reduction_1k": ("babi", [[task] for task in TASKS], REDUCTION, "valid"),
    "reduction_10k": (
        "babi_10k",
        [[task] for task in TASKS if task != 3],
        {
            **REDUCTION,
            "model": {**REDUCTION["model"], "l2": 4.5},
            "train": {**REDUCTION["train"], "epochs": 100, "batch_rows": 128, "early_stopping": {"patience": 15}},
        },
        "valid",
    ),
    "entity_10k": (
        "babi_10k",
        [[task] for task in (1, 2, 6, 7, 9, 15)],
        {
            "vectorize": {"features": {"kind": "sentence_ids", "max_sentences": 70}},
            "model": {"kind": "entity_network", "size": 100, "slots": 20},
            "train": {
                "epochs": 200, "batch_rows": 32, "num_shapes": 4, "optimizer": {"kind": "adam", "learning_rate": 0.01},
                "schedule": {"kind": "steps", "parts": 8}, "clip_norm": 1.25, "checkpoint_minutes": 5,
                "early_stopping": {"metric": "valid_loss", "patience": 40, "min_delta": 0.001},
            },
        },
        "valid",
    ),
}  # fmt: skip


def tables(part, tasks, seed):
    """The pipeline of a run."""
    dataset, _, changes, _ = PARTS[part]
    if changes is None:
        from textpipe.config.sections import load

        return {**load(ROOT / "pipelines" / "qa_babi.toml"), "seed": seed}
    card = {"dataset": dataset, "split": {"valid": 0.1}, "keep": ["task"], "format": {"kind": "babi", "tasks": tasks}}
    return {**BASE, **changes, "seed": seed, "ingest": card}


def measure(part, tasks, seed):
    """Run a pipeline up to evaluate: errors by task, the losses it may be chosen by, seconds."""
    name = f"{part}_{'_'.join(map(str, tasks)) or 'all'}_{seed}"
    pipeline = runner.Pipeline.from_tables(WORK / f"{name}.toml", tables(part, tasks, seed))
    began = time.monotonic()
    result = runner.run(pipeline, until="evaluate", artifacts=WORK / "artifacts")
    paths = {stage: artifact.path for stage, artifact in result.artifacts.items()}
    metrics = json.loads((paths["evaluate"] / "metrics.json").read_text())
    trained = json.loads((paths["train"] / "train.json").read_text())
    slices = metrics.get("slices", {})
    errors = {key.removeprefix("task_"): 1 - table["metrics"]["accuracy"] for key, table in slices.items()}
    resources = json.loads((paths["train"] / "logs" / "resources.json").read_text())
    return {
        "seed": seed,
        "tasks": tasks,
        "errors": errors or {str(tasks[0]): metrics["metrics"]["error"]},
        "error": metrics["metrics"]["error"],
        "train_loss": trained["best"]["loss"],
        "valid_loss": trained["best"]["valid_loss"],
        "epochs": trained["epochs"],
        "train_seconds": round(resources["seconds"], 1),
        "seconds": round(time.monotonic() - began, 1),
    }


def recorded():
    """The results so far: {part: {"runs": [...]}}."""
    return json.loads(RESULTS.read_text()) if RESULTS.exists() else {}


def record(part, run):
    """Add a run, and the summary of its part."""
    results = recorded()
    runs = [*results.get(part, {}).get("runs", []), run]
    results[part] = {**summary(part, runs), "runs": sorted(runs, key=lambda one: (one["tasks"], one["seed"]))}
    results["machine"] = {"platform": platform.platform(), "python": platform.python_version(), "textpipe": __version__}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def summary(part, runs):
    """Of each task the error of the chosen run, the median and the number of runs; the mean over tasks, and the failed tasks."""
    loss = f"{PARTS[part][3]}_loss"
    groups = {}
    for run in runs:
        groups.setdefault(tuple(run["tasks"]), []).append(run)
    chosen, medians, counts = {}, {}, {}
    for group in groups.values():
        chosen |= min(group, key=lambda run: run[loss])["errors"]
        for task in group[0]["errors"]:
            medians[task] = statistics.median(run["errors"][task] for run in group)
            counts[task] = len(group)
    joint = [statistics.mean(run["errors"].values()) for run in runs if not run["tasks"]]
    return {
        "chosen_by": loss,
        "errors": dict(sorted(chosen.items(), key=lambda item: int(item[0]))),
        "mean_error": statistics.mean(chosen.values()),
        "failed_tasks": sum(error > FAILED for error in chosen.values()),
        "median_mean_error": statistics.median(joint) if joint else statistics.mean(medians.values()),
        "tasks": len(chosen),
        "runs_of_a_task": [min(counts.values()), max(counts.values())],
    }


def show():
    """The results as a table in Markdown."""
    results = {part: table for part, table in recorded().items() if part in PARTS}
    print("| task |", " | ".join(results), "|\n|---|" + "---|" * len(results))
    for task in map(str, TASKS):
        cells = [f"{100 * table['errors'][task]:.1f}" if task in table["errors"] else "" for table in results.values()]
        print(f"| {task} |", " | ".join(cells), "|")
    for key in ("mean_error", "median_mean_error"):
        print(f"| {key.replace('_', ' ')} |", " | ".join(f"{100 * table[key]:.1f}" for table in results.values()), "|")
    for key in ("failed_tasks", "tasks", "runs_of_a_task"):
        print(f"| {key.replace('_', ' ')} |", " | ".join(str(table[key]) for table in results.values()), "|")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=[*PARTS, "table"])
    parser.add_argument("--seeds", type=int, default=1, help="runs of each task, with seeds 1, 2, ...")
    parser.add_argument("--tasks", type=int, nargs="*", help="of the tasks that are learned by themselves, only these")
    parser.add_argument("--minutes", type=float, default=float("inf"), help="begin no run after these")
    options = parser.parse_args()
    if options.part == "table":
        return show()
    WORK.mkdir(exist_ok=True)
    began = time.monotonic()
    for seed in range(1, options.seeds + 1):
        for tasks in PARTS[options.part][1]:
            if options.tasks and tasks and tasks[0] not in options.tasks:
                continue
            runs = recorded().get(options.part, {}).get("runs", [])
            if any(run["seed"] == seed and run["tasks"] == tasks for run in runs):
                continue
            if time.monotonic() - began > 60 * options.minutes:
                return None
            run = measure(options.part, tasks, seed)
            record(options.part, run)
            print(
                f"{options.part} {tasks or 'all'} seed {seed}: error {run['error']:.4f}, {run['seconds']:.0f} s",
                flush=True,
            )
    return show()


if __name__ == "__main__":
    main()
