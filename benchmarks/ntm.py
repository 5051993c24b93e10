"""A neural Turing machine and an LSTM on copying and repeated copying, at lengths seen in training and longer ones.

    python benchmarks/ntm.py [--task copy repeat] [--model ntm lstm] [--seeds 1 2] [--updates 3000] [--folder FOLDER]

The tasks of Graves et al. (2014), sections 4.1 and 4.2, as texts: a source is a sequence of bytes written as two hexadecimal digits each, 1 to 20 in
training; the answer is the same sequence (copy), or 1 to 10 bytes as often as the last word of the source says, "x1" to "x10" (repeat).
Each pipeline is trained, exported and asked as text; bits wrong are counted over the eight bits of each byte, a byte too few
or too many counting eight. 50 sequences of each length. The rows are drawn with a fixed seed; no sequence of the
measurement can be in training but by chance. The first epochs train on the shortest rows (`[train] curriculum`). Of several seeds the
run with the lowest loss on valid counts, whose sequences are as long as those of train. Writes benchmarks/results/ntm.json after each
run, and draws where the chosen machine read while it copied (docs/ntm_copy.svg).
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import numpy as np
import tensorflow as tf

from textpipe.pipeline import runner
from textpipe.savedmodel.loader import Model

HOME = Path(__file__).parent
BATCH = 32
# (length, number of copies); training has lengths to 20 and one copy, or lengths and numbers to 10.
LENGTHS = {"copy": ((10, 1), (20, 1), (30, 1), (50, 1)), "repeat": ((5, 5), (10, 10), (20, 10))}
MODELS = {
    "ntm": 'kind = "ntm"\nembedding = "binary"\nreads_answer = false\nheads = "sequential"',
    "lstm": 'kind = "recurrent"\ncell = "lstm"\nencoder = "forward"\nattention = "none"\nbridge = "copy"\n'
    "units = 256\nembedding_size = 64\ndropout = 0.0\nembedding_dropout = 0.0",
}
PIPELINE = """
task = "translate"
seed = {seed}

[ingest]
files = {{ train = "{folder}/train.tsv", valid = "{folder}/valid.tsv", test = "{folder}/test.tsv" }}

[normalize]
steps = []

[tokenize]
codec = {{ kind = "words", vocab_size = 300, min_count = 1 }}
vocabulary = "joint"

[vectorize]
features = {{ kind = "ids", max_length = 256 }}

[model]
{model}

[train]
epochs = {epochs}
batch_rows = {batch}
optimizer = {{ kind = "adam", learning_rate = {rate} }}
schedule = "cosine"
curriculum = {{ epochs = {curriculum} }}
clip_norm = 1.0
validate_steps = 500

