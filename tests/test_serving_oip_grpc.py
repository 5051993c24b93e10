"""The Open Inference Protocol over gRPC, and its answers compared with those of TensorFlow Serving's API on the same server."""

import base64
import json
import random
import shutil
from concurrent.futures import ThreadPoolExecutor

import grpc
import numpy as np
import oip_cases
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from oip_cases import TYPES, outputs, signature
from serving_server import running

from textpipe.serve.access import TokenAuth
from textpipe.serve.oip import messages
from textpipe.serve.oip.messages import message

WAIT = 30
FIELDS = json.loads((oip_cases.HERE / "oip_fields.json").read_text(encoding="utf-8"))
CONTENTS = {
    "BOOL": "bool_contents", "INT8": "int_contents", "INT16": "int_contents", "INT32": "int_contents", "INT64": "int64_contents",
    "UINT8": "uint_contents", "UINT16": "uint_contents", "UINT32": "uint_contents", "UINT64": "uint64_contents",
    "FP32": "fp32_contents", "FP64": "fp64_contents", "BYTES": "bytes_contents",
}  # fmt: skip


@pytest.fixture(scope="module")
def server(tmp_path_factory, classifier, generator):
    root = tmp_path_factory.mktemp("oip")
    oip_cases.save_same(root / "same" / "1")
    shutil.copytree(classifier["export"] / "model", root / "mail" / "1")
    shutil.copytree(generator["export"] / "model", root / "phrases" / "3")
    with running(root, labels={"phrases": {"stable": 3}}) as server:
        yield server


@pytest.fixture(scope="module")
def call(server):
    """call(rpc, request): the response; a request is a message or its bytes."""
    with grpc.insecure_channel(server.grpc) as channel:
        yield lambda rpc, request, **options: unary(channel, rpc, request, **options)


def unary(channel, rpc, request, *, timeout=WAIT, metadata=()):
    stub = channel.unary_unary(
        f"/inference.GRPCInferenceService/{rpc}",
        lambda request: request if isinstance(request, bytes) else request.SerializeToString(),
        message(f"{rpc}Response").FromString,
    )
    return stub(request, timeout=timeout, metadata=metadata)


def error_of(call, rpc, request, **options):
    """(code, message) of a call that fails."""
    with pytest.raises(grpc.RpcError) as error:
        call(rpc, request, **options)
    return error.value.code(), error.value.details()


def request(inputs, *, raw=False, model="same", outputs=(), **parameters):
    """A ModelInferRequest; inputs: {name: (array, datatype)}."""
    built = message("ModelInferRequest")(model_name=model)
    for name, (array, datatype) in inputs.items():
        tensor = built.inputs.add(name=name, datatype=datatype, shape=array.shape)
        if raw:
            built.raw_input_contents.append(oip_cases.binary(array))
        else:
            getattr(tensor.contents, CONTENTS[datatype]).extend(array.reshape(-1).tolist())
    for name in outputs:
        built.outputs.add(name=name)
    for name, value in parameters.items():
        kind = {str: "string_param", int: "int64_param"}[type(value)]
        setattr(built.parameters[name], kind, value)
    return built


def texts(values, name="text"):
    return {name: (oip_cases.text_array(values), "BYTES")}


def arrays(response):
    """{output: array} of a response."""
    found = {}
    for index, output in enumerate(response.outputs):
        if response.raw_output_contents:
            assert not output.contents.ListFields()
            found[output.name] = oip_cases.from_binary(
                response.raw_output_contents[index], output.datatype, output.shape
            )
        else:
            values = list(getattr(output.contents, CONTENTS[output.datatype]))
            array = np.empty(len(values), TYPES[output.datatype])
            array[:] = values
            found[output.name] = array.reshape(output.shape)
    return found


def fields_of(descriptor):
    """{field: [number, type, repeated, message type]} of a message."""
    return {
        field.name: [
            field.number, field.type, field.is_repeated, field.message_type.full_name if field.message_type else None,
        ]
        for field in descriptor.fields
    }  # fmt: skip


