"""textpipe augment: texts and a model become rows, the same ones whatever interrupts it, and wrong texts and models are refused."""

import csv
import dataclasses
import gzip
import io
import json
import random
from collections import Counter
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from click.testing import CliRunner

from textpipe.augmentation import job as jobs
from textpipe.augmentation import texts as monolingual
from textpipe.augmentation.languages import LanguagePair
from textpipe.augmentation.noise import Noise
from textpipe.cli import main
from textpipe.commands import augment
from textpipe.errors import ArtifactError, ConfigError, DataError, ModelError, ResourceError
from textpipe.inference import bulk

ENGLISH, GERMAN = (
    [f"{a} {b} {c}" for a in first for b in second for c in third]
    for first, second, third in (
        (("the old", "a green", "my new", "this small"), ("house", "mouse", "garden", "bicycle", "teacher"), ("sleeps", "is here", "walks away", "was red", "eats")),
        (("das alte", "ein grünes", "mein neues", "dieses kleine"), ("Haus", "Tier", "Gärtchen", "Fahrrad", "Mädchen"), ("schläft", "ist hier", "geht weg", "war rot", "isst")),
    )
)  # fmt: skip
FRENCH = [
    "une petite maison jaune",
    "le chat dort sous la chaise",
    "il pleut sur la ville",
    "où est la gare s'il vous plaît",
]
GREEK = ["το σπίτι είναι κόκκινο", "ο σκύλος κοιμάται", "πού είναι ο σταθμός"]


@pytest.fixture(scope="module")
def pair():
    shuffled = random.Random(1)
    return LanguagePair.learn(*(shuffled.sample(texts, len(texts)) for texts in (GERMAN, ENGLISH)))


def text_filter(pair=None, held_out=(), **options):
    return monolingual.TextFilter(monolingual.HeldOut([list(held_out)]), pair, 60, **options)


def test_texts_are_dropped_and_counted_by_reason():
    kept = text_filter(held_out=["Das Haus ist rot."])
    texts = ["Ein Hund.", "", " \t", "x" * 61, "Das Haus ist rot.", " das HAUS ist rot ", "ein hund", "Eine Katze."]
    assert list(kept(texts)) == ["Ein Hund.", "Eine Katze."]
    counts = {"empty": 2, "too_long": 1, "held_out": 1, "held_out_normalized": 1, "duplicates": 1}
    assert kept.table() == {"read": 8, **counts, "kept": 2}
    assert sum(counts.values()) + 2 == 8


def test_long_texts_can_be_cut():
    kept = text_filter(on_too_long="cut")
    assert list(kept(["ein Wort " * 10])) == [("ein Wort " * 10)[:60].rstrip()]
    assert kept.table()["cut"] == 1


def test_duplicates_are_found_across_batches(monkeypatch):
    monkeypatch.setattr(monolingual, "BATCH", 3)
    kept = text_filter()
    texts = [f"text {number % 7}" for number in range(40)]
    assert list(kept(texts)) == texts[:7] and kept.table()["duplicates"] == 33


def test_other_languages_and_scripts_are_recognized(pair):
    assert pair.separable
    assert pair.is_foreign(GERMAN[::7]).mean() == 0
    assert pair.in_other(ENGLISH).mean() == 1 and pair.is_foreign([*FRENCH, *GREEK]).all()
    kept = text_filter(pair)
    assert list(kept([*GERMAN[:5], *ENGLISH[:3], *GREEK])) == GERMAN[:5] and kept.table()["foreign"] == 6


def test_columns_of_one_language_are_not_told_apart():
    mixed = random.Random(2).sample(GERMAN, len(GERMAN))
    pair = LanguagePair.learn(mixed[:50], mixed[50:])
    assert not pair.separable and not pair.in_other(GERMAN).any()


def test_a_language_is_learned_from_any_number_of_texts():
    for texts in (["a"], ["ein Haus"], ["", "x"], GERMAN[:9]):
        pair = LanguagePair.learn(texts, ENGLISH)
        assert np.isfinite(pair.expected.scores(["", "y", "ein Haus"])[1]).all()


def test_a_file_in_another_language_is_refused_with_what_was_found(tmp_path, pair):
    file = tmp_path / "mono.txt"
    file.write_text("\n".join(GERMAN[:20] + FRENCH), encoding="utf-8")
    with pytest.raises(
        DataError, match=r"mono.txt: 17% of the first 24 texts .* 'target' .*'une petite.*--max-foreign"
    ):
        monolingual.check_language([file], None, None, pair, "target", 0.1)
    monolingual.check_language([file], None, None, pair, "target", 0.2)
    file.write_text("\n".join(ENGLISH), encoding="utf-8")
    with pytest.raises(DataError, match="other side.*or the other --direction"):
        monolingual.check_language([file], None, None, pair, "target", 0.1)


