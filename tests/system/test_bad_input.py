"""User mistakes: each ends with a helpful message or a counted repair, and nothing is lost."""

import json
import shutil
import signal
import subprocess

import pytest

from textpipe.pipeline import runner


def change(project, old, new, name="mail.toml"):
    text = (project.folder / name).read_text()
    assert old in text
    project.write(name, text.replace(old, new))


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('files = "mail.tsv"', 'files = "mial.tsv"', ["mial.tsv", "did you mean 'mail.tsv'"]),
        ('text = "message"', 'text = "mesage"', ["mail.tsv", "mesage", "did you mean 'message'"]),
        ("epochs = 2", "epoch = 2", ["mail.toml [train] epoch: unknown key; did you mean 'epochs'?"]),
        ("epochs = 2", 'epochs = "two"', ["mail.toml [train] epochs", "found 'two'"]),
        ('"logistic_regression"', '"logistic_regresion"', ["mail.toml [model]", "did you mean 'logistic_regression'"]),
        ('task = "classify"', 'task = "clasify"', ["mail.toml task", "did you mean 'classify'"]),
        ('"casefold"', '"casfold"', ["mail.toml [normalize] steps.1", "did you mean 'casefold'"]),
        ('kind = "tfidf"', 'kind = "tfdif"', ["mail.toml [vectorize]", "did you mean 'tfidf'"]),
    ],
)  # fmt: skip
def test_a_mistake_in_the_pipeline_file_is_named_with_its_cure(project, old, new, words):
    change(project, old, new)
    message = project.fails("run", "mail.toml", "--until", "ingest")
    assert all(word in message for word in words), message
    assert not project.leftovers()


def test_an_empty_file_is_refused(project):
    project.write("mail.tsv", "")
    assert "mail.tsv" in project.fails("ingest", "mail.toml")


def test_a_header_without_rows_is_refused(project):
    project.write("mail.tsv", "message\twants_reply\n")
    assert "mail.tsv" in project.fails("ingest", "mail.toml")


def test_parallel_files_of_unequal_length_are_refused_with_both_counts(project):
    project.write("train.en", "one\ntwo\nthree\n")
    project.write("train.de", "eins\nzwei\n")
    project.write(
        "pair.toml",
        'task = "translate"\n[ingest]\nfiles = { train = ["train.en", "train.de"] }\ncolumns = { source = "en", target = "de" }\n'
        '[model]\nkind = "recurrent"\n',
    )
    message = project.fails("ingest", "pair.toml")
    assert "train.en" in message and "train.de" in message and "3" in message and "2" in message


def test_data_with_a_single_class_is_refused(project):
    project.write("mail.tsv", "message\twants_reply\n" + "".join(f"text {n}\tyes\n" for n in range(50)))
    assert "yes" in project.fails("vectorize", "mail.toml")


def test_damaged_text_is_repaired_and_counted(project):
    good = (project.folder / "mail.tsv").read_bytes()
    bad = b"caf\xe9 now?\tyes\r\n" + b"nul\x00 byte\tno\r\n" + b"x" * 1_000_000 + b"\tno\r\n" + b"\tyes\r\n"
    project.write("mail.tsv", b"\xef\xbb\xbf" + good.replace(b"\n", b"\r\n") + bad)
    folder = project.folder / project.succeeds("vectorize", "mail.toml").strip()
    assert folder.is_dir()
    stats = json.loads((project.folder / project.succeeds("ingest", "mail.toml").strip() / "stats.json").read_text())
    counted = {name: count for name, count in stats["repairs"].items() if count}
    assert counted == {"empty_rows": 1, "invalid_utf8_rows": 1, "invalid_utf8_bytes": 1, "nul_characters": 1}


def interrupt(project, stage, number):
    """Start a run, send a signal as the stage begins, return (exit code, stderr)."""
    process = subprocess.Popen(
        project.command("run", "mail.toml"),
        cwd=project.folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    lines = []
    for line in process.stderr:
        lines.append(line)
        if line.split() == [stage, "..."]:
            process.send_signal(number)
            break
    _, rest = process.communicate(timeout=120)
    return process.returncode, "".join(lines) + rest


def test_ctrl_c_in_any_stage_leaves_nothing_half_written(project):
    for stage in runner.ORDER:
        code, shown = interrupt(project, stage, signal.SIGINT)
        assert code == 130, (stage, shown)
        assert "Traceback" not in shown, (stage, shown)
        assert not list((project.folder / "data/artifacts" / stage).glob("*/manifest.json")), stage
        assert not [path for path in project.leftovers() if "train" not in path], stage
        project.succeeds(stage, "mail.toml")
    assert (project.folder / "saved_models/mail/1/saved_model.pb").is_file()


def test_a_damaged_and_a_deleted_artifact_are_built_again(trained_copy):
    project = trained_copy
    first = project.succeeds("normalize", "mail.toml").strip()
    shard = next((project.folder / first).glob("train/*.parquet"))
    shard.write_bytes(shard.read_bytes()[:-20])
    done = project.textpipe("normalize", "mail.toml")
    assert done.returncode == 0 and "set aside" in done.stderr
    shutil.rmtree(project.folder / first)
    states = [line.split()[1] for line in project.succeeds("plan", "mail.toml").splitlines()]
    assert states[:2] == ["cached", "run"]
    done = project.textpipe("run", "mail.toml")
    assert done.stdout == "saved_models/mail/1\n"
    assert [line.split()[1] for line in done.stderr.splitlines() if line.startswith("train")] == ["cached"]


def test_an_existing_export_is_never_overwritten(trained_copy):
    project = trained_copy
    existing = project.folder / "saved_models/mail/2"
    existing.mkdir()
    (existing / "mine.txt").write_text("keep me")
    before = (project.folder / "saved_models/mail/1/manifest.json").read_bytes()
    assert project.succeeds("run", "mail.toml", "-s", "model.l2=0.01").strip() == "saved_models/mail/3"
    assert (existing / "mine.txt").read_text() == "keep me"
    assert (project.folder / "saved_models/mail/1/manifest.json").read_bytes() == before


def test_a_missing_model_is_named_in_the_message(project):
    assert "nowhere" in project.fails("predict", "nowhere", "text")
    (project.folder / "empty").mkdir()
    assert "empty" in project.fails("predict", "empty", "text")


def test_a_missed_threshold_stops_before_export_names_the_metrics_and_leaves_the_report(trained_copy):
    message = trained_copy.fails("run", "mail.toml", "-s", "evaluate.require.log_loss=0", code=3)
    assert "log_loss at most 0" in message and "accuracy" in message
    assert sorted(path.name for path in (trained_copy.folder / "saved_models/mail").iterdir()) == ["1"]
    assert "accuracy" in (trained_copy.folder / "reports/mail.evaluate.require.log_loss=0.html").read_text()
    again = trained_copy.fails("run", "mail.toml", "-s", "evaluate.require.log_loss=0", code=3)
    assert "evaluate   cached" in again and "log_loss at most 0" in again


def test_two_runs_at_once_build_each_result_once(project):
    runs = [
        subprocess.Popen(
            project.command("run", "mail.toml"),
            cwd=project.folder,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    outputs = [run.communicate(timeout=300) for run in runs]
    assert [run.returncode for run in runs] == [0, 0], outputs
    assert {out for out, _ in outputs} == {"saved_models/mail/1\n"}
    for stage in runner.ORDER:
        built = [err for _, err in outputs if f"{stage:<10} done" in err]
        assert len(list((project.folder / "data/artifacts" / stage).glob("*/manifest.json"))) == 1
        assert built, stage
    assert not project.leftovers()
