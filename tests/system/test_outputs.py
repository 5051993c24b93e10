"""Output of commands as JSON, text and with --quiet; reports of runs with overrides; columns checked by plan."""

import json
from pathlib import Path

import pytest

from textpipe.data import catalog
from textpipe.pipeline import runner
from textpipe.report import run as report


def test_a_run_prints_its_steps_metrics_and_paths_as_json(trained):
    done = trained.textpipe("run", "mail.toml", "--json", "--quiet")
    assert done.returncode == 0 and done.stderr == ""
    table = json.loads(done.stdout)
    assert [(step["stage"], step["state"]) for step in table["steps"]] == [(stage, "cached") for stage in runner.ORDER]
    evaluate = trained.folder / table["steps"][runner.ORDER.index("evaluate")]["path"]
    figures = json.loads((evaluate / "metrics.json").read_text())
    assert table["metrics"] == figures["metrics"] and table["intervals"] == figures["intervals"]
    assert (table["pipeline"], table["saved_model"], table["report"]) == (
        "mail",
        "saved_models/mail/1",
        "reports/mail.html",
    )


def test_a_stage_prints_its_result_as_json(trained_copy):
    (step,) = (table := json.loads(trained_copy.succeeds("ingest", "mail.toml", "--force", "--json")))["steps"]
    assert step["state"] == "done" and step["seconds"] > 0 and (trained_copy.folder / step["path"]).is_dir()
    assert "metrics" not in table and table["saved_model"] is None
    assert json.loads(trained_copy.succeeds("evaluate", "mail.toml", "--json", "-q"))["metrics"]["accuracy"] > 0.8
    assert json.loads(trained_copy.succeeds("export", "mail.toml", "--json"))["saved_model"] == "saved_models/mail/1"


def test_quiet_prints_only_errors_to_stderr(trained):
    done = trained.textpipe("normalize", "mail.toml", "-q")
    assert done.returncode == 0 and done.stderr == "" and Path(done.stdout.strip()).name
    assert trained.fails("run", "mail.toml", "-q", "-s", "train.epoch=3").count("\n") == 1


def test_a_plan_as_json_has_states_and_reasons(trained):
    table = json.loads(trained.succeeds("plan", "mail.toml", "--json", "-s", "train.epochs=3"))
    steps = {step["stage"]: step for step in table["steps"]}
    assert steps["train"] == {"stage": "train", "state": "run", "reasons": ["section epochs: 2 -> 3"], "path": None}
    assert steps["ingest"]["state"] == "cached" and steps["ingest"]["path"].startswith("data/artifacts/ingest/")


@pytest.mark.parametrize(
    ("name", "content", "extra"),
    [
        ("rows.tsv", "mesage\twants_reply\nhello\tyes\n", ()),
        ("rows.csv", 'mesage,wants_reply\n"hello, you",yes\n', ()),
        ("rows.jsonl", '{"mesage": "hello", "wants_reply": "yes"}\n', ()),
        ("rows.json", '[{"mesage": "hello", "wants_reply": "yes"}]', ("-s", "ingest.format=json")),
    ],
)
def test_a_plan_rejects_a_column_missing_from_the_header(project, name, content, extra):
    project.write(name, content)
    message = project.fails("plan", "mail.toml", "-s", f"ingest.files={name}", *extra)
    assert f"{name}" in message and "no column 'message'; did you mean 'mesage'?" in message


def test_a_plan_checks_the_columns_of_filters_and_of_every_split(project):
    assert "no column 'language'" in project.fails("plan", "mail.toml", "-s", "ingest.filter.language=en")
    project.write("test.tsv", "text\tlabel\nhello\tyes\n")
    message = project.fails("plan", "mail.toml", "-s", 'ingest.files={ train = "mail.tsv", test = "test.tsv" }')
    assert "test.tsv: no column 'message'" in message
    assert not (project.folder / "data").exists()


def test_a_plan_checks_the_columns_of_parquet_files_and_datasets(project):
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.table({"message": ["hello"], "wanted": ["yes"]}), project.folder / "rows.parquet")
    assert "no column 'wants_reply'" in project.fails("plan", "mail.toml", "-s", "ingest.files=rows.parquet")
    message = project.fails("plan", "phrases_en_de", "-s", "ingest.columns.target=dee")
    assert "no column 'dee'; did you mean 'de'?" in message
    # Its files are not downloaded; the card lists their columns.
    message = project.fails("plan", "multi30k_en_de", "-s", "ingest.columns.target=dee", env={catalog.MIRROR: ""})
    assert "dataset 'multi30k': no column 'dee'; did you mean 'de'?" in message


def test_a_plan_imports_no_heavy_library(project):
    assert project.heavy_imports("plan", "mail.toml") == []