def test_messages_have_the_fields_of_the_protocol():
    for name, fields in FIELDS.items():
        descriptor = messages.POOL.FindMessageTypeByName(f"inference.{name}")
        assert fields_of(descriptor) == fields, name
    choice = messages.POOL.FindMessageTypeByName("inference.InferParameter").oneofs[0]
    assert {field.name for field in choice.fields} == set(FIELDS["InferParameter"])
    assert set(messages.MESSAGES) <= set(FIELDS)


@pytest.mark.parametrize("case", [case for case in oip_cases.CASES if "rpc" in case], ids=lambda case: case["id"])
def test_a_stock_clients_messages_are_answered(call, case):
    response = call(case["rpc"], base64.b64decode(case["message_b64"]))
    assert (response.model_name, response.model_version, response.id) == ("same", "1", f"id {case['datatype']}")
    (output,) = response.outputs
    expected = oip_cases.recorded(case)
    assert output.datatype == case["datatype"] and list(output.shape) == list(expected.shape)
    assert response.raw_output_contents[0] == oip_cases.binary(expected)


@pytest.mark.parametrize("datatype", TYPES)
def test_random_tensors_round_trip(call, datatype):
    draw = random.Random(datatype)
    for shape in ((), (1,), (3,), (0,), (2, 0), (2, 3), (3, 1, 2)):
        array = oip_cases.draw_array(draw, datatype, shape)
        for raw in (True, False) if datatype in CONTENTS else (True,):
            sent = request({"x": (array, datatype)}, raw=raw, signature_name=signature(datatype))
            response = call("ModelInfer", sent)
            answer = arrays(response)["y"]
            assert bool(response.raw_output_contents) == raw
            assert answer.dtype == array.dtype and answer.shape == array.shape and answer.tolist() == array.tolist()


def test_several_inputs_and_requested_outputs_keep_their_order(call):
    inputs = {"b": (np.float32([[10], [20]]), "FP32"), "a": (np.float32([1, 2]), "FP32")}
    for raw in (True, False):
        response = call("ModelInfer", request(inputs, raw=raw, outputs=["sum", "first"], signature_name="two"))
        assert [output.name for output in response.outputs] == ["sum", "first"]
        assert [value.tolist() for value in arrays(response).values()] == [[11, 22], [1, 2]]


def changed(change, **options):
    built = request({"x": (np.int32([1, 2]), "INT32")}, signature_name="int32", **options)
    change(built)
    return built


@pytest.mark.parametrize(
    ("change", "raw", "found"),
    [
        (lambda built: built.raw_input_contents.append(b""), True, "2 raw_input_contents for 1 inputs"),
        (
            lambda built: built.inputs[0].contents.int_contents.append(1),
            True,
            'input "x": expected either contents or raw',
        ),
        (
            lambda built: built.inputs[0].contents.int64_contents.append(1),
            False,
            "the values of INT32 in int_contents, found int64",
        ),
        (lambda built: built.inputs[0].contents.int_contents.append(1), False, "3 values where its shape [2] has 2"),
        (lambda built: built.inputs[0].shape.append(2**62), False, 'input "x":'),
        (lambda built: built.inputs[0].shape.extend([-1]), False, "expected sizes from 0"),
        (
            lambda built: setattr(built.inputs[0], "datatype", "FP16"),
            False,
            'expected raw_input_contents for datatype "FP16"',
        ),
        (
            lambda built: setattr(built.inputs[0], "datatype", "INT16"),
            False,
            "datatype INT16 where the model takes INT32",
        ),
        (lambda built: built.inputs.add(name="x"), False, "expected raw_input_contents for datatype"),
        (
            lambda built: setattr(built.inputs[0], "name", "y"),
            False,
            'input "y": the model has no such input; it takes x',
        ),
        (lambda built: built.outputs.add(name="z"), False, 'output "z": the model has no such output; it gives y'),
        (lambda built: setattr(built, "model_name", ""), False, "the request names no model"),
        (lambda built: setattr(built, "model_version", "9" * 30), False, "expected a number up to"),
        (lambda built: setattr(built, "model_version", "x"), False, "Unrecognized servable version label: x"),
        (lambda built: [built.inputs.add() for _ in range(1024)], False, "inputs: 1025 tensors"),
        (
            lambda built: built.parameters["timeout"].CopyFrom(message("InferParameter")(string_param="1")),
            False,
            "timeout",
        ),
    ],
)
def test_a_wrong_message_is_refused_with_its_place(call, change, raw, found):
    code, details = error_of(call, "ModelInfer", changed(change, raw=raw))
    assert code == grpc.StatusCode.INVALID_ARGUMENT and found in details


