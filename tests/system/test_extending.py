"""The code of docs/extending.md: user-defined plug-ins are trained, exported, served and displayed without changes to textpipe."""

import json
import random
import re
import urllib.request
from pathlib import Path

from command_server import server

PAGE = Path(__file__).parents[2] / "docs" / "extending.md"
FILE = re.compile(r"^### (\S+)\n\n```\w+\n(.*?)^```$", re.MULTILINE | re.DOTALL)
WORDS = "the parcel order from your shop came on monday".split()


def mails(count=600, seed=3):
    """A broken thing that cost less than 500 is refunded."""
    draw = random.Random(seed)
    yield "mail,amount,refund"
    for _ in range(count):
        broken, amount = draw.random() < 0.5, draw.choice([5, 20, 300, 900])
        words = [*draw.choices(WORDS, k=6), draw.choice(["broken", "damaged"] if broken else ["fine", "lovely"])]
        price = "" if draw.random() < 0.05 else f"{amount} {draw.choice(['EUR', 'USD'])}"
        yield f"{' '.join(words)},{price},{'yes' if broken and amount < 500 else 'no'}"


def test_the_tutorial_is_trained_exported_and_served(project):
    files = dict(FILE.findall(PAGE.read_text(encoding="utf-8")))
    assert len(files) == 6
    (project.folder / "shop").mkdir()
    project.write("shop/__init__.py", "")
    for name, text in files.items():
        project.write(name, text)
    project.write("mails.csv", "\n".join(mails()) + "\n")
    result = json.loads(project.succeeds("run", "refund.toml", "--json", "--quiet"))
    assert result["metrics"]["accuracy"] > 0.8
    about = json.loads((project.folder / "saved_models/refund/1/textpipe.json").read_text())
    assert about["inputs"] == ["mail", "amount"] and about["view"]["kind"] == "bars"
    report = (project.folder / "reports/refund.html").read_text(encoding="utf-8")
    assert "Confusion matrix" in report and "mail: " in report
    row = json.dumps({"mail": "the parcel came broken", "amount": 20})
    (line,) = project.succeeds("predict", "saved_models/refund", "-", "--json", stdin=row + "\n").splitlines()
    assert json.loads(line)["advice"] in ("yes", "ask a person")
    # Changed code rebuilds only the stages that use it.
    project.write("shop/careful.py", files["shop/careful.py"].replace("CONFIDENT = 0.8", "CONFIDENT = 0.9"))
    planned = {step.split()[0]: step for step in project.succeeds("plan", "refund.toml").splitlines() if step.strip()}
    assert "cached" in planned["train"] and "cached" not in planned["export"]

    with server(project) as (_, port):
        body = json.dumps({"instances": [{"mail": "the parcel came broken", "amount": 20}]}).encode()
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models/refund:predict", body, 30) as answer:
            (found,) = json.loads(answer.read())["predictions"]
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/models", timeout=30) as answer:
            (model,) = json.loads(answer.read())["models"]
    assert {"answer", "advice", "labels", "probabilities"} <= found.keys()
    # What the page needs to ask for the fields and to draw the answer.
    assert [field["kind"] for field in model["fields"]] == ["text", "shop.money", "label"]
    assert model["view"]["kind"] == "bars"
