"""Rows of several fields, and answers of several labels, from a table to REST, bulk, page and report."""

import json
import random
import urllib.request

from command_server import server

WORDS = {"billing": ["invoice", "payment"], "urgent": ["now", "asap"], "tech": ["server", "crash"]}
OTHERS = "the a we you please mail hello thanks team about from with".split()


def mails(count=400, seed=1):
    """Subjects and bodies that name their topic; mails with many recipients are rarely answered."""
    draw = random.Random(seed)
    yield "subject,body,recipients,answered,tags"
    for _ in range(count):
        tags = [tag for tag in WORDS if draw.random() < 0.4]
        subject = [*(draw.choice(WORDS[tag]) for tag in tags), *draw.sample(OTHERS, 2)]
        body = [draw.choice(OTHERS) for _ in range(6)]
        recipients = draw.choice([1, 2, 9])
        answered = "yes" if "urgent" in tags and recipients < 9 else "no"
        shown = "" if draw.random() < 0.05 else recipients
        yield f"{' '.join(subject)},{' '.join(body)},{shown},{answered},{'|'.join(tags)}"


def asked(port, path, body=None):
    data = None if body is None else json.dumps(body).encode()
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", data, timeout=30) as answer:
        return json.loads(answer.read())


def test_texts_and_numbers_and_several_labels_from_a_table_to_a_server(project):
    project.write("mails.csv", "\n".join(mails()) + "\n")
    columns = "text=subject+body,numbers=recipients,label=answered"
    project.succeeds("new", "classify", "--data", "mails.csv", "--columns", columns, "--output", "answered.toml")
    columns = "text=subject+body,labels=tags"
    project.succeeds("new", "classify", "--data", "mails.csv", "--columns", columns, "--output", "tags.toml")
    small = ("-s", "export.golden_rows=20")
    result = json.loads(project.succeeds("run", "answered.toml", "--json", "--quiet", *small))
    assert result["metrics"]["accuracy"] > 0.75
    result = json.loads(project.succeeds("run", "tags.toml", "--json", "--quiet", *small))
    assert result["metrics"]["f1_micro"] > 0.9

    mail = {"subject": "server crash now", "body": "please mail", "recipients": 1}
    rows = json.dumps(mail) + "\n" + json.dumps({**mail, "recipients": None}) + "\n"
    answers = [
        json.loads(line)
        for line in project.succeeds("predict", "saved_models/answered", "-", "--json", stdin=rows).splitlines()
    ]
    assert answers[0]["answer"] == "yes" and answers[0]["score"] != answers[1]["score"]
    assert "field 'recipients' must be a number, found 'many'" in project.fails(
        "predict", "saved_models/answered", "-", stdin=json.dumps({**mail, "recipients": "many"}) + "\n"
    )
    assert "field 'recipients' must be a number, found inf" in project.fails(
        "predict", "saved_models/answered", "-", stdin=json.dumps(mail).replace("1}", "1e999}") + "\n"
    )
    scored = project.succeeds("score", "saved_models/answered", "mails.csv", "--json").splitlines()
    assert len(scored) == 400 and 0 < json.loads(scored[0])["probability"] <= 1
    assert "is not a known value of" in project.fails(
        "score", "saved_models/tags", "mails.csv", "--columns", "tags=answered,subject=subject,body=body"
    )
    project.succeeds("bulk", "saved_models/answered", "mails.csv", "out.jsonl")
    assert len((project.folder / "out.jsonl").read_text().splitlines()) == 400

    with server(project) as (_, port):
        (found,) = asked(port, "/v1/models/answered:predict", {"instances": [mail]})["predictions"]
        assert abs(found["score"] - answers[0]["score"]) < 1e-6
        del mail["recipients"]
        (found,) = asked(port, "/v1/models/tags:predict", {"instances": [mail]})["predictions"]
        assert found["answer"] == "tech|urgent" and len(found["probabilities"]) == 3
        kinds = {
            model["name"]: [field["kind"] for field in model["fields"]] for model in asked(port, "/models")["models"]
        }
        assert kinds == {"answered": ["text", "text", "number", "label"], "tags": ["text", "text", "labels"]}
    reports = [path.read_text(encoding="utf-8") for path in sorted((project.folder / "reports").glob("*.html"))]
    assert "Confusion matrix" in reports[0] and "Labels, by increasing F1" in reports[1]
    assert all("subject: " in report for report in reports)
