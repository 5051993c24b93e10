"""What the Open Inference Protocol tells about the server and its models. The keys are fields of the gRPC messages, too."""

from collections.abc import Mapping, Sequence
from typing import Any

from textpipe.runtime import dtypes
from textpipe.serve.engine.errors import ServingError, invalid_argument
from textpipe.serve.engine.model_state import AVAILABLE, END, LOADING, START, UNLOADING
from textpipe.serve.engine.model_version import Signature, Version
from textpipe.serve.engine.service import Service
from textpipe.serve.oip.datatypes import datatype_of
from textpipe.serve.rest.paths import MAX_VERSION, Target
from textpipe.version import __version__

PLATFORM = "tensorflow_savedmodel"
EXTENSIONS = ["binary_tensor_data", "parameters"]
# The states that Triton reports, which are those that clients know.
STATES = {START: "LOADING", LOADING: "LOADING", AVAILABLE: "READY", UNLOADING: "UNLOADING", END: "UNAVAILABLE"}


def target(name: str, version: str, method: str) -> Target:
    """version: a number, a label, or "" for the latest."""
    if not name:
        raise invalid_argument("the request names no model")
    if not version:
        return Target(name, method=method)
    if not (version.isascii() and version.isdigit()):
        return Target(name, label=version, method=method)
    digits = version.lstrip("0") or "0"
    if len(digits) > len(str(MAX_VERSION)) or int(digits) > MAX_VERSION:
        raise invalid_argument(f"version {version[:40]}: expected a number up to {MAX_VERSION}")
    return Target(name, int(digits), method=method)


def server_metadata() -> dict[str, Any]:
    """{"name": "textpipe", "version": "1.0", "extensions": ["binary_tensor_data", ...]}"""
    return {"name": "textpipe", "version": __version__, "extensions": EXTENSIONS}


def model_metadata(service: Service, target: Target) -> dict[str, Any]:
    """{"name", "versions": those that serve, "platform", "inputs": [{"name", "datatype", "shape"}], "outputs"} of the default
    signature."""
    with service.repository.hold(target.name, target.version, target.label) as version:
        signature = version.signature("")
        definition = version.definitions[signature.name]
        inputs, outputs = tensors(definition.inputs), tensors(definition.outputs)
    states = service.status(Target(target.name))["model_version_status"]
    versions = [state["version"] for state in reversed(states) if state["state"] == AVAILABLE]
    return {"name": target.name, "versions": versions, "platform": PLATFORM, "inputs": inputs, "outputs": outputs}


def tensors(infos: Mapping[str, Any]) -> list[dict[str, Any]]:
    """infos: {name: TensorInfo}. An unknown number of axes is described as one axis of any size."""
    described = []
    for name in sorted(infos):
        shape = shape_of(infos[name])
        datatype = datatype_of(dtypes.name_of(infos[name].dtype))
        described.append({"name": name, "datatype": datatype, "shape": [-1] if shape is None else list(shape)})
    return described


def shape_of(info: Any) -> tuple[int, ...] | None:
    """The shape of a TensorInfo, -1 for any size; None when the number of axes is unknown."""
    shape = info.tensor_shape
    return None if shape.unknown_rank else tuple(axis.size for axis in shape.dim)


def input_shapes(version: Version, signature: Signature) -> dict[str, Sequence[int] | None]:
    """The shape of each input of a signature."""
    return {name: shape_of(info) for name, info in version.definitions[signature.name].inputs.items()}


def unready_reason(service: Service, target: Target) -> str:
    """Why a model, or a version of it, does not answer; '' when it does. Raises ServingError for an unknown one."""
    try:
        with service.repository.hold(target.name, target.version, target.label):
            return ""
    except ServingError as error:
        if error.code != "NOT_FOUND":
            raise
        service.status(target)  # raises for a name without any version
        return str(error)


def repository_index(service: Service, *, ready: bool = False) -> list[dict[str, str]]:
    """[{"name", "version", "state", "reason"}] of all versions in the folder, or of those that serve."""
    index = []
    for name in service.repository.names():
        try:
            versions = service.status(Target(name))["model_version_status"]
        except ServingError:  # removed meanwhile
            continue
        for version in versions:
            if not ready or version["state"] == AVAILABLE:
                state, reason = STATES[version["state"]], version["status"]["error_message"]
                index.append({"name": name, "version": version["version"], "state": state, "reason": reason})
    return index
