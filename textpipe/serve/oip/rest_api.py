"""The Open Inference Protocol's REST API, an ASGI application for /v2 and everything below it.

GET  /v2, /v2/health/live, /v2/health/ready
GET  /v2/models/M[/versions/N], /v2/models/M[/versions/N]/ready     N: a number, or a label
POST /v2/models/M[/versions/N]/infer
POST /v2/repository/index

GET includes HEAD. Paths are case-sensitive, and their queries are ignored.
"""

import re
import time
from typing import Any
from urllib.parse import unquote

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.service import Cancellation, Service
from textpipe.serve.oip import inference, json_format, metadata
from textpipe.serve.rest import request_body, responses
from textpipe.serve.rest.paths import Target
from textpipe.serve.rest.request_body import TIMEOUT_HEADER, BodyReader, Receive, disconnect_check, parse_timeout
from textpipe.serve.rest.responses import Response, Send
from textpipe.serve.tensors import to_json

ROOT = "/v2"
LIVE, READY = f"{ROOT}/health/live", f"{ROOT}/health/ready"
INDEX = f"{ROOT}/repository/index"
VERBS = {ROOT: "server", f"{ROOT}/": "server", LIVE: "live", READY: "ready", INDEX: "index"}  # for log and metrics
REPOSITORY_CONTROL = re.compile(rf"{ROOT}/repository/models/[^/]+/(?:load|unload)")
MODEL_PATH = re.compile(rf"{ROOT}/models/(?P<name>[^/]+)(?:/versions/(?P<version>[^/]+))?(?:/(?P<method>infer|ready))?")
READ_METHODS = ("GET", "HEAD")
JSON_LENGTH = b"inference-header-content-length"  # of the JSON that binary data follows
WINDOWS = {b"gzip": request_body.GZIP, b"deflate": request_body.ZLIB}
NO_CONTROL = "this server takes its models from the folder it was started with; add or remove versions there"


def handles(path: str) -> bool:
    return path == ROOT or path.startswith(ROOT + "/")


class InferenceApi:
    """Adds to scope["log_fields"]: model, verb, version, signature, bytes_in, code, and with log_texts the body."""

    def __init__(self, service: Service, bodies: BodyReader, *, log_texts: bool = False):
        self.service, self.bodies, self.log_texts = service, bodies, log_texts

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        method, fields = scope["method"], scope.setdefault("log_fields", {})
        path = (scope.get("raw_path") or scope["path"].encode()).decode("latin-1")
        try:
            response = await self.answer(method, path, dict(scope["headers"]), receive, fields)
        except Exception as error:
            response = await responses.of_error(error, f"{method} {path}", self.service.scheduler, fields)
        await response.send(send, without_body=method == "HEAD")

    async def answer(
        self, method: str, path: str, headers: dict[bytes, bytes], receive: Receive, fields: dict
    ) -> Response:
        match = MODEL_PATH.fullmatch(path)
        if REPOSITORY_CONTROL.fullmatch(path):
            raise ServingError("UNIMPLEMENTED", NO_CONTROL)
        if not match and path not in VERBS:
            raise ServingError("NOT_FOUND", f"Not found: {path}")
        fields["verb"] = verb = (match["method"] or "metadata") if match else VERBS[path]
        allowed = ("POST",) if verb in ("infer", "index") else READ_METHODS
        if method not in allowed:
            return responses.error(405, f"expected {' or '.join(allowed)}", (b"allow", ", ".join(allowed).encode()))
        if path == LIVE:
            return json_response({"live": True})
        if path == READY:
            return readiness({}, self.service.unready_reason())
        if path == INDEX:
            return await self.index(headers, receive, fields)
        if not match:
            return json_response(metadata.server_metadata())
        target = metadata.target(unquote(match["name"]), unquote(match["version"] or ""), verb)
        fields["model"] = target.name
        if verb == "infer":
            return await self.infer(target, headers, receive, fields)
        if verb == "ready":
            return readiness({"name": target.name}, metadata.unready_reason(self.service, target))
        return json_response(metadata.model_metadata(self.service, target))

    async def body(self, headers: dict[bytes, bytes], receive: Receive, fields: dict) -> bytes:
        """The body, decompressed."""
        body: bytes | None = await self.bodies.read(headers, receive)
        encoding = headers.get(b"content-encoding", b"identity").lower()
        if encoding in WINDOWS:
            body = self.bodies.decompress(body or b"", WINDOWS[encoding])
        if body is None or encoding not in (*WINDOWS, b"identity"):
            raise invalid_argument("the body is not encoded as Content-Encoding says: identity, gzip or deflate")
        fields["bytes_in"] = len(body)
        if self.log_texts:
            fields["body"] = body.decode("utf-8", "replace")
        return body

    async def infer(self, target: Target, headers: dict[bytes, bytes], receive: Receive, fields: dict) -> Response:
        self.service.admit()
        body = await self.body(headers, receive, fields)
        text, data = split(body, headers.get(JSON_LENGTH))
        deadline = self.service.deadline(Cancellation(parse_timeout(headers.get(TIMEOUT_HEADER))))
        request = json_format.read_request(await self.bodies.parse(text, deadline), data)
        binary = json_format.wants_binary(request)
        cancellation = Cancellation(deadline - time.monotonic(), disconnect_check(receive))
        answer = await inference.infer(self.service, target, request, cancellation)
        fields |= {"version": answer.version.number, "signature": answer.signature.name}
        content, length = json_format.write_answer(request, answer, binary)
        if length is None:
            return Response(200, content)
        return Response(200, content, responses.BINARY, ((JSON_LENGTH, b"%d" % length),))

    async def index(self, headers: dict[bytes, bytes], receive: Receive, fields: dict) -> Response:
        body = await self.body(headers, receive, fields)
        request = await self.bodies.parse(body, self.service.deadline(Cancellation())) if body.strip() else {}
        if not isinstance(request, dict):
            raise invalid_argument('expected an object such as {"ready": true}')
        ready = json_format.flag("the request", request, "ready", False)
        return json_response(metadata.repository_index(self.service, ready=ready))


def split(body: bytes, length: bytes | None) -> tuple[bytes, bytes | None]:
    """The JSON of a body, and the binary data behind it, None when the request has none."""
    if length is None:
        return body, None
    digits = length.lstrip(b"0") or b"0"
    if not length.isdigit() or len(digits) > 18 or int(digits) > len(body):
        raise invalid_argument(
            f"Inference-Header-Content-Length: expected a length up to the body's {len(body)} bytes, found "
            f"{length[:40].decode('latin-1')!r}"
        )
    return body[: int(digits)], body[int(digits) :]


def json_response(value: Any, status: int = 200) -> Response:
    return Response(status, to_json.line(value).encode("utf-8", "replace"))


def readiness(about: dict[str, Any], reason: str) -> Response:
    """200 with {"ready": true}, or 503 with the reason."""
    return (
        json_response({**about, "ready": False, "error": reason}, 503)
        if reason
        else json_response({**about, "ready": True})
    )
