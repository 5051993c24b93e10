"""Sends HTTP responses, and turns the errors of a request into them."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from textpipe.serve.engine.batch_queue import BatchScheduler
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.tensors import to_json

log = logging.getLogger(__name__)

JSON, HTML, BINARY = b"application/json", b"text/html", b"application/octet-stream"
ERROR_PAGE = "<html><head><title>{0} {1}</title></head><body><h1>{1}</h1></body></html>\n"

Send = Callable[[dict], Awaitable[None]]


@dataclass(frozen=True)
class Response:
    """A complete response. headers: besides Content-Type and Content-Length."""

    status: int
    body: bytes
    content_type: bytes = JSON
    headers: tuple[tuple[bytes, bytes], ...] = ()

    async def send(self, send: Send, *, without_body: bool = False) -> None:
        """without_body: for HEAD, which announces the length of the body all the same."""
        length = b"%d" % len(self.body)
        headers = [(b"content-type", self.content_type), (b"content-length", length), *self.headers]
        await send({"type": "http.response.start", "status": self.status, "headers": headers})
        await send({"type": "http.response.body", "body": b"" if without_body else self.body})


def error(status: int, message: str, *headers: tuple[bytes, bytes]) -> Response:
    """{"error": message}"""
    return Response(status, to_json.error(message).encode("utf-8", "replace"), JSON, headers)


def error_page(status: int, text: str) -> Response:
    """A page like TensorFlow Serving's for what its API does not know."""
    return Response(status, ERROR_PAGE.format(status, text).encode(), HTML)


async def of_error(failure: Exception, request: str, scheduler: BatchScheduler, fields: dict) -> Response:
    """The response to a request that failed; one that finds the queue full waits for its turn to be refused. See `describe`."""
    if isinstance(failure, ServingError) and failure.code == "RESOURCE_EXHAUSTED":
        await scheduler.delay_refusal()
    return describe(failure, request, fields)


def describe(failure: Exception, request: str, fields: dict) -> Response:
    """The response to a request that failed.

    request: for the log, when the failure is the server's own; fields: of the access log, gets "code".
    """
    if not isinstance(failure, ServingError):
        log.error("%s", request, exc_info=failure)
        fields["code"] = "INTERNAL"
        return error(500, "internal server error; see the server's log")
    fields["code"] = failure.code
    retry_after = [(b"retry-after", b"%d" % failure.retry_after)] if failure.retry_after else []
    return error(failure.status, str(failure), *retry_after)
