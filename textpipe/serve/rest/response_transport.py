"""What uvicorn writes a response to."""

from typing import Any


class ResponseTransport:
    """The transport that uvicorn writes a response to: its `close` is Connection.end."""

    __slots__ = ("close", "is_closing", "write")

    def __init__(self, connection: Any):
        self.write, self.is_closing, self.close = connection.transport.write, connection.closing, connection.end
