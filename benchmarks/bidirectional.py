"""Multi30k en-de from the parallel rows alone, trained in both directions at once and then in one (Ding et al. 2021, bidirectional training).

    TEXTPIPE_DATA=... python benchmarks/bidirectional.py FOLDER [--seed 1] [--epochs 16] [--final-epochs 13] [--reverse]
        [-s KEY=VALUE ...] [-b KEY=VALUE ...] [-f KEY=VALUE ...]

The first model reads each training row twice, as it is and with source and target exchanged; the second begins with its weights and
subwords and reads the rows as they are. --reverse trains a second de-en model from the same first one instead of en-de. -s changes both
trainings, -b the first, -f the second. Models and stage results stay in FOLDER: the same command continues after an interruption. Scores
are of test2016, which chooses nothing. Adds the run to benchmarks/results/bidirectional.json.
"""

import argparse
import gzip
import json
import os
from pathlib import Path

from back_translation import FORWARD, PIPELINES, REVERSE, Steps, record

RESULTS = Path(__file__).parent / "results" / "bidirectional.json"


def write_exchanged(data, file):
    """Write the training rows with source and target exchanged."""
    english, german = (
        gzip.decompress((data / "multi30k" / f"train.{language}.gz").read_bytes()).decode("utf-8").splitlines()
        for language in ("en", "de")
    )
    rows = (
        json.dumps({"source": de, "target": en}, ensure_ascii=False) for en, de in zip(english, german, strict=True)
    )
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=16)
    parser.add_argument("--final-epochs", type=int, default=13)
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-b", dest="both_settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-f", dest="final_settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if not os.environ.get("TEXTPIPE_DATA"):
        parser.error("TEXTPIPE_DATA: expected the folder of the data sets, found none; set it")
    folder = options.folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder)
    exchanged = folder / "exchanged.jsonl"
    if not exchanged.exists():
        write_exchanged(Path(os.environ["TEXTPIPE_DATA"]), exchanged)

    shared = [f"seed={options.seed}", "train.batch_tokens=2048", "train.precision='mixed_bfloat16'", *options.settings]
    both_settings = [
        *shared,
        f"train.epochs={options.epochs}",
        "train.optimizer.learning_rate=0.003",
        "train.schedule={ kind = 'cosine', warmup_steps = 1000, lowest = 0.1 }",
        "train.average={ last = 2 }",
        "model.dropout=0.2",
        f"ingest.synthetic={{ files = {str(exchanged)!r} }}",
        *options.both_settings,
    ]
    first_name, final_name = f"both_{options.seed}", f"{'de_en' if options.reverse else 'en_de'}_{options.seed}"
    file = folder / f"{first_name}.toml"
    file.write_bytes((PIPELINES / f"{FORWARD}.toml").read_bytes())
    steps.run(first_name, "train", str(file), *(word for setting in both_settings for word in ("-s", setting)))
    first = str(folder / "artifacts" / "latest" / first_name)
    final_settings = [
        *shared,
        f"train.epochs={options.final_epochs}",
        "train.optimizer.learning_rate=0.002",
        "train.schedule={ kind = 'cosine', warmup_steps = 200 }",
        "train.average={ last = 5 }",
        "model.dropout=0.25",
        f"train.init.from={first}",
        f"tokenize.codec={{ kind = 'unigram', model = {first!r} }}",
        *options.final_settings,
    ]
    final = steps.train(final_name, REVERSE if options.reverse else FORWARD, final_name, final_settings)
    run = {
        "seed": options.seed,
        "direction": "de-en" if options.reverse else "en-de",
        "settings": {"both": both_settings, "final": final_settings},
        "metrics": final["metrics"],
        "minutes": {step: spent for step, spent in steps.minutes().items() if step in (first_name, final_name)},
    }
    record(RESULTS, run)


if __name__ == "__main__":
    main()
