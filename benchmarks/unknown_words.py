"""Translating unseen words: subwords, words with replaced unknowns, words with spelled unknowns, and characters.

    TEXTPIPE_DATA=... python benchmarks/unknown_words.py [--systems subwords words hybrid characters] [--epochs 20]
        [-s model.units=128 ...] [--folder benchmarks/unknown_words.work] [--speed-only]

Each system is a pipeline file for Multi30k en-de with the same epochs and overrides. Artifacts are kept in FOLDER, so an
interrupted run resumes. Reports BLEU and chrF of all rows and of those with a source word unseen in training; precision,
recall and F1 of target words that are unseen in training, and of those seen one to five times; and the number of answers
that contain <unk>. Speed is that of training steps, in rows, source and target tokens per CPU second (tokens differ
between the systems, rows do not). Writes benchmarks/results/unknown_words.json.
"""

import argparse
import json
import multiprocessing
import os
import platform
import resource
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

HOME = Path(__file__).parent
PIPELINES = {
    "subwords": "multi30k_en_de.toml",
    "words": "multi30k_en_de_words.toml",
    "hybrid": "multi30k_en_de_hybrid.toml",
    "characters": "multi30k_en_de_characters.toml",
}
STEPS = 8  # timed steps


def measured(name, arguments):
    """Results of one system."""
    from textpipe.pipeline import runner

    overrides = (f"train.epochs={arguments.epochs}", *arguments.set)
    loaded = runner.Pipeline.load(HOME.parent / "pipelines" / PIPELINES[name], overrides)
    built = runner.run(loaded, until="vectorize", artifacts=arguments.folder).artifacts
    results = {"pipeline": PIPELINES[name], "epochs": arguments.epochs, "speed": speed(loaded, built)}
    if arguments.speed_only:
        return results
    built = runner.run(loaded, until="evaluate", artifacts=arguments.folder).artifacts
    trained = json.loads((built["train"].path / "train.json").read_text(encoding="utf-8"))
    report = json.loads((built["evaluate"].path / "metrics.json").read_text(encoding="utf-8"))
    names = ("bleu", "chrf", "unknown_in_answers")
    results |= {key: trained[key] for key in ("parameters", "steps")}
    results["all_rows"] = {key: report["metrics"][key] for key in names}
    for kind in ("unseen_words", "rare_words"):
        part = report[kind]
        results[kind] = {
            "rows": part["rows"],
            **{key: part["metrics"][key] for key in names},
            "target": part["target_words"],
        }
    return results


def speed(loaded, built):
    """Rows and tokens per CPU second of training steps, after a warm-up call of each."""
    from textpipe.config import plugins
    from textpipe.config.fields import Sizes
    from textpipe.training.batching import batches, rows
    from textpipe.training.steps import Steps, fixed_widths

    config = loaded.sections["train"]
    sizes = Sizes.read(built["vectorize"].path / "features.json", plugins.find("tasks", loaded.task).FIELDS)
    data = rows.read(built["vectorize"].path, "train", sizes)
    model = plugins.find("models", config.model.kind).build(config.model, sizes, seed=1)
    optimizer = plugins.find("training.optimizers", config.optimizer.kind).build(config.optimizer)
    optimizer.build(model.trainable_variables)
    import tensorflow as tf

    steps = Steps(model, optimizer, config, tf.distribute.get_strategy(), len(data), config.objective)
    order = batches.plan(data, config, fixed_widths=fixed_widths(model)).epoch(1)[:STEPS]
    for batch in order:
        steps.train(data, [batch], 1)
    processor, wall = time.process_time(), time.monotonic()
    for batch in order:
        steps.train(data, [batch], 1)
    processor, wall = time.process_time() - processor, time.monotonic() - wall
    count = sum(len(batch.rows) for batch in order)
    tokens = {
        side: int(sum(data.columns[side].lengths[batch.rows].sum() for batch in order)) for side in ("source", "target")
    }
    return {
        "rows_per_processor_second": round(count / processor, 1),
        **{f"{side}_tokens_per_processor_second": round(total / processor) for side, total in tokens.items()},
        "target_tokens_per_wall_second": round(tokens["target"] / wall),
        "target_tokens_per_row": round(tokens["target"] / count, 1),
        "peak_megabytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024,
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--systems", nargs="+", default=list(PIPELINES), choices=list(PIPELINES))
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("-s", "--set", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("--folder", type=Path, default=HOME / "unknown_words.work")
    parser.add_argument("--speed-only", action="store_true")
    arguments = parser.parse_args()
    path = HOME / "results" / "unknown_words.json"
    results = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {"systems": {}}
    for name in arguments.systems:
        # In a separate process, to measure its peak memory.
        with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
            result = process.submit(measured, name, arguments).result()
        results["systems"][name] = {"overrides": arguments.set, **result}
        results["machine"] = {"cores": len(os.sched_getaffinity(0)), "python": platform.python_version()}
        path.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
        print(name, json.dumps(results["systems"][name], indent=1))


if __name__ == "__main__":
    main()
