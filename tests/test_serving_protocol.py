"""TensorFlow Serving's REST, request by request (serving_cases.py), asked of the application in process."""

import asyncio

import pytest
import serving_cases
from serving_cases import body_of, cases, faults

from textpipe.serve.access import Gate
from textpipe.serve.app import App
from textpipe.serve.lanes import Limits, Queue
from textpipe.serve.measures import Measures
from textpipe.serve.repository import Policy, Repository
from textpipe.serve.service import Service


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    """root/<function and signature>/m/1 for decode and encode, root/route/... for route.jsonl."""
    root = tmp_path_factory.mktemp("serving")
    for name, model in serving_cases.MODELS["models"].items():
        for version, signatures in model["versions"].items():
            serving_cases.save(root / "route" / name / version, signatures)
    return root


@pytest.fixture(scope="module")
def applications(models):
    """The application that a case is for; made once for each."""
    made = {}

    def application(case):
        key = f"{case['function']}.{case.get('signature', 'serving_default')}" if "function" in case else "route"
        if key not in made:
            labels, policy = {}, Policy()
            if key == "route":
                labels = {name: model["labels"] for name, model in serving_cases.MODELS["models"].items()}
                policy = Policy("all")
            else:
                serving_cases.save(
                    models / key / "m" / "1", {case.get("signature", "serving_default"): case["function"]}
                )
            repository = Repository(models / key, policy=policy, labels=labels)
            repository.look()
            made[key] = App(Service(repository, Queue(Limits(workers=1))), Gate(), Measures())
        return made[key]

    return application


async def ask(application, method, path, body=b"", headers=()):
    """(status, headers, body) of one request."""
    path, _, query = path.partition("?")
    scope = {
        "type": "http", "method": method, "path": path, "raw_path": path.encode(), "query_string": query.encode(),
        "headers": [(name.lower().encode(), value.encode()) for name, value in dict(headers).items()],
    }  # fmt: skip
    sent = []

    async def receive():
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(message):
        sent.append(message)

    await application(scope, receive, send)
    found = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], found, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{name}-{case['id']}") for name in ("decode", "encode", "route") for case in cases(name)],
)
def test_an_answer_is_tensorflow_servings(case, applications):
    method, path = case.get("method", "POST"), case.get("path", "/v1/models/m:predict")
    status, headers, body = asyncio.run(ask(applications(case), method, path, body_of(case), case.get("headers", {})))
    found = faults(case, status, headers, body)
    if case.get("may_differ"):
        assert status < 500
    else:
        assert not found, "\n".join(found)


def test_where_we_differ_is_what_the_page_says(applications):
    """docs/serving.md lists them; a new difference must be explained there before this list grows."""
    differ = []
    for name in ("decode", "encode", "route"):
        for case in cases(name):
            if case.get("may_differ"):
                method, path = case.get("method", "POST"), case.get("path", "/v1/models/m:predict")
                status, headers, body = asyncio.run(
                    ask(applications(case), method, path, body_of(case), case.get("headers", {}))
                )
                if faults(case, status, headers, body):
                    differ.append(case["id"])
    assert set(differ) == {"double-ulp", "str-lone-low", "str-invalid-utf8", "doc-deep-ignored", "status-label"}
