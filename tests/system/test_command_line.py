"""The command line, tested through separate processes."""

import json
import os
import shutil
from pathlib import Path

from textpipe.cli import main
from textpipe.pipeline import runner


def test_run_prints_metrics_path_and_held_out_answers(trained):
    lines = trained.first.splitlines()
    assert lines[-1] == "saved_models/mail/1"
    assert (trained.folder / lines[-1] / "saved_model.pb").is_file()
    assert any("accuracy" in line for line in lines)
    assert sum(line.strip().startswith("answer: ") for line in lines) == 2


def test_a_second_run_is_cached_and_publishes_nothing_new(trained):
    done = trained.textpipe("run", "mail.toml")
    assert done.stdout == "saved_models/mail/1\n"
    states = [line.split()[:2] for line in done.stderr.splitlines()]
    assert states == [[stage, "cached"] for stage in runner.ORDER]


def test_a_cached_run_loads_nothing_heavy(trained):
    assert trained.heavy_imports("run", "mail.toml") == []


def test_plan_says_what_would_run_and_which_setting_changed(trained):
    assert all(line.split()[1] == "cached" for line in trained.succeeds("plan", "mail.toml").splitlines())
    lines = trained.succeeds("plan", "mail.toml", "-s", "train.epochs=3").splitlines()
    states = {line.split()[0]: line.split(maxsplit=2)[1:] for line in lines}
    assert states["vectorize"][0] == "cached"
    assert states["train"] == ["run", "section epochs: 2 -> 3"]
    assert states["evaluate"][0] == "perhaps"


def test_a_stage_command_prints_only_the_path_of_its_result(trained):
    path = Path(trained.succeeds("vectorize", "mail.toml").removesuffix("\n"))
    assert (trained.folder / path / "features.json").is_file()


def test_predict_prints_one_line_per_input_line(trained):
    texts = ["Can you send me the budget by Friday?", "", "The draft went out on Monday.", "naïve 🙂 \x01 text"]
    lines = trained.succeeds("predict", "saved_models/mail", "-", stdin="\n".join(texts) + "\n").splitlines()
    assert len(lines) == 4
    answers = [line.split("\t") for line in lines]
    assert [answers[0][0], answers[2][0]] == ["yes", "no"]
    assert all(0 <= float(score) <= 1 for _, score in answers)


def test_predict_json_prints_all_outputs_of_the_signature(trained):
    row = json.loads(trained.succeeds("predict", "saved_models/mail/1", "Can you call me on Friday?", "--json"))
    assert row["answer"] == "yes"
    assert sorted(row["labels"]) == ["no", "yes"]
    assert abs(sum(row["probabilities"]) - 1) < 1e-5


def test_predict_reads_a_json_line_as_a_text_with_line_breaks(trained):
    one = trained.succeeds(
        "predict", "saved_models/mail", "-", stdin='"Hello,\\nCan you send me the draft by Monday?"\n'
    )
    other = trained.succeeds("predict", "saved_models/mail", "Hello,\nCan you send me the draft by Monday?")
    assert one == other


def test_bytes_that_are_not_utf8_get_an_answer(trained):
    assert (
        len(trained.succeeds("predict", "saved_models/mail", "-", stdin=b"caf\xe9 \xff\n\xef\xbb\xbfok\n").splitlines())
        == 2
    )


def test_python_and_the_command_line_give_the_same_answers(trained, monkeypatch):
    import textpipe

    monkeypatch.chdir(trained.folder)
    loaded = textpipe.load("mail.toml")
    assert [step.state for step in textpipe.plan(loaded)] == ["cached"] * len(runner.ORDER)
    result = textpipe.run(loaded)
    assert result.saved_model == Path("saved_models/mail/1")
    (row,) = textpipe.predict(result.saved_model, ["Can you send me the budget by Friday?"])
    line = trained.succeeds("predict", "saved_models/mail", "Can you send me the budget by Friday?")
    assert line == f"{row['answer']}\t{row['score']:.6g}\n"


