"""Reads a request's body within its limits of size and time, and parses JSON without blocking other requests."""

import asyncio
import time
import zlib
from collections.abc import Awaitable, Callable
from typing import Any

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.search_limits import deadline_exceeded
from textpipe.serve.tensors import json_document
from textpipe.serve.tensors.json_reader import Reader

TIMEOUT_HEADER = b"x-request-timeout"
INLINE_BYTES = 1 << 16  # of a body that is parsed on the event loop; a longer one would block other requests
MAX_SLOW_READS = 2  # long bodies that json_reader parses at a time: each keeps the interpreter busy
GZIP, ZLIB = 31, 15  # zlib's window sizes that select a format

Receive = Callable[[], Awaitable[dict]]


class BodyReader:
    """max_bytes: of a body, before and after decompression; seconds: how long a client may take to send it."""

    def __init__(self, *, max_bytes: int = 64 << 20, seconds: float = 30.0):
        self.max_bytes, self.seconds = max_bytes, seconds
        self.slow_reads = asyncio.Semaphore(MAX_SLOW_READS)

    async def read(self, headers: dict[bytes, bytes], receive: Receive) -> bytes:
        """The whole body as it was sent; raises ServingError when it is too long or the client disconnects."""
        length = headers.get(b"content-length", b"")
        if length.isdigit() and int(length.lstrip(b"0")[:20] or b"0") > self.max_bytes:
            # [:20] because int() refuses more than 4300 digits
            raise self.too_long()
        if body_received(receive):
            return await self.receive_all(receive)
        try:
            async with asyncio.timeout(self.seconds):
                return await self.receive_all(receive)
        except TimeoutError:
            message = f"the body took longer than {self.seconds:g} seconds to arrive"
            raise ServingError("DEADLINE_EXCEEDED", message) from None

    async def receive_all(self, receive: Receive) -> bytes:
        chunks, size = [], 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ServingError("CANCELLED", "the client disconnected")
            chunks.append(message.get("body", b""))
            size += len(chunks[-1])
            if size > self.max_bytes:
                raise self.too_long()
            if not message.get("more_body"):
                return b"".join(chunks)

    def decompress(self, body: bytes, window: int = GZIP) -> bytes | None:
        """The content of exactly one gzip member or zlib stream, None for anything else."""
        reader = zlib.decompressobj(wbits=window)
        try:
            content = reader.decompress(body, self.max_bytes + 1)
        except zlib.error:
            return None
        if len(content) > self.max_bytes:
            raise self.too_long()
        return content if reader.eof and not reader.unused_data else None

    def too_long(self) -> ServingError:
        return invalid_argument(f"the body is longer than the {self.max_bytes} bytes this server takes")

    async def parse(self, body: bytes, deadline: float) -> Any:
        """The JSON document; a long one is parsed in a thread. Raises ServingError for other text, and past the deadline
        by time.monotonic()."""
        if len(body) <= INLINE_BYTES:
            document = json_document.parse(body, deadline)
        elif (document := await asyncio.to_thread(json_document.parse_fast, body)) is None:
            document = await self.parse_slowly(body, deadline)
        if time.monotonic() >= deadline:
            raise deadline_exceeded()
        return document

    async def parse_slowly(self, body: bytes, deadline: float) -> Any:
        """Parses a long body that needs json_reader, in turn."""
        try:
            async with asyncio.timeout(deadline - time.monotonic()):
                await self.slow_reads.acquire()
        except TimeoutError:
            raise deadline_exceeded() from None
        try:
            return await asyncio.to_thread(Reader(body, deadline).document)
        finally:
            self.slow_reads.release()


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
