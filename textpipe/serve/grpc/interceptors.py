"""Interceptors of all gRPC calls: authentication, and the error for a message that cannot be parsed."""

from typing import Any

import grpc
from google.protobuf.message import DecodeError

from textpipe.serve.access import TokenAuth

PUBLIC_METHODS = (  # reveal nothing about models
    "/grpc.health.v1.Health/", "/inference.GRPCInferenceService/ServerLive", "/inference.GRPCInferenceService/ServerReady",
)  # fmt: skip
UNPARSED = object()


class ParseErrorInterceptor(grpc.aio.ServerInterceptor):
    """Reports a message that cannot be parsed as INVALID_ARGUMENT; gRPC itself reports INTERNAL."""

    def __init__(self) -> None:
        self.handlers: dict[str, Any] = {}

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method not in self.handlers:
            handler = await continuation(details)
            if handler is None or handler.unary_unary is None:
                return handler
            self.handlers[details.method] = reject_unparsed(handler)
        return self.handlers[details.method]


def reject_unparsed(handler: Any) -> Any:
    """A handler that aborts calls whose request is not a message of its type."""

    def deserialize(body: bytes) -> Any:
        try:
            return handler.request_deserializer(body)
        except DecodeError:
            return UNPARSED

    async def answer(request: Any, context: Any) -> Any:
        if request is UNPARSED:
            text = "the request cannot be parsed as a message of this method's type"
            await context.abort(grpc.StatusCode.INVALID_ARGUMENT, text)
        return await handler.unary_unary(request, context)

    return handler._replace(request_deserializer=deserialize, unary_unary=answer)


class AuthInterceptor(grpc.aio.ServerInterceptor):
    """Rejects calls without a valid token; health checks need none."""

    def __init__(self, auth: TokenAuth):
        self.auth = auth

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method.startswith(PUBLIC_METHODS):
            return await continuation(details)
        header = next((value for name, value in details.invocation_metadata if name == "authorization"), "")
        if self.auth.allows(header.encode() if isinstance(header, str) else header):
            return await continuation(details)

        async def refuse(request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, self.auth.rejection)

        handler = await continuation(details)
        if handler is not None and handler.request_streaming:  # refused before its first message
            return grpc.stream_stream_rpc_method_handler(refuse)
        return grpc.unary_unary_rpc_method_handler(refuse)
