"""`textpipe new` writes a pipeline file that runs on the user's own rows."""

import json

from textpipe.pipeline import templates


def rows():
    for number in range(40):
        yield f"Can you send the report {number}?", "yes"
        yield f"The report {number} went out.", "no"


def test_a_new_classifier_runs_as_written(project):
    path = project.succeeds(
        "new", "classify", "--data", "mail.tsv", "--columns", "text=message,label=wants_reply"
    ).strip()
    assert path == "pipelines/mail.toml"
    assert project.succeeds("run", path).strip() == "saved_models/mail/1"


def test_a_new_generator_file_is_valid(project):
    path = project.succeeds(
        "new", "reply", "--data", "mail.tsv", "--columns", "message=message,reply=wants_reply"
    ).strip()
    assert "train" in project.succeeds("plan", path)


def test_a_new_ranker_runs_as_written(project):
    project.write("replies.tsv", "message\treply\n" + "".join(
        f"{asks} the {thing} {number}\t{reply}\n"
        for number in range(30)
        for thing in ("report", "plan")
        for asks, reply in (("could you send", "I will send it today."), ("thank you for", "You are welcome!"))
    ))  # fmt: skip
    path = project.succeeds("new", "suggest", "--data", "replies.tsv").strip()
    assert project.succeeds("run", path, "-s", "train.epochs=2").strip() == "saved_models/replies/1"
    (answer,) = map(
        json.loads, project.succeeds("predict", "saved_models/replies", "thank you for the cake", "--json").splitlines()
    )
    assert answer["replies"][0] == "You are welcome!"


def ingested(project, path, *options):
    """Rows by split."""
    folder = project.folder / project.succeeds("ingest", path, *options).strip()
    return {name: split["rows"] for name, split in json.loads((folder / "stats.json").read_text())["splits"].items()}


def test_new_takes_several_files_splits_formats_and_files_without_a_header(project):
    both = [f"{text}\t{label}\n" for text, label in rows()]
    project.write("first.tsv", "".join(both[::2]))
    project.write("second.txt", "".join(both[1::2]))
    path = project.succeeds(
        "new", "classify", "--data", "first.tsv", "--data", "second.txt", "--format", "tsv", "--header", "none",
        "--columns", "text=0,label=1",
    ).strip()  # fmt: skip
    assert sum(ingested(project, path).values()) == len(both)

    project.write("train.en", "".join(f"car {number}\n" for number in range(90)))
    project.write("train.de", "".join(f"Auto {number}\n" for number in range(90)))
    project.write("dev.en", "a new car\n")
    project.write("dev.de", "ein neues Auto\n")
    parallel = "--train train.en --train train.de --valid dev.en --valid dev.de --columns source=en,target=de"
    path = project.succeeds("new", "translate", *parallel.split()).strip()
    assert ingested(project, path, "-s", "ingest.split={ test = 0.4 }")["valid"] == 1

    project.write("semi.csv", "body;wanted\n" + "".join(f"{text};{label}\n" for text, label in rows()))
    words = ["new", "classify", "semi.csv", "--columns", "text=body,label=wanted"]
    assert """--format '{ kind = "csv", delimiter = ";" }\'""" in project.fails(*words)
    path = project.succeeds(*words, "--format", '{ kind = "csv", delimiter = ";" }').strip()
    assert sum(ingested(project, path).values()) == len(both)

    assert "no column 'label'" in project.fails(
        "new", "classify", "--data", "mail.tsv", "--columns", "text=message", "--output", "a.toml"
    )
    for words, finding in (
        (["--data", "mail.tsv", "--train", "mail.tsv"], "both were given"),
        ([], "neither was given"),
        (["mail.tsv", "--train", "mail.tsv"], "both were given"),
        (["--data", "train.en", "--format", "lines", "--header", "none"], "only TSV and CSV files have a header"),
        (["--data", "mail.tsv", "--columns", "text=message,text=wants_reply"], "twice"),
    ):
        assert finding in project.fails("new", "classify", *words, "--output", "b.toml")


def test_settings_of_a_new_generator_depend_on_the_number_of_rows(tmp_path):
    plans = {
        count: templates.Plan.of(
            templates.Size(count, {"source": 60, "target": 60}, {"source": 12, "target": 11}), "target"
        )
        for count in (150, 2_000, 29_000, 500_000)
    }
    for plan in plans.values():
        assert plan.warmup_steps <= plan.updates * plan.epochs / 10
    assert plans[2_000].updates * plans[2_000].epochs >= 3_000
    sizes = [(plan.vocab_size, plan.units, plan.batch_tokens) for plan in plans.values()]
    assert sizes == sorted(sizes) and len(set(sizes)) == 4 - (sizes[2] == sizes[3])
    assert [plan.epochs for plan in plans.values()] == sorted((plan.epochs for plan in plans.values()), reverse=True)


def test_new_reply_strips_quotations_from_messages(project):
    path = project.succeeds(
        "new", "reply", "--data", "mail.tsv", "--columns", "message=message,reply=wants_reply", "--output", "r.toml"
    ).strip()
    text = (project.folder / path).read_text()
    assert 'message = ["unicode", "html", "mail_zones"' in text


def test_new_rejects_a_wrong_column_and_keeps_an_existing_file(project):
    assert '--columns "text=message,label=wants_reply"' in project.fails(
        "new", "classify", "--data", "mail.tsv", "--columns", "text=mesage,label=wants_reply"
    )
    assert "exists already" in project.fails(
        "new", "classify", "--data", "mail.tsv", "--columns", "text=message,label=wants_reply", "--output", "mail.toml"
    )
    assert "did you mean 'classify'" in project.fails("new", "clasify", "--data", "mail.tsv")
    assert "nowhere.tsv" in project.fails("new", "classify", "--data", "nowhere.tsv")
