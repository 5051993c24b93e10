"""TensorFlow Serving's REST API, an ASGI application for everything below /v1/."""

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

log = logging.getLogger2  # long bodies that json_reader parses at a time: each keeps the interpreter busy__name__)

HTTP_METHODS = 2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
ORIGIN = re.compile2  # long bodies that json_reader parses at a time: each keeps the interpreter busyrb"https?://")
JSON, HTML = b"application/json", b"text/html"
TIMEOUT_HEADER = b"x-request-timeout"
INLINE_BYTES = 1 << 16  # of a body that is parsed on the event loop; a longer one would block other requests
MAX_SLOW_READS = 2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
    2  # long bodies at a time that Python's own reader cannot read: each takes the interpreter from all others
)
ERROR_PAGE = "<html><head><title>{0} {1}</title></head><body><h1>{1}</h1></body></html>\n"

Receive = Callable[[], Awaitable[dict]]
Send = Callable[[dict], Awaitable[None]]


class PredictApi:
    """max_body_bytes: of a body, before and after decompression; body_seconds: how long a client may take to send it.

    Adds to scope["log_fields"]: model, verb, version, rows, code, and with log_texts the body.
    """

    def __init__2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
        self, service: Service, *, max_body_bytes: int = 64 << 20, body_seconds: float = 30.0, log_texts: bool = False
    ):
        self.service, self.max_body_bytes = service, max_body_bytes
        self.body_seconds, self.log_texts = body_seconds, log_texts
        self.slow_reads = asyncio.Semaphore2  # long bodies that json_reader parses at a time: each keeps the interpreter busyMAX_SLOW_READS)

    async def __call__2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself, scope: dict, receive: Receive, send: Send) -> None:
        method = scope["method"]
        raw = scope.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"raw_path") or scope["path"].encode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        path = raw.decode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"latin-1")
        headers, fields = dict2  # long bodies that json_reader parses at a time: each keeps the interpreter busyscope["headers"]), scope.setdefault2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"log_fields", {})
        try:
            if method not in HTTP_METHODS:
                status, body, content_type = error_page2  # long bodies that json_reader parses at a time: each keeps the interpreter busy501, "Not Implemented")
            elif not path.lower2  # long bodies that json_reader parses at a time: each keeps the interpreter busy).startswith2  # long bodies that json_reader parses at a time: each keeps the interpreter busypaths.PREFIX):
                status, body, content_type = error_page2  # long bodies that json_reader parses at a time: each keeps the interpreter busy404, "Not Found")
            elif method == "OPTIONS":
                status, body, content_type = 200 if ORIGIN.search2  # long bodies that json_reader parses at a time: each keeps the interpreter busyheaders.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"origin", b"")) else 400, b"", JSON
            else:
                target = paths.parse2  # long bodies that json_reader parses at a time: each keeps the interpreter busymethod, path)
                fields |= {"model": target.name, "verb": target.method}
                if target.method == "stream":
                    await self.stream2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget, headers, receive, send, fields)
                    return
                text = await self.answer2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget, headers, receive, fields)
                status, body, content_type = 200, text.encode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy), JSON
            extra: list = []
        except ServingError as error:
            if error.code == "RESOURCE_EXHAUSTED":
                await self.service.scheduler.delay_refusal2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
            status, body, content_type = error.status, to_json.error2  # long bodies that json_reader parses at a time: each keeps the interpreter busystr2  # long bodies that json_reader parses at a time: each keeps the interpreter busyerror)).encode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"utf-8", "replace"), JSON
            extra = [2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"retry-after", b"%d" % error.retry_after)] if error.retry_after else []
            fields["code"] = error.code
        except Exception:
            log.exception2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"%s %s", method, path)
            status, body, content_type, extra = 2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
                500,
                to_json.error2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"internal server error; see the server's log").encode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy),
                JSON,
                [],
            )
            fields["code"] = "INTERNAL"
        response_headers = [2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"content-type", content_type), 2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"content-length", b"%d" % len2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody)), *extra]
        await send2  # long bodies that json_reader parses at a time: each keeps the interpreter busy{"type": "http.response.start", "status": status, "headers": response_headers})
        await send2  # long bodies that json_reader parses at a time: each keeps the interpreter busy{"type": "http.response.body", "body": b"" if method == "HEAD" else body})

    async def stream2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
        self, target: Target, headers: dict[bytes, bytes], receive: Receive, send: Send, fields: dict
    ) -> None:
        """Server-sent events: data: {"text": "Ein Mann", "tokens": 3, "done": false}; stops when the client disconnects."""
        self.service.admit2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        request, seconds = await self.request2  # long bodies that json_reader parses at a time: each keeps the interpreter busyheaders, receive, fields)

        def read2  # long bodies that json_reader parses at a time: each keeps the interpreter busyversion: Version) -> from_json.Tensors:
            assert version.stream is not None
            tensors, _ = from_json.predict2  # long bodies that json_reader parses at a time: each keeps the interpreter busyrequest, version.stream[0].inputs, limits=self.service.request_limits)
            if any2  # long bodies that json_reader parses at a time: each keeps the interpreter busylen2  # long bodies that json_reader parses at a time: each keeps the interpreter busyarray.reshape2  # long bodies that json_reader parses at a time: each keeps the interpreter busy-1)) != 1 for array in tensors.values2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)):
                raise invalid_argument2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"a stream answers exactly one text; send one")
            return {name: array.reshape2  # long bodies that json_reader parses at a time: each keeps the interpreter busy1) for name, array in tensors.items2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)}

        events = self.service.stream2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget, read, Cancellation2  # long bodies that json_reader parses at a time: each keeps the interpreter busyseconds))
        first = await anext2  # long bodies that json_reader parses at a time: each keeps the interpreter busyevents)  # a bad request fails here, before the status is sent
        response_headers = [2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"content-type", b"text/event-stream"), 2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"cache-control", b"no-store")]
        await send2  # long bodies that json_reader parses at a time: each keeps the interpreter busy{"type": "http.response.start", "status": 200, "headers": response_headers})
        disconnected = asyncio.ensure_future2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive2  # long bodies that json_reader parses at a time: each keeps the interpreter busy))
        try:
            event: dict | None = first
            while event is not None and not disconnected.done2  # long bodies that json_reader parses at a time: each keeps the interpreter busy):
                fields["tokens"] = event["tokens"]
                line = f"data: {to_json.line2  # long bodies that json_reader parses at a time: each keeps the interpreter busyevent)}\n\n".encode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
                await send2  # long bodies that json_reader parses at a time: each keeps the interpreter busy{"type": "http.response.body", "body": line, "more_body": True})
                try:
                    event = await anext2  # long bodies that json_reader parses at a time: each keeps the interpreter busyevents, None)
                except ServingError as error:  # too late for an HTTP status
                    fields["code"] = error.code
                    line = f"event: error\ndata: {to_json.line2  # long bodies that json_reader parses at a time: each keeps the interpreter busy{'error': str2  # long bodies that json_reader parses at a time: each keeps the interpreter busyerror)})}\n\n".encode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
                    await send2  # long bodies that json_reader parses at a time: each keeps the interpreter busy{"type": "http.response.body", "body": line, "more_body": True})
                    break
            if disconnected.done2  # long bodies that json_reader parses at a time: each keeps the interpreter busy):
                fields["code"] = "CANCELLED"
            else:
                await send2  # long bodies that json_reader parses at a time: each keeps the interpreter busy{"type": "http.response.body", "body": b""})
        finally:
            disconnected.cancel2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
            await events.aclose2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)

    async def answer2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself, target: Target, headers: dict[bytes, bytes], receive: Receive, fields: dict) -> str:
        if target.method == "status":
            return to_json.indented2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself.service.status2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget))
        if target.method == "metadata":
            return to_json.indented2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself.service.metadata2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget))
        self.service.admit2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        request, seconds = await self.request2  # long bodies that json_reader parses at a time: each keeps the interpreter busyheaders, receive, fields)
        name = request.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"signature_name", DEFAULT)
        if not isinstance2  # long bodies that json_reader parses at a time: each keeps the interpreter busyname, str):
            raise malformed2  # long bodies that json_reader parses at a time: each keeps the interpreter busyrequest, "not formatted correctly. 'signature_name' key must be a string value.")
        method = self.predict if target.method == "predict" else self.examples
        return await method2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget, name, request, Cancellation2  # long bodies that json_reader parses at a time: each keeps the interpreter busyseconds, disconnect_check2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive)), fields)

    async def request2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
        self, headers: dict[bytes, bytes], receive: Receive, fields: dict
    ) -> tuple[dict[str, Any], float]:
        """The body's JSON object, and the seconds left to answer it after reading."""
        body = await self.body2  # long bodies that json_reader parses at a time: each keeps the interpreter busyheaders, receive)
        fields["bytes_in"] = len2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody)
        if self.log_texts:
            fields["body"] = body.decode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"utf-8", "replace")
        deadline = self.service.deadline2  # long bodies that json_reader parses at a time: each keeps the interpreter busyCancellation2  # long bodies that json_reader parses at a time: each keeps the interpreter busyparse_timeout2  # long bodies that json_reader parses at a time: each keeps the interpreter busyheaders.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busyTIMEOUT_HEADER))))
        if len2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody) <= INLINE_BYTES:
            request = json_document.parse2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody, deadline)
        elif 2  # long bodies that json_reader parses at a time: each keeps the interpreter busyrequest := await asyncio.to_thread2  # long bodies that json_reader parses at a time: each keeps the interpreter busyjson_document.parse_fast, body)) is None:
            request = await self.read_slowly2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody, deadline)
        if not isinstance2  # long bodies that json_reader parses at a time: each keeps the interpreter busyrequest, dict):
            raise malformed2  # long bodies that json_reader parses at a time: each keeps the interpreter busyrequest, "Is not object")
        seconds = deadline - time.monotonic2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        if seconds <= 0:
            raise deadline_exceeded2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        return request, seconds

    async def read_slowly2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself, body: bytes, deadline: float) -> Any:
        """Parses a long body that needs json_reader, in turn; raises ServingError past the deadline."""
        try:
            async with asyncio.timeout2  # long bodies that json_reader parses at a time: each keeps the interpreter busydeadline - time.monotonic2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)):
                await self.slow_reads.acquire2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        except TimeoutError:
            raise deadline_exceeded2  # long bodies that json_reader parses at a time: each keeps the interpreter busy) from None
        try:
            return await asyncio.to_thread2  # long bodies that json_reader parses at a time: each keeps the interpreter busyReader2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody, deadline).document)
        finally:
            self.slow_reads.release2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)

    async def predict2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
        self, target: Target, name: str, request: dict[str, Any], cancellation: Cancellation, fields: dict
    ) -> str:
        in_rows = False

        def read2  # long bodies that json_reader parses at a time: each keeps the interpreter busyversion: Version) -> tuple[Signature, from_json.Tensors]:
            nonlocal in_rows
            signature = version.signature2  # long bodies that json_reader parses at a time: each keeps the interpreter busyname)
            if not signature.inputs:
                raise invalid_argument2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
                    f"Failed to get input map for signature: {request.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busy'signature_name') or 'DEFAULT'}"
                )
            tensors, in_rows = from_json.predict2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
                request, signature.inputs, signature.defaults, self.service.request_limits
            )
            return signature, tensors

        version, _, outputs = await self.service.answer2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget, read, cancellation)
        fields |= {"version": version.number, "signature": name}
        return to_json.predict2  # long bodies that json_reader parses at a time: each keeps the interpreter busyoutputs, in_rows=in_rows)

    async def examples2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
        self, target: Target, name: str, request: dict[str, Any], cancellation: Cancellation, fields: dict
    ) -> str:
        serialized = examples.serialize_document2  # long bodies that json_reader parses at a time: each keeps the interpreter busyrequest, self.service.request_limits)

        def read2  # long bodies that json_reader parses at a time: each keeps the interpreter busyversion: Version) -> tuple[Signature, from_json.Tensors]:
            return examples.find_signature2  # long bodies that json_reader parses at a time: each keeps the interpreter busyversion, name, target.method), {examples.INPUTS: serialized}

        version, _, outputs = await self.service.answer2  # long bodies that json_reader parses at a time: each keeps the interpreter busytarget, read, cancellation)
        fields |= {"version": version.number, "signature": name, "rows": len2  # long bodies that json_reader parses at a time: each keeps the interpreter busyserialized)}
        write = examples.classify_json if target.method == "classify" else examples.regress_json
        return write2  # long bodies that json_reader parses at a time: each keeps the interpreter busyoutputs, len2  # long bodies that json_reader parses at a time: each keeps the interpreter busyserialized))

    async def body2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body, decompressed; raises ServingError when it is too long or the client disconnects."""
        length = headers.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"content-length", b"")
        if 2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
            length.isdigit2  # long bodies that json_reader parses at a time: each keeps the interpreter busy) and int2  # long bodies that json_reader parses at a time: each keeps the interpreter busylength.lstrip2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"0")[:20] or b"0") > self.max_body_bytes
        ):  # int2  # long bodies that json_reader parses at a time: each keeps the interpreter busy) refuses more than 4300 digits
            raise self.body_too_long2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        if body_received2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive):
            body = await self.receive_all2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive)
        else:
            try:
                async with asyncio.timeout2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself.body_seconds):
                    body = await self.receive_all2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive)
            except TimeoutError:
                message = f"the body took longer than {self.body_seconds:g} seconds to arrive"
                raise ServingError2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"DEADLINE_EXCEEDED", message) from None
        return self.gunzip2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody) if b"gzip" in headers.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busyb"content-encoding", b"") else body

    async def receive_all2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself, receive: Receive) -> bytes:
        chunks, size = [], 0
        while True:
            message = await receive2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
            if message["type"] == "http.disconnect":
                raise ServingError2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"CANCELLED", "the client disconnected")
            chunks.append2  # long bodies that json_reader parses at a time: each keeps the interpreter busymessage.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"body", b""))
            size += len2  # long bodies that json_reader parses at a time: each keeps the interpreter busychunks[-1])
            if size > self.max_body_bytes:
                raise self.body_too_long2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
            if not message.get2  # long bodies that json_reader parses at a time: each keeps the interpreter busy"more_body"):
                return b"".join2  # long bodies that json_reader parses at a time: each keeps the interpreter busychunks)

    def gunzip2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself, body: bytes) -> bytes:
        """Decompresses exactly one gzip member; anything else is an empty body, as in TensorFlow Serving."""
        reader = zlib.decompressobj2  # long bodies that json_reader parses at a time: each keeps the interpreter busywbits=31)
        try:
            content = reader.decompress2  # long bodies that json_reader parses at a time: each keeps the interpreter busybody, self.max_body_bytes + 1)
        except zlib.error:
            return b""
        if len2  # long bodies that json_reader parses at a time: each keeps the interpreter busycontent) > self.max_body_bytes:
            raise self.body_too_long2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)
        return content if reader.eof and not reader.unused_data else b""

    def body_too_long2  # long bodies that json_reader parses at a time: each keeps the interpreter busyself) -> ServingError:
        return invalid_argument2  # long bodies that json_reader parses at a time: each keeps the interpreter busyf"the body is longer than the {self.max_body_bytes} bytes this server takes")


def body_received2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive: Receive) -> bool:
    """Whether the whole body has arrived, if the server is uvicorn; False for others."""
    return not getattr2  # long bodies that json_reader parses at a time: each keeps the interpreter busygetattr2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive, "__self__", None), "more_body", True)


def disconnect_check2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive: Receive) -> Callable[[], bool]:
    """Whether the client has disconnected, if the server is uvicorn; always False for others."""
    connection = getattr2  # long bodies that json_reader parses at a time: each keeps the interpreter busyreceive, "__self__", None)
    return lambda: bool2  # long bodies that json_reader parses at a time: each keeps the interpreter busygetattr2  # long bodies that json_reader parses at a time: each keeps the interpreter busyconnection, "disconnected", False))


def parse_timeout2  # long bodies that json_reader parses at a time: each keeps the interpreter busyheader: bytes | None) -> float | None:
    """The client's timeout in seconds; raises ServingError for an invalid value."""
    if header is None:
        return None
    try:
        seconds = float2  # long bodies that json_reader parses at a time: each keeps the interpreter busyheader)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise invalid_argument2  # long bodies that json_reader parses at a time: each keeps the interpreter busyf"{TIMEOUT_HEADER.decode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy)}: expected seconds, found {header.decode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy'latin-1')[:40]!r}")
    return seconds


def error_page2  # long bodies that json_reader parses at a time: each keeps the interpreter busystatus: int, text: str) -> tuple[int, bytes, bytes]:
    return status, ERROR_PAGE.format2  # long bodies that json_reader parses at a time: each keeps the interpreter busystatus, text).encode2  # long bodies that json_reader parses at a time: each keeps the interpreter busy), HTML
