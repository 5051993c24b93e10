"""Target tokens per second of training against OpenNMT-tf, joeynmt and plain PyTorch, with models of the same shapes.

    TEXTPIPE_DATA=... python benchmarks/training_speed.py FOLDER [--models transformer gru] [--rounds 4] [--seconds 6]
        [--opennmt-python ...] [--joeynmt-python ...] [--pytorch-python ...]

FOLDER keeps the peers' input files (Multi30k en-de as subword pieces of one joint vocabulary of 8,000) and their logs.
The peers' Python interpreters may also be set by TEXTPIPE_OPENNMT_PYTHON, TEXTPIPE_JOEYNMT_PYTHON and
TEXTPIPE_PYTORCH_PYTHON; peers without one are skipped. They need: OpenNMT-tf 2.32 with tensorflow 2.12.1 and numpy < 1.24 (Python 3.11); joeynmt
2.3 with sentencepiece 0.2.0 and importlib_metadata; torch.

textpipe enables oneDNN's kernels itself; OpenNMT-tf uses them only if the processor has AVX-512; opennmt-tf_onednn is
OpenNMT-tf with them always enabled.

Every system runs its own training loop in its own process. In each round each runs for one window, in turn, and so does a
large matrix product whose speed is the machine's ceiling; between windows a process pauses. Tokens are target tokens
including the end token, without padding. Ratios are computed per round. Writes
benchmarks/results/training_speed.json.
"""

import argparse
import json
import os
import platform
import statistics
import sys
from pathlib import Path

from peers.metronome import Worker

HOME = Path(__file__).parent
RESULTS = HOME / "results" / "training_speed.json"
PIPELINE = HOME.parent / "pipelines" / "multi30k_en_de_transformer.toml"
MODELS = {
    "transformer": {
        "kind": "transformer",
        "d_model": 128,
        "d_ff": 256,
        "num_heads": 4,
        "layers": 4,
        "dropout": 0.3,
        "share_embeddings": True,
    },
    "gru": {
        "kind": "recurrent",
        "units": 256,
        "embedding_size": 256,
        "attention": "additive",
        "attention_size": 256,
        "input_feeding": True,
        "dropout": 0.3,
        "embedding_dropout": 0.3,
        "share_embeddings": True,
    },
}
ONEDNN = "TF_ENABLE_ONEDNN_OPTS"
# The interpreter of a peer, its script, and additional environment variables.
PEERS = {
    "opennmt-tf": ("opennmt", "train_opennmt_tf.py", {}),
    "opennmt-tf_onednn": ("opennmt", "train_opennmt_tf.py", {ONEDNN: "1"}),
    "joeynmt": ("joeynmt", "train_joeynmt.py", {}),
    "pytorch": ("pytorch", "train_pytorch.py", {}),
}
OURS, BFLOAT16, CEILING = (
    "textpipe",
    "textpipe_bfloat16",
    "ceiling",
)  # the second with [train] precision = "mixed_bfloat16"


def prepare(folder, batch_tokens):
    """Write the input of all systems: train.npz, {train,valid,test}.{en,de} as subword pieces, vocabularies and setup.json."""
    import numpy as np

    from textpipe.config import plugins
    from textpipe.config.fields import Sizes
    from textpipe.pipeline import runner
    from textpipe.text import vectorizer
    from textpipe.training.batching import rows as training_rows

    loaded = runner.Pipeline.load(PIPELINE)
    built = runner.run(loaded, until="vectorize", artifacts=folder / "artifacts").artifacts
    fields = plugins.find("tasks", loaded.task).FIELDS
    sizes = Sizes.read(built["vectorize"].path / "features.json", fields)
    codec = vectorizer.load_codec(built["tokenize"].path, "target")
    names = [name.decode() for name in codec.pieces(np.arange(codec.vocab_size, dtype=np.int32)[None])[0].numpy()]
    sides = {"source": "en", "target": "de"}
    for split in ("train", "valid", "test"):
        rows = training_rows.read(built["vectorize"].path, split, sizes)
        lists = {
            side: [
                rows.columns[side].gather(np.array([at]), length)[0].tolist()
                for at, length in enumerate(rows.columns[side].lengths)
            ]
            for side in sides
        }
        for side, language in sides.items():
            lines = (" ".join(names[token] for token in row[:-1]) for row in lists[side])
            (folder / f"{split}.{language}").write_text("\n".join(lines) + "\n", encoding="utf-8")
        if split == "train":
            arrays = {}
            for side, rows in lists.items():
                arrays[f"{side}_values"] = np.array([token for row in rows for token in row], np.int32)
                arrays[f"{side}_offsets"] = np.cumsum([0, *map(len, rows)])
            np.savez(folder / "train.npz", **arrays)
    # Each tool has its own special tokens; the subword pieces follow in the same order.
    (folder / "opennmt.vocab").write_text("\n".join(["<blank>", "<s>", "</s>", *names[4:]]) + "\n", encoding="utf-8")
    (folder / "joeynmt.vocab").write_text(
        "\n".join(["<unk>", "<pad>", "<s>", "</s>", *names[4:]]) + "\n", encoding="utf-8"
    )
    setup = {"vocabulary": codec.vocab_size, "batch_tokens": batch_tokens, "models": MODELS, "names": names}
    (folder / "setup.json").write_text(json.dumps(setup, ensure_ascii=False), encoding="utf-8")


