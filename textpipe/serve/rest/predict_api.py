"""TensorFlow Serving's REST API, an ASGI application for everything below /v1/."""

import asyncio
import re
import time
from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.feedback_log import FeedbackLog
from textpipe.serve.engine.model_version import Signature, Version
from textpipe.serve.engine.service import NO_CANCELLATION, Cancellation, Service
from textpipe.serve.rest import feedback, paths, responses
from textpipe.serve.rest.paths import Target
from textpipe.serve.rest.predict_request import PredictReader, checked, signature_name
from textpipe.serve.rest.request_body import TIMEOUT_HEADER, BodyReader, Receive, disconnect_check, parse_timeout
from textpipe.serve.rest.responses import Response, Send
from textpipe.serve.tensors import examples, from_json, to_json

HTTP_METHODS = ("GET", "POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS")
ORIGIN = re.compile(rb"https?://")


class PredictApi:
    """feedback_log: where the method `feedback` writes; None refuses it. Adds to scope["log_fields"]: model, verb, version, rows, code,
    and with log_texts the body, except that of `feedback`.
    """

    def __init__(
        self, service: Service, bodies: BodyReader, *, log_texts: bool = False, feedback_log: FeedbackLog | None = None
    ):
        self.service, self.bodies, self.log_texts, self.feedback_log = service, bodies, log_texts, feedback_log

    async def __call__(self, scope: dict, receive: Receive, send: Send) -> None:
        method = scope["method"]
        raw = scope.get("raw_path") or scope["path"].encode()
        path = raw.decode("latin-1")
        if scope["query_string"]:
            path += "?" + scope["query_string"].decode("latin-1")
        headers, fields = dict(scope["headers"]), scope.setdefault("log_fields", {})
        try:
            if method not in HTTP_METHODS:
                response = responses.error_page(501, "Not Implemented")
            elif not path.lower().startswith(paths.PREFIX):
                response = responses.error_page(404, "Not Found")
            elif method == "OPTIONS":
                response = Response(200 if ORIGIN.search(headers.get(b"origin", b"")) else 400, b"")
            else:
                target = paths.parse(method, path)
                fields |= {"model": target.name, "verb": target.method}
                if target.method == "stream":
                    await self.stream(target, headers, receive, send, fields)
                    return
                response = Response(200, (await self.answer(target, headers, receive, fields)).encode())
        except Exception as error:
            response = await responses.of_error(error, f"{method} {path}", self.service.scheduler, fields)
        await response.send(send, without_body=method == "HEAD")

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
        name = signature_name(request)
        method = self.predict if target.method == "predict" else self.examples
        return await method(target, name, request, Cancellation(seconds, disconnect_check(receive)), fields)

    async def request(
        self, headers: dict[bytes, bytes], receive: Receive, fields: dict
    ) -> tuple[dict[str, Any], float]:
        """The body's JSON object, and the seconds left to answer it after reading."""
        body = await self.bodies.read(headers, receive)
        if b"gzip" in headers.get(b"content-encoding", b""):
            body = self.bodies.decompress(body) or b""  # what is not gzip counts as empty, as in TensorFlow Serving
        fields["bytes_in"] = len(body)
        if self.log_texts and fields.get("verb") != feedback.METHOD:  # feedback is written to the feedback log only
            fields["body"] = body.decode("utf-8", "replace")
        deadline = self.deadline(headers)
        request = checked(await self.bodies.parse(body, deadline))
        return request, deadline - time.monotonic()

    def deadline(self, headers: dict[bytes, bytes]) -> float:
        """When the client or the server stops waiting, by time.monotonic()."""
        if TIMEOUT_HEADER not in headers:
            return self.service.deadline(NO_CANCELLATION)
        return self.service.deadline(Cancellation(parse_timeout(headers[TIMEOUT_HEADER])))

    async def predict(
        self, target: Target, name: str, request: dict[str, Any], cancellation: Cancellation, fields: dict
    ) -> str:
        read = PredictReader(request, name, self.service.request_limits)
        version, _, outputs = await self.service.answer(target, read, cancellation)
        fields |= {"version": version.number, "signature": name}
        return to_json.predict(outputs, in_rows=read.in_rows)

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
