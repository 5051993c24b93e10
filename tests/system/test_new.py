"""`textpipe new` writes a pipeline file that runs on the user's own rows."""


def test_a_new_classifier_runs_as_written(project):
    path = project.succeeds("new", "classify", "--data", "mail.tsv", "--columns", "text=message,label=wants_reply").strip()
    assert path == "pipelines/mail.toml"
    assert project.succeeds("run", path).strip() == "saved_models/mail/1"


def test_a_new_generator_is_a_sound_file(project):
    path = project.succeeds("new", "reply", "--data", "mail.tsv", "--columns", "message=message,reply=wants_reply").strip()
    assert "train" in project.succeeds("plan", path)


def test_new_refuses_a_wrong_column_and_keeps_an_existing_file(project):
    assert "did you mean 'message'" in project.fails("new", "classify", "--data", "mail.tsv", "--columns", "text=mesage,label=wants_reply")
    assert "exists already" in project.fails(
        "new", "classify", "--data", "mail.tsv", "--columns", "text=message,label=wants_reply", "--output", "mail.toml"
    )
    assert "did you mean 'classify'" in project.fails("new", "clasify", "--data", "mail.tsv")
    assert "nowhere.tsv" in project.fails("new", "classify", "--data", "nowhere.tsv")
