"""The limits on a request's head, and the responses that a connection writes itself, each of which closes it."""

from http import HTTPStatus

from textpipe.serve.tensors import to_json

MAX_HEAD = 64 << 10  # bytes of a request line and its fields, or of the chunk extensions and trailers of a body
MAX_URL = 16 << 10
MAX_FIELDS = 256


def response(status: HTTPStatus, message: str, *fields: bytes) -> bytes:
    """A complete response that closes the connection."""
    body = to_json.error(message).encode()
    head = [
        b"HTTP/1.1 %d %s" % (status, status.phrase.encode()), b"content-type: application/json",
        b"content-length: %d" % len(body), *fields, b"connection: close", b"", b"",
    ]  # fmt: skip
    return b"\r\n".join(head) + body


TOO_MANY_CONNECTIONS = response(
    HTTPStatus.SERVICE_UNAVAILABLE, "too many connections; try again later", b"retry-after: 1"
)
URL_TOO_LONG = response(HTTPStatus.REQUEST_URI_TOO_LONG, f"the URL is longer than {MAX_URL} bytes")
TOO_MANY_FIELDS = response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"more than {MAX_FIELDS} header fields")
HEAD_TOO_LONG = response(HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the headers are longer than {MAX_HEAD} bytes")
NO_TUNNEL = response(HTTPStatus.NOT_IMPLEMENTED, "this server does not open tunnels")
TRAILERS_TOO_LONG = response(
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"chunk extensions or trailers are longer than {MAX_HEAD} bytes"
)