def test_every_stage_is_a_command_and_every_command_has_help():
    commands = main.list_commands(None)
    assert [name for name in commands if name in runner.ORDER] == list(runner.ORDER)
    assert {"new", "run", "plan", "predict", "data", "doctor"} <= set(commands)
    for name in commands:
        assert main.get_command(None, name).help, name


def test_an_unknown_command_is_refused(project):
    assert "No such command 'rum'" in project.fails("rum", "mail.toml")
    assert "No such command '_pipeline'" in project.fails("_pipeline")


def test_run_writes_a_report_and_a_cached_run_does_not_rewrite_it(trained_copy):
    page = trained_copy.folder / "reports/mail.html"
    accuracy = json.loads(next(trained_copy.folder.glob("data/artifacts/evaluate/*/metrics.json")).read_text())[
        "metrics"
    ]["accuracy"]
    assert f"<dt>accuracy</dt><dd>{accuracy:.4g}<small>" in page.read_text()
    before = page.stat().st_mtime_ns
    trained_copy.succeeds("run", "mail.toml")
    assert page.stat().st_mtime_ns == before
    page.unlink()
    done = trained_copy.textpipe("run", "mail.toml")
    assert done.stderr.splitlines()[-1].split() == ["report", "done", "reports/mail.html"] and page.is_file()


def test_report_prints_the_path_of_the_page(trained_copy):
    assert trained_copy.succeeds("report", "mail.toml", "--output", "here/page.html") == "here/page.html\n"
    evaluate = next((trained_copy.folder / "data/artifacts/evaluate").glob("*/metrics.json")).parent
    assert trained_copy.succeeds("report", str(evaluate)) == "reports/mail.html\n"
    message = trained_copy.fails("report", "mail.toml", "-s", "train.epochs=3")
    assert (
        "mail.toml: the result of train is not in data/artifacts (section epochs: 2 -> 3); run `textpipe evaluate"
        in message
    )


def test_the_exported_model_gives_the_evaluated_answers(trained):
    table = json.loads(trained.succeeds("compare", "mail.toml", "saved_models/mail", "--json"))
    assert table["systems"] == ["mail", "saved_models/mail"]
    (pair,) = table["pairs"]
    assert pair["same_answer"] == table["rows"] > 50
    second = table["metrics"]["accuracy"]["systems"][1]
    assert [second["difference"], second["p_bootstrap"], second["p_randomization"], pair["p_mcnemar"]] == [0, 1, 1, 1]


def test_compare_runs_models_on_the_rows_of_a_file_and_writes_a_page(trained_copy):
    rows = [
        ("Can you send me the budget by Friday?", "yes"),
        ("The draft went out on Monday.", "no"),
        ("Please call me.", "no"),
    ]
    trained_copy.write("rows.tsv", "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in rows))
    shutil.copytree(trained_copy.folder / "saved_models/mail/1", trained_copy.folder / "saved_models/mail/2")
    models = ("saved_models/mail/1", "saved_models/mail/2")
    shown = trained_copy.succeeds("compare", *models, "--rows", "rows.tsv", "--html", "page.html")
    assert "mail/2 vs. mail/1: the same answer to 3 rows" in shown
    assert "</html>" in (trained_copy.folder / "page.html").read_text()
    assert "there are no rows for it to answer; give --rows" in trained_copy.fails("compare", *models)
    assert "at least two systems" in trained_copy.fails("compare", "mail.toml")


def test_help_exits_cleanly(project):
    assert "Commands:" in project.succeeds("--help")
    assert "Usage: textpipe run" in project.succeeds("run", "--help")


def test_doctor_approves_this_installation(project):
    assert "all libraries are compatible" in project.succeeds("doctor")


def test_a_closed_pipe_is_not_an_error(trained):
    import subprocess

    reader, writer = os.pipe()
    os.close(reader)
    done = subprocess.run(
        trained.command("plan", "mail.toml"), cwd=trained.folder, stdout=writer, stderr=subprocess.PIPE, check=False
    )
    os.close(writer)
    assert b"Traceback" not in done.stderr
