"""The methods of inference.GRPCInferenceService, for a gRPC server."""

from typing import Any

import grpc

from textpipe.serve.grpc.calls import Calls
from textpipe.serve.oip.grpc_service import InferenceService
from textpipe.serve.oip.grpc_stream import StreamService
from textpipe.serve.oip.messages import SERVICE, message


def handler(calls: Calls, *, max_streams: int) -> Any:
    """For grpc.aio.Server.add_generic_rpc_handlers. max_streams: see StreamService."""
    service = InferenceService(calls)
    methods = {
        "ServerLive": service.server_live,
        "ServerReady": service.server_ready,
        "ModelReady": service.model_ready,
        "ServerMetadata": service.server_metadata,
        "ModelMetadata": service.model_metadata,
        "ModelInfer": service.model_infer,
        "RepositoryIndex": service.repository_index,
    }
    handlers = {
        name: grpc.unary_unary_rpc_method_handler(
            method,
            request_deserializer=message(f"{name}Request").FromString,
            response_serializer=message(f"{name}Response").SerializeToString,
        )
        for name, method in methods.items()
    }
    handlers["ModelStreamInfer"] = grpc.stream_stream_rpc_method_handler(
        StreamService(calls, max_streams).model_stream_infer,
        response_serializer=message("ModelStreamInferResponse").SerializeToString,
    )
    return grpc.method_handlers_generic_handler(SERVICE, handlers)
