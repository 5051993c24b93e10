"""NVIDIA's tritonclient against an Open Inference Protocol server; runs in an environment of its own.

    python benchmarks/peers/oip_triton.py record > tests/serving/oip_client.jsonl
    python benchmarks/peers/oip_triton.py fields > tests/serving/oip_fields.json
    python benchmarks/peers/oip_triton.py ask REST GRPC MODEL < texts.json

record: what the client sends for each datatype, transport and format, without a server; tests/test_serving_oip.py replays it.
fields: {message: {field: [number, type, repeated, message type]}} of its gRPC messages, for the same test.
ask: the answers to texts, by every transport and format, as JSON on standard output: {"http binary": {output: [...]}, ...}.
Needs pip install 'tritonclient[http,grpc]'.
"""

import base64
import importlib.metadata
import json
import queue
import sys

import ml_dtypes
import numpy as np
import tritonclient.grpc as over_grpc
import tritonclient.http as over_http
from tritonclient.grpc import service_pb2

VALUES = {
    "BOOL": np.array([[True], [False]]),
    **{f"INT{bits}": np.array([[-(2 ** (bits - 1))], [2 ** (bits - 1) - 1]], f"int{bits}") for bits in (8, 16, 32, 64)},
    **{f"UINT{bits}": np.array([[0], [2**bits - 1]], f"uint{bits}") for bits in (8, 16, 32, 64)},
    "FP16": np.array([[0.5], [-65504]], np.float16),
    "BF16": np.array([[0.5], [-3e38]], ml_dtypes.bfloat16),
    "FP32": np.array([[1 / 3], [-3e38]], np.float32),
    "FP64": np.array([[1 / 3], [-1e308]]),
    "BYTES": np.array([[b"\xff\x00"], ["h\u00e9".encode()]], object),
}
SIGNATURES = {
    "BOOL": "bool",
    "FP16": "float16",
    "BF16": "bfloat16",
    "FP32": "float32",
    "FP64": "float64",
    "BYTES": "string",
}
WITHOUT_JSON = ("FP16", "BF16", "BYTES")  # bytes that are not UTF-8


class Sent(Exception):
    """Ends a call once the client has built its request."""


def http_request(**options):
    """The path, headers and body that the client's `infer` would send."""
    client, sent = over_http.InferenceServerClient("127.0.0.1:1"), {}

    def post(request_uri, request_body, headers, query_params):
        body = request_body.encode() if isinstance(request_body, str) else request_body
        sent.update(
            path=f"/{request_uri}", headers={key: str(value) for key, value in (headers or {}).items()}, body=body
        )
        raise Sent

    client._post = post
    try:
        client.infer(**options)
    except Sent:
        return {"path": sent["path"], "headers": sent["headers"], "body_b64": base64.b64encode(sent["body"]).decode()}


def grpc_request(**options):
    """The message that the client's `infer` would send."""
    client, sent = over_grpc.InferenceServerClient("127.0.0.1:1"), []

    def infer(request, **call):
        sent.append(request.SerializeToString())
        raise Sent

    client._client_stub.ModelInfer = infer
    try:
        client.infer(**options)
    except Sent:
        return {"rpc": "ModelInfer", "message_b64": base64.b64encode(sent[0]).decode()}


def tensor(library, name, array, datatype, **options):
    item = library.InferInput(name, list(array.shape), datatype)
    item.set_data_from_numpy(array, **options)
    return item


def record():
    version = f"tritonclient {importlib.metadata.version('tritonclient')}"
    for datatype, array in VALUES.items():
        values = [value.hex() if isinstance(value, bytes) else str(value) for value in array.reshape(-1).tolist()]
        about = {"client": version, "datatype": datatype, "values": values}
        for name, sent in requests(datatype, array):
            yield {"id": f"{name} {datatype}", **about, **sent}


def requests(datatype, array):
    """(name, request) of each transport and format that can carry the datatype."""
    signature = SIGNATURES.get(datatype, datatype.lower())
    common = {"model_name": "same", "parameters": {"signature_name": signature}, "request_id": f"id {datatype}"}
    for name, is_binary in (("http binary", True), ("http json", False)):
        if is_binary or datatype not in WITHOUT_JSON:
            options = {
                "inputs": [tensor(over_http, "x", array, datatype, binary_data=is_binary)],
                "outputs": [over_http.InferRequestedOutput("y", binary_data=is_binary)],
                **common,
            }
            yield name, http_request(**options)
            if datatype == "INT32":
                for compression in ("gzip", "deflate"):
                    yield f"{name} {compression}", http_request(**options, request_compression_algorithm=compression)
    yield "http all outputs", http_request(inputs=[tensor(over_http, "x", array, datatype)], **common)
    yield "grpc", grpc_request(inputs=[tensor(over_grpc, "x", array, datatype)], model_version="1", **common)


