"""The HTTP endpoint as one ASGI application: authentication, log and metrics around the REST API and the operational
routes.

/v1/...      TensorFlow Serving's REST (serve/rest/predict_api.py)
/, /inbox    the pages (serve/rest/pages.py); / only for browsers
/healthz     the process is alive; /readyz: every model serves a version, workers are not stalled, and the server is
             not stopping
/models      models with their versions, tasks, fields, options, and whether feedback is logged
/metrics     Prometheus
/openapi.json

Operational routes take GET and HEAD; other methods get 405.
"""

import time
from typing import Any

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse, JSONResponse

from textpipe.serve.access import AccessLog, TokenAuth, request_id
from textpipe.serve.engine.errors import HTTP_STATUS
from textpipe.serve.engine.feedback_log import FeedbackLog
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.service import Service
from textpipe.serve.rest import openapi, pages, paths
from textpipe.serve.rest.predict_api import PredictApi, error_page
from textpipe.serve.tensors import to_json

PUBLIC_PATHS = ("/healthz", "/readyz")  # for health checks without a token; they reveal nothing about models
READ_METHODS = ["GET", "HEAD"]  # of the operational routes
CODE_OF_STATUS = {status: code for code, status in reversed(HTTP_STATUS.items())}


class App:
    """An ASGI application."""

    def __init__(
        self, service: Service, auth: TokenAuth, metrics: Metrics, log: AccessLog | None = None, *,
        max_body_bytes: int = 64 << 20, body_seconds: float = 30.0, feedback_log: FeedbackLog | None = None,
    ):  # fmt: skip
        self.auth, self.metrics, self.log = auth, metrics, log
        log_texts = bool(log and log.texts)
        self.api = PredictApi(
            service,
            max_body_bytes=max_body_bytes,
            body_seconds=body_seconds,
            log_texts=log_texts,
            feedback_log=feedback_log,
        )
        self.routes = operational_routes(service, metrics, logs_feedback=feedback_log is not None)
        self.route_paths = {getattr(route, "path", "") for route in self.routes.routes}

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.routes(scope, receive, send)
            return
        start, headers = time.monotonic(), dict(scope["headers"])
        name, response = request_id(headers.get(b"x-request-id")), {"status": 0, "bytes_out": 0}
        fields: dict[str, Any] = {}
        scope["log_fields"] = fields

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                response["status"] = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode())]
            else:
                response["bytes_out"] += len(message.get("body", b""))
            await send(message)

        try:
            if scope["path"] not in PUBLIC_PATHS and not self.auth.allows(headers.get(b"authorization", b"")):
                await send_unauthorized(answer, self.auth.rejection)
            elif scope["path"] in self.route_paths and self.is_operational(scope, headers):
                await self.routes(scope, receive, answer)
            else:
                await self.api(scope, receive, answer)
        finally:
            seconds, status = time.monotonic() - start, response["status"]
            code = fields.get("code") or CODE_OF_STATUS.get(status, "OK" if status < 400 else "UNKNOWN")
            if scope["path"].lower().startswith(paths.PREFIX):
                self.metrics.count_request("rest", fields.get("model", ""), fields.get("verb", ""), code, seconds)
            if self.log:
                client = (scope.get("client") or ("", 0))[0]
                line = {"id": name, "door": "rest", "client": client, "method": scope["method"], "path": scope["path"]}
                self.log.write(**line, **response, seconds=round(seconds, 6), **fields)

    def is_operational(self, scope: dict, headers: dict[bytes, bytes]) -> bool:
        """Whether an operational route answers: / only for browsers, because TensorFlow Serving answers it with 404."""
        return scope["path"] != "/" or b"text/html" in headers.get(b"accept", b"")


async def send_unauthorized(send: Any, message: str) -> None:
    """401, the same for every path."""
    body = to_json.error(message).encode()
    head = [
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"www-authenticate", b"Bearer"),
    ]
    await send({"type": "http.response.start", "status": 401, "headers": head})
    await send({"type": "http.response.body", "body": body})


def operational_routes(service: Service, metrics: Metrics, *, logs_feedback: bool = False) -> FastAPI:
    """The routes besides the REST API."""
    page_texts = {name: pages.read(name) for name in pages.NAMES}
    app = FastAPI(title="textpipe", openapi_url=None, docs_url=None, redoc_url=None)

    @app.api_route("/", methods=READ_METHODS, response_class=HTMLResponse)
    async def index() -> HTMLResponse:
        return HTMLResponse(page_texts["page"], headers=pages.HEADERS)

    @app.api_route("/inbox", methods=READ_METHODS, response_class=HTMLResponse)
    async def inbox() -> HTMLResponse:
        return HTMLResponse(page_texts["inbox"], headers=pages.HEADERS)

    @app.api_route("/healthz", methods=READ_METHODS)
    async def healthz() -> JSONResponse:
        return JSONResponse({"status": "ok"})

    @app.api_route("/readyz", methods=READ_METHODS)
    async def readyz() -> JSONResponse:
        reason = service.unready_reason()
        return JSONResponse({"status": reason or "ok"}, 503 if reason else 200)

    @app.api_route("/models", methods=READ_METHODS)
    async def models() -> JSONResponse:
        return JSONResponse({**service.describe_models(), "feedback": logs_feedback})

    @app.api_route("/metrics", methods=READ_METHODS)
    async def prometheus() -> Response:
        body, content_type = metrics.exposition()
        return Response(body, media_type=content_type)

    @app.api_route("/openapi.json", methods=READ_METHODS)
    async def description() -> JSONResponse:
        return JSONResponse(openapi.description(service.describe_options()))

    @app.exception_handler(405)
    async def method_not_allowed(request: Any, error: Any) -> Response:
        status, body, content_type = error_page(405, "Method Not Allowed")
        return Response(body, status, media_type=content_type.decode(), headers={"allow": ", ".join(READ_METHODS)})

    return app
