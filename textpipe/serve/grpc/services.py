"""TensorFlow Serving's gRPC endpoint: PredictionService and ModelService from its own stubs, gRPC health checking, and the Open
Inference Protocol beside them."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import grpc
from google.protobuf import any_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    model_service_pb2_grpc,
    predict_pb2,
    prediction_service_pb2_grpc,
    regression_pb2,
)

from textpipe.runtime import dtypes
from textpipe.serve.access import AccessLog, TokenAuth
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.model_version import DEFAULT, Signature, Version
from textpipe.serve.engine.service import Cancellation, Service, Tensors
from textpipe.serve.grpc.calls import MAX_DETAILS, Calls
from textpipe.serve.grpc.interceptors import AuthInterceptor, ParseErrorInterceptor
from textpipe.serve.oip import grpc_handlers, messages
from textpipe.serve.rest.paths import Target
from textpipe.serve.tensors import examples, tensor_protos

TASK_METHODS = {
    "tensorflow/serving/classify": ("classify", "classification_result"),
    "tensorflow/serving/regress": ("regress", "regression_result"),
}
STATES = {"START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}


def read_target(request: Any, method: str) -> Target:
    """The target of a request with a model_spec."""
    spec = request.model_spec
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not spec.name and method != "status":
        raise invalid_argument("ModelSpec has no name specified.")
    which = spec.WhichOneof("version_choice")
    version = spec.version.value if which == "version" else None
    return Target(spec.name, version, spec.version_label if which == "version_label" else None, method)


def fill_model_spec(spec: Any, version: Version, signature: str) -> None:
    spec.name, spec.signature_name = version.name, signature
    spec.version.value = version.number


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, calls: Calls):
        self.calls, self.service = calls, calls.service

    async def run(
        self, context: Any, request: Any, method: str, work: Callable[[Target, float | None], Awaitable[Any]]
    ) -> Any:
        return await self.calls.run(context, method, lambda: read_target(request, method), work)

    async def Predict(self, request: Any, context: Any) -> Any:
        name = request.model_spec.signature_name or DEFAULT

        def read(version: Version) -> tuple[Signature, Tensors]:
            if name not in version.signatures:
                raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
            signature = version.signatures[name]
            limits = self.service.request_limits
            tensor_protos.check_inputs(request.inputs, signature, version.definitions[name], limits)
            check_output_filter(request.output_filter, signature.outputs)
            return signature, tensor_protos.to_arrays(request.inputs, signature, limits)

        async def work(target: Target, timeout: float | None) -> Any:
            version, signature, outputs = await self.service.answer(target, read, Cancellation(timeout))
            response = predict_pb2.PredictResponse()
            fill_model_spec(response.model_spec, version, signature.name)
            for name in request.output_filter or outputs:
                response.outputs[name].CopyFrom(dtypes.to_proto(outputs[name]))
            return response

        return await self.run(context, request, "predict", work)

    async def run_on_examples(
        self, request: Any, context: Any, method: str, response: Any, write: Callable[..., None]
    ) -> Any:
        """Classify or Regress; write(response.result, outputs, rows) fills the response."""
        rows = 0

        def read(version: Version) -> tuple[Signature, Tensors]:
            nonlocal rows
            signature = examples.find_signature(version, request.model_spec.signature_name, method)
            serialized = tensor_protos.serialize_input(request.input, self.service.request_limits)
            rows = len(serialized)
            return signature, {examples.INPUTS: serialized}

        async def work(target: Target, timeout: float | None) -> Any:
            version, signature, outputs = await self.service.answer(target, read, Cancellation(timeout))
            fill_model_spec(response.model_spec, version, signature.name)
            write(response.result, outputs, rows)
            return response

        return await self.run(context, request, method, work)

    async def Classify(self, request: Any, context: Any) -> Any:
        return await self.run_on_examples(
            request, context, "classify", classification_pb2.ClassificationResponse(), write_classifications
        )

    async def Regress(self, request: Any, context: Any) -> Any:
        return await self.run_on_examples(
            request, context, "regress", regression_pb2.RegressionResponse(), write_regressions
        )

    async def MultiInference(self, request: Any, context: Any) -> Any:
        """Checks all tasks before running any; their rows are counted together, and one version answers them all."""

        async def work(target: Target, timeout: float | None) -> Any:
            self.service.admit()
            deadline, limits = self.service.deadline(Cancellation(timeout)), self.service.request_limits
            response = inference_pb2.MultiInferenceResponse()
            with self.service.repository.hold(target.name, target.version, target.label) as version:
                tasks = read_tasks(request, version)
                serialized = tensor_protos.serialize_input(request.input, limits)
                limits.check_rows(examples.EXAMPLES, len(serialized) * len(tasks))
                for signature, write, result_field in tasks:
                    inputs = signature.complete({examples.INPUTS: serialized})
                    outputs = await self.service.scheduler.submit(version, signature, inputs, deadline=deadline)
                    result = response.results.add()
                    fill_model_spec(result.model_spec, version, signature.name)
                    write(getattr(result, result_field), outputs, len(serialized))
            return response

        first = predict_pb2.PredictRequest(model_spec=request.tasks[0].model_spec if request.tasks else None)
        first.model_spec.SetInParent()
        return await self.run(context, first, "multi_inference", work)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        async def work(target: Target, timeout: float | None) -> Any:
            if not request.metadata_field:
                raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
            for name in request.metadata_field:
                if name != "signature_def":
                    raise invalid_argument(f"Metadata field {name} is not supported")
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            with self.service.repository.hold(target.name, target.version, target.label) as version:
                definitions = get_model_metadata_pb2.SignatureDefMap()
                for name, definition in version.definitions.items():
                    definitions.signature_def[name].CopyFrom(definition)
                fill_model_spec(response.model_spec, version, "")
            packed = any_pb2.Any()
            packed.Pack(definitions)
            response.metadata["signature_def"].CopyFrom(packed)
            return response

        return await self.run(context, request, "metadata", work)


def read_tasks(request: Any, version: Version) -> list[tuple[Signature, Callable[..., None], str]]:
    """For each task of a MultiInferenceRequest: its signature, the function that writes its result, and the result's field."""
    tasks: dict[str, tuple[Signature, Callable[..., None], str]] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT
        if name in tasks:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        if name not in version.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in TASK_METHODS:
            raise ServingError("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
        method, result_field = TASK_METHODS[task.method_name]
        signature = examples.find_signature(version, name, method)
        tasks[name] = signature, write_classifications if method == "classify" else write_regressions, result_field
    return list(tasks.values())


def check_output_filter(outputs: Any, known: Sequence[str]) -> None:
    """Raises ServingError for an output_filter with an unknown or repeated output."""
    for index, output in enumerate(outputs):
        if output not in known:
            names = ",".join(known)
            raise invalid_argument(
                f"output tensor alias not found in signature: {output} Outputs expected to be in the set {{{names}}}."
            )
        if output in outputs[:index]:
            raise invalid_argument(f"duplicate output tensor alias: {output}")


def write_classifications(result: Any, outputs: Tensors, rows: int) -> None:
    classes, scores = examples.class_scores(outputs, rows)
    either = scores if classes is None else classes
    assert either is not None
    for row in range(rows):
        classification = result.classifications.add()
        for column in range(either.shape[1]):
            label = "" if classes is None else classes[row, column].decode("utf-8", "replace")
            classification.classes.add(label=label, score=0.0 if scores is None else float(scores[row, column]))


def write_regressions(result: Any, outputs: Tensors, rows: int) -> None:
    for value in examples.regression_values(outputs, rows).tolist():
        result.regressions.add(value=value)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: Service):
        self.service = service

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        try:
            versions = self.service.status(read_target(request, "status"))["model_version_status"]
        except ServingError as error:
            await context.abort(getattr(grpc.StatusCode, error.code), str(error)[:MAX_DETAILS])
        response = get_model_status_pb2.GetModelStatusResponse()
        for version in versions:
            status = response.model_version_status.add(version=int(version["version"]), state=STATES[version["state"]])
            status.status.error_code = 0 if version["status"]["error_code"] == "OK" else 2
            status.status.error_message = version["status"]["error_message"]
        return response

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        """Not supported: the folder defines the models, and clients must not be able to load others."""
        text = "this server takes its models from the folder it was started with; add or remove versions there"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
        return model_management_pb2.ReloadConfigResponse()


