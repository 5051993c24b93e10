"""Heads of any size, closed connections, changed certificates: what an HTTP client sees, byte by byte."""

import asyncio
import contextlib
import http.client
import json
import re
import socket
import ssl
import subprocess
import threading
import time

import grpc
import pytest
import tensorflow as tf
from serving_server import Running, running
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from textpipe.errors import ConfigError
from textpipe.serve import tls
from textpipe.serve.access import TokenAuth
from textpipe.serve.engine.batch_queue import QueueLimits
from textpipe.serve.rest import refusals
from textpipe.serve.server import Options

ASK = b"POST /v1/models/plus:predict HTTP/1.1\r\nHost: x\r\nContent-Length: 20\r\n\r\n" + b'{"instances": [1.0]}'

CHUNKED = b"POST /v1/models/plus:predict HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("models")
    module = tf.Module()
    module.run = tf.function(
        lambda x: {"y": x + 1}, input_signature=[tf.TensorSpec([None], tf.float32, "x")], autograph=False
    )
    tf.saved_model.save(module, str(root / "plus" / "1"), signatures=module.run.get_concrete_function())
    return root


@pytest.fixture(scope="module")
def server(models):
    with running(models) as found:
        yield found


def connect(server):
    connection = socket.create_connection(("127.0.0.1", server.rest), timeout=30)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_response(sock, ended=True):
    """(status, headers, body) read from a socket; ended: the server must close it."""
    response = http.client.HTTPResponse(sock)
    response.begin()
    headers = dict(response.getheaders())
    body = response.read()
    response.close()
    if ended:
        assert sock.recv(1) == b""
    return response.status, headers, body


# Heads


HEADS = {
    "one field of 20 MB": (431, [b"GET /healthz HTTP/1.1\r\nX-A: ", *[b"a" * 1_000_000] * 20]),
    "many fields of 100 bytes": (431, [b"GET /healthz HTTP/1.1\r\n", *[b"X-A: " + b"a" * 93 + b"\r\n"] * 20_000]),
    "a name of 5 MB": (431, [b"GET /healthz HTTP/1.1\r\n", *[b"x" * 100_000] * 50]),
    "a little too long": (431, [b"GET /healthz HTTP/1.1\r\nX-A: ", b"a" * 66_000, b"\r\n\r\n"]),
    "257 fields": (431, [b"GET /healthz HTTP/1.1\r\n", *[b"a: b\r\n"] * 257, b"\r\n"]),
    "a URL of 17 KB": (414, [b"GET /", b"a" * 17_000, b" HTTP/1.1\r\n\r\n"]),
    "a query of 3 MB": (414, [b"GET /healthz?", *[b"a" * 100_000] * 30]),
    "trailers of 10 MB": (431, [CHUNKED, b"0\r\nX-A: ", *[b"a" * 100_000] * 100]),
    "a chunk extension of 10 MB": (431, [CHUNKED, b"1;a=", *[b"a" * 100_000] * 100]),
}


@pytest.mark.parametrize("kind", HEADS)
def test_a_head_beyond_the_limits_is_refused_with_a_reason(server, kind):
    status, parts = HEADS[kind]
    with connect(server) as sock:
        for part in parts:
            sock.sendall(part)
        found, headers, body = read_response(sock)
    assert (
        found == status and headers["connection"] == "close" and "bytes" in json.loads(body)["error"]
    ) or "256" in str(body)
    assert server.ask("GET", "/healthz")[0] == 200


def test_heads_within_the_limits_may_be_split_and_pipelined(server):
    long = b"GET /healthz HTTP/1.1\r\nX-A: " + b"a" * 60_000 + b"\r\n" + b"b: c\r\n" * 250 + b"\r\n"
    with contextlib.ExitStack() as sockets:
        sock = sockets.enter_context(connect(server))
        for request in (long, b"GET /" + b"a" * 16_000 + b" HTTP/1.1\r\n\r\n", ASK, long):
            for start in range(0, len(request), 7000):
                sock.sendall(request[start : start + 7000])
            assert read_response(sock, ended=False)[0] in (200, 404)
        sock.sendall(ASK * 3000)  # 300 KB of heads and bodies, none of them long
        file = sockets.enter_context(sock.makefile("rb"))
        for _ in range(3000):
            assert b" 200 " in file.readline()
            while file.readline() != b"\r\n":
                pass
            assert file.read(33) == b'{\n    "predictions": [2.0\n    ]\n}'


def test_a_chunked_body_may_have_chunks_of_one_byte(server):
    body = b'{"instances": [1.0' + b" " * 300_000 + b"]}"
    chunks = b"".join(b"%x\r\n%s\r\n" % (1, body[at : at + 1]) for at in range(len(body)))
    with connect(server) as sock:
        sock.sendall(CHUNKED + chunks + b"0\r\nX-Sum: 1\r\n\r\n")
        assert read_response(sock, ended=False)[0] == 200


