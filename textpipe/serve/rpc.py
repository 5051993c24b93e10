"""TensorFlow Serving's gRPC door: PredictionService and ModelService from its own stubs, and gRPC's health checking."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
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

from textpipe.serve import examples, messages
from textpipe.serve.access import Gate, Log, request_id
from textpipe.serve.faults import Fault, invalid
from textpipe.serve.measures import Measures
from textpipe.serve.paths import Target
from textpipe.serve.service import Service, Tensors
from textpipe.serve.version import DEFAULT, Signature, Version

log = logging.getLogger(__name__)

CLASSIFY, REGRESS = "tensorflow/serving/classify", "tensorflow/serving/regress"
HEALTH = "/grpc.health.v1.Health/"
STATES = {"START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}


def target_of(spec: Any, verb: str) -> Target:
    if not spec.name:
        raise invalid("Missing ModelSpec")
    which = spec.WhichOneof("version_choice")
    version = spec.version.value if which == "version" else None
    return Target(spec.name, version, spec.version_label if which == "version_label" else None, verb)


def fill(spec: Any, version: Version, signature: str) -> None:
    spec.name, spec.signature_name = version.name, signature
    spec.version.value = version.number


class Predictions(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, service: Service, measures: Measures, log: Log | None):
        self.service, self.measures, self.log = service, measures, log

    async def answered(
        self, context: Any, spec: Any, verb: str, work: Callable[[Target, float | None], Awaitable[Any]]
    ) -> Any:
        """Runs a call, counts it, and ends it with the code of its fault."""
        began, code, model = time.monotonic(), "OK", ""
        try:
            target = target_of(spec, verb)
            model = target.name
            return await work(target, context.time_remaining())
        except Fault as fault:
            code = fault.code
            if code == "RESOURCE_EXHAUSTED":
                await self.service.queue.refused()
            await context.abort(getattr(grpc.StatusCode, fault.code), str(fault))
        except (grpc.aio.AbortError, asyncio.CancelledError):
            raise
        except Exception:
            code = "INTERNAL"
            log.exception("%s of %r", verb, model)
            await context.abort(grpc.StatusCode.INTERNAL, "a fault of the server's; its log says more")
        finally:
            seconds = time.monotonic() - began
            self.measures.request("grpc", model, verb, code, seconds)
            if self.log:
                given = next(
                    (value for name, value in context.invocation_metadata() or () if name == "x-request-id"), ""
                )
                who = {"id": request_id(str(given).encode()), "door": "grpc", "client": context.peer()}
                self.log.write(**who, model=model, verb=verb, code=code, seconds=round(seconds, 6))

    async def Predict(self, request: Any, context: Any) -> Any:
        name = request.model_spec.signature_name or DEFAULT

        def read(version: Version) -> tuple[Signature, Tensors]:
            return version.signature(name), messages.arrays(request.inputs)

        async def work(target: Target, seconds: float | None) -> Any:
            version, signature, found = await self.service.answer(target, read, (seconds, None))
            response = predict_pb2.PredictResponse()
            fill(response.model_spec, version, signature.name)
            for output in request.output_filter:
                if output not in found:
                    raise invalid(
                        f"output tensor alias not found in signature: {output} Outputs expected to be in the set "
                        f"{{{','.join(sorted(found))}}}."
                    )
            for output in request.output_filter or found:
                response.outputs[output].CopyFrom(messages.proto(found[output]))
            return response

        return await self.answered(context, request.model_spec, "predict", work)

    async def inferred(
        self, target: Target, name: str, given: Any, seconds: float | None
    ) -> tuple[Version, Signature, Tensors, int]:
        """What a signature of serialized examples gives, for classify or regress."""
        serialized = messages.examples(given)

        def read(version: Version) -> tuple[Signature, Tensors]:
            signature = version.signature(name)
            examples.asked(name, tuple(signature.inputs), signature.outputs, target.verb)
            return signature, {examples.INPUTS: serialized}

        version, signature, found = await self.service.answer(target, read, (seconds, None))
        return version, signature, found, len(serialized)

    async def judged(self, request: Any, context: Any, verb: str, response: Any, write: Callable[..., None]) -> Any:
        """What Classify and Regress have in common; write(response.result, outputs, rows) puts the outputs in."""

        async def work(target: Target, seconds: float | None) -> Any:
            name = request.model_spec.signature_name or DEFAULT
            version, signature, found, rows = await self.inferred(target, name, request.input, seconds)
            fill(response.model_spec, version, signature.name)
            write(response.result, found, rows)
            return response

        return await self.answered(context, request.model_spec, verb, work)

    async def Classify(self, request: Any, context: Any) -> Any:
        return await self.judged(request, context, "classify", classification_pb2.ClassificationResponse(), classified)

    async def Regress(self, request: Any, context: Any) -> Any:
        return await self.judged(request, context, "regress", regression_pb2.RegressionResponse(), regressed)

    async def MultiInference(self, request: Any, context: Any) -> Any:
        async def work(target: Target, seconds: float | None) -> Any:
            response = inference_pb2.MultiInferenceResponse()
            if len({task.model_spec.name for task in request.tasks}) > 1:
                raise invalid("All ModelSpecs in a MultiInferenceRequest must access the same model name.")
            for task in request.tasks:
                verb = {CLASSIFY: "classify", REGRESS: "regress"}.get(task.method_name)
                if verb is None:
                    raise Fault("UNIMPLEMENTED", f"Unsupported signature method_name: {task.method_name}")
                asked = target_of(task.model_spec, verb)
                name = task.model_spec.signature_name or DEFAULT
                version, signature, found, rows = await self.inferred(asked, name, request.input, seconds)
                result = response.results.add()
                fill(result.model_spec, version, signature.name)
                if verb == "classify":
                    classified(result.classification_result, found, rows)
                else:
                    regressed(result.regression_result, found, rows)
            return response

        spec = request.tasks[0].model_spec if request.tasks else predict_pb2.PredictRequest().model_spec
        return await self.answered(context, spec, "multi_inference", work)

    async def GetModelMetadata(self, request: Any, context: Any) -> Any:
        async def work(target: Target, seconds: float | None) -> Any:
            if list(request.metadata_field) != ["signature_def"]:
                raise invalid(f"Metadata field {', '.join(request.metadata_field)} is not supported")
            response = get_model_metadata_pb2.GetModelMetadataResponse()
            with self.service.repository.hold(target.name, target.version, target.label) as version:
                told = get_model_metadata_pb2.SignatureDefMap()
                for name, definition in version.definitions.items():
                    told.signature_def[name].CopyFrom(definition)
                fill(response.model_spec, version, "")
            packed = any_pb2.Any()
            packed.Pack(told)
            response.metadata["signature_def"].CopyFrom(packed)
            return response

        return await self.answered(context, request.model_spec, "metadata", work)


def classified(result: Any, found: Tensors, rows: int) -> None:
    classes, scores = examples.classified(found, rows)
    given = scores if classes is None else classes
    assert given is not None
    for row in range(rows):
        classification = result.classifications.add()
        for column in range(given.shape[1]):
            label = "" if classes is None else classes[row, column].decode("utf-8", "replace")
            classification.classes.add(label=label, score=0.0 if scores is None else float(scores[row, column]))


def regressed(result: Any, found: Tensors, rows: int) -> None:
    for value in examples.regressed(found, rows).tolist():
        result.regressions.add(value=value)


class Models(model_service_pb2_grpc.ModelServiceServicer):
    def __init__(self, service: Service):
        self.service = service

    async def GetModelStatus(self, request: Any, context: Any) -> Any:
        try:
            target = target_of(request.model_spec, "status")
            found = self.service.repository.status(target.name, target.version, target.label)
        except Fault as fault:
            await context.abort(getattr(grpc.StatusCode, fault.code), str(fault))
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


class Health(health_pb2_grpc.HealthServicer):
    """SERVING while every model serves and the server is not about to stop."""

    def __init__(self, service: Service):
        self.service = service

    async def Check(self, request: Any, context: Any) -> Any:
        known = {"", "tensorflow.serving.PredictionService", "tensorflow.serving.ModelService"}
        if request.service not in known:
            await context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service}")
        kinds = health_pb2.HealthCheckResponse
        return kinds(status=kinds.NOT_SERVING if self.service.unready() else kinds.SERVING)


class Guard(grpc.aio.ServerInterceptor):
    """Turns away calls without a token; health may be asked by anyone."""

    def __init__(self, gate: Gate):
        self.gate = gate

    async def intercept_service(self, continuation: Any, details: Any) -> Any:
        if details.method.startswith(HEALTH):
            return await continuation(details)
        given = next((value for name, value in details.invocation_metadata if name == "authorization"), "")
        if self.gate.passes(given.encode() if isinstance(given, str) else given):
            return await continuation(details)

        async def refuse(request: Any, context: Any) -> None:
            await context.abort(grpc.StatusCode.UNAUTHENTICATED, self.gate.refusal)

        return grpc.unary_unary_rpc_method_handler(refuse)


def server(
    service: Service, measures: Measures, gate: Gate, log: Log | None, *, most_bytes: int, most_calls: int,
    shared: bool = False,
) -> Any:  # fmt: skip
    """A gRPC server that is not yet bound to a port; shared: with other processes of one server."""
    sizes = [
        ("grpc.max_receive_message_length", most_bytes),
        ("grpc.max_send_message_length", -1),
        ("grpc.so_reuseport", int(shared)),  # another server on the port must be told, not given half of the calls
    ]
    made = grpc.aio.server(interceptors=[Guard(gate)], options=sizes, maximum_concurrent_rpcs=most_calls)
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(Predictions(service, measures, log), made)
    model_service_pb2_grpc.add_ModelServiceServicer_to_server(Models(service), made)
    health_pb2_grpc.add_HealthServicer_to_server(Health(service), made)
    return made
