"""Errors of a request: a gRPC code, and its HTTP status."""

# As TensorFlow Serving maps them (http_rest_api_util); 499 is nginx's "client closed request".
HTTP_STATUS = {
    "CANCELLED": 499,
    "UNKNOWN": 500,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "INTERNAL": 500,
    "UNAVAILABLE": 503,
    "DATA_LOSS": 500,
    "UNAUTHENTICATED": 401,
}

# Of TensorFlow's error codes those that a client can act on; all others become INTERNAL.
CLIENT_ERRORS = {
    1: "CANCELLED",
    3: "INVALID_ARGUMENT",
    4: "DEADLINE_EXCEEDED",
    8: "RESOURCE_EXHAUSTED",
    9: "INVALID_ARGUMENT",
    11: "INVALID_ARGUMENT",
    12: "UNIMPLEMENTED",
}


class ServingError(Exception):
    """A request failed. code: a key of HTTP_STATUS; str(): the message for the client.

    retry_after: seconds after which a retry may succeed.
    """

    def __init__(self, code: str, message: str, *, retry_after: int | None = None):
        super().__init__(message)
        self.code = code
        self.retry_after = retry_after

    @property
    def status(self) -> int:
        return HTTP_STATUS[self.code]


def invalid_argument(message: str) -> ServingError:
    """The request is wrong."""
    return ServingError("INVALID_ARGUMENT", message)
