"""Answers an inference request of the Open Inference Protocol, however it was sent."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_version import Signature, Version
from textpipe.serve.engine.service import Cancellation, Service, Tensors
from textpipe.serve.oip import metadata
from textpipe.serve.oip.tensors import InputTensor, read_inputs
from textpipe.serve.rest.paths import Target
from textpipe.serve.tensors.json_writer import format_value

# Parameters of a request. Others are ignored, as the protocol says, except those below that would change the response.
SIGNATURE, TIMEOUT = "signature_name", "timeout"  # as in TensorFlow Serving's API; in microseconds, as in Triton
NOT_SUPPORTED = ("classification", "shared_memory_region")  # extensions of Triton
KNOWN_PARAMETERS = (SIGNATURE, TIMEOUT, *NOT_SUPPORTED)
MAX_MICROSECONDS = 10**12

Parameters = Mapping[str, Any]


@dataclass(frozen=True)
class RequestedOutput:
    name: str
    parameters: Parameters = field(default_factory=dict)


@dataclass(frozen=True)
class InferRequest:
    """id: the client's own, "" for none; outputs: () for all."""

    id: str
    parameters: Parameters
    inputs: Sequence[InputTensor]
    outputs: Sequence[RequestedOutput] = ()


class Answer(NamedTuple):
    version: Version
    signature: Signature
    outputs: dict[str, np.ndarray]


async def infer(service: Service, target: Target, request: InferRequest, cancellation: Cancellation) -> Answer:
    """The requested outputs, in the order requested. Limits, queue and deadline are those of all APIs (Service.answer).

    Raises ServingError.
    """
    name = signature_name(request.parameters)
    timeout = earliest(cancellation.timeout, timeout_seconds(request.parameters))
    for output in request.outputs:
        refuse_extensions(f"output {format_value(output.name)}", output.parameters)

    def read(version: Version) -> tuple[Signature, Tensors]:
        signature = version.signature(name)
        check_outputs(request.outputs, signature)
        shapes = metadata.input_shapes(version, signature)
        return signature, read_inputs(request.inputs, signature, shapes, service.request_limits)

    version, signature, outputs = await service.answer(target, read, Cancellation(timeout, cancellation.disconnected))
    names = [output.name for output in request.outputs] or list(outputs)
    return Answer(version, signature, {name: outputs[name] for name in names})


def check_outputs(requested: Sequence[RequestedOutput], signature: Signature) -> None:
    """Raises ServingError for an unknown or repeated output."""
    names = set()
    for output in requested:
        if output.name not in signature.outputs:
            known = ", ".join(signature.outputs)
            raise invalid_argument(
                f"output {format_value(output.name)}: the model has no such output; it gives {known}"
            )
        if output.name in names:
            raise invalid_argument(f'output "{output.name}" is requested twice')
        names.add(output.name)


def signature_name(parameters: Parameters) -> str:
    """The signature to call, "" for the default."""
    name = parameters.get(SIGNATURE, "")
    if not isinstance(name, str):
        raise invalid_argument(f"parameter {SIGNATURE}: expected a text, found {format_value(name)}")
    return name


def timeout_seconds(parameters: Parameters) -> float | None:
    """The timeout that a client sent as a parameter."""
    microseconds = parameters.get(TIMEOUT)
    if microseconds is None:
        return None
    if type(microseconds) is not int or not 0 < microseconds < MAX_MICROSECONDS:
        raise invalid_argument(f"parameter {TIMEOUT}: expected microseconds, found {format_value(microseconds)}")
    return microseconds / 1e6


def earliest(*timeouts: float | None) -> float | None:
    return min((timeout for timeout in timeouts if timeout is not None), default=None)


def refuse_extensions(owner: str, parameters: Parameters) -> None:
    """Raises ServingError for parameters of extensions that this server lacks and that would change the response."""
    for name in NOT_SUPPORTED:
        if parameters.get(name):
            raise ServingError("UNIMPLEMENTED", f"{owner}: this server does not support the parameter {name}")
