"""Random requests of the Open Inference Protocol: an answer or a client error, never a server error, and the server survives."""

import asyncio
import json
import random

import grpc
import numpy as np
import oip_cases
import pytest
import volume
from oip_cases import TYPES, signature
from serving_server import running
from test_serving_fuzz import PIECES, REFUSED
from test_serving_protocol import ask

from textpipe.serve.access import TokenAuth
from textpipe.serve.engine.batch_queue import BatchScheduler, QueueLimits
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.service import Service
from textpipe.serve.rest.app import App

ROUNDS = volume.rounds(2000, 10_000)
ALLOWED = {200, 400, 404, 405, 501}  # 501: a datatype or extension that is not supported
SAME = "/v2/models/same/infer"
# Values that a member may have instead of its own.
VALUES = [
    None,
    True,
    0,
    1,
    -1,
    2**31,
    2**63,
    2**64,
    1e300,
    "",
    "x",
    "FP32",
    "BYTES",
    [],
    [[]],
    [1],
    ["a"],
    [None],
    {},
    {"a": 1},
    [[1], [2, 3]],
    10**200,
]


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    oip_cases.save_same(root / "same" / "1")
    repository = Repository(root)
    repository.refresh()
    service = Service(repository, BatchScheduler(QueueLimits(workers=1)))
    return App(service, TokenAuth(), Metrics(), max_body_bytes=200_000)


def valid(draw):
    """A valid request as (document, binary data)."""
    datatype = draw.choice(list(TYPES))
    shape = draw.choice([(1,), (2,), (0,), (2, 2), ()])
    array = oip_cases.draw_array(draw, datatype, shape)
    described, data = oip_cases.tensor("x", array, datatype, draw.choice(("flat", "nested", "binary")))
    parameters = {"signature_name": signature(datatype), "binary_data_output": draw.random() < 0.5}
    return {
        "id": "1",
        "parameters": parameters,
        "inputs": [described],
        "outputs": [{"name": "y", "parameters": {}}],
    }, data


def mutate(draw, value):
    """A document with one of its members, at any depth, replaced or removed."""
    if isinstance(value, dict) and value and draw.random() < 0.85:
        key = draw.choice(list(value))
        if draw.random() < 0.1:
            return {name: inner for name, inner in value.items() if name != key}
        return {**value, key: mutate(draw, value[key])}
    if isinstance(value, list) and value and draw.random() < 0.85:
        index = draw.randrange(len(value))
        return [*value[:index], mutate(draw, value[index]), *value[index + 1 :]]
    return draw.choice(VALUES)


def requests(draw, count):
    """(body, headers): valid requests with another member, other bytes, another header, or pieces of JSON among them."""
    for number in range(count):
        document, data = valid(draw)
        if number % 4 == 0:
            document = mutate(draw, document)
        text = json.dumps(document).encode()
        length, body = str(len(text)), text + data
        if number % 4 == 1:
            changed = bytearray(body)
            for _ in range(draw.randrange(1, 4)):
                changed[draw.randrange(len(changed))] = draw.randrange(256)
            body = bytes(changed)
        elif number % 4 == 2:
            length = draw.choice(("", "0", "-1", "1e3", "9" * 40, str(len(body) + 1), str(draw.randrange(len(body)))))
        elif number % 4 == 3:
            at = draw.randrange(len(text))
            body = text[:at] + draw.choice(PIECES) * draw.choice((1, 2, 3000)) + text[at:] + data
        yield body, {"Inference-Header-Content-Length": length} if data or draw.random() < 0.5 else {}


@pytest.mark.volume
def test_no_body_causes_a_server_error(application):
    statuses = {}

    async def run():
        for body, headers in requests(random.Random(7), ROUNDS):
            status, _, answer = await ask(application, "POST", SAME, body, headers)
            assert status in ALLOWED, (body[:300], headers, answer[:300])
            if status != 200:
                assert json.loads(answer).keys() == {"error"}
            statuses[status] = statuses.get(status, 0) + 1
        text = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}
        return await ask(application, "POST", SAME, json.dumps({"inputs": [text]}).encode())

    assert json.loads(asyncio.run(run())[2])["outputs"][1]["data"] == ["A"]
    assert statuses[200] > ROUNDS // 20 and statuses[400] > ROUNDS // 2  # both sides are reached


@pytest.mark.volume
def test_no_path_causes_a_server_error(application):
    draw = random.Random(8)
    parts = [
        "/v2",
        "/",
        "models",
        "same",
        "versions",
        "1",
        "9" * 25,
        "infer",
        "ready",
        "health",
        "live",
        "repository",
        "index",
        "load",
        "%2f",
        "..",
        "?",
        "\u00e9",
        "",
    ]

    async def run():
        for _ in range(volume.rounds(1000, 4000)):
            path = "/v2" + "".join(draw.choices(["/", *parts], k=draw.randrange(8)))
            path = path.encode().decode("latin-1")
            method = draw.choice(("GET", "POST", "PUT", "TRACE", "HEAD", "OPTIONS"))
            status, _, answer = await ask(application, method, path, b"{}")
            assert status in ALLOWED, (path, answer)

    asyncio.run(run())


def test_no_message_stops_the_grpc_server(tmp_path):
    from textpipe.serve.oip.messages import message

    oip_cases.save_same(tmp_path / "same" / "1")
    draw = random.Random(9)
    whole = message("ModelInferRequest")(model_name="same", raw_input_contents=[b"\1\0\0\0a"])
    whole.inputs.add(name="text", datatype="BYTES", shape=[1])
    codes = set()
    with running(tmp_path) as server, grpc.insecure_channel(server.grpc) as channel:
        for number in range(400):
            body = bytearray(whole.SerializeToString())
            if number % 2:
                body[draw.randrange(len(body))] = draw.randrange(256)
            else:
                body = bytearray(draw.randbytes(draw.randrange(1, 60)))
            rpc = (
                "ModelInfer"
                if number % 2
                else draw.choice(("ModelInfer", "ModelReady", "ModelMetadata", "ModelConfig", "Nothing"))
            )
            call = channel.unary_unary(f"/inference.GRPCInferenceService/{rpc}", bytes, bytes)
            try:
                call(body, timeout=30)
            except grpc.RpcError as error:
                codes.add(error.code())
        assert codes <= REFUSED and grpc.StatusCode.INVALID_ARGUMENT in codes
        call = channel.unary_unary(
            "/inference.GRPCInferenceService/ModelInfer", bytes, message("ModelInferResponse").FromString
        )
        answer = call(whole.SerializeToString(), timeout=30)
    assert np.frombuffer(answer.raw_output_contents[0], np.int32).tolist() == [1]
