"""Grid, random and TPE search at equal cost: the best valid_accuracy on banking77 after each of 40 trials.

    python benchmarks/search.py FOLDER [--seeds 3]

Runs the studies of pipelines/banking77_search.toml in FOLDER: random and TPE with its settings, the grid with 40 combinations of values
of the same ranges (GRID). A seed is that of the search; all trials train with seed 1, so that they differ in their settings alone. No
study touches the test split. A run that was stopped continues; finished studies are read from FOLDER. Writes
benchmarks/results/search.json and docs/pictures/search.svg.
"""

import argparse
import json
import platform
import statistics
from pathlib import Path

from textpipe.config.sections import load
from textpipe.tuning import best_file, search

ROOT = Path(__file__).parents[1]
PIPELINE = ROOT / "pipelines" / "banking77_search.toml"
RESULTS = Path(__file__).parent / "results" / "search.json"
PICTURE = ROOT / "docs" / "pictures" / "search.svg"
GRID = {
    "train.optimizer.learning_rate": [1e-4, 5.6e-4, 3.2e-3, 1.8e-2, 1e-1],
    "train.batch_rows": [128],
    "train.schedule": ["constant", "cosine"],
    "model.units": [[32], [128]],
    "model.dropout": [0.2, 0.6],
}
SAMPLERS = ("grid", "random", "tpe")
TRIALS = 40
LATE = 20  # trials before those whose median shows what a search has learned
SHOWN = (5, 10, 20, 40)  # trials, in the table


def pipeline(folder, sampler, seed):
    """The pipeline file of a study."""
    tables = load(PIPELINE)
    tables["tune"] |= {"sampler": sampler, "seed": seed, "trials": TRIALS, "keep": TRIALS if sampler == "grid" else 1}
    if sampler == "grid":
        tables["tune"]["settings"] = GRID
    path = folder / f"{sampler}_{seed}.toml"
    lines = [f"{name} = {best_file.toml(value)}" for name, value in tables.items()]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")
    return path


def study(folder, sampler, seed):
    """The best value after each trial, the best trial, and the seconds of all trials."""

    def tell(outcome, trial):
        print(
            f"{sampler} {seed}: {trial.number} {trial.value} best {outcome.best.value:.4f} {trial.seconds} s",
            flush=True,
        )

    options = search.Options(artifacts=folder / "artifacts", output=folder / f"{sampler}_{seed}_best.toml", test=False)
    outcome = search.tune(pipeline(folder, sampler, seed), (), options, on_trial=tell)
    best = outcome.best
    return {
        "sampler": sampler, "seed": seed, "best_so_far": outcome.best_so_far(),
        "values": [trial.value for trial in outcome.records],
        "late_median": statistics.median(trial.value for trial in outcome.records[LATE:] if trial.value is not None),
        "failed": outcome.counts["failed"],
        "best": {"trial": best.number, "value": best.value, "settings": best.settings},
        "seconds": sum(trial.seconds for trial in outcome.records), "importance": outcome.importance,
    }  # fmt: skip


def table(studies):
    """The mean over seeds of the best value after some trials, and the range, by sampler."""
    rows = {}
    for sampler in SAMPLERS:
        curves = [one["best_so_far"] for one in studies if one["sampler"] == sampler]
        rows[sampler] = {
            str(count): {"mean": statistics.mean([curve[count - 1] for curve in curves]), "low": min(curve[count - 1] for curve in curves),
                         "high": max(curve[count - 1] for curve in curves), "seeds": len(curves)}
            for count in SHOWN if curves
        }  # fmt: skip
        rows[sampler]["late_median"] = [one["late_median"] for one in studies if one["sampler"] == sampler]
    return rows


def draw(studies):
    """The mean curves over seeds, with the range between the best and the worst seed."""
    import matplotlib

    matplotlib.use("svg")
    matplotlib.rcParams["svg.hashsalt"] = "search"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.6), layout="constrained")
    for sampler, colour in zip(SAMPLERS, ("#17806a", "#cf5a1f", "#2a62c4"), strict=True):
        curves = [one["best_so_far"] for one in studies if one["sampler"] == sampler]
        if not curves:
            continue
        steps = range(1, TRIALS + 1)
        axes.plot(steps, [statistics.mean(column) for column in zip(*curves, strict=True)], color=colour, label=sampler)
        low, high = zip(*[(min(column), max(column)) for column in zip(*curves, strict=True)], strict=True)
        axes.fill_between(steps, low, high, color=colour, alpha=0.15, linewidth=0)
    axes.set(xlabel="trials", ylabel="best valid accuracy so far", xlim=(1, TRIALS), ylim=(0.8, None))
    axes.grid(alpha=0.3)
    axes.legend(frameon=False)
    PICTURE.parent.mkdir(exist_ok=True)
    figure.savefig(PICTURE, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seeds", type=int, default=3)
    arguments = parser.parse_args()
    arguments.folder.mkdir(parents=True, exist_ok=True)
    studies = []
    for seed in range(1, arguments.seeds + 1):
        for sampler in SAMPLERS:
            studies.append(study(arguments.folder, sampler, seed))
            report = {"machine": platform.processor() or platform.machine(), "trials": TRIALS, "grid": GRID,
                      "table": table(studies), "studies": studies}  # fmt: skip
            RESULTS.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")
    draw(studies)
    print(json.dumps(table(studies), indent=1))


if __name__ == "__main__":
    main()