def fields(message):
    """The fields of a message and of those inside it; those of maps are the same in every message."""
    name = message.full_name.removeprefix("inference.")
    described = {
        field.name: [
            field.number,
            field.type,
            field.is_repeated,
            field.message_type.full_name if field.message_type else None,
        ]
        for field in message.fields
    }
    yield name, described
    for inner in message.nested_types:
        yield from fields(inner)


def ask(rest, grpc, model, texts):
    """The answers by each transport and format, once the servers' health and metadata have been read."""
    answers = {}
    array = np.array([text.encode() for text in texts], object)
    for transport, library, address in (("http", over_http, rest), ("grpc", over_grpc, grpc)):
        client = library.InferenceServerClient(address)
        assert client.is_server_live() and client.is_server_ready() and client.is_model_ready(model)
        about = client.get_model_metadata(model, **({"as_json": True} if transport == "grpc" else {}))
        (text,) = about["inputs"]
        assert text["datatype"] == "BYTES" and [int(size) for size in text["shape"]] == [-1], text
        assert client.get_server_metadata(**({"as_json": True} if transport == "grpc" else {}))["name"] == "textpipe"
        for name, options in (("binary", {}), ("json", {"binary_data": False})):
            if transport == "grpc" and options:
                continue
            inputs = [tensor(library, text["name"], array, "BYTES", **options)]
            outputs = [library.InferRequestedOutput(output["name"], **options) for output in about["outputs"]]
            result = client.infer(model, inputs, outputs=outputs)
            answers[f"{transport} {name}"] = {
                output["name"]: [as_text(value) for value in result.as_numpy(output["name"]).reshape(-1).tolist()]
                for output in about["outputs"]
            }
        if transport == "grpc":
            answers["grpc stream"] = ask_stream(client, model, text["name"], array, about["outputs"])
        for bad in ("no such model", model):
            try:
                client.infer(bad, [tensor(library, "no such input", array, "BYTES")])
            except (over_http.InferenceServerException, over_grpc.InferenceServerException) as error:
                answers.setdefault(f"{transport} errors", []).append([error.status(), error.message()])
        client.close()
    return answers


def ask_stream(client, model, name, array, outputs, rows=8):
    """The answers to requests of `rows` texts each in one stream; ids and errors as the client reports them."""
    received = queue.SimpleQueue()
    client.start_stream(lambda result, error: received.put((result, error)))
    ends = range(0, len(array), rows)
    for start in ends:
        inputs = [tensor(over_grpc, name, array[start : start + rows], "BYTES")]
        client.async_stream_infer(model, inputs, request_id=str(start))
    client.async_stream_infer("no such model", inputs, request_id="bad")
    answers = {output["name"]: [] for output in outputs}
    for start in ends:
        result, error = received.get(timeout=60)
        assert error is None and result.get_response().id == str(start), error
        for key, values in answers.items():
            values += [as_text(value) for value in result.as_numpy(key).reshape(-1).tolist()]
    result, error = received.get(timeout=60)
    assert isinstance(error, over_grpc.InferenceServerException) and "no such model" in error.message(), error
    client.stop_stream()
    return answers


def as_text(value):
    return value.decode() if isinstance(value, bytes) else value


if __name__ == "__main__":
    if sys.argv[1] == "record":
        for request in record():
            print(json.dumps(request))
    elif sys.argv[1] == "fields":
        messages = service_pb2.DESCRIPTOR.message_types_by_name
        groups = (
            "ServerLive",
            "ServerReady",
            "ServerMetadata",
            "ModelReady",
            "ModelMetadata",
            "ModelInfer",
            "ModelStreamInfer",
            "RepositoryIndex",
            "Infer",
        )
        used = [name for name in messages if name.startswith(groups) and not name.endswith("Statistics")]
        print(json.dumps(dict(pair for name in used for pair in fields(messages[name])), indent=1))
    else:
        json.dump(ask(*sys.argv[2:], json.load(sys.stdin)), sys.stdout)
