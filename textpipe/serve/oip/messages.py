"""The messages of inference.GRPCInferenceService, from a table of their fields.

The numbers are those of the Open Inference Protocol's open_inference_grpc.proto; RepositoryIndex and ModelStreamInfer are
extensions of Triton. A pool of their own keeps the messages apart from those of a client library in the same process, whose names are the same.
"""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

PACKAGE, SERVICE = "inference", "inference.GRPCInferenceService"
FIELD = descriptor_pb2.FieldDescriptorProto
TYPES = {
    "bool": FIELD.TYPE_BOOL, "int32": FIELD.TYPE_INT32, "int64": FIELD.TYPE_INT64, "uint32": FIELD.TYPE_UINT32,
    "uint64": FIELD.TYPE_UINT64, "float": FIELD.TYPE_FLOAT, "double": FIELD.TYPE_DOUBLE, "string": FIELD.TYPE_STRING,
    "bytes": FIELD.TYPE_BYTES,
}  # fmt: skip

# {message: {field: (number, type)}}. Types: a scalar, "*" and the type of repeated values, or another message. "?" precedes
# those of which only one is set; "parameters" are map<string, InferParameter>.
TENSOR = {"name": (1, "string"), "datatype": (2, "string"), "shape": (3, "*int64")}
PARAMETERS = "parameters"
MODEL_VERSION = {"name": (1, "string"), "version": (2, "string")}
MESSAGES: dict[str, dict[str, tuple[int, str]]] = {
    "ServerLiveRequest": {},
    "ServerLiveResponse": {"live": (1, "bool")},
    "ServerReadyRequest": {},
    "ServerReadyResponse": {"ready": (1, "bool")},
    "ModelReadyRequest": MODEL_VERSION,
    "ModelReadyResponse": {"ready": (1, "bool")},
    "ServerMetadataRequest": {},
    "ServerMetadataResponse": {"name": (1, "string"), "version": (2, "string"), "extensions": (3, "*string")},
    "ModelMetadataRequest": MODEL_VERSION,
    "ModelMetadataResponse.TensorMetadata": TENSOR,
    "ModelMetadataResponse": {
        "name": (1, "string"),
        "versions": (2, "*string"),
        "platform": (3, "string"),
        "inputs": (4, "*ModelMetadataResponse.TensorMetadata"),
        "outputs": (5, "*ModelMetadataResponse.TensorMetadata"),
    },
    "InferParameter": {
        "bool_param": (1, "?bool"),
        "int64_param": (2, "?int64"),
        "string_param": (3, "?string"),
        "double_param": (4, "?double"),
        "uint64_param": (5, "?uint64"),
    },
    "InferTensorContents": {
        "bool_contents": (1, "*bool"),
        "int_contents": (2, "*int32"),
        "int64_contents": (3, "*int64"),
        "uint_contents": (4, "*uint32"),
        "uint64_contents": (5, "*uint64"),
        "fp32_contents": (6, "*float"),
        "fp64_contents": (7, "*double"),
        "bytes_contents": (8, "*bytes"),
    },
    "ModelInferRequest.InferInputTensor": {**TENSOR, "parameters": (4, PARAMETERS), "contents": (5, "InferTensorContents")},
    "ModelInferRequest.InferRequestedOutputTensor": {"name": (1, "string"), "parameters": (2, PARAMETERS)},
    "ModelInferRequest": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, PARAMETERS),
        "inputs": (5, "*ModelInferRequest.InferInputTensor"),
        "outputs": (6, "*ModelInferRequest.InferRequestedOutputTensor"),
        "raw_input_contents": (7, "*bytes"),
    },
    "ModelInferResponse.InferOutputTensor": {**TENSOR, "parameters": (4, PARAMETERS), "contents": (5, "InferTensorContents")},
    "ModelInferResponse": {
        "model_name": (1, "string"),
        "model_version": (2, "string"),
        "id": (3, "string"),
        "parameters": (4, PARAMETERS),
        "outputs": (5, "*ModelInferResponse.InferOutputTensor"),
        "raw_output_contents": (6, "*bytes"),
    },
    "ModelStreamInferResponse": {"error_message": (1, "string"), "infer_response": (2, "ModelInferResponse")},
    "RepositoryIndexRequest": {"repository_name": (1, "string"), "ready": (2, "bool")},
    "RepositoryIndexResponse.ModelIndex": {
        "name": (1, "string"),
        "version": (2, "string"),
        "state": (3, "string"),
        "reason": (4, "string"),
    },
    "RepositoryIndexResponse": {"models": (1, "*RepositoryIndexResponse.ModelIndex")},
}  # fmt: skip


def build_pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="textpipe/open_inference.proto", package=PACKAGE, syntax="proto3")
    for name, fields in sorted(
        MESSAGES.items(), key=lambda item: item[0].count(".")
    ):  # a message before those inside it
        outer, _, inner = name.rpartition(".")
        parent = next((message for message in file.message_type if message.name == outer), None)
        message = parent.nested_type.add(name=inner) if parent else file.message_type.add(name=name)
        if any(kind.startswith("?") for _, kind in fields.values()):
            message.oneof_decl.add(name="choice")
        for field_name, (number, kind) in fields.items():
            add_field(message, name, field_name, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def add_field(message: Any, full_name: str, name: str, number: int, kind: str) -> None:
    """full_name: of the message."""
    if kind == PARAMETERS:
        entry = message.nested_type.add(name="ParametersEntry")
        entry.options.map_entry = True
        add_field(entry, f"{full_name}.ParametersEntry", "key", 1, "string")
        add_field(entry, f"{full_name}.ParametersEntry", "value", 2, "InferParameter")
        kind = f"*{full_name}.ParametersEntry"
    label = FIELD.LABEL_REPEATED if kind.startswith("*") else FIELD.LABEL_OPTIONAL
    field = message.field.add(name=name, number=number, label=label)
    if kind.startswith("?"):
        field.oneof_index = 0
    scalar = kind.lstrip("*?")
    if scalar in TYPES:
        field.type = TYPES[scalar]
    else:
        field.type, field.type_name = FIELD.TYPE_MESSAGE, f".{PACKAGE}.{scalar}"


POOL = build_pool()


def message(name: str) -> Any:
    """A message's class: "ModelInferRequest"."""
    return message_factory.GetMessageClass(POOL.FindMessageTypeByName(f"{PACKAGE}.{name}"))
