"""Inference requests and responses of the Open Inference Protocol as JSON, with binary data behind it.

{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": ["hello"]}]}
{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": 9}}]} 5 0 0 0 h e l l o
"""

from typing import Any

from textpipe.serve.engine.errors import invalid_argument
from textpipe.serve.oip.inference import Answer, InferRequest, Parameters, RequestedOutput, refuse_extensions
from textpipe.serve.oip.tensors import InputTensor, check_count, output_datatype, to_binary, to_json_values
from textpipe.serve.tensors import to_json
from textpipe.serve.tensors.json_writer import format_value

SIZE, BINARY, ALL_BINARY = "binary_data_size", "binary_data", "binary_data_output"  # parameters
NAMES: dict[type, str] = {str: "a text", list: "a list", dict: "an object"}


def member(owner: str, value: dict[str, Any], name: str, kind: type, default: Any = None) -> Any:
    """A member of an object, which must be of a type; without a default it is required. null counts as missing."""
    item = value.get(name)
    if item is None:
        item = default
    if item is None:
        raise invalid_argument(f'{owner}: "{name}" is missing')
    if not isinstance(item, kind):
        raise invalid_argument(f'{owner}: expected {NAMES[kind]} as "{name}", found {format_value(item)}')
    return item


def objects(value: dict[str, Any], name: str, default: Any = None) -> list[dict[str, Any]]:
    """A member that is a list of objects, one for each tensor."""
    items = member("the request", value, name, list, default)
    check_count(name, len(items))
    for item in items:
        if not isinstance(item, dict):
            raise invalid_argument(f'the request: expected objects in "{name}", found {format_value(item)}')
    return items


def read_request(document: Any, data: bytes | None) -> InferRequest:
    """data: the binary data behind the JSON, None when the request has none. Raises ServingError."""
    if not isinstance(document, dict):
        raise invalid_argument(f"the request: expected an object, found {format_value(document)}")
    position = 0
    inputs = []
    for item in objects(document, "inputs"):
        name = member("an input", item, "name", str)
        owner = f"input {format_value(name)}"
        parameters = member(owner, item, "parameters", dict, {})
        refuse_extensions(owner, parameters)
        content: Any
        if SIZE in parameters:
            size = parameters[SIZE]
            if "data" in item:
                raise invalid_argument(f'{owner}: expected either "data" or {SIZE}, found both')
            if data is None:
                raise invalid_argument(f"{owner}: {SIZE} needs the header Inference-Header-Content-Length")
            if type(size) is not int or not 0 <= size <= len(data) - position:
                rest = len(data) - position
                raise invalid_argument(f"{owner}: {SIZE} is {format_value(size)} where the body has {rest} more bytes")
            content = data[position : position + size]
            position += size
        else:
            content = member(owner, item, "data", list)
        shape = member(owner, item, "shape", list)
        if set(map(type, shape)) - {int}:
            raise invalid_argument(f'{owner}: expected integers in "shape", found {format_value(shape)}')
        inputs.append(InputTensor(name, member(owner, item, "datatype", str), tuple(shape), content))
    if data is not None and position != len(data):
        raise invalid_argument(f"the body has {len(data) - position} bytes that belong to no input")
    outputs = [
        RequestedOutput(member("an output", item, "name", str), member("an output", item, "parameters", dict, {}))
        for item in objects(document, "outputs", [])
    ]
    parameters = member("the request", document, "parameters", dict, {})
    return InferRequest(member("the request", document, "id", str, ""), parameters, inputs, outputs)


def wants_binary(request: InferRequest) -> dict[str, bool]:
    """Whether each requested output is to be binary, "" for those not requested by name."""
    default = flag("the request", request.parameters, ALL_BINARY, False)
    named = {
        output.name: flag(f"output {format_value(output.name)}", output.parameters, BINARY, default)
        for output in request.outputs
    }
    return {"": default, **named}


def flag(owner: str, parameters: Parameters, name: str, default: bool) -> bool:
    value = parameters.get(name, default)
    if not isinstance(value, bool):
        raise invalid_argument(f"{owner}, parameter {name}: expected true or false, found {format_value(value)}")
    return value


def write_answer(request: InferRequest, answer: Answer, binary: dict[str, bool]) -> tuple[bytes, int | None]:
    """The body of a response, and the length of its JSON when binary data follows.

    {"model_name": "m", "model_version": "3", "outputs": [{"name": "y", "datatype": "FP32", "shape": [2], "data": [1.0,2.0]}]}
    """
    data, outputs = [], []
    for name, array in answer.outputs.items():
        is_binary = binary.get(name, binary[""])
        if is_binary:
            data.append(to_binary(array))
            content = f'"parameters":{{"{SIZE}":{len(data[-1])}}}'
        else:
            content = f'"data":{to_json_values(array)}'
        head = to_json.line({"name": name, "datatype": output_datatype(name, array), "shape": list(array.shape)})
        outputs.append(f"{head[:-1]}, {content}}}")
    version = answer.version
    about = {
        "model_name": version.name,
        "model_version": str(version.number),
        **({"id": request.id} if request.id else {}),
    }
    text = f'{to_json.line(about)[:-1]}, "outputs": [{", ".join(outputs)}]}}'.encode()
    return b"".join([text, *data]), len(text) if data else None