def test_small_integers_must_fit_their_type(call):
    for datatype, value, limits in (("INT8", 200, "-128 to 127"), ("UINT16", 70_000, "0 to 65535")):
        built = request({"x": (np.array([value], object), datatype)}, signature_name=signature(datatype))
        assert f"values from {limits}, found {value}" in error_of(call, "ModelInfer", built)[1]


def test_what_is_not_there_or_not_supported_has_its_own_code(call):
    codes = grpc.StatusCode
    assert error_of(call, "ModelInfer", request(texts(["a"]), model="none"))[0] == codes.NOT_FOUND
    assert error_of(call, "ModelMetadata", message("ModelMetadataRequest")(name="none"))[0] == codes.NOT_FOUND
    assert error_of(call, "ModelReady", message("ModelReadyRequest")(name="none"))[0] == codes.NOT_FOUND
    built = request(texts(["a"]))
    built.outputs.add(name="upper").parameters["classification"].int64_param = 2
    assert error_of(call, "ModelInfer", built)[0] == codes.UNIMPLEMENTED
    assert error_of(call, "ModelInfer", b"\xff\xff")[0] == codes.INVALID_ARGUMENT
    assert error_of(call, "ModelInfer", request(texts(["a"])), timeout=1e-6)[0] == codes.DEADLINE_EXCEEDED
    assert error_of(call, "ModelInfer", request(texts(["a"] * 1025)))[0] == codes.INVALID_ARGUMENT


def test_server_and_models_describe_themselves(server, call):
    assert call("ServerLive", b"").live and call("ServerReady", b"").ready
    assert call("ModelReady", message("ModelReadyRequest")(name="phrases", version="stable")).ready
    for name in ("mail", "phrases", "same"):
        described = call("ModelMetadata", message("ModelMetadataRequest")(name=name))
        by_rest = json.loads(server.ask("GET", f"/v2/models/{name}")[2])
        tensors = {
            key: [
                {"name": one.name, "datatype": one.datatype, "shape": list(one.shape)}
                for one in getattr(described, key)
            ]
            for key in ("inputs", "outputs")
        }
        assert by_rest == {
            "name": described.name, "versions": list(described.versions), "platform": described.platform, **tensors,
        }  # fmt: skip
    assert by_rest["platform"] == "tensorflow_savedmodel"
    about = json.loads(server.ask("GET", "/v2")[2])
    metadata = call("ServerMetadata", b"")
    assert (metadata.name, metadata.version, list(metadata.extensions)) == tuple(about.values())
    index = call("RepositoryIndex", message("RepositoryIndexRequest")(ready=True)).models
    assert [(one.name, one.version, one.state) for one in index] == [
        ("mail", "1", "READY"), ("phrases", "3", "READY"), ("same", "1", "READY"),
    ]  # fmt: skip
    with grpc.insecure_channel(server.grpc) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        answer = health.Check(health_pb2.HealthCheckRequest(service=messages.SERVICE), timeout=WAIT)
    assert answer.status == health_pb2.HealthCheckResponse.SERVING


def test_a_token_is_needed_except_for_health(tmp_path):
    oip_cases.save_same(tmp_path / "same" / "1")
    with running(tmp_path, auth=TokenAuth(["secret"])) as server, grpc.insecure_channel(server.grpc) as channel:

        def call(rpc, request, **options):
            return unary(channel, rpc, request, **options)

        assert call("ServerLive", b"").live and call("ServerReady", b"").ready
        for rpc in ("ServerMetadata", "ModelReady", "ModelMetadata", "ModelInfer", "RepositoryIndex"):
            assert error_of(call, rpc, b"")[0] == grpc.StatusCode.UNAUTHENTICATED
        token = (("authorization", "Bearer secret"),)
        assert arrays(call("ModelInfer", request(texts(["a"])), metadata=token))["upper"].tolist() == [b"A"]


