"""The bundled mails' suggestions: never two replies of one intent, over every test mail."""

import json
import tomllib
from pathlib import Path

import pytest
import tiny

from textpipe.pipeline import runner
from textpipe.savedmodel import loader

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def bundled(tmp_path_factory):
    """(the test mails, the model): mail_suggest.toml with a small model and without the mail steps."""
    folder = tmp_path_factory.mktemp("bundled")
    tables = tomllib.loads((ROOT / "pipelines" / "mail_suggest.toml").read_text(encoding="utf-8"))
    names = {split: str(ROOT / "data" / "mail" / f"{split}.jsonl") for split in ("train", "valid", "test")}
    tables["ingest"] = {**tables["ingest"], "files": names} | {"format": "jsonl"}
    del tables["ingest"]["dataset"]
    tables["normalize"] = {"steps": ["unicode", "whitespace"]}
    tables["model"] = {"kind": "dual_encoder", "embedding_size": 8, "units": [8]}
    tables["train"]["epochs"] = 1
    file = folder / "mails.toml"
    file.write_text(tiny.toml(tables), encoding="utf-8")
    result = runner.run(
        runner.Pipeline.load(file), artifacts=folder / "artifacts", saved_models=folder / "saved_models"
    )
    lines = Path(names["test"]).read_text(encoding="utf-8").splitlines()
    mails = [row["message"] for row in map(json.loads, lines) if row["wants_reply"] == "yes"]
    return mails, loader.Model.load(result.saved_model), result


def test_no_two_replies_of_an_answer_have_one_intent(bundled):
    mails, model, _ = bundled
    answers = model.predict(mails)
    assert len(answers) == 704
    for answer in answers:
        intents = [intent for intent in answer["intents"] if intent]
        assert len(set(intents)) == len(intents), answer
        assert len(set(answer["replies"])) == 3
    assert sum(any(answer["intents"]) for answer in answers) > 600  # most responses have an intent


def test_most_responses_have_the_intent_that_the_grammar_gave_them(bundled):
    """.793 of 309; intents whose replies all hold a date have no example, and their few responses go to others."""
    *_, result = bundled
    truth = {}
    for line in (ROOT / "data" / "mail" / "train.jsonl").read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        truth[row["reply"]] = row["intent"]
    table = (result.artifacts["responses"].path / "responses.tsv").read_text(encoding="utf-8").splitlines()[1:]
    pairs = [(truth[cells[0]], cells[1]) for cells in (line.split("\t") for line in table) if cells[1]]
    assert len(pairs) > 250
    assert sum(intent == true for true, intent in pairs) > 0.75 * len(pairs)