def test_files_are_read_as_ingest_reads_them(tmp_path):
    (tmp_path / "a.de.gz").write_bytes(gzip.compress(b"eins\nzwei\n"))
    (tmp_path / "b.de.gz").write_bytes(gzip.compress(b"drei\n"))
    (tmp_path / "t.tsv").write_text("id\tde\n1\tvier\n")
    (tmp_path / "j.jsonl").write_text('{"de": "fünf"}\n', encoding="utf-8")
    files = monolingual.expand([str(tmp_path / "*.de.gz")])
    assert list(monolingual.read(files, None, None)) == ["eins", "zwei", "drei"]
    assert list(monolingual.read([tmp_path / "t.tsv", tmp_path / "j.jsonl"], "de", None)) == ["vier", "fünf"]
    with pytest.raises(DataError, match="no such file"):
        monolingual.expand([str(tmp_path / "*.fr.gz")])
    with pytest.raises(DataError, match="no column"):
        list(monolingual.read([tmp_path / "t.tsv"], "en", None))


def test_noise_deletes_fills_and_moves_as_often_as_it_says():
    words = [f"w{number}" for number in range(200)]
    counts, moves = Counter(), []
    for number in range(60):
        text = " ".join([*words, f"x{number}"])
        noisy = Noise(delete=0.2).apply(text, 1).split()
        counts["deleted"] += 201 - len(noisy)
        counts["filled"] += Noise(fill=0.1).apply(text, 1).split().count("_")
        moved = Noise(shuffle=3).apply(text, 1).split()
        assert sorted(moved) == sorted(text.split())
        moves += [abs(place - text.split().index(word)) for place, word in enumerate(moved)]
        assert noisy == [word for word in text.split() if word in noisy], "the order stays"
    assert counts["deleted"] / (60 * 201) == pytest.approx(0.2, abs=0.015)
    assert counts["filled"] / (60 * 201) == pytest.approx(0.1, abs=0.01)
    assert max(moves) == 3 and Counter(moves)[1] > Counter(moves)[3]


def test_noise_depends_on_the_seed_and_the_text_alone():
    noise = Noise(delete=0.3, fill=0.2, shuffle=3, filler="BLANK")
    text = "a man in a blue shirt is standing on a ladder cleaning a window"
    assert noise.apply(text, 1) == noise.apply(text, 1) != noise.apply(text, 2)
    assert "BLANK" in " ".join(noise.apply(text, seed) for seed in range(9))
    assert all(Noise(delete=0.99).apply("one two", seed) in ("one", "two") for seed in range(20)), "one word is left"
    assert Noise().apply("as  it is", 1) == "as  it is" and noise.apply("", 1) == ""
    with pytest.raises(ConfigError, match=r"--noise \[noise\] delet: unknown key; did you mean 'delete'"):
        augment.read_noise(["delet=0.1"])
    with pytest.raises(ConfigError, match="one word"):
        augment.read_noise(["filler=a b"])


class Model:
    """A loaded model that translates as it is told."""

    fields, dtypes, path = ("source",), {"source": "string"}, Path("nowhere")
    described = {"serving_default": SimpleNamespace(search=object(), options=())}