def test_a_trailer_does_not_become_a_header(models):
    with running(models, auth=TokenAuth(["secret"])) as server, connect(server) as sock:
        sock.sendall(
            b"GET /models HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\nAuthorization: Bearer secret\r\n\r\n"
        )
        assert read_response(sock, ended=False)[0] == 401


@pytest.mark.parametrize("protocol", ["h2c", "websocket"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
def test_an_upgrade_is_ignored_and_its_body_is_not_parsed_as_a_request(server, protocol, framing):
    body = b'{"instances": [2.0]}' + b" " * 70_000 + ASK
    upgrade = f"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: {protocol}\r\nHTTP2-Settings: AAE\r\n".encode()
    if framing == "length":
        field = b"Content-Length: %d\r\n" % len(body)
    else:
        field, body = b"Transfer-Encoding: chunked\r\n", b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body)
    head = b"POST /v1/models/plus:predict HTTP/1.1\r\nHost: x\r\n" + upgrade + field + b"\r\n"
    follows = b"GET /v1/models/none HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    for pieces in (
        [head + body + follows],
        [head, body, follows],
        [head[:90], head[90:] + body[:9], body[9:] + follows],
    ):
        with connect(server) as sock, sock.makefile("rb") as file:
            for piece in pieces:
                sock.sendall(piece)
            found = file.read()
        assert re.findall(rb"HTTP/1.1 ([0-9]+)", found) == [b"200", b"404"]
        assert b"3.0" in found and b"2.0" not in found


def test_pipelined_upgrades_without_a_body_are_ignored(server):
    ask = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"
    last = b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
    with connect(server) as sock, sock.makefile("rb") as file:
        sock.sendall(ask * 50 + last)
        assert re.findall(rb"HTTP/1.1 ([0-9]+)", file.read()) == [b"200"] * 51


def test_connect_is_refused_and_later_bytes_are_not_parsed_as_a_request(server):
    with connect(server) as sock:
        sock.sendall(b"CONNECT there:443 HTTP/1.1\r\nHost: x\r\n\r\n")
        sock.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        status, _, body = read_response(sock)
        assert status == 501 and b"tunnels" in body


def test_an_upgrade_does_not_hide_contradictory_headers(server):
    fields = b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n"
    with connect(server) as sock:
        sock.sendall(b"POST /v1/models/plus:predict HTTP/1.1\r\nHost: x\r\n" + fields + b"\r\n" + ASK)
        assert read_response(sock)[0] == 400


def test_a_content_length_may_have_leading_zeros(server):
    with connect(server) as sock:
        sock.sendall(ASK.replace(b"Length: 20", b"Length: " + b"0" * 5000 + b"20"))
        assert read_response(sock, ended=False)[0] == 200


def test_bytes_that_are_not_http_get_400(server):
    with connect(server) as sock:
        sock.sendall(b"\x16\x03\x01 no http\r\n\r\n" + b"x" * 300_000)
        assert read_response(sock)[0] == 400


# Operational routes


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/models", "/metrics", "/openapi.json"])
def test_operational_routes_answer_head_like_get_and_list_their_methods(server, path):
    got, head = server.ask("GET", path), server.ask("HEAD", path)
    assert (got[0], head[0], head[2]) == (200, 200, b"")
    assert head[1]["content-type"] == got[1]["content-type"]
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        status, headers, _ = server.ask(method, path)
        assert (status, headers["allow"]) == (405, "GET, HEAD")


def test_the_page_answers_head_too(server):
    status, headers, body = server.ask("HEAD", "/", headers={"Accept": "text/html"})
    assert (status, body) == (200, b"") and headers["content-type"].startswith("text/html")
    assert server.ask("POST", "/", headers={"Accept": "text/html"})[0] == 405


# Shutdown


def test_requests_during_shutdown_get_503_and_no_connection_is_reset(models):
    with running(models, limits=QueueLimits(workers=2), grace_seconds=20.0) as server:
        statuses, errors, finished = [], [], threading.Event()

        def keep_asking(alone):
            sock = connect(server)
            while not finished.is_set():
                try:
                    sock.sendall(ASK)
                    status, headers, _ = read_response(sock, ended=False)
                except (OSError, http.client.HTTPException) as error:
                    errors.append(error)
                    return
                statuses.append(status)
                if alone or headers.get("connection") == "close":
                    assert status == 200 or headers["connection"] == "close"
                    sock.close()
                    try:
                        sock = connect(server)
                    except ConnectionRefusedError:
                        return  # the port is closed
            sock.close()

        with contextlib.ExitStack() as idle:
            threads = [threading.Thread(target=keep_asking, args=(number % 2 == 0,)) for number in range(8)]
            for thread in threads:
                thread.start()
            quiet = [idle.enter_context(connect(server)) for _ in range(4)]
            while len(statuses) < 200:
                time.sleep(0.001)
            server.loop.call_soon_threadsafe(server.server.stop, 15)
            for thread in threads:
                thread.join(30)
            finished.set()
            assert not errors and set(statuses) == {200, 503}
            assert [sock.recv(1) for sock in quiet] == [b""] * 4  # closed, not reset


