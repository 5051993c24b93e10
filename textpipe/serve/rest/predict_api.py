"""TensorFlow Serving's REST API, an ASGI application for everything below /v1/."""

import asyncio
import logging
import re
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.feedback_log import FeedbackLog
from textpipe.serve.engine.model_version import DEFAULT, Signature, Version
from textpipe.serve.engine.search_limits import deadline_exceeded
from textpipe.serve.engine.service import Cancellation, Service
from textpipe.serve.rest import feedback, paths
from textpipe.serve.rest.paths import Target
from textpipe.serve.tensors import examples, from_json, json_document, to_json
from textpipe.serve.tensors.json_reader import Reader
from textpipe.serve.tensors.json_writer import malformed

log = logging.getLogger(__name__)

HTTP_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
ORIGIN = re.compile(rb"https?://")
JSON, HTML = b"application/json", b"text/html"
TIMEOUT_HEADER = b"x-request-timeout"
INLINE_BYTES = 1 << 16  # of a body that is parsed on the event loop; a longer one would block other requests
MAX_SLOW_READS = 2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
ERROR_PAGE = "<html><head><title>{0} {1}</title></head><body><h1>{1}</h1></body></html>\n"

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


class PredictApi:
    """max_body_bytes: of a body, before and after decompression; body_seconds: how long a client may take to send it.

    feedback_log: where the method `feedback` writes; None refuses it. Adds to scope["log_fields"]: model, verb, version, rows, code, and
    with log_texts the body, except that of `feedback`.
    """

    def __init__(
        self, service: Service, *, max_body_bytes: int = 64 << 20, body_seconds: float = 30.0, log_texts: bool = False,
        feedback_log: FeedbackLog | None = None,
    ):  # fmt: skip
        self.service, self.max_body_bytes, self.feedback_log = service, max_body_bytes, feedback_log
        self.body_seconds, self.log_texts = body_seconds, log_texts
        self.slow_reads = asyncio.Semaphore(MAX_SLOW_READS)

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        method = scope["method"]
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        headers, fields = dict(scope["headers"]), scope.setdefault("log_fields", {})
        try:
            if method not in HTTP_METHODS:
                status, body, content_type = error_page(501, "Not Implemented")
            elif not path.lower().startswith(paths.PREFIX):
                status, body, content_type = error_page(404, "Not Found")
            elif method == "OPTIONS":
                status, body, content_type = 200 if ORIGIN.search(headers.get(b"origin", b"")) else 400, b"", JSON
            else:
                target = paths.parse(method, path)
                fields |= {"model": target.name, "verb": target.method}
                if target.method == "stream":
                    await self.stream(target, headers, receive, send, fields)
                    return
                text = await self.answer(target, headers, receive, fields)
                status, body, content_type = 200, text.encode(), JSON
            extra: list = []
        except ServingError as error:
            if error.code == "RESOURCE_EXHAUSTED":
                await self.service.scheduler.delay_refusal()
            status, body, content_type = error.status, to_json.error(str(error)).encode("utf-8", "replace"), JSON
            extra = [(b"retry-after", b"%d" % error.retry_after)] if error.retry_after else []
            fields["code"] = error.code
        except Exception:
            log.exception("%s %s", method, path)
            status, body, content_type, extra = (
                500,
                to_json.error("internal server error; see the server's log").encode(),
                JSON,
                [],
            )
            fields["code"] = "INTERNAL"
        response_headers = [(b"content-type", content_type), (b"content-length", b"%d" % len(body)), *extra]
        await send({"type": "http.response.start", "status": status, "headers": response_headers})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    async def stream(
        self, target: Target, headers: dict[bytes, bytes], receive: Receive, send: Send, fields: dict
    ) -> None:
        """Server-sent events: data: {"text": "Ein Mann", "tokens": 3, "done": false}; stops when the client disconnects."""
        self.service.admit()
        request, seconds = await self.request(headers, receive, fields)

        def read(version: Version) -> from_json.Tensors:
            assert version.stream is not None
            tensors, _ = from_json.predict(request, version.stream[0].inputs, limits=self.service.request_limits)
            if any(len(array.reshape(-1)) != 1 for array in tensors.values()):
                raise invalid_argument("a stream answers exactly one text; send one")
            return {name: array.reshape(1) for name, array in tensors.items()}

        events = self.service.stream(target, read, Cancellation(seconds))
        first = await anext(events)  # a bad request fails here, before the status is sent
        response_headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": response_headers})
        disconnected = asyncio.ensure_future(receive())
        try:
            event: dict | None = first
            while event is not None and not disconnected.done():
                fields["tokens"] = event["tokens"]
                line = f"data: {to_json.line(event)}\n\n".encode()
                await send({"type": "http.response.body", "body": line, "more_body": True})
                try:
                    event = await anext(events, None)
                except ServingError as error:  # too late for an HTTP status
                    fields["code"] = error.code
                    line = f"event: error\ndata: {to_json.line({'error': str(error)})}\n\n".encode()
                    await send({"type": "http.response.body", "body": line, "more_body": True})
                    break
            if disconnected.done():
                fields["code"] = "CANCELLED"
            else:
                await send({"type": "http.response.body", "body": b""})
        finally:
            disconnected.cancel()
            await events.aclose()

    async def answer(self, target: Target, headers: dict[bytes, bytes], receive: Receive, fields: dict) -> str:
        if target.method == "status":
            return to_json.indented(self.service.status(target))
        if target.method == "metadata":
            return to_json.indented(self.service.metadata(target))
        self.service.admit()
        if target.method == feedback.METHOD:
            feedback.require_log(self.feedback_log)
            feedback.require_json(headers)
            request, _ = await self.request(headers, receive, fields)
            fields["version"] = await feedback.log(self.feedback_log, self.service, target, request)
            return "{}"
        request, seconds = await self.request(headers, receive, fields)
        name = request.get("signature_name", DEFAULT)
        if not isinstance(name, str):
            raise malformed(request, "not formatted correctly. 'signature_name' key must be a string value.")
        method = self.predict if target.method == "predict" else self.examples
        return await method(target, name, request, Cancellation(seconds, disconnect_check(receive)), fields)

    async def request(
        self, headers: dict[bytes, bytes], receive: Receive, fields: dict
    ) -> tuple[dict[str, Any], float]:
        """The body's JSON object, and the seconds left to answer it after reading."""
        body = await self.body(headers, receive)
        fields["bytes_in"] = len(body)
        if self.log_texts and fields.get("verb") != feedback.METHOD:  # feedback is written to the feedback log only
            fields["body"] = body.decode("utf-8", "replace")
        deadline = self.service.deadline(Cancellation(parse_timeout(headers.get(TIMEOUT_HEADER))))
        if len(body) <= INLINE_BYTES:
            request = json_document.parse(body, deadline)
        elif (request := await asyncio.to_thread(json_document.parse_fast, body)) is None:
            request = await self.read_slowly(body, deadline)
        if not isinstance(request, dict):
            raise malformed(request, "Is not object")
        seconds = deadline - time.monotonic()
        if seconds <= 0:
            raise deadline_exceeded()
        return request, seconds

    async def read_slowly(self, body: bytes, deadline: float) -> Any:
        """Parses a long body that needs json_reader, in turn; raises ServingError past the deadline."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self.slow_reads.acquire()
        except TimeoutError:
            raise deadline_exceeded() from None
        try:
            return await asyncio.to_thread(Reader(body, deadline).document)
        finally:
            self.slow_reads.release()

    async def predict(
        self, target: Target, name: str, request: dict[str, Any], cancellation: Cancellation, fields: dict
    ) -> str:
        in_rows = False

        def read(version: Version) -> tuple[Signature, from_json.Tensors]:
            nonlocal in_rows
            signature = version.signature(name)
            if not signature.inputs:
                raise invalid_argument(
                    f"Failed to get input map for signature: {request.get('signature_name') or 'DEFAULT'}"
                )
            tensors, in_rows = from_json.predict(
                request, signature.inputs, signature.defaults, self.service.request_limits
            )
            return signature, tensors

        version, _, outputs = await self.service.answer(target, read, cancellation)
        fields |= {"version": version.number, "signature": name}
        return to_json.predict(outputs, in_rows=in_rows)

    async def examples(
        self, target: Target, name: str, request: dict[str, Any], cancellation: Cancellation, fields: dict
    ) -> str:
        serialized = examples.serialize_document(request, self.service.request_limits)

        def read(version: Version) -> tuple[Signature, from_json.Tensors]:
            return examples.find_signature(version, name, target.method), {examples.INPUTS: serialized}

        version, _, outputs = await self.service.answer(target, read, cancellation)
        fields |= {"version": version.number, "signature": name, "rows": len(serialized)}
        write = examples.classify_json if target.method == "classify" else examples.regress_json
        return write(outputs, len(serialized))

    async def body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, decompressed; raises ServingError when it is too long or the client disconnects."""
        length = headers.get(b"content-length", b"")
        if (
            length.isdigit() and int(length.lstrip(b"0")[:20] or b"0") > self.max_body_bytes
        ):  # int() refuses more than 4300 digits
            raise self.body_too_long()
        if body_received(receive):
            body = await self.receive_all(receive)
        else:
            try:
                async with asyncio.timeout(self.body_seconds):
                    body = await self.receive_all(receive)
            except TimeoutError:
                message = f"the body took longer than {self.body_seconds:g} seconds to arrive"
                raise ServingError("DEADLINE_EXCEEDED", message) from None
        return self.gunzip(body) if b"gzip" in headers.get(b"content-encoding", b"") else body

    async def receive_all(self, receive: Receive) -> bytes:
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServingError("CANCELLED", "the client disconnected")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self.max_body_bytes:
                raise self.body_too_long()
            if not message.get("more_body"):
                return b"".join(chunks)

    def gunzip(self, body: bytes) -> bytes:
        """Decompresses exactly one gzip member; anything else is an empty body, as in TensorFlow Serving."""
        reader = zlib.decompressobj(wbits=31)
        try:
            content = reader.decompress(body, self.max_body_bytes + 1)
        except zlib.error:
            return b""
        if len(content) > self.max_body_bytes:
            raise self.body_too_long()
        return content if reader.eof and not reader.unused_data else b""

    def body_too_long(self) -> ServingError:
        return invalid_argument(f"the body is longer than the {self.max_body_bytes} bytes this server takes")


def body_received(receive: Receive) -> bool:
    """Whether the whole body has arrived, if the server is uvicorn; False for others."""
    return not getattr(getattr(receive, "__self__", None), "more_body", True)


def disconnect_check(receive: Receive) -> Callable[[], bool]:
    """Whether the client has disconnected, if the server is uvicorn; always False for others."""
    connection = getattr(receive, "__self__", None)
    return lambda: bool(getattr(connection, "disconnected", False))


def parse_timeout(header: bytes | None) -> float | None:
    """The client's timeout in seconds; raises ServingError for an invalid value."""
    if header is None:
        return None
    try:
        seconds = float(header)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise invalid_argument(f"{TIMEOUT_HEADER.decode()}: expected seconds, found {header.decode('latin-1')[:40]!r}")
    return seconds


def error_page(status: int, text: str) -> tuple[int, bytes, bytes]:
    return status, ERROR_PAGE.format(status, text).encode(), HTML
