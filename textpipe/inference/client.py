"""Ask a server, textpipe's or TensorFlow Serving itself, as one asks a loaded model.

    client = Client("http://127.0.0.1:8501/v1/models/phrases_en_de")
    client.predict(["The woman reads."])     # [{"answer": "Die Frau liest.", "score": -0.04}]

Rows, options and answers are those of savedmodel.Model.
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
from textpipe.savedmodel.loader import DEFAULT, as_asked, parsed
from textpipe.savedmodel.model_rows import Row, by_field
from textpipe.savedmodel.signatures import taking_options

BATCH_ROWS = 64
TRIES = 6  # of a request that the server is too busy for
LONGEST_WAIT = 10.0  # seconds between two of them
BUSY = (429, 503)


class Caller:
    """Asks a server for JSON, again where it is too busy. token: sent as a bearer token; seconds: that a request may take."""

    def __init__(self, *, token: str | None = None, seconds: float = 60.0):
        self.token, self.seconds = token, seconds

    def ask(self, url: str, body: Any = None) -> Any:
        """The JSON a server gives; one that is too busy is asked again, as it says."""
        with self.open(url, body) as response:
            try:
                return json.load(response)
            except (OSError, ValueError, http.client.HTTPException) as error:
                raise NetworkError(
                    f"{url}: the answer broke off or is no JSON ({error}); is this a model server?"
                ) from None

    def open(self, url: str, body: Any = None) -> Any:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        wait = 0.25
        for turn in range(TRIES):
            try:
                return urllib.request.urlopen(urllib.request.Request(url, data, headers), timeout=self.seconds)
            except urllib.error.HTTPError as error:
                with error:
                    if error.code in BUSY and turn + 1 < TRIES:
                        time.sleep(min(LONGEST_WAIT, seconds_in(error.headers.get("Retry-After"), wait)))
                        wait *= 2
                        continue
                    kind = NetworkError if error.code >= 500 or error.code in BUSY else ModelError
                    raise kind(f"{url}: {self.reason(error)}") from None
            except (urllib.error.URLError, TimeoutError, ConnectionError, http.client.HTTPException) as error:
                reason = getattr(error, "reason", error)
                raise NetworkError(f"{url}: no answer ({reason}); is the server running there?") from None
        raise AssertionError("the last turn returns or raises")

    def reason(self, error: urllib.error.HTTPError) -> str:
        """What the server said, or its status."""
        try:
            return str(json.load(error)["error"])
        except (ValueError, KeyError, TypeError):
            return f"{error.code} {error.reason}"


class Client(Caller):
    """A model behind a URL: http://HOST:PORT/v1/models/NAME, with /versions/N or /labels/L after it if you like.

    token: sent as a bearer token; seconds: that a request may take. Raises ModelError when the server has no such model,
    NetworkError (a ModelError too) when it cannot be reached or is too busy.
    """

    def __init__(self, url: str, *, token: str | None = None, seconds: float = 60.0):
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc or "/models/" not in parts.path:
            raise ModelError(f"{url}: expected http://HOST:PORT/v1/models/NAME")
        super().__init__(token=token, seconds=seconds)
        self.url = url.rstrip("/")
        told = self.ask(f"{self.url}/metadata")
        try:
            self.inputs: dict[str, dict[str, str]] = {
                name: {key: value["dtype"] for key, value in signature["inputs"].items()}
                for name, signature in told["metadata"]["signature_def"]["signature_def"].items()
                if not name.startswith("__")
            }
            self.version: str = told["model_spec"]["version"]
            self.about: dict[str, Any] = told["metadata"].get("textpipe") or {}
            self.described = description.signatures(
                self.about,
                {name: {key: (dtype_of(dtype), ()) for key, dtype in own.items()} for name, own in self.inputs.items()},
            )
        except (KeyError, TypeError, AttributeError):
            raise ModelError(f"{self.url}: does not answer as TensorFlow Serving does; check the address") from None
        default = self.inputs.get(DEFAULT) or next(iter(self.inputs.values()))
        self.dtypes = {name: dtype_of(dtype) for name, dtype in sorted(default.items())}
        self.fields = tuple(self.dtypes)

    def of_one_version(self) -> "Client":
        """For answers that belong together: asks the version that served when this one was made, and no later one."""
        return Client(f"{base_of(self.url)}/versions/{self.version}", token=self.token, seconds=self.seconds)

    def predict(
        self, rows: Sequence[Row], *, signature: str = DEFAULT, options: Mapping[str, Any] | None = None
    ) -> list[dict[str, Any]]:
        """What a signature gives for each row, by output name; as savedmodel.Model.predict."""
        if signature not in self.inputs:
            raise ModelError(f"{self.url}: no signature {signature!r}{suggest(signature, self.inputs)}")
        asked, fixed = signature, dict[str, Any]()
        if options:
            described = self.described[signature]
            if not described.options and (described.search is None or described.search.signature not in self.inputs):
                raise ModelError(f"{self.url}: {signature!r} of this model takes no options")
            asked = signature if described.search is None else described.search.signature
            fixed = self.given(options)
        found: list[dict[str, Any]] = []
        for start in range(0, len(rows), BATCH_ROWS):
            batch = [
                by_field(self.dtypes, row, number) for number, row in enumerate(rows[start : start + BATCH_ROWS], start)
            ]
            columns: dict[str, Any] = {field: [row[field] for row in batch] for field in self.fields}
            answer = self.ask(f"{self.url}:predict", {"signature_name": asked, "inputs": {**columns, **fixed}})[
                "outputs"
            ]
            if not isinstance(answer, dict):  # a signature of one output drops its name
                answer = {"answer": answer}
            found += [dict(zip(answer, values, strict=True)) for values in zip(*answer.values(), strict=True)]
        return as_asked(self.described[signature], found) if options else found

    def stream(self, text: str) -> Iterator[dict[str, Any]]:
        """An answer while it grows: {"text": "Ein Mann", "tokens": 2, "done": False}, ..."""
        with self.open(f"{self.url}:stream", {"inputs": {self.fields[0]: [text]}}) as response:
            event = ""
            for line in response:
                name, _, value = line.decode().rstrip("\n").partition(": ")
                event = value if name == "event" else event
                if name == "data":
                    found = json.loads(value)
                    if event == "error":
                        raise ModelError(f"{self.url}: {found['error']}")
                    yield found

    def given(self, options: Mapping[str, Any]) -> dict[str, Any]:
        """Options as the server's JSON wants them: numbers that were written as text become numbers."""
        taking = taking_options(self.described.values())
        assert taking is not None
        dtypes = {name: taking.inputs[name].dtype for name in taking.options}
        found: dict[str, Any] = {}
        for name, value in options.items():
            if name not in dtypes:
                raise ModelError(f"{self.url}: no option {name!r}{suggest(name, dtypes)}")
            dtype = dtypes[name]
            number = parsed(value, dtype)
            if number is None:
                kind = "a text" if dtype == "string" else "a whole number" if dtype.startswith("int") else "a number"
                raise ModelError(f"{self.url}: option {name} expects {kind}, found {value!r}")
            found[name] = [value] if dtype == "string" else number
        return found


def dtype_of(name: str) -> str:
    """TensorFlow's name of a type of the metadata: DT_INT32 -> int32."""
    return name.removeprefix("DT_").lower()


def seconds_in(header: str | None, default: float) -> float:
    """What Retry-After says, where it is a number of seconds."""
    try:
        return max(0.0, float(header or default))
    except ValueError:  # a date
        return default


def base_of(url: str) -> str:
    """The model behind the URL of one of its versions or labels."""
    return re.sub("/(versions|labels)/[^/]+$", "", url.rstrip("/"))


def versions_served(url: str, *, token: str | None = None, seconds: float = 60.0) -> list[str]:
    """The versions of a model that a server answers from; raises ModelError when it has no such model."""
    states = Caller(token=token, seconds=seconds).ask(base_of(url))["model_version_status"]
    return sorted((state["version"] for state in states if state["state"] == "AVAILABLE"), key=int)