def test_a_client_can_read_the_refusal_of_a_long_body(models):
    with running(models, auth=TokenAuth(["secret"]), max_body_bytes=1 << 30) as server, connect(server) as sock:
        server.loop.call_soon_threadsafe(server.server.service.stopping.set)
        head = b"POST /v1/models/plus:predict HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer secret\r\n"
        sock.sendall(head + b"Connection: close\r\nContent-Length: 30000000\r\n\r\n")
        for _ in range(30):
            sock.sendall(b"x" * 1_000_000)
        assert read_response(sock)[0] == 503


class Stuck:
    """A signature whose calls block until `released` is set."""

    def __init__(self, signature):
        self.signature, self.released = signature, threading.Event()

    def __getattr__(self, name):
        return getattr(self.signature, name)

    def call(self, tensors, deadline):
        self.released.wait(60)
        return self.signature.call(tensors, deadline)


def test_a_server_stops_within_its_grace_period_despite_running_calls(models):
    server = Running(Options(folder=models, rest_port=0, grpc_port=0, grace_seconds=1.0))
    version = server.server.repository.models["plus"].versions[1].loaded
    version.signatures["serving_default"] = stuck = Stuck(version.signatures["serving_default"])
    with connect(server) as sock:
        sock.sendall(ASK)
        while not server.server.service.scheduler.running:
            time.sleep(0.001)
        server.loop.call_soon_threadsafe(server.server.stop, 15)
        status, headers, body = read_response(sock)
        assert (status, headers["connection"]) == (503, "close") and b"shutting down" in body
    stuck_thread = server.server.service.scheduler.running
    server.thread.join(20)
    assert not server.thread.is_alive() and stuck_thread  # the call is still running
    stuck.released.set()


def test_a_second_signal_ends_the_process_at_once(models):
    server, left = Running(Options(folder=models, rest_port=0, grpc_port=None)), []

    async def signalled():
        server.server.exit_process = left.append
        server.server.stop(15)
        server.server.stop(2)

    asyncio.run_coroutine_threadsafe(signalled(), server.loop).result(30)
    server.thread.join(30)
    assert left[:1] == [130]


# Certificates and tokens


def make_certificate(folder, name, *, key="rsa:2048", passphrase=None):
    """(certificate, key) in PEM for localhost."""
    cert, private = folder / f"{name}.pem", folder / f"{name}.key"
    secret = ["-passout", f"pass:{passphrase}"] if passphrase else ["-nodes"]
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", key, *secret, "-keyout", private, "-out", cert, "-days", "2", "-subj", "/CN=localhost",
         "-addext", "subjectAltName=DNS:localhost"], check=True, capture_output=True,
    )  # fmt: skip
    return cert, private


