"""TensorFlow Serving's REST protocol, request by request (serving_cases.py), in process."""

import asyncio
import json
import random
import threading
import time
from dataclasses import replace

import pytest
import serving_cases
import serving_direct
from serving_cases import body_of, cases, mismatches

from textpipe.serve.access import TokenAuth
from textpipe.serve.engine.batch_queue import BatchScheduler, QueueLimits
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.model_state import VersionPolicy
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.service import Service
from textpipe.serve.rest import request_body
from textpipe.serve.rest.app import App
from textpipe.serve.tensors import json_document
from textpipe.serve.tensors.json_reader import CLOCK_INTERVAL, Reader
from textpipe.serve.tensors.json_writer import format_value


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
    """application(case): the application for a case, cached."""
    cache = {}

    def application(case):
        key = f"{case['function']}.{case.get('signature', 'serving_default')}" if "function" in case else "route"
        if key not in cache:
            labels, policy = {}, VersionPolicy()
            if key == "route":
                labels = {name: model["labels"] for name, model in serving_cases.MODELS["models"].items()}
                policy = VersionPolicy("all")
            else:
                serving_cases.save(
                    models / key / "m" / "1", {case.get("signature", "serving_default"): case["function"]}
                )
            repository = Repository(models / key, policy=policy, labels=labels)
            repository.refresh()
            cache[key] = App(Service(repository, BatchScheduler(QueueLimits(workers=1))), TokenAuth(), Metrics())
        return cache[key]

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
    answer_headers = {name.decode(): value.decode() for name, value in sent[0]["headers"]}
    return sent[0]["status"], answer_headers, b"".join(message.get("body", b"") for message in sent[1:])


@pytest.mark.parametrize(
    "case",
    [pytest.param(case, id=f"{name}-{case['id']}") for name in ("decode", "encode", "route") for case in cases(name)],
)
def test_responses_equal_those_of_tensorflow_serving(case, applications):
    method, path = case.get("method", "POST"), case.get("path", "/v1/models/m:predict")
    status, headers, body = asyncio.run(ask(applications(case), method, path, body_of(case), case.get("headers", {})))
    problems = mismatches(case, status, headers, body)
    if case.get("may_differ"):
        assert status < 500
    else:
        assert not problems, "\n".join(problems)
    if direct := asyncio.run(
        serving_direct.ask(applications(case), method, path, body_of(case), case.get("headers", {}))
    ):
        own = {"x-request-id", "date"}
        assert direct[::2] == (status, body)
        assert {name: value for name, value in direct[1].items() if name not in own} == {
            name: value for name, value in headers.items() if name not in own
        }


def test_differences_from_tensorflow_serving_are_documented(applications):
    """docs/serving.md lists them; explain a new difference there before you extend this list."""
    differ = []
    for name in ("decode", "encode", "route"):
        for case in cases(name):
            if case.get("may_differ"):
                method, path = case.get("method", "POST"), case.get("path", "/v1/models/m:predict")
                status, headers, body = asyncio.run(
                    ask(applications(case), method, path, body_of(case), case.get("headers", {}))
                )
                if mismatches(case, status, headers, body):
                    differ.append(case["id"])
    assert set(differ) == {
        "double-ulp", "str-lone-low", "str-invalid-utf8", "doc-deep-ignored", "status-label", "twice-in-every-row", "v2",
    }  # fmt: skip


def test_the_first_of_two_equal_names_counts_in_every_row(applications):
    (case,) = [case for case in cases("decode") if case["id"] == "twice-in-every-row"]
    _, _, body = asyncio.run(ask(applications(case), "POST", "/v1/models/m:predict", body_of(case)))
    assert json.loads(body) == {"predictions": [11.0, 22.0]}


@pytest.fixture
def strict(applications):
    """An application with limits of 8 rows, texts of 100 bytes, and 400 bytes of tensors."""
    case = {"function": "inputs_string1", "signature": "serving_default"}
    service = applications(case).api.service
    small = replace(service, max_rows=8, max_text_bytes=100, max_tensor_bytes=400)
    return App(small, TokenAuth(), Metrics())


@pytest.mark.parametrize(
    ("method", "request_", "message"),
    [
        ("predict", {"instances": ["u"] * 9}, "instances: 9 rows where this server takes 8 at once"),
        ("predict", {"instances": [{"inputs": "u"}] * 9}, "instances: 9 rows where this server takes 8 at once"),
        ("predict", {"inputs": ["u"] * 9}, "inputs: 9 rows where this server takes 8 at once"),
        ("predict", {"inputs": {"inputs": [[]] * 9}}, "inputs: 9 rows where this server takes 8 at once"),
        ("predict", {"instances": ["u" * 101]}, "inputs: a text of 101 bytes where this server takes 100"),
        ("predict", {"inputs": [{"b64": "QUJD" * 34}]}, "inputs: a text of 102 bytes where this server takes 100"),
        ("predict", {"inputs": ["\u00fc" * 51]}, "inputs: a text of 102 bytes where this server takes 100"),
        ("predict", {"inputs": [["u" * 90] * 5]}, "inputs: 490 bytes as a tensor where this server takes 400"),
        ("predict", {"inputs": [["u"] * 50]}, "inputs: 450 bytes as a tensor where this server takes 400"),
        ("regress", {"examples": [{"x": 1.0}] * 9}, "examples: 9 rows where this server takes 8 at once"),
        ("regress", {"examples": [{"t": "u" * 99}]}, "bytes where this server takes 100"),
        ("regress", {"context": {"t": "u" * 90}, "examples": [{}] * 2}, "bytes where this server takes 100"),
        ("regress", {"context": {"t": "u" * 60}, "examples": [{}] * 8}, "bytes as a tensor where this server takes"),
        ("classify", {"examples": [{}] * 9}, "examples: 9 rows where this server takes 8 at once"),
    ],
)
def test_limits_hold_for_all_request_formats(strict, method, request_, message):
    body = json.dumps(request_, ensure_ascii=False).encode()
    status, _, answer = asyncio.run(ask(strict, "POST", f"/v1/models/m:{method}", body))
    assert status == 400 and message in json.loads(answer)["error"]


