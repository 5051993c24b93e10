"""Multi30k en-de with and without monolingual German text (Sennrich, Haddow and Birch 2016): a de-en model translates it
into English, an en-de model is trained on these rows beside the real ones, and then on the real ones alone.

    TEXTPIPE_DATA=... python benchmarks/back_translation.py FOLDER [--texts 'multi30k_task2/train.*.de.gz'] [--seed 1]
        [--reverse-epochs 12] [--epochs 7] [--real-epochs 8] [--repeat 2] [--tag '<BT>'] [-s KEY=VALUE ...] [-r ...] [-f ...]

-s changes the en-de model, -r the de-en one, -f the last training, which is left out with --real-epochs 0. TEXTS are below
TEXTPIPE_DATA. Models, rows and stage results stay in FOLDER: the same command continues after an interruption, and other settings
of a later training reuse what is before it. The scores are of test2016, which chooses nothing; choose by the valid figures. Adds the
run to benchmarks/results/back_translation.json.
"""

import argparse
import glob
import hashlib
import json
import os
import platform
import subprocess
import sys
import time
from pathlib import Path

HOME = Path(__file__).parent
PIPELINES = HOME.parent / "pipelines"
RESULTS = HOME / "results" / "back_translation.json"
REVERSE, FORWARD = "multi30k_de_en_transformer", "multi30k_en_de_transformer"


class Steps:
    """Runs commands of textpipe and adds up the minutes of each over all calls, in FOLDER/minutes.json."""

    def __init__(self, folder):
        self.folder = folder
        self.file = folder / "minutes.json"

    def minutes(self):
        """Minutes by step."""
        return json.loads(self.file.read_text(encoding="utf-8")) if self.file.exists() else {}

    def run(self, name, *words):
        """Run a command; returns its standard output. Exits with its code if it fails."""
        began = time.monotonic()
        command = [sys.executable, "-m", "textpipe", *words, "--artifacts", str(self.folder / "artifacts")]
        done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
        minutes = self.minutes()
        minutes[name] = round(minutes.get(name, 0) + (time.monotonic() - began) / 60, 2)
        self.file.write_text(json.dumps(minutes) + "\n", encoding="utf-8")
        if done.returncode:
            sys.exit(done.returncode)
        return done.stdout

    def train(self, name, pipeline, model, settings):
        """Run a pipeline to an exported model of this name; returns what `textpipe run --json` printed."""
        words = [word for setting in settings for word in ("-s", setting)]
        places = ("--saved-models", str(self.folder / "models"), "--reports", str(self.folder / "reports"))
        file = self.folder / f"{model}.toml"
        file.write_bytes((PIPELINES / f"{pipeline}.toml").read_bytes())
        return json.loads(self.run(name, "run", str(file), *words, *places, "--json"))


def record(file, run):
    """Adds a run to a file of runs, with the machine's cores, and prints its metrics."""
    runs = json.loads(file.read_text(encoding="utf-8")) if file.exists() else []
    run |= {"cores": os.cpu_count(), "python": platform.python_version()}
    file.write_text(json.dumps([*runs, run], indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(json.dumps(run["metrics"], indent=1))


def schedule(warmup_steps, dropout=0.15):
    """Settings of a training that ends with a learning rate of 0."""
    return [
        f"train.schedule={{ kind = 'cosine', warmup_steps = {warmup_steps} }}",
        "train.average={ last = 2 }",
        f"model.dropout={dropout}",
    ]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--texts", default="multi30k_task2/train.*.de.gz")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--reverse-epochs", type=int, default=12)
    parser.add_argument("--epochs", type=int, default=7)
    parser.add_argument("--real-epochs", type=int, default=8)
    parser.add_argument("--repeat", type=int, default=2)
    parser.add_argument("--tag", default="<BT>")
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-r", dest="reverse_settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-f", dest="real_settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if not os.environ.get("TEXTPIPE_DATA"):
        parser.error("TEXTPIPE_DATA: expected the folder of the data sets, found none; set it")
    texts = str(Path(os.environ["TEXTPIPE_DATA"]) / options.texts)
    if not glob.glob(texts):
        parser.error(f"--texts: {texts}: no such file; `textpipe data` lists data sets and how to get them")
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder)

    reverse_settings = [f"train.epochs={options.reverse_epochs}", *schedule(400), *options.reverse_settings]
    reverse_name = " ".join(["reverse", *reverse_settings])
    reverse = steps.train(reverse_name, REVERSE, "reverse", reverse_settings)
    # Rows of another model or of other texts are not those of this run.
    source = hashlib.sha256(json.dumps([reverse_settings, texts]).encode()).hexdigest()[:8]
    rows = folder / f"rows_{source}.jsonl"
    if not rows.exists():
        steps.run(
            f"augment {source}", "augment", str(PIPELINES / f"{FORWARD}.toml"), reverse["saved_model"], texts,
            "--output", str(rows), "--option", "beam_size=1", "--engine", "processes",
        )  # fmt: skip
    synthetic = f"ingest.synthetic={{ files = {str(rows)!r}, tag = {options.tag!r}, repeat = {options.repeat} }}"
    settings = [f"seed={options.seed}", f"train.epochs={options.epochs}", *schedule(400), *options.settings]
    start = f"train.init.from={reverse['saved_model']}"
    name = " ".join(["forward", *settings, f"tag={options.tag}", f"repeat={options.repeat}", source])
    forward = steps.train(name, FORWARD, "with_synthetic", [*settings, synthetic, start])
    named = [reverse_name, f"augment {source}", name]
    trained = {"reverse": reverse, "with_synthetic": forward}
    if options.real_epochs:
        real_settings = [
            f"seed={options.seed}",
            f"train.epochs={options.real_epochs}",
            *schedule(50, dropout=0.2),
            "train.optimizer.learning_rate=0.001",
            *options.settings,
            *options.real_settings,
        ]
        subwords = f"tokenize.codec={{ kind = 'unigram', model = {str(folder / 'artifacts/latest/with_synthetic')!r} }}"
        start = f"train.init.from={forward['saved_model']}"
        named.append(" ".join([name, "then real rows", *real_settings]))
        trained["real"] = steps.train(named[-1], FORWARD, "real", [*real_settings, subwords, start])

    counts = json.loads(rows.with_name(f"{rows.name}.manifest.json").read_text(encoding="utf-8"))
    run = {
        "repeat": options.repeat,
        "texts": counts["texts"],
        "answers": counts["answers"],
        "metrics": {model: result["metrics"] for model, result in trained.items()},
        "minutes": {step: spent for step, spent in steps.minutes().items() if step in named},
    }
    record(RESULTS, run)


if __name__ == "__main__":
    main()