@pytest.fixture(scope="module")
def ingested(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rows")
    file = folder / "rows.tsv"
    rows = random.Random(3).sample(list(zip(ENGLISH, GERMAN, strict=True)), 100)
    file.write_text("source\ttarget\n" + "".join(f"{a}\t{b}\n" for a, b in rows), encoding="utf-8")
    return tiny.build(folder / "out", tiny.GENERATOR, file, until="ingest")["ingest"]


@pytest.mark.parametrize("direction", jobs.DIRECTIONS)
def test_a_model_of_the_wrong_direction_or_language_is_refused(ingested, direction):
    job = jobs.create(direction, "translate", ingested, Noise(), 1)
    back, right = (GERMAN, ENGLISH) if direction == "backward" else (ENGLISH, GERMAN)
    jobs.check_model(job, Model, lambda texts: right[: len(texts)], "m", 0.1)
    with pytest.raises(
        ModelError, match="m: 100% .* translates the other way; give the model of the opposite direction"
    ):
        jobs.check_model(job, Model, lambda texts: back[: len(texts)], "m", 0.1)
    with pytest.raises(ModelError, match="are not in the language of"):
        jobs.check_model(job, Model, lambda texts: GREEK[:1] * len(texts), "m", 0.1)
    jobs.check_model(job, Model, lambda texts: GREEK[:1] * len(texts), "m", 1.0)


def test_a_model_that_is_no_generator_or_reads_several_fields_is_refused(ingested):
    job = jobs.create("backward", "translate", ingested, Noise(), 1)
    classifier = type("C", (Model,), {"described": {"serving_default": SimpleNamespace(search=None, options=())}})
    with pytest.raises(ModelError, match="does not generate text"):
        jobs.check_model(job, classifier, None, "m", 0.1)
    several = type("S", (Model,), {"fields": ("question", "story")})
    with pytest.raises(ModelError, match="reads question, story"):
        jobs.check_model(job, several, None, "m", 0.1)
    with pytest.raises(ConfigError, match="one source text and a target text"):
        jobs.create("backward", "classify", ingested, Noise(), 1)


def run_job(job, texts, output, predict, chunk_rows=4, request=None):
    checked = text_filter(held_out=["Ein Hund."])
    bulk.answer_file(
        lambda chunk: jobs.answer_rows(job.row, predict, chunk), checked(texts), output, request={"model": "m"}, chunk_rows=chunk_rows,
        whole_chunks=True, finish=lambda part, out: jobs.finish(job, checked, {"model": "m"}, part, out, "jsonl"),
    )  # fmt: skip


def upper(texts):
    return [text.upper() for text in texts]


def test_rows_have_the_fields_of_the_pipeline_and_bad_answers_are_left_out(tmp_path, ingested):
    job = jobs.create("backward", "translate", ingested, Noise(), 1)
    held = next(iter(jobs.shards.read(ingested, "valid", ["source"]))).column(0)[0].as_py()
    answers = {"eins": "ONE", "zwei": " ", "drei": held.upper(), "vier": "FOUR"}
    out = tmp_path / "bt.jsonl"
    run_job(job, [*answers, "Ein Hund."], out, lambda texts: [answers[text] for text in texts])
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert rows == [
        {"source": "ONE", "target": "eins", "origin": "backward"},
        {"source": "FOUR", "target": "vier", "origin": "backward"},
    ]
    manifest = json.loads(jobs.manifest_path(out).read_text())
    assert manifest["texts"] == {"read": 5, "held_out": 1, "kept": 4}
    assert manifest["answers"] == {"read": 4, "empty": 1, "held_out": 1, "kept": 2}
    assert sorted(path.name for path in tmp_path.iterdir()) == ["bt.jsonl", "bt.jsonl.manifest.json"]
    with pytest.raises(DataError, match="no row is left"):
        run_job(job, ["zwei"], tmp_path / "none.jsonl", lambda texts: [""] * len(texts))


def test_noise_is_in_the_source_of_either_direction(ingested):
    for direction in jobs.DIRECTIONS:
        job = jobs.create(direction, "translate", ingested, Noise(delete=0.9), 1)
        row = job.with_noise(job.row("a b c d e f g h i j", "A B C D E F G H I J"))
        clean = "a b c d e f g h i j" if direction == "backward" else "A B C D E F G H I J"
        assert row["target"] == clean and len(row["source"].split()) < 10


@pytest.mark.parametrize("cut", [0, 7])
def test_an_interrupted_run_ends_with_the_bytes_of_an_unbroken_one(tmp_path, ingested, cut):
    """Chunks are the same ones, so that even a model whose answers depend on the batch gives the same rows."""
    job = jobs.create("backward", "translate", ingested, Noise(delete=0.2, shuffle=3), 5)
    texts = [f"satz nummer {number} ist hier" for number in range(30)]

    def batch_dependent(chunk):
        return [f"{text} {len(chunk)} {chunk[0].split()[2]}" for text in chunk]

    run_job(job, texts, tmp_path / "whole.jsonl", batch_dependent)
    calls = []

    def broken(chunk):
        calls.append(chunk)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return batch_dependent(chunk)

    out = tmp_path / "out.jsonl"
    with pytest.raises(KeyboardInterrupt):
        run_job(job, texts, out, broken)
    part, _ = bulk.part_paths(out)
    part.write_bytes(part.read_bytes()[: part.stat().st_size - cut])
    again = []
    run_job(job, texts, out, lambda chunk: again.append(chunk) or batch_dependent(chunk))
    assert out.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert len(again) == (5 if cut == 0 else 6), "finished chunks are kept"
    names = ("texts", "answers", "sha256")
    one, other = (json.loads(jobs.manifest_path(tmp_path / name).read_text()) for name in ("whole.jsonl", "out.jsonl"))
    assert {name: one[name] for name in names} == {name: other[name] for name in names}


def test_a_run_killed_while_it_writes_the_rows_finishes_when_it_is_repeated(tmp_path, ingested, monkeypatch):
    job = jobs.create("forward", "translate", ingested, Noise(), 1)
    real, texts = jobs.write_atomically, [f"satz nummer {number}" for number in range(32)]  # whole chunks
    monkeypatch.setattr(
        jobs, "write_atomically", lambda *_: (_ for _ in ()).throw(OSError(28, "No space left on device"))
    )
    with pytest.raises(ResourceError, match="disk is full"):
        run_job(job, texts, tmp_path / "out.jsonl", upper)
    monkeypatch.setattr(jobs, "write_atomically", real)
    run_job(job, texts, tmp_path / "out.jsonl", lambda chunk: pytest.fail("answered again"))
    assert len((tmp_path / "out.jsonl").read_text().splitlines()) == 32


def test_an_output_that_cannot_be_written_is_refused_before_any_work(tmp_path):
    (tmp_path / "old.jsonl").write_text("mine")
    with pytest.raises(ArtifactError, match="already exists"):
        bulk.check_output(tmp_path / "old.jsonl", False)
    bulk.check_output(tmp_path / "old.jsonl", True)
    with pytest.raises(ArtifactError, match="is a directory"):
        bulk.check_output(tmp_path, False)
    with pytest.raises(ResourceError, match="not a writable directory"):
        bulk.check_output(tmp_path / "old.jsonl" / "x.jsonl", False)


@pytest.fixture(scope="module")
def project(generator, tmp_path_factory):
    """A pipeline from target to source, whose reverse model is the tiny generator."""
    folder = tmp_path_factory.mktemp("project")
    rows = tiny.generator_rows(folder / "rows.tsv")
    ingest = {"files": str(rows), "columns": {"source": "target", "target": "source"}}
    pipeline = folder / "back.toml"
    pipeline.write_text(tiny.toml({**tiny.GENERATOR, "ingest": ingest}), encoding="utf-8")
    texts = folder / "mono.en.gz"
    lines = [
        f"the {noun} {number} is {word}"
        for number in range(200, 215)
        for noun in ("house", "dog")
        for word in ("red", "old")
    ]
    texts.write_bytes(gzip.compress("\n".join([*lines, "", lines[0]]).encode()))
    return SimpleNamespace(folder=folder, pipeline=pipeline, texts=texts, model=generator["export"] / "model")


def textpipe(*words):
    return CliRunner().invoke(main, list(map(str, words)))


def augmented(project, name, *more):
    out = project.folder / name
    options = ("--output", out, "--artifacts", project.folder / "artifacts", "--max-foreign", 1, *more)
    return textpipe("augment", project.pipeline, project.model, project.texts, *options), out


def test_a_pipeline_trains_on_what_the_command_writes(project):
    done, out = augmented(project, "bt.jsonl", "--option", "beam_size=1", "--noise", "shuffle=3")
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    manifest = json.loads(jobs.manifest_path(out).read_text(encoding="utf-8"))
    assert manifest["texts"]["read"] == 62 and manifest["texts"]["empty"] == 1 and manifest["texts"]["duplicates"] == 1
    assert len(rows) == manifest["answers"]["kept"] > 0 and set(rows[0]) == {"source", "target", "origin"}
    assert all(row["target"].startswith("the ") and row["origin"] == "backward" for row in rows)
    # Beside the real rows: the command's own pipeline, with one more table.
    table = f'ingest.synthetic={{files="{out}", tag="<BT>", ratio=0.1, repeat=2}}'
    done = textpipe("vectorize", project.pipeline, "-s", table, "--artifacts", project.folder / "artifacts")
    assert done.exit_code == 0, done.output
    assert "synthetic ones, tagged <BT>" in done.stderr


def test_interrupted_and_repeated_the_command_writes_the_same_bytes(project, monkeypatch):
    monkeypatch.setattr(augment, "CHUNK_ROWS", 16)
    _, whole = augmented(project, "whole.csv")
    calls, translate = [], augment.translate

    def broken(pinned, settings, texts):
        calls.append(len(texts))
        if len(calls) == 3:
            raise KeyboardInterrupt
        return translate(pinned, settings, texts)

    monkeypatch.setattr(augment, "translate", broken)
    done, out = augmented(project, "again.csv")
    assert done.exit_code == 130 and not out.exists()
    monkeypatch.setattr(augment, "translate", translate)
    done, out = augmented(project, "again.csv")
    assert done.exit_code == 0 and "32 rows are already answered" in done.stderr
    assert out.read_bytes() == whole.read_bytes() and out.read_text().startswith("source,target,origin\n")


def test_a_teacher_answers_the_training_sources(project, generator):
    """Forward without TEXTS: distillation. The pipeline is the generator's own direction."""
    pipeline = project.folder / "student.toml"
    pipeline.write_text(
        tiny.toml({**tiny.GENERATOR, "ingest": {"files": str(project.folder / "rows.tsv")}}), encoding="utf-8"
    )
    out = project.folder / "kd.csv"
    done = textpipe(
        "augment", pipeline, project.model, "--direction", "forward", "--output", out, "--artifacts",
        project.folder / "artifacts", "--max-foreign", 1, "--max-rows", 20,
    )  # fmt: skip
    assert done.exit_code == 0, done.output
    lines = list(csv.reader(io.StringIO(out.read_text(encoding="utf-8"))))
    assert lines[0] == ["source", "target", "origin"] and 1 < len(lines) <= 21
    sources = {
        row
        for batch in jobs.shards.read(generator["ingest"], "train", ["source"])
        for row in batch.column(0).to_pylist()
    }
    assert {line[0] for line in lines[1:]} <= sources and lines[1][2] == "forward"


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--output", "{folder}/x.jsonl"], "TEXTS: none given"),
        (["{texts}", "--output", "{folder}/x.tsv"], "name it .jsonl or .csv"),
        (["{folder}/nothing.txt", "--output", "{folder}/x.jsonl"], "nothing.txt: no such file"),
        (["{folder}/rows.tsv", "--output", "{folder}/x.jsonl"], "no column 'text'"),
        (["{folder}/rows.tsv", "--column", "target", "--output", "{folder}/x.jsonl"], "the other --direction"),
        (["{texts}", "--output", "{folder}/x.jsonl", "--option", "beam_sise=1"], "did you mean 'beam_size'"),
        (["{texts}", "--output", "{folder}/x.jsonl", "-s", "ingest.dataset=phrases"], "not both"),
        (["{texts}", "--output", "{folder}/rows.tsv/y.jsonl"], "not a writable directory"),
    ],
)  # fmt: skip
def test_bad_input_is_named_without_a_traceback(project, words, message):
    words = [word.format(folder=project.folder, texts=project.texts) for word in words]
    done = textpipe("augment", project.pipeline, project.model, *words, "--artifacts", project.folder / "artifacts")
    assert done.exit_code in (2, 4) and "Traceback" not in done.output
    import re

    assert re.search(message, done.output), done.output
    assert not (project.folder / "x.jsonl").exists()


