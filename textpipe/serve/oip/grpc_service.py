"""inference.GRPCInferenceService: the Open Inference Protocol over gRPC."""

from typing import Any

import numpy as np

from textpipe.serve.engine.errors import invalid_argument
from textpipe.serve.engine.service import Cancellation, Service
from textpipe.serve.grpc.calls import Calls
from textpipe.serve.oip import inference, metadata
from textpipe.serve.oip.inference import Answer, InferRequest, Parameters, RequestedOutput, refuse_extensions
from textpipe.serve.oip.messages import message
from textpipe.serve.oip.tensors import InputTensor, check_count, output_datatype, to_binary
from textpipe.serve.rest.paths import Target
from textpipe.serve.tensors.json_writer import format_value

# The field of InferTensorContents with the values of a datatype; 16-bit floats have none.
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents",
    "INT64": "int64_contents", "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents",
    "UINT64": "uint64_contents", "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip
SERVER = Target("")  # of calls that name no model


class InferenceService:
    def __init__(self, calls: Calls):
        self.calls, self.service = calls, calls.service

    async def server_live(self, request: Any, context: Any) -> Any:
        return message("ServerLiveResponse")(live=True)

    async def server_ready(self, request: Any, context: Any) -> Any:
        return message("ServerReadyResponse")(ready=not self.service.unready_reason())

    async def model_ready(self, request: Any, context: Any) -> Any:
        async def work(target: Target, timeout: float | None) -> Any:
            return message("ModelReadyResponse")(ready=not metadata.unready_reason(self.service, target))

        return await self.run(context, "ready", request.name, request.version, work)

    async def server_metadata(self, request: Any, context: Any) -> Any:
        return message("ServerMetadataResponse")(**metadata.server_metadata())

    async def model_metadata(self, request: Any, context: Any) -> Any:
        async def work(target: Target, timeout: float | None) -> Any:
            return message("ModelMetadataResponse")(**metadata.model_metadata(self.service, target))

        return await self.run(context, "metadata", request.name, request.version, work)

    async def model_infer(self, request: Any, context: Any) -> Any:
        async def work(target: Target, timeout: float | None) -> Any:
            return await infer(self.service, target, request, timeout)

        return await self.run(context, "infer", request.model_name, request.model_version, work)

    async def repository_index(self, request: Any, context: Any) -> Any:
        async def work(target: Target, timeout: float | None) -> Any:
            models = metadata.repository_index(self.service, ready=request.ready)
            return message("RepositoryIndexResponse")(models=models)

        return await self.calls.run(context, "index", lambda: SERVER, work)

    async def run(self, context: Any, method: str, name: str, version: str, work: Any) -> Any:
        return await self.calls.run(context, method, lambda: metadata.target(name, version, method), work)


async def infer(service: Service, target: Target, request: Any, timeout: float | None) -> Any:
    """The ModelInferResponse to a ModelInferRequest; raises ServingError. timeout: in seconds."""
    service.admit()
    answer = await inference.infer(service, target, read_request(request), Cancellation(timeout))
    return write_answer(request, answer)


def read_parameters(parameters: Any) -> Parameters:
    """{"timeout": InferParameter(int64_param=1)} -> {"timeout": 1}, of those that the server reads."""
    choices = {name: parameters[name].WhichOneof("choice") for name in inference.KNOWN_PARAMETERS if name in parameters}
    return {name: getattr(parameters[name], choice) for name, choice in choices.items() if choice}


def read_request(request: Any) -> InferRequest:
    """A ModelInferRequest; raises ServingError."""
    check_count("inputs", len(request.inputs))
    check_count("outputs", len(request.outputs))
    raw = request.raw_input_contents
    if raw and len(raw) != len(request.inputs):
        raise invalid_argument(f"{len(raw)} raw_input_contents for {len(request.inputs)} inputs")
    inputs = []
    for index, tensor in enumerate(request.inputs):
        owner = f"input {format_value(tensor.name)}"
        refuse_extensions(owner, read_parameters(tensor.parameters))
        if raw and tensor.contents.ListFields():
            raise invalid_argument(f"{owner}: expected either contents or raw_input_contents, found both")
        content = raw[index] if raw else read_contents(owner, tensor)
        inputs.append(InputTensor(tensor.name, tensor.datatype, tuple(tensor.shape), content))
    outputs = [RequestedOutput(output.name, read_parameters(output.parameters)) for output in request.outputs]
    return InferRequest(request.id, read_parameters(request.parameters), inputs, outputs)


def read_contents(owner: str, tensor: Any) -> Any:
    """The values of the field for the tensor's datatype; those of other fields must be absent."""
    field = CONTENTS.get(tensor.datatype)
    if field is None:
        raise invalid_argument(f"{owner}: expected raw_input_contents for datatype {format_value(tensor.datatype)}")
    for other, _ in tensor.contents.ListFields():
        if other.name != field:
            raise invalid_argument(f"{owner}: expected the values of {tensor.datatype} in {field}, found {other.name}")
    return getattr(tensor.contents, field)


def write_answer(request: Any, answer: Answer) -> Any:
    """A ModelInferResponse: raw if the request is, and for 16-bit floats."""
    version = answer.version
    response = message("ModelInferResponse")(model_name=version.name, model_version=str(version.number), id=request.id)
    datatypes = {name: output_datatype(name, array) for name, array in answer.outputs.items()}
    raw = bool(request.raw_input_contents) or not set(datatypes.values()) <= set(CONTENTS)
    for name, array in answer.outputs.items():
        output = response.outputs.add(name=name, datatype=datatypes[name], shape=array.shape)
        if raw:
            response.raw_output_contents.append(to_binary(array))
        else:
            write_contents(output.contents, CONTENTS[datatypes[name]], array)
    return response


def write_contents(contents: Any, field: str, array: np.ndarray) -> None:
    getattr(contents, field).extend(array.reshape(-1).tolist())