# The same answers as TensorFlow Serving's API


def rows_of(tensors):
    """{output: array} as the rows of :predict."""
    columns = {name: json.loads(json.dumps(array.tolist(), default=bytes.decode)) for name, array in tensors.items()}
    count = len(next(iter(columns.values())))
    return [{name: column[row] for name, column in columns.items()} for row in range(count)]


def rounded(rows):
    """Numbers as float32, which JSON writes with as few digits as it needs."""
    return json.loads(json.dumps(rows), parse_float=lambda text: float(np.float32(text)))


MAILS = ["could you send the report 3", "thank you for the plan", "", "\u00fcber \U0001f600"]
PHRASES = ["the house 3 is red", "the old dog", "a", "the cat 7 is green"]
WAYS = [
    ("mail", "text", MAILS, None, {}),
    ("phrases", "source", PHRASES, None, {}),
    ("phrases", "source", PHRASES, "nbest", {}),
    ("phrases", "source", PHRASES, "options", {"beam_size": 2, "max_length": 4}),
]


@pytest.mark.parametrize(
    ("model", "field", "values", "name", "options"), WAYS, ids=lambda value: value if isinstance(value, str) else ""
)
def test_answers_equal_those_of_tensorflow_servings_api(server, call, model, field, values, name, options):
    signature_name = {"signature_name": name} if name else {}
    body = {"inputs": {field: values, **options}, **signature_name}
    status, _, content = server.ask("POST", f"/v1/models/{model}:predict", body)
    assert status == 200, content
    expected = json.loads(content)["outputs"]
    inputs = {**texts(values, field), **{key: (np.array(value, np.int32), "INT32") for key, value in options.items()}}
    for raw in (False, True):
        found = arrays(call("ModelInfer", request(inputs, model=model, raw=raw, **signature_name)))
        assert rounded({key: rows_of({key: array}) for key, array in found.items()}) == rounded(
            {key: [{key: row} for row in rows] for key, rows in expected.items()}
        )
    for layout in ("flat", "binary"):
        sent = [oip_cases.tensor(key, array, datatype, layout) for key, (array, datatype) in inputs.items()]
        content, headers = oip_cases.body(sent, parameters={**signature_name, "binary_data_output": layout == "binary"})
        status, headers, answer = server.ask("POST", f"/v2/models/{model}/infer", content, headers)
        assert status == 200, answer
        _, found = outputs({key.lower(): value for key, value in headers.items()}, answer)
        assert rounded({key: rows_of({key: array}) for key, array in found.items()}) == rounded(
            {key: [{key: row} for row in rows] for key, rows in expected.items()}
        )


def test_concurrent_requests_of_both_protocols_share_batches_and_keep_their_rows(server, call):
    alone = {text: server.predict("mail", instances=[text])["predictions"][0] for text in MAILS}

    def ask(number):
        text = MAILS[number % len(MAILS)]
        if number % 3 == 0:
            (row,) = server.predict("mail", instances=[text])["predictions"]
        elif number % 3 == 1:
            (row,) = rows_of(arrays(call("ModelInfer", request(texts([text]), model="mail"))))
        else:
            item = {"name": "text", "shape": [1, 1], "datatype": "BYTES", "data": [text]}
            status, headers, content = server.ask("POST", "/v2/models/mail/infer", {"inputs": [item]})
            assert status == 200, content
            (row,) = rows_of(outputs(headers, content)[1])
        return text, row

    with ThreadPoolExecutor(16) as pool:
        for text, row in pool.map(ask, range(96)):
            assert row["answer"] == alone[text]["answer"]
            assert row["score"] == pytest.approx(alone[text]["score"], rel=1e-4)
