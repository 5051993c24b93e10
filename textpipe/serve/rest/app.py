"""The HTTP endpoint as one ASGI application: authentication, log and metrics around the REST API and the operational
routes.

/v1/...      TensorFlow Serving's REST (serve/rest/predict_api.py)
/v2/...      the Open Inference Protocol (serve/oip/rest_api.py)
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

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.routing import Route

from textpipe.serve.access import AccessLog, TokenAuth, request_id
from textpipe.serve.engine.errors import HTTP_STATUS
from textpipe.serve.engine.feedback_log import FeedbackLog
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.service import Service
from textpipe.serve.oip import openapi as inference_paths
from textpipe.serve.oip import rest_api
from textpipe.serve.rest import openapi, pages, paths, responses
from textpipe.serve.rest.predict_api import PredictApi
from textpipe.serve.rest.request_body import BodyReader

# For health checks without a token; they reveal nothing about models.
PUBLIC_PATHS = ("/healthz", "/readyz", rest_api.LIVE, rest_api.READY)
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
        bodies = BodyReader(max_bytes=max_body_bytes, seconds=body_seconds)
        self.api = PredictApi(service, bodies, log_texts=log_texts, feedback_log=feedback_log)
        self.inference = rest_api.InferenceApi(service, bodies, log_texts=log_texts)
        self.routes = operational_routes(service, metrics, logs_feedback=feedback_log is not None)
        self.route_paths = {getattr(route, "path", "") for route in self.routes.routes}

    async def __call__(self, scope: dict, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self.routes(scope, receive, send)
            return
        start, headers = time.monotonic(), dict(scope["headers"])
        name, response = request_id(headers.get(b"x-request-id")), {"status": 0, "bytes_out": 0}
        scope["log_fields"] = {}

        async def answer(message: Any) -> None:
            if message["type"] == "http.response.start":
                response["status"] = message["status"]
                message["headers"] = [*message.get("headers", []), (b"x-request-id", name.encode())]
            else:
                response["bytes_out"] += len(message.get("body", b""))
            await send(message)

        try:
            if scope["path"] not in PUBLIC_PATHS and not self.auth.allows(headers.get(b"authorization", b"")):
                await responses.error(401, self.auth.rejection, (b"www-authenticate", b"Bearer")).send(answer)
            elif scope["path"] in self.route_paths and self.is_operational(scope, headers):
                await self.routes(scope, receive, answer)
            elif rest_api.handles(scope["path"]):
                await self.inference(scope, receive, answer)
            else:
                await self.api(scope, receive, answer)
        finally:
            self.record(scope, name, response["status"], response["bytes_out"], time.monotonic() - start)

    def record(self, scope: dict, name: str, status: int, num_bytes: int, seconds: float) -> None:
        """Counts and logs an answered request. name: its id; num_bytes: of the response's body."""
        fields = scope["log_fields"]
        code = fields.get("code") or CODE_OF_STATUS.get(status, "OK" if status < 400 else "UNKNOWN")
        if scope["path"].lower().startswith(paths.PREFIX) or rest_api.handles(scope["path"]):
            self.metrics.count_request("rest", fields.get("model", ""), fields.get("verb", ""), code, seconds)
        if self.log:
            client = (scope.get("client") or ("", 0))[0]
            line = {"id": name, "door": "rest", "client": client, "method": scope["method"], "path": scope["path"]}
            self.log.write(**line, status=status, bytes_out=num_bytes, seconds=round(seconds, 6), **fields)

    def is_operational(self, scope: dict, headers: dict[bytes, bytes]) -> bool:
        """Whether an operational route answers: / only for browsers, because TensorFlow Serving answers it with 404."""
        return scope["path"] != "/" or b"text/html" in headers.get(b"accept", b"")


def operational_routes(service: Service, metrics: Metrics, *, logs_feedback: bool = False) -> Starlette:
    """The routes besides the REST API."""
    page_texts = {name: pages.read(name) for name in pages.NAMES}

    async def index(request: Request) -> Response:
        return HTMLResponse(page_texts["page"], headers=pages.HEADERS)

    async def inbox(request: Request) -> Response:
        return HTMLResponse(page_texts["inbox"], headers=pages.HEADERS)

    async def healthz(request: Request) -> Response:
        return JSONResponse({"status": "ok"})

    async def readyz(request: Request) -> Response:
        reason = service.unready_reason()
        return JSONResponse({"status": reason or "ok"}, 503 if reason else 200)

    async def models(request: Request) -> Response:
        return JSONResponse({**service.describe_models(), "feedback": logs_feedback})

    async def prometheus(request: Request) -> Response:
        body, content_type = metrics.exposition()
        return Response(body, media_type=content_type)

    async def description(request: Request) -> Response:
        return JSONResponse(openapi.description(service.describe_options(), inference_paths.paths()))

    async def method_not_allowed(request: Request, error: Exception) -> Response:
        page = responses.error_page(405, "Method Not Allowed")
        headers = {"allow": ", ".join(READ_METHODS)}
        return Response(page.body, page.status, media_type=page.content_type.decode(), headers=headers)

    endpoints = {
        "/": index,
        "/inbox": inbox,
        "/healthz": healthz,
        "/readyz": readyz,
        "/models": models,
        "/metrics": prometheus,
        "/openapi.json": description,
    }
    routes = [Route(path, endpoint, methods=READ_METHODS) for path, endpoint in endpoints.items()]
    return Starlette(routes=routes, exception_handlers={405: method_not_allowed})