def test_a_run_with_overrides_has_its_own_report_and_comparison(trained_copy):
    plain = trained_copy.folder / "reports/mail.html"
    before = plain.read_bytes()
    tuned = ("-s", "model.l2=5", "-s", "evaluate.require.log_loss=0")
    message = trained_copy.fails("compare", "mail.toml", *tuned)
    assert f"run `textpipe evaluate mail.toml {' '.join(tuned)}` first" in message
    # It misses its threshold, which the JSON reports too; the report is still written.
    done = trained_copy.textpipe("run", "mail.toml", *tuned, "--json", "-q")
    assert done.returncode != 0 and "log_loss at most 0" in done.stderr
    table = json.loads(done.stdout)
    assert "log_loss at most 0" in table["error"] and table["saved_model"] is None
    assert table["report"] == "reports/mail.model.l2=5,evaluate.require.log_loss=0.html"
    assert plain.read_bytes() == before
    page = trained_copy.folder / table["report"]
    assert "<title>mail, model.l2=5, evaluate.require.log_loss=0</title>" in page.read_text()
    assert trained_copy.succeeds("report", "mail.toml", *tuned) == f"{table['report']}\n"

    found = json.loads(trained_copy.succeeds("compare", "mail.toml", *tuned, "--json"))
    assert found["systems"] == ["mail", "mail, model.l2=5, evaluate.require.log_loss=0"]
    values = [system["value"] for system in found["metrics"]["accuracy"]["systems"]]
    assert values[1] == pytest.approx(table["metrics"]["accuracy"])
    numbered = ("-s", "1:model.l2=5", "-s", "1:evaluate.require.log_loss=0")
    other = json.loads(trained_copy.succeeds("compare", "mail.toml", "mail.toml", *numbered, "--json"))
    assert [system["value"] for system in other["metrics"]["accuracy"]["systems"]] == values[::-1]


def test_overrides_of_a_comparison_apply_to_their_systems(tmp_path, monkeypatch):
    from textpipe.errors import ConfigError
    from textpipe.report.systems import assign_overrides

    monkeypatch.chdir(tmp_path)
    for name in ("a.toml", "b.toml"):
        (tmp_path / name).write_text("")
    assert assign_overrides(["a.toml"], ["x=1"]) == (["a.toml", "a.toml"], [(), ("x=1",)])
    assert assign_overrides(["a.toml", "a.toml"], ["x=1"])[1] == [(), ("x=1",)]
    assert assign_overrides(["a.toml", "b.toml"], ["x=1", "2:y=2"])[1] == [("x=1",), ("x=1", "y=2")]
    assert assign_overrides(["models/m", "a.toml"], ["x=1"])[1] == [(), ("x=1",)]
    assert assign_overrides(["phrases_en_de"], ["seed=2"]) == (["phrases_en_de"] * 2, [(), ("seed=2",)])
    assert assign_overrides(["a.toml", "b.toml"], []) == (["a.toml", "b.toml"], [(), ()])
    for systems, text, message in (
        (["models/m", "models/n"], "x=1", "none of the systems is a pipeline file"),
        (["a.toml", "models/m"], "2:x=1", "models/m is not a pipeline file"),
        (["a.toml", "b.toml"], "3:x=1", "there is no system 3"),
    ):
        with pytest.raises(ConfigError, match=message):
            assign_overrides(systems, [text])


def test_report_names_differ_when_settings_do():
    assert report.file_name("mail", ()) == "mail.html"
    assert report.file_name("mail", ("model.l2=0.1", "seed=2")) == "mail.model.l2=0.1,seed=2.html"
    names = {
        report.file_name("mail", (f"ingest.files={path}",)) for path in ("a/b", "a_b", "a:b", "a" * 300, "a" * 299)
    }
    assert len(names) == 5 and all(len(name) < 160 and "/" not in name for name in names)


def test_data_get_prints_the_folder_of_the_dataset(project):
    assert Path(project.succeeds("data", "get", "mail").strip()).joinpath("train.jsonl").is_file()
    folder = project.folder / "mirror"
    (folder / "multi30k").mkdir(parents=True)
    assert str(catalog.common_folder(catalog.load_card("multi30k"))).endswith("multi30k")


def test_data_list_is_aligned_in_columns(project):
    lines = project.succeeds("data", "list").splitlines()
    assert [line.split()[0] for line in lines] == catalog.dataset_names()
    cards = [catalog.load_card(name) for name in catalog.dataset_names()]
    assert len({line.index(card.title) for line, card in zip(lines, cards, strict=True)}) == 1
    assert len({line.rindex(card.licence) for line, card in zip(lines, cards, strict=True)}) == 1


def test_new_lists_tasks_and_bundled_pipelines(project):
    listed = project.succeeds("new", "--list")
    for name in ("classify", "translate", "reply", "mail_reply_or_not", "phrases_en_de"):
        assert any(line.split()[:1] == [name] for line in listed.splitlines())