[decode]
kind = "greedy"
max_length = 256
max_extra = 256
"""


def sequence(random, task, length, times=None):
    """(source, answer) as texts."""
    words = [f"{byte:02x}" for byte in random.integers(0, 256, length)]
    if task == "copy":
        return " ".join(words), " ".join(words)
    return " ".join([*words, f"x{times}"]), " ".join(words * times)


def write_rows(folder, task, rows):
    """train.tsv, valid.tsv and test.tsv of a task."""
    folder.mkdir(parents=True, exist_ok=True)
    random = np.random.default_rng(7)
    longest = 20 if task == "copy" else 10
    for split, count in (("train", rows), ("valid", 100), ("test", 100)):
        lines = [
            "\t".join(sequence(random, task, int(random.integers(1, longest + 1)), int(random.integers(1, 11))))
            for _ in range(count)
        ]
        (folder / f"{split}.tsv").write_text("\n".join(["source\ttarget", *lines, ""]), encoding="utf-8")


def bits_wrong(expected, answer):
    """Bits that differ between two texts of bytes; words that are no byte count eight."""
    left, right = expected.split(), answer.split()
    wrong = 8 * abs(len(left) - len(right))
    for one, other in zip(left, right, strict=False):
        try:
            wrong += (int(one, 16) ^ int(other, 16)).bit_count() if len(other) == 2 else 8
        except ValueError:
            wrong += 8
    return wrong


def measured(model, task):
    """Mean bits wrong in a sequence, and the share of sequences without a wrong one, by length and number of copies."""
    random, results = np.random.default_rng(11), {}
    for length, times in LENGTHS[task]:
        pairs = [sequence(random, task, length, times) for _ in range(50)]
        answers = [row["answer"] for row in model.predict([source for source, _ in pairs])]
        wrong = [bits_wrong(expected, answer) for (_, expected), answer in zip(pairs, answers, strict=True)]
        results[f"{length} x {times}"] = {"bits_wrong": round(float(np.mean(wrong)), 2), "exact": wrong.count(0) / 50}
    return results


def trained(name, task, seed, arguments):
    """The results of one model: trained, exported and asked."""
    folder = arguments.folder.resolve() / task
    write_rows(folder, task, arguments.updates * BATCH // arguments.epochs)
    path = folder / f"{name}_{seed}.toml"
    path.write_text(
        PIPELINE.format(
            seed=seed,
            folder=folder,
            model=MODELS[name],
            epochs=arguments.epochs,
            curriculum=arguments.curriculum,
            rate=arguments.rate,
            batch=BATCH,
        ),
        encoding="utf-8",
    )
    began, processor = time.time(), time.process_time()
    result = runner.run(
        runner.Pipeline.load(path), artifacts=folder / "artifacts", saved_models=folder / "saved_models"
    )
    spent = {"seconds": round(time.time() - began), "processor_seconds": round(time.process_time() - processor)}
    record = json.loads((result.artifacts["train"].path / "train.json").read_text(encoding="utf-8"))
    model = Model.load(folder / "saved_models" / path.stem)
    return {
        "steps": record["steps"],
        "parameters": record["parameters"],
        "valid_loss": record["best"]["valid_loss"],
        "settings": {key: getattr(arguments, key) for key in ("epochs", "curriculum", "rate")},
        **spent,
        "lengths": measured(model, task),
    }


def chosen(runs):
    """The seed of the run with the lowest loss on valid."""
    return min((seed for seed in runs if seed.isdigit()), key=lambda seed: runs[seed]["valid_loss"])


def draw(model, path):
    """Where a sequence of 20 bytes was read from while it was copied."""
    from textpipe.report import attention_map

    source, _ = sequence(np.random.default_rng(5), "copy", 20)
    found = model.predict([source], signature="attention")[0]
    source_tokens, target_tokens = (
        [token for token in found[name] if token] for name in ("source_tokens", "target_tokens")
    )
    weights = np.array(found["weights"])[: len(target_tokens), : len(source_tokens)]
    attention_map.draw(weights, source_tokens, target_tokens, path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--task", nargs="+", choices=LENGTHS, default=list(LENGTHS))
    parser.add_argument("--model", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--updates", type=int, default=3000, help="without what the curriculum leaves out")
    parser.add_argument("--epochs", type=int, default=10, help="how often each training row is seen")
    parser.add_argument("--curriculum", type=int, default=4, help="epochs before the longest rows are trained on")
    parser.add_argument("--rate", type=float, default=5e-3, help="learning rate of Adam")
    parser.add_argument("--folder", type=Path, default=HOME / "ntm.work")
    parser.add_argument("--output", type=Path, default=HOME / "results" / "ntm.json")
    parser.add_argument("--picture", type=Path, default=HOME.parent / "docs" / "ntm_copy.svg")
    arguments = parser.parse_args()
    results = json.loads(arguments.output.read_text(encoding="utf-8")) if arguments.output.exists() else {}
    results["machine"] = {
        "processor": platform.processor() or platform.machine(), "cores": os.cpu_count(), "tensorflow": tf.__version__,
        "python": platform.python_version(),
    }  # fmt: skip
    for task in arguments.task:
        for name in arguments.model:
            for seed in arguments.seeds:
                runs = results.setdefault(task, {}).setdefault(name, {})
                runs[str(seed)] = trained(name, task, seed, arguments)
                runs["chosen"] = chosen(runs)
                print(task, name, seed, runs[str(seed)], flush=True)
                arguments.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
            if name == "ntm" and task == "copy" and int(runs["chosen"]) in arguments.seeds:
                folder = arguments.folder.resolve() / task / "saved_models"
                draw(Model.load(folder / f"ntm_{runs['chosen']}"), arguments.picture)


if __name__ == "__main__":
    main()
