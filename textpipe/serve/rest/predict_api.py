"""TensorFlow Serving's REST door, as an ASGI application for everything below /v1/."""

import asyncio
import logging
import re
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import DEFAULT, Signature, Version
from textpipe.serve.engine.search_limits import deadline_exceeded
from textpipe.serve.engine.service import Cancellation, Service
from textpipe.serve.rest import paths
from textpipe.serve.rest.paths import Target
from textpipe.serve.tensors import examples, from_json, json_document, to_json
from textpipe.serve.tensors.json_reader import Reader
from textpipe.serve.tensors.json_writer import malformed

log = logging.getLogger(__name__)

HTTP_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
ORIGIN = re.compile(rb"https?://")
JSON, HTML = b"application/json", b"text/html"
TIMEOUT_HEADER = b"x-request-timeout"
INLINE_BYTES = 1 << 16  # bytes of a body that is read where it arrives; a longer one would hold up the others
MAX_SLOW_READS = (
    2  # long bodies at a time that Python's own reader cannot read: each takes the interpreter from all others
)
ERROR_PAGE = "<html><head><title>{0} {1}</title></head><body><h1>{1}</h1></body></html>\n"

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


class PredictApi:
    """most_bytes: of a body, before and after it is unpacked; body_seconds: what a client may take to send it.

    What a request turned out to be is left in scope["told"]: model, verb, version, rows, code, and with texts the body.
    """

    def __init__(
        self, service: Service, *, most_bytes: int = 64 << 20, body_seconds: float = 30.0, texts: bool = False
    ):
        self.service, self.most_bytes, self.body_seconds, self.texts = service, most_bytes, body_seconds, texts
        self.slow = asyncio.Semaphore(MAX_SLOW_READS)

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        method = scope["method"]
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        headers, told = dict(scope["headers"]), scope.setdefault("told", {})
        try:
            if method not in HTTP_METHODS:
                status, body, kind = error_page(501, "Not Implemented")
            elif not path.lower().startswith(paths.PREFIX):
                status, body, kind = error_page(404, "Not Found")
            elif method == "OPTIONS":
                status, body, kind = 200 if ORIGIN.search(headers.get(b"origin", b"")) else 400, b"", JSON
            else:
                target = paths.parse(method, path)
                told |= {"model": target.name, "verb": target.verb}
                if target.verb == "stream":
                    await self.stream(target, headers, receive, send, told)
                    return
                text = await self.answer(target, headers, receive, told)
                status, body, kind = 200, text.encode(), JSON
            more: list = []
        except ServingError as error:
            if error.code == "RESOURCE_EXHAUSTED":
                await self.service.queue.delay_refusal()
            status, body, kind = error.status, to_json.error(str(error)).encode("utf-8", "replace"), JSON
            more = [(b"retry-after", b"%d" % error.retry_after)] if error.retry_after else []
            told["code"] = error.code
        except Exception:
            log.exception("%s %s", method, path)
            status, body, kind, more = (
                500,
                to_json.error("a fault of the server's; its log says more").encode(),
                JSON,
                [],
            )
            told["code"] = "INTERNAL"
        head = [(b"content-type", kind), (b"content-length", b"%d" % len(body)), *more]
        await send({"type": "http.response.start", "status": status, "headers": head})
        await send({"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    async def stream(
        self, target: Target, headers: dict[bytes, bytes], receive: Receive, send: Send, told: dict
    ) -> None:
        """Server-sent events: data: {"text": "Ein Mann", "tokens": 3, "done": false}; ended when the client leaves."""
        self.service.admit()
        request, seconds = await self.request(headers, receive, told)

        def read(version: Version) -> from_json.Tensors:
            assert version.stream is not None
            tensors, _ = from_json.predict(request, version.stream[0].inputs, limits=self.service.request_limits)
            if any(len(array.reshape(-1)) != 1 for array in tensors.values()):
                raise invalid_argument("a stream is the answer to one text; send one")
            return {name: array.reshape(1) for name, array in tensors.items()}

        events = self.service.stream(target, read, (seconds, None))
        first = await anext(events)  # what is wrong with a request is said with its status
        head = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
        await send({"type": "http.response.start", "status": 200, "headers": head})
        gone = asyncio.ensure_future(receive())
        try:
            found: dict | None = first
            while found is not None and not gone.done():
                told["tokens"] = found["tokens"]
                line = f"data: {to_json.line(found)}\n\n".encode()
                await send({"type": "http.response.body", "body": line, "more_body": True})
                try:
                    found = await anext(events, None)
                except ServingError as error:  # too late for a status
                    told["code"] = error.code
                    line = f"event: error\ndata: {to_json.line({'error': str(error)})}\n\n".encode()
                    await send({"type": "http.response.body", "body": line, "more_body": True})
                    break
            if gone.done():
                told["code"] = "CANCELLED"
            else:
                await send({"type": "http.response.body", "body": b""})
        finally:
            gone.cancel()
            await events.aclose()

    async def answer(self, target: Target, headers: dict[bytes, bytes], receive: Receive, told: dict) -> str:
        if target.verb == "status":
            return to_json.indented(self.service.status(target))
        if target.verb == "metadata":
            return to_json.indented(self.service.metadata(target))
        self.service.admit()
        request, seconds = await self.request(headers, receive, told)
        name = request.get("signature_name", DEFAULT)
        if not isinstance(name, str):
            raise malformed(request, "not formatted correctly. 'signature_name' key must be a string value.")
        work = self.predict if target.verb == "predict" else self.examples
        return await work(target, name, request, (seconds, disconnect_check(receive)), told)

    async def request(self, headers: dict[bytes, bytes], receive: Receive, told: dict) -> tuple[dict[str, Any], float]:
        """A body's JSON object, and the seconds that are left to answer it: reading takes of them."""
        body = await self.body(headers, receive)
        told["bytes_in"] = len(body)
        if self.texts:
            told["body"] = body.decode("utf-8", "replace")
        until = self.service.deadline((parse_timeout(headers.get(TIMEOUT_HEADER)), None))
        if len(body) <= INLINE_BYTES:
            request = json_document.parse(body, until)
        elif (request := await asyncio.to_thread(json_document.parse_fast, body)) is None:
            request = await self.read_slowly(body, until)
        if not isinstance(request, dict):
            raise malformed(request, "Is not object")
        seconds = until - time.monotonic()
        if seconds <= 0:
            raise deadline_exceeded()
        return request, seconds

    async def read_slowly(self, body: bytes, until: float) -> Any:
        """What the slow reader reads, when its turn comes; raises Fault past the deadline."""
        try:
            async with asyncio.timeout(until - time.monotonic()):
                await self.slow.acquire()
        except TimeoutError:
            raise deadline_exceeded() from None
        try:
            return await asyncio.to_thread(Reader(body, until).document)
        finally:
            self.slow.release()

    async def predict(
        self, target: Target, name: str, request: dict[str, Any], patience: Cancellation, told: dict
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

        version, _, found = await self.service.answer(target, read, patience)
        told |= {"version": version.number, "signature": name}
        return to_json.predict(found, in_rows=in_rows)

    async def examples(
        self, target: Target, name: str, request: dict[str, Any], patience: Cancellation, told: dict
    ) -> str:
        serialized = examples.serialize_document(request, self.service.request_limits)

        def read(version: Version) -> tuple[Signature, from_json.Tensors]:
            return examples.find_signature(version, name, target.verb), {examples.INPUTS: serialized}

        version, _, found = await self.service.answer(target, read, patience)
        told |= {"version": version.number, "signature": name, "rows": len(serialized)}
        write = examples.classify_json if target.verb == "classify" else examples.regress_json
        return write(found, len(serialized))

    async def body(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """All of a request's body, unpacked; raises Fault when it is longer than allowed or its client left."""
        told = headers.get(b"content-length", b"")
        if told.isdigit() and int(told.lstrip(b"0")[:20] or b"0") > self.most_bytes:  # int() takes 4300 digits at most
            raise self.too_long()
        if body_received(receive):
            body = await self.whole(receive)
        else:
            try:
                async with asyncio.timeout(self.body_seconds):
                    body = await self.whole(receive)
            except TimeoutError:
                why = f"the body took longer than {self.body_seconds:g} seconds to arrive"
                raise ServingError("DEADLINE_EXCEEDED", why) from None
        return self.unpacked(body) if b"gzip" in headers.get(b"content-encoding", b"") else body

    async def whole(self, receive: Receive) -> bytes:
        parts, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServingError("CANCELLED", "the client left")
            parts.append(message.get("body", b""))
            size += len(parts[-1])
            if size > self.most_bytes:
                raise self.too_long()
            if not message.get("more_body"):
                return b"".join(parts)

    def unpacked(self, body: bytes) -> bytes:
        """One gzip member and nothing behind it; what is not that is an empty body to TensorFlow Serving."""
        reader = zlib.decompressobj(wbits=31)
        try:
            found = reader.decompress(body, self.most_bytes + 1)
        except zlib.error:
            return b""
        if len(found) > self.most_bytes:
            raise self.too_long()
        return found if reader.eof and not reader.unused_data else b""

    def too_long(self) -> ServingError:
        return invalid_argument(f"the body is longer than the {self.most_bytes} bytes this server takes")


def body_received(receive: Receive) -> bool:
    """Whether all of the body has come, as uvicorn's connection knows; of another server's, nobody can say."""
    return not getattr(getattr(receive, "__self__", None), "more_body", True)


def disconnect_check(receive: Receive) -> Callable[[], bool]:
    """Whether the client has left, as uvicorn's connection knows; another server's says nothing, and nobody has."""
    connection = getattr(receive, "__self__", None)
    return lambda: bool(getattr(connection, "disconnected", False))


def parse_timeout(given: bytes | None) -> float | None:
    """What a client says it will wait; raises Fault when that is no time."""
    if given is None:
        return None
    try:
        seconds = float(given)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise invalid_argument(f"{TIMEOUT_HEADER.decode()}: expected seconds, found {given.decode('latin-1')[:40]!r}")
    return seconds


def error_page(status: int, text: str) -> tuple[int, bytes, bytes]:
    return status, ERROR_PAGE.format(status, text).encode(), HTML
