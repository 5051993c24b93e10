"""A client for textpipe's server or TensorFlow Serving, with the interface of a loaded model.

    client = Client("http://127.0.0.1:8501/v1/models/phrases_en_de")
    client.predict(["The woman reads."])     # [{"answer": "Die Frau liest.", "score": -0.04}]

Rows, options and answers are those of savedmodel.loader.Model.
"""

import http.client
import json
import re
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from typing import Any
from urllib.parse import urlsplit

from textpipe.errors import ModelError, NetworkError, suggest
from textpipe.savedmodel import description
from textpipe.savedmodel.loader import DEFAULT, convert_outputs, option_noun, parse_option
from textpipe.savedmodel.model_rows import Row, parse_row, to_json
from textpipe.savedmodel.signatures import find_with_options

BATCH_ROWS = 64
MAX_TRIES = 6  # per request while the server is busy
MAX_WAIT = 10.0  # seconds between tries
BUSY_CODES = (429, 503)


class JsonClient:
    """Requests JSON from a server and retries while it is busy. token: sent as a bearer token; seconds: timeout per request."""

    def __init__(self, *, token: str | None = None, seconds: float = 60.0):
        self.token, self.seconds = token, seconds

    def ask(self, url: str, body: Any = None) -> Any:
        """The JSON response to a GET, or to a POST of body; retries a busy server after its Retry-After."""
        with self.open(url, body) as response:
            try:
                return json.load(response)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise NetworkError(
                    f"{url}: the response is incomplete or not JSON ({error}); is this a model server?"
                ) from None

    def open(self, url: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        wait = 0.25
        for attempt in range(MAX_TRIES):
            try:
                return urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=self.seconds)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code in BUSY_CODES and attempt + 1 < MAX_TRIES:
                        time.sleep(min(MAX_WAIT, retry_seconds(error.headers.get("Retry-After"), wait)))
                        wait *= 2
                        continue
                    error_type = NetworkError if error.code >= 500 or error.code in BUSY_CODES else ModelError
                    raise error_type(f"{url}: {self.reason(error)}") from None
            except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                raise NetworkError(f"{url}: no response ({reason}); is the server running at this address?") from None
        raise AssertionError("the last attempt returns or raises")

    def reason(self, error: urllib.error.HTTPError) -> str:
        """The server's error message, or the HTTP status."""
        try:
            return str(json.load(error)["error"])
        except (ValueError, KeyError, TypeError):
            return f"{error.code} {error.reason}"