@pytest.fixture(scope="module")
def pairs(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pairs")
    return {
        "first": make_certificate(folder, "first"),
        "second": make_certificate(folder, "second"),
        "locked": make_certificate(folder, "locked", passphrase="abcd"),
        "curve": make_certificate(folder, "curve", key="ec:" + str(curve(folder))),
    }


def curve(folder):
    """Parameters of a curve, as a file for openssl req."""
    path = folder / "curve.txt"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-out", path], check=True, capture_output=True)
    return path


def test_an_unusable_certificate_is_reported_at_the_start(tmp_path, pairs, models):
    (cert, key), (_, other), (_, locked) = pairs["first"], pairs["second"], pairs["locked"]
    empty, folder = tmp_path / "empty", tmp_path / "folder"
    empty.write_text("")
    folder.mkdir()
    broken = tmp_path / "broken"
    broken.write_bytes(cert.read_bytes().replace(b"\nM", b"\n!"))
    for chain, private, words in (
        (tmp_path / "none", key, "--tls-cert .*none: cannot be read .No such file"),
        (cert, tmp_path / "none", "--tls-key .*none: cannot be read .No such file"),
        (folder, key, "Is a directory"),
        (empty, key, "expected a certificate in PEM, found none"),
        (cert, empty, "expected a private key in PEM, found none"),
        (key, key, "expected a certificate in PEM"),
        (cert, cert, "expected a private key in PEM"),
        (cert, other, "is not the key of"),
        (cert, pairs["curve"][1], "is not the key of"),
        (pairs["curve"][0], key, "is not the key of"),
        (pairs["locked"][0], locked, "protected by a passphrase"),
        (broken, key, "cannot be used"),
    ):
        with pytest.raises(ConfigError, match=words):
            tls.check(chain, private)
        with pytest.raises(ConfigError, match=words):
            Running(Options(folder=models, tls_cert=chain, tls_key=private, rest_port=0, grpc_port=0))


def test_certificates_and_tokens_are_reloaded_or_kept_when_they_are_unusable(tmp_path, pairs, models):
    cert, key, tokens = tmp_path / "cert", tmp_path / "key", tmp_path / "tokens"

    def put(name):
        cert.write_bytes(pairs[name][0].read_bytes())
        key.write_bytes(pairs[name][1].read_bytes())

    put("first")
    tokens.write_text("old\n")
    auth = TokenAuth.read(tokens)
    with running(models, tls_cert=cert, tls_key=key, auth=auth) as server:
        events = []
        server.server.on_event = events.append

        def reload():
            async def now():
                server.server.reload()

            asyncio.run_coroutine_threadsafe(now(), server.loop).result(30)

        def works(name, token):
            """The status from both endpoints with this certificate and token."""
            chain = pairs[name][0]
            rest = http.client.HTTPSConnection(
                "localhost", server.rest, context=ssl.create_default_context(cafile=str(chain)), timeout=30
            )
            try:
                rest.request(
                    "POST", "/v1/models/plus:predict", '{"instances": [1.0]}', {"Authorization": f"Bearer {token}"}
                )
                status = rest.getresponse().status
            except ssl.SSLCertVerificationError:
                status = None
            finally:
                rest.close()
            request = predict_pb2.PredictRequest()
            request.model_spec.name = "plus"
            request.inputs["x"].CopyFrom(tf.make_tensor_proto([1.0]))
            options = [("grpc.use_local_subchannel_pool", 1)]
            credentials = grpc.ssl_channel_credentials(chain.read_bytes())
            with grpc.secure_channel(server.grpc.replace("127.0.0.1", "localhost"), credentials, options) as channel:
                stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
                try:
                    stub.Predict(request, timeout=30, metadata=(("authorization", f"Bearer {token}"),))
                    code = 200
                except grpc.RpcError as error:
                    code = {grpc.StatusCode.UNAUTHENTICATED: 401, grpc.StatusCode.UNAVAILABLE: None}[error.code()]
            assert status == code
            return status

        assert (works("first", "old"), works("second", "old")) == (200, None)
        put("second")
        tokens.write_text("new\n")
        reload()
        assert (works("second", "new"), works("second", "old"), works("first", "new")) == (200, 401, None)
        assert events == ["certificate reloaded", "tokens reloaded"]
        key.write_bytes(pairs["first"][1].read_bytes())
        tokens.write_text("\n")
        reload()
        assert works("second", "new") == 200
        assert "certificate not reloaded" in events[2] and "tokens not reloaded" in events[3]


@pytest.mark.parametrize("named", [True, False])
def test_new_connections_use_a_certificate_with_another_key_type_and_old_ones_continue(tmp_path, pairs, models, named):
    cert, key = tmp_path / "cert", tmp_path / "key"

    def put(name):
        cert.write_bytes(pairs[name][0].read_bytes())
        key.write_bytes(pairs[name][1].read_bytes())

    def connect_tls(server):
        """A connection that accepts any certificate, with or without server name indication."""
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        sock = socket.create_connection(("127.0.0.1", server.rest), timeout=30)
        return context.wrap_socket(sock, server_hostname="localhost" if named else None)

    def shown(connection):
        found = ssl.DER_cert_to_PEM_cert(connection.getpeercert(binary_form=True))
        return next(name for name, (chain, _) in pairs.items() if chain.read_text() == found)

    def asked(connection):
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n")
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        return answer.status == 200 and answer.read()

    put("curve")
    with running(models, tls_cert=cert, tls_key=key) as server, connect_tls(server) as old:
        assert shown(old) == "curve" and asked(old)
        for name in ("first", "curve", "second"):
            put(name)
            server.loop.call_soon_threadsafe(server.server.certificate.reload)
            asyncio.run_coroutine_threadsafe(asyncio.sleep(0), server.loop).result(30)
            with connect_tls(server) as new:
                assert shown(new) == name and asked(new)
            assert asked(old)


def test_refusals_are_complete_responses():
    ours = (
        refusals.TOO_MANY_CONNECTIONS,
        refusals.HEAD_TOO_LONG,
        refusals.URL_TOO_LONG,
        refusals.TOO_MANY_FIELDS,
        refusals.TRAILERS_TOO_LONG,
    )
    for text in (*ours, refusals.NO_TUNNEL):
        head, _, body = text.partition(b"\r\n\r\n")
        assert b"content-length: %d\r\n" % len(body) in head and json.loads(body)["error"]