def start(kind, folder, pythons):
    """Start the workers of one kind of model, textpipe first, and run a warm-up window of each."""
    environment = {"PYTHONPATH": str(HOME.parent)}
    workers = {
        CEILING: Worker(CEILING, sys.executable, "ceiling.py", log=folder / "ceiling.log", environment=environment)
    }
    ours = {
        OURS: (sys.executable, "train_textpipe.py", environment, "float32"),
        BFLOAT16: (sys.executable, "train_textpipe.py", environment, "mixed_bfloat16"),
    }
    peers = {
        name: (pythons[key], script, variables) for name, (key, script, variables) in PEERS.items() if pythons[key]
    }
    for name, (python, script, variables, *more) in {**ours, **peers}.items():
        log = folder / f"{kind}_{name}.log"
        workers[name] = Worker(name, python, script, folder, kind, *more, log=log, environment=variables)
        print(f"{kind:<12} {name:<11} {workers[name].about}", file=sys.stderr, flush=True)
    return workers


def measure(kind, folder, pythons, *, rounds, seconds, steps, warm_up):
    """The windows of all workers by round: {name: [window, ...]}, and the workers' descriptions of themselves."""
    workers = start(kind, folder, pythons)
    try:
        for worker in workers.values():
            worker.window(0 if worker.name == CEILING else warm_up, steps)
        windows_of = {name: [] for name in workers}
        for number in range(rounds):
            for name in list(workers) if number % 2 == 0 else reversed(workers):
                others = {other: worker.processor() for other, worker in workers.items() if other != name}
                window = workers[name].window(1.5 if name == CEILING else seconds, steps)
                idle = sum(workers[other].processor() - used for other, used in others.items())
                window["others_processor_share"] = round(idle / window["seconds"], 3)
                windows_of[name].append(window)
                rate = window.get("tokens", window.get("operations", 0) / 1e9) / window["seconds"]
                print(f"{kind:<12} round {number + 1} {name:<11} {rate:8.0f} /s", file=sys.stderr, flush=True)
        return windows_of, {name: worker.about for name, worker in workers.items()}
    finally:
        for worker in workers.values():
            worker.end()


def spread(values, digits=3):
    """Median, minimum and maximum."""
    return {
        "median": round(statistics.median(values), digits),
        "lowest": round(min(values), digits),
        "highest": round(max(values), digits),
    }


def report(windows_of, about):
    """Results of one kind of model."""
    speeds = {
        name: [window["tokens"] / window["seconds"] for window in windows]
        for name, windows in windows_of.items()
        if name != CEILING
    }
    ceiling = [window["operations"] / window["seconds"] for window in windows_of[CEILING]]
    result = {
        "target_tokens_per_second": {name: spread(values, 0) for name, values in speeds.items()},
        "ratio_to": {
            name: spread([ours / theirs for ours, theirs in zip(speeds[OURS], values, strict=True)])
            for name, values in speeds.items()
            if name != OURS
        },
        "peak_mb": {
            name: max(window["peak_mb"] for window in windows)
            for name, windows in windows_of.items()
            if name != CEILING
        },
        "steps": {name: sum(window["steps"] for window in windows) for name, windows in windows_of.items()},
        "processor_share": {
            name: round(
                sum(window["processor"] for window in windows) / sum(window["seconds"] for window in windows), 2
            )
            for name, windows in windows_of.items()
        },
        "ceiling_gflops": spread([value / 1e9 for value in ceiling], 1),
        "others_processor_share": max(
            window["others_processor_share"] for windows in windows_of.values() for window in windows
        ),
        "workers": about,
    }
    if "operations" in windows_of[OURS][0]:
        for key, name in (("operations", "done"), ("operations_needed", "needed")):
            shares = [
                window[key] / window["seconds"] / top for window, top in zip(windows_of[OURS], ceiling, strict=True)
            ]
            result[f"share_of_ceiling_{name}"] = spread(shares)
    return result


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--models", nargs="+", choices=tuple(MODELS), default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=4)
    parser.add_argument("--seconds", type=float, default=6)
    parser.add_argument("--steps", type=int, default=3)
    parser.add_argument("--warm-up", type=float, default=10)
    parser.add_argument("--batch-tokens", type=int, default=4096)
    parser.add_argument("--output", type=Path, default=RESULTS)
    names = {key: name for name, (key, _, _) in reversed(PEERS.items())}
    for key, name in names.items():
        parser.add_argument(
            f"--{key}-python", default=os.environ.get(f"TEXTPIPE_{key.upper()}_PYTHON"), help=f"with {name}"
        )
    options = parser.parse_args()
    folder = options.folder.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    prepare(folder, options.batch_tokens)
    pythons = {key: getattr(options, f"{key}_python") for key in names}
    load = os.getloadavg()[0]
    windows = {"rounds": options.rounds, "seconds": options.seconds, "steps": options.steps, "warm_up": options.warm_up}
    result = {
        "settings": {**windows, "batch_tokens": options.batch_tokens, "vocabulary": 8000, "models": MODELS},
        "figures": {},
        "left_out": [name for name, (key, _, _) in PEERS.items() if not pythons[key]],
        "cores": os.cpu_count(),
        "python": platform.python_version(),
        "load_average_before": round(load, 2),
    }
    for kind in options.models:
        result["figures"][kind] = report(*measure(kind, folder, pythons, **windows))
        options.output.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result["figures"], indent=1))


if __name__ == "__main__":
    main()
