"""TensorFlow Serving's gRPC door: PredictionService and ModelService from its own stubs, and gRPC's health checking."""

import asyncio
import logging
import time
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

from textpipe.serve.access import AccessLog, TokenAuth, request_id
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.model_version import DEFAULT, Signature, Version
from textpipe.serve.engine.service import Service, Tensors
from textpipe.serve.grpc.interceptors import AuthInterceptor, ParseErrorInterceptor
from textpipe.serve.rest.paths import Target
from textpipe.serve.tensors import examples, tensor_protos

log = logging.getLogger(__name__)

TASK_METHODS = {
    "tensorflow/serving/classify": ("classify", "classification_result"),
    "tensorflow/serving/regress": ("regress", "regression_result"),
}
MAX_DETAILS = 2000  # characters of a message: what is longer is more than clients take as metadata
STATES = {"START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}


def read_target(request: Any, verb: str) -> Target:
    """The target of a request with a model_spec."""
    spec = request.model_spec
    if not request.HasField("model_spec"):
        raise invalid_argument("Missing ModelSpec")
    if not spec.name and verb != "status":
        raise invalid_argument("ModelSpec has no name specified.")
    which = spec.WhichOneof("version_choice")
    version = spec.version.value if which == "version" else None
    return Target(spec.name, version, spec.version_label if which == "version_label" else None, verb)


def fill_model_spec(spec: Any, version: Version, signature: str) -> None:
    spec.name, spec.signature_name = version.name, signature
    spec.version.value = version.number


class PredictionService(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: Service, metrics: Metrics, log: AccessLog | None):
        self.service, self.metrics, self.log = service, metrics, log

    async def answered(
        self, context: Any, request: Any, verb: str, work: Callable[[Target, float | None], Awaitable[Any]]
    ) -> Any:
        """Runs a call, counts it, and ends it with the code of its fault."""
        began, code, model = time.monotonic(), "OK", ""
        try:
            target = read_target(request, verb)
            model = target.name
            return await work(target, context.time_remaining())
        except ServingError as error:
            code = error.code
            if code == "RESOURCE_EXHAUSTED":
                await self.service.queue.delay_refusal()
            await context.abort(getattr(grpc.StatusCode, error.code), str(error)[:MAX_DETAILS])
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception:
            code = "INTERNAL"
            log.exception("%s of %r", verb, model)
            await context.abort(grpc.StatusCode.INTERNAL, "a fault of the server's; its log says more")
        finally:
            seconds = time.monotonic() - began
            self.metrics.request("grpc", model, verb, code, seconds)
            if self.log:
                given = next(
                    (value for name, value in context.invocation_metadata() or () if name == "x-request-id"), ""
                )
                who = {"id": request_id(str(given).encode()), "door": "grpc", "client": context.peer()}
                self.log.write(**who, model=model, verb=verb, code=code, seconds=round(seconds, 6))

    async def Predict(self, request: Any, context: Any) -> Any:
        name = request.model_spec.signature_name or DEFAULT

        def read(version: Version) -> tuple[Signature, Tensors]:
            if name not in version.signatures:
                raise ServingError("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
            signature = version.signatures[name]
            tensor_protos.check_inputs(
                request.inputs, signature, version.definitions[name], self.service.request_limits
            )
            check_output_filter(request.output_filter, signature.outputs)
            return signature, tensor_protos.to_arrays(request.inputs, signature, self.service.request_limits)

        async def work(target: Target, seconds: float | None) -> Any:
            version, signature, found = await self.service.answer(target, read, (seconds, None))
            response = predict_pb2.PredictResponse()
            fill_model_spec(response.model_spec, version, signature.name)
            for output in request.output_filter or found:
                response.outputs[output].CopyFrom(tensor_protos.to_proto(found[output]))
            return response

        return await self.answered(context, request, "predict", work)

    async def judged(self, request: Any, context: Any, verb: str, response: Any, write: Callable[..., None]) -> Any:
        """What Classify and Regress have in common; write(response.result, outputs, rows) puts the outputs in."""
        rows = 0

        def read(version: Version) -> tuple[Signature, Tensors]:
            nonlocal rows
            signature = examples.find_signature(version, request.model_spec.signature_name, verb)
            serialized = tensor_protos.serialize_input(request.input, self.service.request_limits)
            rows = len(serialized)
            return signature, {examples.INPUTS: serialized}

        async def work(target: Target, seconds: float | None) -> Any:
            version, signature, found = await self.service.answer(target, read, (seconds, None))
            fill_model_spec(response.model_spec, version, signature.name)
            write(response.result, found, rows)
            return response

        return await self.answered(context, request, verb, work)

    async def Classify(self, request: Any, context: Any) -> Any:
        return await self.judged(
            request, context, "classify", classification_pb2.ClassificationResponse(), write_classifications
        )

    async def Regress(self, request: Any, context: Any) -> Any:
        return await self.judged(request, context, "regress", regression_pb2.RegressionResponse(), write_regressions)

    async def MultiInference(self, request: Any, context: Any) -> Any:
        """All tasks are checked before one is begun; their rows count together, and one version answers them all."""

        async def work(target: Target, seconds: float | None) -> Any:
            self.service.admit()
            deadline, limits = self.service.deadline((seconds, None)), self.service.request_limits
            response = inference_pb2.MultiInferenceResponse()
            with self.service.repository.hold(target.name, target.version, target.label) as version:
                tasks = read_tasks(request, version)
                serialized = tensor_protos.serialize_input(request.input, limits)
                limits.rows(examples.EXAMPLES, len(serialized) * len(tasks))
                for signature, write, part in tasks:
                    given = signature.complete({examples.INPUTS: serialized})
                    found = await self.service.queue.ask(version, signature, given, deadline=deadline)
                    result = response.results.add()
                    fill_model_spec(result.model_spec, version, signature.name)
                    write(getattr(result, part), found, len(serialized))
            return response

        asked = predict_pb2.PredictRequest(model_spec=request.tasks[0].model_spec if request.tasks else None)
        asked.model_spec.SetInParent()
        return await self.answered(context, asked, "multi_inference", work)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        async def work(target: Target, seconds: float | None) -> Any:
            if not request.metadata_field:
                raise invalid_argument("GetModelMetadataRequest must specify at least one metadata_field")
            for name in request.metadata_field:
                if name != "signature_def":
                    raise invalid_argument(f"Metadata field {name} is not supported")
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            with self.service.repository.hold(target.name, target.version, target.label) as version:
                told = get_model_metadata_pb2.SignatureDefMap()
                for name, definition in version.definitions.items():
                    told.signature_def[name].CopyFrom(definition)
                fill_model_spec(response.model_spec, version, "")
            packed = any_pb2.Any()
            packed.Pack(told)
            response.metadata["signature_def"].CopyFrom(packed)
            return response

        return await self.answered(context, request, "metadata", work)


def read_tasks(request: Any, version: Version) -> list[tuple[Signature, Callable[..., None], str]]:
    """What each task of a MultiInferenceRequest asks: its signature, what writes its result, and the result's field."""
    found: dict[str, tuple[Signature, Callable[..., None], str]] = {}
    for task in request.tasks:
        if not task.model_spec.name:
            raise invalid_argument("Found ModelSpec with an empty model name.")
        if task.model_spec.name != request.tasks[0].model_spec.name:
            raise invalid_argument("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
        name = task.model_spec.signature_name or DEFAULT
        if name in found:
            raise invalid_argument(f"Duplicate evaluation of signature: {name}")
        if name not in version.signatures:
            raise invalid_argument(f"Requested signature not found in model graph: {name}")
        if task.method_name not in TASK_METHODS:
            raise ServingError("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
        verb, part = TASK_METHODS[task.method_name]
        signature = examples.find_signature(version, name, verb)
        found[name] = signature, write_classifications if verb == "classify" else write_regressions, part
    return list(found.values())


def check_output_filter(outputs: Any, known: Sequence[str]) -> None:
    """Raises Fault for an output_filter that names what there is not, or twice what there is."""
    for at, output in enumerate(outputs):
        if output not in known:
            names = ",".join(known)
            raise invalid_argument(
                f"output tensor alias not found in signature: {output} Outputs expected to be in the set {{{names}}}."
            )
        if output in outputs[:at]:
            raise invalid_argument(f"duplicate output tensor alias: {output}")


def write_classifications(result: Any, found: Tensors, rows: int) -> None:
    classes, scores = examples.class_scores(found, rows)
    given = scores if classes is None else classes
    assert given is not None
    for row in range(rows):
        classification = result.classifications.add()
        for column in range(given.shape[1]):
            label = "" if classes is None else classes[row, column].decode("utf-8", "replace")
            classification.classes.add(label=label, score=0.0 if scores is None else float(scores[row, column]))


def write_regressions(result: Any, found: Tensors, rows: int) -> None:
    for value in examples.regression_values(found, rows).tolist():
        result.regressions.add(value=value)


class ModelService(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: Service):
        self.service = service

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        try:
            found = self.service.status(read_target(request, "status"))["model_version_status"]
        except ServingError as error:
            await context.abort(getattr(grpc.StatusCode, error.code), str(error)[:MAX_DETAILS])
        response = get_model_status_pb2.GetModelStatusResponse()
        for line in found:
            status = response.model_version_status.add(version=int(line["version"]), state=STATES[line["state"]])
            status.status.error_code = 0 if line["status"]["error_code"] == "OK" else 2
            status.status.error_message = line["status"]["error_message"]
        return response

    async def HandleReloadConfigRequest(self, request: Any, context: Any) -> Any:
        """Not offered: which models serve is said by the folder, and a caller must not be able to name others."""
        text = "this server takes its models from the folder it was started with; put or remove versions there"
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, text)
        return model_management_pb2.ReloadConfigResponse()


class HealthService(health_pb2_grpc.HealthServicer):
    """SERVING while every model serves and the server is not about to stop."""

    def __init__(self, service: Service):
        self.service = service

    async def Check(self, request: Any, context: Any) -> Any:
        known = {"", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"}
        if request.service not in known:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service}")
        kinds = health_pb2.HealthCheckResponse
        return kinds(status=kinds.NOT_SERVING if self.service.unready() else kinds.SERVING)

    async def Watch(self, request: Any, context: Any) -> None:
        """Not offered: each watcher would hold one of the calls that the server answers at a time."""
        await context.abort(grpc.StatusCode.UNIMPLEMENTED, "this server does not stream its health; ask with Check")


def create_server(
    service: Service, metrics: Metrics, auth: TokenAuth, log: AccessLog | None, *, most_bytes: int, most_calls: int,
    shared: bool = False,
) -> Any:  # fmt: skip
    """A gRPC server that is not yet bound to a port; shared: with other processes of one server."""
    sizes = [
        ("grpc.max_receive_message_length", most_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", int(shared)),  # another server on the port must be told, not given half of the calls
    ]
    made = grpc.aio.server(
        interceptors=[AuthInterceptor(auth), ParseErrorInterceptor()], options=sizes, maximum_concurrent_rpcs=most_calls
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(PredictionService(service, metrics, log), made)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(service), made)
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(service), made)
    return made