class HealthService(health_pb2_grpc.HealthServicer):
    """SERVING while every model serves and the server is not stopping."""

    def __init__(self, service: Service):
        self.service = service

    async def Check(self, request: Any, context: Any) -> Any:
        known = {"", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService", messages.SERVICE}
        if request.service not in known:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service}")
        kinds = health_pb2.HealthCheckResponse
        return kinds(status=kinds.NOT_SERVING if self.service.unready_reason() else kinds.SERVING)

    async def Watch(self, request: Any, context: Any) -> None:
        """Not supported: each watcher would occupy one of the server's concurrent calls."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not stream its health; use Check")


def create_server(
    service: Service, metrics: Metrics, auth: TokenAuth, log: AccessLog | None, *, max_message_bytes: int,
    max_calls: int, shared_port: bool = False,
) -> Any:  # fmt: skip
    """A gRPC server that is not yet bound to a port. shared_port: with other processes of this server."""
    options = [
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", int(shared_port)),  # another server on the port must fail, not get half of the calls
    ]
    server = grpc.aio.server(
        interceptors=[AuthInterceptor(auth), ParseErrorInterceptor()],
        options=options,
        maximum_concurrent_rpcs=max_calls,
    )
    calls = Calls(service, metrics, log)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(calls), server)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(service), server)
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(service), server)
    server.add_generic_rpc_handlers((grpc_handlers.handler(calls, max_streams=max(1, max_calls // 2)),))
    return server
