"""ModelStreamInfer: many requests of the Open Inference Protocol in one gRPC call."""

import asyncio
import threading
from collections import Counter

import grpc
import numpy as np
import oip_cases
import pytest
from serving_server import running, until
from test_serving_oip_grpc import arrays, request, texts, unary

from textpipe.serve.access import TokenAuth
from textpipe.serve.grpc import services
from textpipe.serve.oip import grpc_handlers, grpc_stream
from textpipe.serve.oip.messages import message

WAIT = 30


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("stream")
    oip_cases.save_same(root / "same" / "1")
    return root


@pytest.fixture(scope="module")
def server(folder):
    with running(folder) as server:
        yield server


def stream(channel, bodies, *, timeout=WAIT, metadata=()):
    """The call; bodies: messages, or bytes."""
    stub = channel.stream_stream(
        "/inference.GRPCInferenceService/ModelStreamInfer",
        lambda body: body if isinstance(body, bytes) else body.SerializeToString(),
        message("ModelStreamInferResponse").FromString,
    )
    return stub(iter(bodies), timeout=timeout, metadata=metadata)


def ask(server, bodies, **options):
    with grpc.insecure_channel(server.grpc) as channel:
        return list(stream(channel, bodies, **options))


def with_id(built, name):
    built.id = name
    return built


class Sender:
    """Sends bodies one at a time; `sent` counts those that gRPC has taken."""

    def __init__(self):
        self.sent, self.more, self.ended = 0, threading.Semaphore(0), False
        self.body = None

    def __iter__(self):
        return self

    def __next__(self):
        self.more.acquire()
        if self.ended:
            raise StopIteration
        self.sent += 1
        return self.body

    def send(self, body):
        self.body = body
        self.more.release()

    def end(self):
        self.ended = True
        self.more.release()


def test_answers_come_in_the_order_of_the_requests_and_equal_those_of_single_calls(server):
    sizes = [1, 3, 2] * 50
    bodies = [
        with_id(request(texts([f"text {number} {row}" for row in range(size)]), raw=number % 2 == 0), str(number))
        for number, size in enumerate(sizes)
    ]
    responses = ask(server, bodies)
    assert [response.infer_response.id for response in responses] == [body.id for body in bodies]
    with grpc.insecure_channel(server.grpc) as channel:
        for body, response in zip(bodies[:6], responses, strict=False):
            single = unary(channel, "ModelInfer", body)
            assert response.infer_response.parameters["triton_final_response"].bool_param and not response.error_message
            del response.infer_response.parameters["triton_final_response"]
            assert response.infer_response == single
    for number, response in enumerate(responses):
        rows = [f"TEXT {number} {row}".encode() for row in range(sizes[number])]
        assert arrays(response.infer_response)["upper"].tolist() == rows


def test_a_failing_request_does_not_end_the_stream(server):
    wrong = with_id(request(texts(["a"]), model="none"), "wrong")
    bodies = [
        request(texts(["a"])),
        wrong,
        b"\xff\xff",
        request({"x": (np.int32([1]), "INT32")}),
        request(texts(["b"])),
    ]
    first, unknown, unparsed, input_error, last = ask(server, bodies)
    assert arrays(first.infer_response)["upper"].tolist() == [b"A"]
    assert "none" in unknown.error_message and unknown.infer_response.id == "wrong"
    assert "cannot be parsed" in unparsed.error_message
    assert 'input "x"' in input_error.error_message and not input_error.infer_response.outputs
    assert arrays(last.infer_response)["upper"].tolist() == [b"B"]
    text = server.ask("GET", "/metrics")[2].decode()
    for code, model in (("NOT_FOUND", ""), ("INVALID_ARGUMENT", ""), ("INVALID_ARGUMENT", "same")):
        assert f'textpipe_requests_total{{code="{code}",door="grpc",model="{model}",verb="infer"}}' in text


def test_an_empty_stream_has_no_answers(server):
    assert ask(server, []) == []


def test_requests_in_flight_are_bounded(server, monkeypatch):
    monkeypatch.setattr(grpc_stream, "MAX_IN_FLIGHT", 3)
    counts, released = Counter(), threading.Event()

    async def infer(service, target, request, timeout, infer=grpc_stream.infer):
        counts["begun"] += 1
        counts["open"] += 1
        counts["most"] = max(counts["most"], counts["open"])
        await asyncio.to_thread(released.wait, WAIT)
        counts["open"] -= 1
        return await infer(service, target, request, timeout)

    monkeypatch.setattr(grpc_stream, "infer", infer)
    with grpc.insecure_channel(server.grpc) as channel:
        call = stream(channel, [request(texts([str(number)])) for number in range(20)])
        until(lambda: counts["begun"] == 3)
        released.set()
        assert len(list(call)) == 20
    assert counts["most"] == 3


def test_a_caller_that_leaves_and_a_deadline_end_the_requests(server, monkeypatch):
    begun, ended = [], []

    async def infer(service, target, request, timeout):
        begun.append(timeout)
        try:
            await asyncio.sleep(WAIT)
        finally:
            ended.append(timeout)

    monkeypatch.setattr(grpc_stream, "infer", infer)
    with grpc.insecure_channel(server.grpc) as channel:
        call = stream(channel, [request(texts(["a"]))] * 3, timeout=2)
        with pytest.raises(grpc.RpcError) as error:
            list(call)
        assert error.value.code() == grpc.StatusCode.DEADLINE_EXCEEDED
        until(lambda: len(ended) == 3)
        assert all(0 < timeout < 3 for timeout in ended)  # gRPC rounds a deadline up
        sender = Sender()
        call = stream(channel, sender)
        sender.send(request(texts(["a"])))
        until(lambda: len(begun) == 4)
        call.cancel()
        until(lambda: len(ended) == 4)
        sender.end()


def test_streams_are_limited_and_closed_at_the_shutdown(folder, monkeypatch):
    handler = grpc_handlers.handler
    monkeypatch.setattr(services.grpc_handlers, "handler", lambda calls, **options: handler(calls, max_streams=1))
    with running(folder) as server, grpc.insecure_channel(server.grpc) as channel:
        sender = Sender()
        call = stream(channel, sender)
        sender.send(request(texts(["a"])))
        assert arrays(next(call).infer_response)["upper"].tolist() == [b"A"]
        with pytest.raises(grpc.RpcError) as error:
            ask(server, [request(texts(["b"]))])
        assert error.value.code() == grpc.StatusCode.RESOURCE_EXHAUSTED
        server.loop.call_soon_threadsafe(server.server.stop, 15)
        with pytest.raises(grpc.RpcError) as error:  # at once, not at the end of the grace period
            next(call)
        assert error.value.code() == grpc.StatusCode.UNAVAILABLE
        sender.end()


def test_a_token_is_needed_before_the_first_message(folder):
    with running(folder, auth=TokenAuth(["secret"])) as server, grpc.insecure_channel(server.grpc) as channel:
        sender = Sender()
        call = stream(channel, sender)
        with pytest.raises(grpc.RpcError) as error:
            next(call)
        assert error.value.code() == grpc.StatusCode.UNAUTHENTICATED and not sender.sent
        sender.end()
        (response,) = ask(server, [request(texts(["a"]))], metadata=(("authorization", "Bearer secret"),))
        assert arrays(response.infer_response)["upper"].tolist() == [b"A"]
