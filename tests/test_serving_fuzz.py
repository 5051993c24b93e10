"""Random bodies, paths and messages: an answer or a client error, never a server error, and the server survives."""

import asyncio
import base64
import json
import random

import grpc
import pytest
import serving_cases
import volume
from serving_server import running
from test_serving_protocol import ask

from textpipe.serve.access import TokenAuth
from textpipe.serve.engine.batch_queue import BatchScheduler, QueueLimits
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.service import Service
from textpipe.serve.rest.app import App

BODIES = volume.rounds(2500, 10_000)
REFUSED = {grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND, grpc.StatusCode.UNIMPLEMENTED}
ALLOWED = {200, 400, 404, 501}  # 501: a type that JSON cannot express
PIECES = [
    b"{", b"}", b"[", b"]", b",", b":", b'"', b"\\", b"null", b"true", b"NaN", b"-Infinity", b"Inf", b"1e309", b"-0", b"1e-400",
    b"123456789012345678901234567890", b'"instances"', b'"inputs"', b'"examples"', b'"context"', b'"signature_name"', b'"b64"', b'"x"',
    b'"aGk="', b'"*"', b'"\\ud83d"', b'"\\u0000"', b'"\xff"', b"\xed\xa0\x80", b"\x00", b" ", b"\xef\xbb\xbf", b"1", b"2.5", b'"a"', b"{}", b"[]",
]  # fmt: skip


@pytest.fixture(scope="module")
def application(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    for name, model in serving_cases.MODELS["models"].items():
        for version, signatures in model["versions"].items():
            serving_cases.save(root / name / version, signatures)
    repository = Repository(root)
    repository.refresh()
    return App(
        Service(repository, BatchScheduler(QueueLimits(workers=1))), TokenAuth(), Metrics(), max_body_bytes=200_000
    )


def bodies(count, seed):
    """Mutations of valid requests, sequences of tokens, and noise."""
    draw = random.Random(seed)
    valid = [
        b'{"instances": [1.0, 2.0]}', b'{"inputs": {"x": [1, 2]}}', b'{"signature_name": "score", "examples": [{"x": 0.25}]}',
        b'{"instances": [{"x": 1}, {"x": 2}]}', b'{"context": {"x": 1.0}, "examples": [{}]}', b'{"instances": [{"b64": "aGk="}]}',
    ]  # fmt: skip
    for number in range(count):
        kind = number % 5
        if kind == 0:
            body = bytearray(draw.choice(valid))
            for _ in range(draw.randrange(1, 5)):
                body[draw.randrange(len(body))] = draw.randrange(256)
            yield bytes(body)
        elif kind == 1:
            yield b"".join(draw.choices(PIECES, k=draw.randrange(1, 30)))
        elif kind == 2:
            body = draw.choice(valid)
            at = draw.randrange(len(body))
            yield body[:at] + draw.choice(PIECES) * draw.choice((1, 1, 3000)) + body[at:]
        elif kind == 3:
            yield draw.randbytes(draw.randrange(60))
        else:
            opened = draw.choice((b"[", b'{"x":', b'{"instances":[', b'{"inputs":')) * draw.choice(
                (2, 300, 20_000 // 10)
            )
            yield draw.choice((b"", b'{"instances": ', b'{"inputs": {"x": ')) + opened + draw.choice((b"", b"1", b"]}"))


@pytest.mark.volume
def test_no_body_causes_a_server_error(application):
    paths = [
        "/v1/models/echo:predict",
        "/v1/models/tab:predict",
        "/v1/models/tab:classify",
        "/v1/models/tab:regress",
        "/v1/models/none:predict",
        "/v1/models/echo:stream",
    ]

    async def run():
        for number, body in enumerate(bodies(BODIES, seed=4)):
            path = paths[number % len(paths)]
            status, _, answer = await ask(application, "POST", path, body)
            assert status in ALLOWED, (path, body[:200], answer[:300])
            if status != 200:
                assert json.loads(answer).keys() == {"error"}, (path, body[:200], answer[:300])
        return await ask(application, "POST", "/v1/models/echo:predict", b'{"instances": [1.0]}')

    assert json.loads(asyncio.run(run())[2])["predictions"] == [3.0]


@pytest.mark.volume
def test_no_path_causes_a_server_error(application):
    draw = random.Random(5)
    parts = [
        "/",
        "v1",
        "models",
        "echo",
        ":",
        "predict",
        "versions",
        "labels",
        "1",
        "99999999999999999999",
        "%",
        "%2f",
        "..",
        "?",
        "#",
        "\u00e9",
        "a b",
        "metadata",
        "",
    ]

    async def run():
        for _ in range(volume.rounds(1000, 4000)):
            path = "/" + "".join(draw.choices(parts, k=draw.randrange(8)))
            path = path.encode().decode("latin-1")
            status, _, answer = await ask(
                application, draw.choice(("GET", "POST", "PUT", "TRACE", "HEAD")), path, b"{}"
            )
            assert status in ALLOWED | {405}, (path, answer)

    asyncio.run(run())


def test_no_message_stops_the_grpc_server(tmp_path):
    for version, signatures in serving_cases.MODELS["models"]["echo"]["versions"].items():
        serving_cases.save(tmp_path / "echo" / version, signatures)
    draw = random.Random(6)
    with running(tmp_path) as server, grpc.insecure_channel(server.grpc) as channel:
        for number in range(300):
            method = draw.choice(("Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata", "Nothing"))
            call = channel.unary_unary(
                f"/tensorflow.serving.PredictionService/{method}", lambda body: body, lambda body: body
            )
            with pytest.raises(grpc.RpcError) as error:
                call(
                    draw.randbytes(draw.randrange(1, 80))
                    if number % 2
                    else base64.b64decode("CgYKBGVjaG8=") + draw.randbytes(5),
                    timeout=30,
                )
            assert error.value.code() in REFUSED
        assert server.predict("echo", instances=[1.0])["predictions"] == [3.0]
