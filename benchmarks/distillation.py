"""Multi30k en-de: a GRU with attention that learns from a transformer's answers (Kim and Rush 2016, sequence-level distillation).

    TEXTPIPE_DATA=... python benchmarks/distillation.py FOLDER TEACHER [--texts 'multi30k_task2/train.*.en.gz'] [--seed 1]
        [--student multi30k_en_de] [--epochs 5] [--repeat 1] [-s KEY=VALUE ...]

TEACHER is an exported en-de model (benchmarks/bidirectional.py trains one). It translates the sources of the training rows with its own beam,
and the English texts, which have no translation, greedily; the student is trained on both beside the real rows, each of which is read
--repeat times. --texts '' leaves the texts out. -s changes the student. Models and stage results stay in FOLDER: the same command continues
after an interruption. Scores are of test2016, which chooses nothing. Adds the run to benchmarks/results/distillation.json.
"""

import argparse
import glob
import json
import os
from pathlib import Path

from back_translation import FORWARD, PIPELINES, Steps, record

RESULTS = Path(__file__).parent / "results" / "distillation.json"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--texts", default="multi30k_task2/train.*.en.gz")
    parser.add_argument("--student", default="multi30k_en_de")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if not os.environ.get("TEXTPIPE_DATA"):
        parser.error("TEXTPIPE_DATA: expected the folder of the data sets, found none; set it")
    texts = str(Path(os.environ["TEXTPIPE_DATA"]) / options.texts) if options.texts else ""
    if texts and not glob.glob(texts):
        parser.error(f"--texts: {texts}: no such file; `textpipe data` lists data sets and how to get them")
    folder, teacher = options.folder.absolute(), options.teacher.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder)

    files = []
    for name, words in (
        ("answers_to_train", []),
        ("answers_to_texts", [texts, "--option", "beam_size=1"]),
    ):
        if name == "answers_to_texts" and not texts:
            continue
        rows = folder / f"{name}.jsonl"
        if not rows.exists():
            steps.run(
                name, "augment", str(PIPELINES / f"{FORWARD}.toml"), str(teacher), *words, "--direction", "forward",
                "--output", str(rows), "--engine", "processes",
            )  # fmt: skip
        files.append(str(rows))
    settings = [
        f"seed={options.seed}",
        f"train.epochs={options.epochs}",
        f"ingest.synthetic={{ files = {files!r}, repeat = {options.repeat} }}",
        *options.settings,
    ]
    student = steps.train(f"student_{options.seed}", options.student, f"student_{options.seed}", settings)
    run = {
        "student": options.student,
        "settings": [setting.replace(str(folder), "FOLDER") for setting in settings],
        "rows": {
            Path(file).stem: json.loads(Path(f"{file}.manifest.json").read_text(encoding="utf-8"))["answers"]
            for file in files
        },
        "metrics": student["metrics"],
        "minutes": steps.minutes(),
    }
    record(RESULTS, run)


if __name__ == "__main__":
    main()