def test_a_decoder_that_samples_gets_the_seed_unless_an_option_sets_it():
    sampling = SimpleNamespace(described={"options": SimpleNamespace(options=("seed", "top_k"))})
    assert augment.seeded({"top_k": "5"}, sampling, 7) == {"seed": "7", "top_k": "5"}
    assert augment.seeded({"seed": "3"}, sampling, 7) == {"seed": "3"}
    assert augment.seeded({}, Model, 7) == {}, "beam search has no seed"


def test_the_job_can_be_sent_to_other_processes(ingested):
    import pickle

    job = jobs.create("backward", "translate", ingested, Noise(delete=0.5), 3)
    again = pickle.loads(pickle.dumps(job.row))
    assert again("eins zwei drei", "one two three") == job.row("eins zwei drei", "one two three")
    assert dataclasses.is_dataclass(job)


def test_the_example_of_a_refused_model_is_a_text_with_its_own_answer(ingested):
    job = jobs.create("backward", "translate", ingested, Noise(), 1)
    second = [text for text in job.training_texts() if text.strip()][1]
    with pytest.raises(ModelError) as caught:
        jobs.check_model(job, Model, lambda texts: ["", *GERMAN[: len(texts) - 1]], "m", 0.1)
    assert f"{second!r} -> {GERMAN[0]!r}" in str(caught.value)


def test_a_pipeline_whose_texts_are_their_own_answers_is_refused():
    with pytest.raises(ConfigError, match="pretrain.*as translate and reply have"):
        jobs.text_fields("pretrain")


def test_an_endless_shuffle_is_refused():
    with pytest.raises(ConfigError, match="shuffle"):
        augment.read_noise(("shuffle=1" + "0" * 400,))
