"""The HTTP side as one ASGI application: the gate, the log and the counters around both the REST door and the small
routes.

/v1/...      TensorFlow Serving's REST (serve/rest/predict_api.py)
/            the page, for browsers
/healthz     the process answers; /readyz: every model has a version that serves, workers come free, and the server is not
             stopping
/models      what there is: versions, tasks, fields, options
/metrics     Prometheus
/openapi.json

The small ones answer GET and HEAD, other methods with 405.
"""

import time
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse

from textpipe.serve.access import AccessLog, TokenAuth, request_id
from textpipe.serve.engine.errors import HTTP_STATUS
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.service import Service
from textpipe.serve.rest import openapi, paths
from textpipe.serve.rest.predict_api import PredictApi, error_page
from textpipe.serve.tensors import to_json

PAGE_FILE = Path(__file__).with_name("page.html")
PUBLIC_PATHS = ("/healthz", "/readyz")  # for who watches over the process: they tell nothing of models
READ_METHODS = ["GET", "HEAD"]  # methods of the small routes
CODE_OF_STATUS = {status: code for code, status in reversed(HTTP_STATUS.items())}


class App:
    """An ASGI application."""

    def __init__(
        self, service: Service, auth: TokenAuth, metrics: Metrics, log: AccessLog | None = None, *, most_bytes: int = 64 << 20,
        body_seconds: float = 30.0,
    ):  # fmt: skip
        self.auth, self.metrics, self.log = auth, metrics, log
        self.door = PredictApi(service, most_bytes=most_bytes, body_seconds=body_seconds, texts=bool(log and log.texts))
        self.routes = operational_routes(service, metrics)
        self.known = {getattr(route, "path", "") for route in self.routes.routes}

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.routes(scope, receive, send)
            return
        began, headers = time.monotonic(), dict(scope["headers"])
        name, told = request_id(headers.get(b"x-request-id")), {"status": 0, "bytes_out": 0}
        found: dict[str, Any] = {}
        scope["told"] = found

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                told["status"] = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode())]
            else:
                told["bytes_out"] += len(message.get("body", b""))
            await send(message)

        try:
            if scope["path"] not in PUBLIC_PATHS and not self.auth.passes(headers.get(b"authorization", b"")):
                await send_unauthorized(answer, self.auth.refusal)
            elif scope["path"] in self.known and self.wanted(scope, headers):
                await self.routes(scope, receive, answer)
            else:
                await self.door(scope, receive, answer)
        finally:
            seconds = time.monotonic() - began
            code = found.get("code") or CODE_OF_STATUS.get(told["status"], "OK" if told["status"] < 400 else "UNKNOWN")
            if scope["path"].lower().startswith(paths.PREFIX):
                self.metrics.request("rest", found.get("model", ""), found.get("verb", ""), code, seconds)
            if self.log:
                client = (scope.get("client") or ("", 0))[0]
                line = {"id": name, "door": "rest", "client": client, "method": scope["method"], "path": scope["path"]}
                self.log.write(**line, **told, seconds=round(seconds, 6), **found)

    def wanted(self, scope: dict, headers: dict[bytes, bytes]) -> bool:
        """TensorFlow Serving has nothing at /, and its clients may rely on that: the page is for who asks for HTML."""
        return scope["path"] != "/" or b"text/html" in headers.get(b"accept", b"")


async def send_unauthorized(send: Any, why: str) -> None:
    """401, the same for every path."""
    body = to_json.error(why).encode()
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": head})
    await send({"type": "http.response.body", "body": body})


def operational_routes(service: Service, metrics: Metrics) -> FastAPI:
    """What stands beside the REST door."""
    page_text = PAGE_FILE.read_text(encoding="utf-8")
    made = FastAPI(title="textpipe", openapi_url=None, docs_url=None, redoc_url=None)

    @made.api_route("/", methods=READ_METHODS, response_class=HTMLResponse)
    async def index() -> HTMLResponse:
        own = "style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
        policy = f"default-src 'none'; {own}; base-uri 'none'"
        guarded = {
            "content-security-policy": policy,
            "x-content-type-options": "nosniff",
            "referrer-policy": "no-referrer",
        }
        return HTMLResponse(page_text, headers=guarded)

    @made.api_route("/healthz", methods=READ_METHODS)
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @made.api_route("/readyz", methods=READ_METHODS)
    async def readyz() -> JSONResponse:
        why = service.unready()
        return JSONResponse({"status": why or "ok"}, 503 if why else 200)

    @made.api_route("/models", methods=READ_METHODS)
    async def models() -> JSONResponse:
        return JSONResponse(service.describe_models())

    @made.api_route("/metrics", methods=READ_METHODS)
    async def metrics() -> Response:
        body, kind = metrics.text()
        return Response(body, media_type=kind)

    @made.api_route("/openapi.json", methods=READ_METHODS)
    async def description() -> JSONResponse:
        return JSONResponse(openapi.description(service.options()))

    @made.exception_handler(405)
    async def other_method(request: Any, error: Any) -> Response:
        status, body, kind = error_page(405, "Method Not Allowed")
        return Response(body, status, media_type=kind.decode(), headers={"allow": ", ".join(READ_METHODS)})

    return made
