"""Intents of replies from three examples each: V-measure against the intents of the bundled mails' grammar.

    python benchmarks/intents.py [--draws 5]

Settings are chosen on half of the intents, drawn with a seed, and their replies of train alone; figures are of the other half of the
intents and of all their replies, for those settings and for the defaults. A draw is three examples an intent, by the same seed for every
setting; draws of the choice and of the figures differ. A reply without an intent counts as a cluster of its own. Beside it: 1-nearest
example by the cosine of the same features, the baseline. Writes benchmarks/results/intents.json.
"""

import argparse
import itertools
import json
import platform
import random
from collections import Counter, defaultdict
from pathlib import Path

import numpy as np

from textpipe.metrics import clustering
from textpipe.stages import _intent_propagation as propagation
from textpipe.stages._intents import Propagation

MAIL = Path(__file__).parents[1] / "data" / "mail"
RESULTS = Path(__file__).parent / "results" / "intents.json"
EXAMPLES = 3
GRID = {"threshold": (0.2, 0.3, 0.5), "margin": (1.2, 1.5, 2.0), "evidence": (0.1, 0.15, 0.25)}


def replies(splits, intents=None):
    """The replies of splits, most frequent first, and the intent of each."""
    counts, truth = Counter(), {}
    for split in splits:
        for line in (MAIL / f"{split}.jsonl").read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            if row["reply"] and (intents is None or row["intent"] in intents):
                counts[row["reply"]] += 1
                truth[row["reply"]] = row["intent"]
    return sorted(counts, key=lambda text: (-counts[text], text)), truth


def examples(texts, truth, draw):
    members = defaultdict(list)
    for text in sorted(texts):
        members[truth[text]].append(text)
    rng = random.Random(draw)
    return {text: intent for intent in members for text in rng.sample(members[intent], EXAMPLES)}


def v_measure(texts, truth, found):
    clusters = [intent or f"alone {place}" for place, intent in enumerate(found)]
    return clustering.v_measure([truth[text] for text in texts], clusters)["v_measure"]


def measure(texts, truth, settings, draws):
    """The V-measure of each draw."""
    return [
        v_measure(texts, truth, [intent for intent, _ in propagation.propagate(texts, examples(texts, truth, draw), seed=draw, settings=settings)])
        for draw in draws
    ]  # fmt: skip


def nearest(texts, truth, draws):
    """The V-measure of the intent of the nearest example."""
    weights = propagation.feature_weights(texts)
    norms = np.sqrt(np.asarray(weights.multiply(weights).sum(axis=1)).ravel())
    figures = []
    for draw in draws:
        given = examples(texts, truth, draw)
        places = [place for place, text in enumerate(texts) if text in given]
        cosines = (weights @ weights[places].T).toarray() / np.maximum(np.outer(norms, norms[places]), 1e-12)
        best = cosines.argmax(axis=1)
        found = [given[texts[places[at]]] if row[at] > 0 else "" for at, row in zip(best, cosines, strict=True)]
        figures.append(v_measure(texts, truth, found))
    return figures


def main():
    parser = argparse.ArgumentParser(description="Measure the intents of replies.")
    parser.add_argument("--draws", type=int, default=5)
    draws = parser.parse_args().draws
    names = sorted(set(replies(["train"])[1].values()))
    results = {"machine": platform.machine(), "python": platform.python_version(), "examples": EXAMPLES, "halves": []}
    for half in (1, 2):
        order = random.Random(half).sample(names, len(names))
        chosen_on, held_out = set(order[: len(order) // 2]), set(order[len(order) // 2 :])
        texts, truth = replies(["train"], chosen_on)
        table = []
        for values in itertools.product(*GRID.values()):
            settings = Propagation(**dict(zip(GRID, values, strict=True)))
            table.append((float(np.mean(measure(texts, truth, settings, range(101, 104)))), values))
        best, values = max(table)
        settings = dict(zip(GRID, values, strict=True))
        texts, truth = replies(["train", "valid", "test"], held_out)
        row = {
            "chosen": settings, "v_where_chosen": round(best, 4), "held_out_intents": len(held_out), "held_out_replies": len(texts),
            "held_out": [round(value, 4) for value in measure(texts, truth, Propagation(**settings), range(1, draws + 1))],
            "held_out_defaults": [round(value, 4) for value in measure(texts, truth, Propagation(), range(1, draws + 1))],
            "held_out_nearest_example": [round(value, 4) for value in nearest(texts, truth, range(1, draws + 1))],
        }  # fmt: skip
        results["halves"].append(row)
        print(json.dumps(row), flush=True)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
