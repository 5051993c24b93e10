"""Multi30k: a model that learns from other models' answers to texts without a translation, and to the training rows (Kim and Rush 2016,
sequence-level distillation; Sennrich, Haddow and Birch 2016, back-translation).

    TEXTPIPE_DATA=... python benchmarks/distillation.py FOLDER TEACHER [--reverse-teacher MODEL] [--reverse]
        [--texts 'multi30k_task2/train.*.en.gz'] [--target-texts 'multi30k_task2/train.*.de.gz'] [--seed 1] [--student multi30k_en_de]
        [--epochs 5] [--repeat 1] [--final-epochs 0] [-s KEY=VALUE ...] [-f KEY=VALUE ...]

TEACHER is an exported en-de model (benchmarks/bidirectional.py trains one), or an ensemble. It translates the sources of the training rows
with its own beam, and the English texts, which have no translation, greedily. A de-en model (--reverse-teacher) translates the German texts
greedily into sources. The student is trained on all these rows beside the real ones, each of which is read --repeat times, and then, with
--final-epochs, on the real rows and the answers to the training rows alone. --texts '' leaves the texts out. --reverse exchanges the
languages: a de-en student, TEACHER a de-en model. -s changes both trainings of the student, -f the last. Models and stage results stay in
FOLDER: the same command continues after an interruption. Scores are of test2016, which chooses nothing. Adds the run to
benchmarks/results/distillation.json.
"""

import argparse
import glob
import json
import os
from pathlib import Path

from back_translation import FORWARD, PIPELINES, REVERSE, Steps, record

RESULTS = Path(__file__).parent / "results" / "distillation.json"
TEXTS = {"en": "multi30k_task2/train.*.en.gz", "de": "multi30k_task2/train.*.de.gz"}


def files_of(parser, pattern):
    """The pattern below TEXTPIPE_DATA, which has to match; '' for ''."""
    texts = str(Path(os.environ["TEXTPIPE_DATA"]) / pattern) if pattern else ""
    if texts and not glob.glob(texts):
        parser.error(f"{texts}: no such file; `textpipe data` lists data sets and how to get them")
    return texts


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("teacher", type=Path)
    parser.add_argument("--reverse-teacher", type=Path)
    parser.add_argument("--reverse", action="store_true")
    parser.add_argument("--texts")
    parser.add_argument("--target-texts")
    parser.add_argument("--student")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=1)
    parser.add_argument("--final-epochs", type=int, default=0)
    parser.add_argument("-s", dest="settings", action="append", default=[], metavar="KEY=VALUE")
    parser.add_argument("-f", dest="final_settings", action="append", default=[], metavar="KEY=VALUE")
    options = parser.parse_args()
    if not os.environ.get("TEXTPIPE_DATA"):
        parser.error("TEXTPIPE_DATA: expected the folder of the data sets, found none; set it")
    source, target = ("de", "en") if options.reverse else ("en", "de")
    pipeline = str(PIPELINES / f"{REVERSE if options.reverse else FORWARD}.toml")
    texts = files_of(parser, TEXTS[source] if options.texts is None else options.texts)
    target_texts = files_of(parser, TEXTS[target] if options.target_texts is None else options.target_texts)
    folder, teacher = options.folder.absolute(), str(options.teacher.absolute())
    folder.mkdir(parents=True, exist_ok=True)
    steps = Steps(folder)

    greedy = ["--option", "beam_size=1"]
    answers = {"answers_to_train": [teacher, "--direction", "forward"]}
    if texts:
        answers["answers_to_texts"] = [teacher, texts, *greedy, "--direction", "forward"]
    if options.reverse_teacher and target_texts:
        reverse_teacher = str(options.reverse_teacher.absolute())
        answers["back_translations"] = [reverse_teacher, target_texts, *greedy, "--direction", "backward"]
    files = {name: str(folder / f"{name}.jsonl") for name in answers}
    for name, words in answers.items():
        if not Path(files[name]).exists():
            steps.run(name, "augment", pipeline, *words, "--output", files[name], "--engine", "processes")

    student = options.student or ("multi30k_de_en_transformer" if options.reverse else "multi30k_en_de")
    settings = [
        f"seed={options.seed}",
        f"train.epochs={options.epochs}",
        f"ingest.synthetic={{ files = {list(files.values())!r}, repeat = {options.repeat} }}",
        *options.settings,
    ]
    names = [f"student_{options.seed}"]
    result = steps.train(names[0], student, names[0], settings)
    metrics = {"all_rows": result["metrics"]} if options.final_epochs else result["metrics"]
    final_settings = []
    if options.final_epochs:
        first = str(folder / "artifacts" / "latest" / names[0])
        final_settings = [
            f"train.epochs={options.final_epochs}",
            f"ingest.synthetic={{ files = {files['answers_to_train']!r} }}",
            f"train.init.from={first}",
            f"tokenize.codec={{ kind = 'unigram', model = {first!r} }}",
            *options.final_settings,
        ]
        names.append(f"final_{options.seed}")
        final = steps.train(names[1], student, names[1], [*settings, *final_settings])
        metrics["final"] = final["metrics"]

    run = {
        "direction": f"{source}-{target}",
        "student": student,
        "settings": [setting.replace(str(folder), "FOLDER") for setting in settings],
        "final_settings": [setting.replace(str(folder), "FOLDER") for setting in final_settings],
        "rows": {
            name: json.loads(Path(f"{file}.manifest.json").read_text(encoding="utf-8"))["answers"]
            for name, file in files.items()
        },
        "metrics": metrics,
        "minutes": {step: spent for step, spent in steps.minutes().items() if step in (*answers, *names)},
    }
    record(RESULTS, run)


if __name__ == "__main__":
    main()