def test_nested_lists_are_counted_and_brackets_in_strings_are_not(monkeypatch):
    monkeypatch.setattr(json_document, "MAX_CONTAINERS", 12)
    assert json_document.parse(b'{"t": "[[[[[[[[[[[[[[[[ \\" [[[[", "n": [[], [], {}]}')["n"] == [[], [], {}]
    with pytest.raises(ServingError, match="more than 12 lists and objects"):
        json_document.parse(b'{"n": [' + b"[], " * 12 + b"1]}")


@pytest.mark.parametrize("axes", [31, 32, 33, 64, 255, 300])
def test_tensors_of_many_axes_are_answered_or_refused(applications, axes):
    case = {"function": "x_string1"}
    for body in ('{"inputs": %s}', '{"instances": [%s]}'):
        nested = body % ("[" * axes + '"u"' + "]" * axes)
        status, _, answer = asyncio.run(ask(applications(case), "POST", "/v1/models/m:predict", nested.encode()))
        assert status in (200, 400), answer


def test_both_json_parsers_agree():
    draw = random.Random(3)
    scalars = ["1", "-2.5", "0", "1e5", "true", "null", '"u"', '"\\u00e9\\n"', '"größer"', "NaN", "-Infinity"]

    def value(depth):
        kind = draw.random()
        if depth > 4 or kind < 0.5:
            return draw.choice(scalars)
        inside = [value(depth + 1) for _ in range(draw.randrange(4))]
        if kind < 0.75:
            return f"[{', '.join(inside)}]"
        return "{" + ",".join(f'"{draw.choice("uvw")}" : {one}' for one in inside) + "}"

    for _ in range(500):
        body = ('{"all": ' + value(0) + "}").encode()
        fast, slow = json_document.parse(body), Reader(body).document()
        assert repr(fast) == repr(slow) and format_value(fast) == format_value(slow)


@pytest.mark.parametrize("inside", [b"1," * 50_000, b'"' + b"\\n" * 50_000 + b'"', b'{"u": [0]}, ' * 50_000])
def test_the_slow_parser_stops_soon_after_its_deadline(inside):
    reader = Reader(b'{"all": [' + inside, deadline=0.0)
    with pytest.raises(ServingError) as found:
        reader.document()
    assert found.value.code == "DEADLINE_EXCEEDED" and reader.pos < 12 * CLOCK_INTERVAL
    with pytest.raises(ServingError, match="JSON Parse error"):
        Reader(b'{"all": [' + inside).document()


def test_blanks_are_skipped():
    assert Reader(b" \r\n" * 9 + b"[ 1 ,\t2 ] ").document() == [1, 2]


@pytest.mark.parametrize("body", [b'{"instances": [' + b"1," * 50_000, b'{"instances": [1.0]}'])
def test_a_clients_timeout_includes_reading_its_body(strict, body):
    request = ask(strict, "POST", "/v1/models/m:predict", body, {"X-Request-Timeout": "1e-9"})
    status, _, answer = asyncio.run(request)
    assert status == 504 and "deadline" in json.loads(answer)["error"]


def test_the_slow_parser_runs_for_few_bodies_at_a_time(strict, monkeypatch):
    running, max_running, lock, both = 0, 0, threading.Lock(), threading.Barrier(request_body.MAX_SLOW_READS)

    def document(self):
        nonlocal running, max_running
        with lock:
            running, max_running = running + 1, max(max_running, running + 1)
        both.wait(30)
        with lock:
            running -= 1
        raise ServingError("INVALID_ARGUMENT", "read slowly")

    monkeypatch.setattr(Reader, "document", document)

    async def send_all():
        body = b'{"instances": [' + b"1," * request_body.INLINE_BYTES
        return await asyncio.gather(
            *(ask(strict, "POST", "/v1/models/m:predict", body) for _ in range(3 * request_body.MAX_SLOW_READS))
        )

    assert {status for status, _, _ in asyncio.run(send_all())} == {400}
    assert max_running == request_body.MAX_SLOW_READS


def test_waiting_for_the_slow_parser_ends_at_the_deadline():
    async def wait():
        bodies = request_body.BodyReader()
        for _ in range(request_body.MAX_SLOW_READS):
            await bodies.slow_reads.acquire()
        await bodies.parse_slowly(b"[1,", time.monotonic() + 0.001)

    with pytest.raises(ServingError, match="deadline passed"):
        asyncio.run(wait())