class Client(JsonClient):
    """A served model: http://HOST:PORT/v1/models/NAME, optionally followed by /versions/N or /labels/L.

    token: sent as a bearer token; seconds: timeout per request. Raises ModelError if the server has no such model,
    NetworkError (also a ModelError) if it cannot be reached or is too busy.
    """

    def __init__(self, url: str, *, token: str | None = None, seconds: float = 60.0):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "/models/" not in parts.path:
            raise ModelError(f"{url}: expected http://HOST:PORT/v1/models/NAME")
        super().__init__(token=token, seconds=seconds)
        self.url = url.rstrip("/")
        metadata = self.ask(f"{self.url}/metadata")
        try:
            self.inputs: dict[str, dict[str, str]] = {
                name: {key: value["dtype"] for key, value in signature["inputs"].items()}
                for name, signature in metadata["metadata"]["signature_def"]["signature_def"].items()
                if not name.startswith("__")
            }
            self.version: str = metadata["model_spec"]["version"]
            self.about: dict[str, Any] = metadata["metadata"].get("textpipe") or {}
            self.described = description.signatures(
                self.about,
                {
                    name: {key: (dtype_name(dtype), ()) for key, dtype in dtypes.items()}
                    for name, dtypes in self.inputs.items()
                },
            )
        except (KeyError, TypeError, AttributeError):
            raise ModelError(f"{self.url}: does not respond like TensorFlow Serving; check the address") from None
        default = self.inputs.get(DEFAULT) or next(iter(self.inputs.values()))
        self.dtypes = {name: dtype_name(dtype) for name, dtype in sorted(default.items())}
        self.fields = tuple(self.dtypes)

    def pin_version(self) -> "Client":
        """A client that stays with the current version when the server loads a newer one."""
        return Client(f"{model_url(self.url)}/versions/{self.version}", token=self.token, seconds=self.seconds)

    def predict(
        self, rows: Sequence[Row], *, signature: str = DEFAULT, options: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """The outputs of a signature for each row, by name; as savedmodel.loader.Model.predict."""
        if signature not in self.inputs:
            raise ModelError(f"{self.url}: no signature {signature!r}{suggest(signature, self.inputs)}")
        name, fixed = signature, dict[str, Any]()
        if options:
            described = self.described[signature]
            if not described.options and (described.search is None or described.search.signature not in self.inputs):
                raise ModelError(f"{self.url}: {signature!r} of this model has no options")
            name = signature if described.search is None else described.search.signature
            fixed = self.json_options(options)
        results: list[dict[str, Any]] = []
        for start in range(0, len(rows), BATCH_ROWS):
            batch = [
                parse_row(self.dtypes, row, number)
                for number, row in enumerate(rows[start : start + BATCH_ROWS], start + 1)
            ]
            columns: dict[str, Any] = {field: [to_json(row[field]) for row in batch] for field in self.fields}
            answer = self.ask(f"{self.url}:predict", {"signature_name": name, "inputs": {**columns, **fixed}})[
                "outputs"
            ]
            if not isinstance(answer, dict):  # TensorFlow Serving omits the name of a single output
                answer = {"answer": answer}
            results += [dict(zip(answer, values, strict=True)) for values in zip(*answer.values(), strict=True)]
        return convert_outputs(self.described[signature], results) if options else results

    def stream(self, text: str) -> Iterator[dict[str, Any]]:
        """Partial answers while the model generates: {"text": "Ein Mann", "tokens": 2, "done": False}, ..."""
        with self.open(f"{self.url}:stream", {"inputs": {self.fields[0]: [text]}}) as response:
            event = ""
            for line in response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                event = value if name == "event" else event
                if name == "data":
                    data = json.loads(value)
                    if event == "error":
                        raise ModelError(f"{self.url}: {data['error']}")
                    yield data

    def json_options(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as JSON values for the server: numbers given as text become numbers."""
        signature = find_with_options(self.described.values())
        assert signature is not None
        dtypes = {name: signature.inputs[name].dtype for name in signature.options}
        values: dict[str, Any] = {}
        for name, value in options.items():
            if name not in dtypes:
                raise ModelError(f"{self.url}: no option {name!r}{suggest(name, dtypes)}")
            dtype = dtypes[name]
            number = parse_option(value, dtype)
            if number is None:
                raise ModelError(f"{self.url}: option {name} expects {option_noun(dtype)}, found {value!r}")
            values[name] = [value] if dtype == "string" else number
        return values


def dtype_name(name: str) -> str:
    """DT_INT32 -> int32"""
    return name.removeprefix("DT_").lower()


def retry_seconds(header: str | None, default: float) -> float:
    """The seconds of a Retry-After header; default if it is absent or a date."""
    try:
        return max(0.0, float(header or default))
    except ValueError:
        return default


def model_url(url: str) -> str:
    """The URL of a model without /versions/N or /labels/L."""
    return re.sub("/(versions|labels)/[^/]+$", "", url.rstrip("/"))


def served_versions(url: str, *, token: str | None = None, seconds: float = 60.0) -> list[str]:
    """The available versions of a served model; raises ModelError if the server has no such model."""
    states = JsonClient(token=token, seconds=seconds).ask(model_url(url))["model_version_status"]
    return sorted((state["version"] for state in states if state["state"] == "AVAILABLE"), key=int)
