"""The Open Inference Protocol over REST, in process: a stock client's recorded requests, formats, shapes, errors and limits."""

import asyncio
import gzip
import json
import random
import zlib
from dataclasses import replace

import numpy as np
import oip_cases
import pytest
import serving_cases
from oip_cases import TYPES, body, outputs, signature, tensor
from test_serving_protocol import ask

from textpipe.serve.access import TokenAuth
from textpipe.serve.engine.batch_queue import BatchScheduler, QueueLimits
from textpipe.serve.engine.metrics import Metrics
from textpipe.serve.engine.model_state import VersionPolicy
from textpipe.serve.engine.repository import Repository
from textpipe.serve.engine.service import Service
from textpipe.serve.rest.app import App
from textpipe.version import __version__

SAME = "/v2/models/same/infer"
TEXT = {"name": "text", "shape": [1], "datatype": "BYTES", "data": ["a"]}


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    root = tmp_path_factory.mktemp("oip")
    oip_cases.save_same(root / "same" / "1")
    for version, signatures in serving_cases.MODELS["models"]["echo"]["versions"].items():
        serving_cases.save(root / "echo" / version, signatures)
    (root / "damaged" / "1").mkdir(parents=True)
    (root / "damaged" / "1" / "saved_model.pb").write_bytes(b"not a graph")
    repository = Repository(root, policy=VersionPolicy("all"), labels={"echo": {"stable": 1}})
    repository.refresh()
    return Service(repository, BatchScheduler(QueueLimits(workers=1)))


@pytest.fixture(scope="module")
def application(service):
    return App(service, TokenAuth(), Metrics())


def infer(application, content, headers=(), path=SAME):
    """(status, document, {output: array}) of a request."""
    if isinstance(content, dict):
        content = json.dumps(content).encode()
    status, answer_headers, answer = asyncio.run(ask(application, "POST", path, content, headers))
    return (status, *outputs(answer_headers, answer)) if status == 200 else (status, json.loads(answer), {})


def error_of(application, content, headers=()):
    status, document, _ = infer(application, content, headers)
    assert status == 400 and document.keys() == {"error"}, document
    return document["error"]


def get(application, path, method="GET", content=b""):
    status, _, answer = asyncio.run(ask(application, method, path, content))
    return status, json.loads(answer)


def same(actual, expected):
    """Equal in type, shape and bits; texts in bytes."""
    return actual.dtype == expected.dtype and actual.shape == expected.shape and actual.tolist() == expected.tolist()


# A stock client


@pytest.mark.parametrize("case", [case for case in oip_cases.CASES if "path" in case], ids=lambda case: case["id"])
def test_a_stock_clients_requests_are_answered(application, case):
    status, document, arrays = infer(application, oip_cases.recorded_body(case), case["headers"], case["path"])
    assert status == 200, document
    assert document["id"] == f"id {case['datatype']}"
    assert (document["model_name"], document["model_version"]) == ("same", "1")
    assert same(arrays["y"], oip_cases.recorded(case))
    (output,) = document["outputs"]
    assert ("data" in output) == ("json" in case["id"]) and output["datatype"] == case["datatype"]


# Formats


@pytest.mark.parametrize("datatype", TYPES)
def test_random_tensors_round_trip_in_every_format(application, datatype):
    draw = random.Random(datatype)
    for shape in ((), (1,), (3,), (0,), (2, 0), (2, 3), (3, 1, 2)):
        array = oip_cases.draw_array(draw, datatype, shape)
        for layout in ("flat", "nested", "binary"):
            for binary_output in (False, True):
                parameters = {"signature_name": signature(datatype), "binary_data_output": binary_output}
                request = body([tensor("x", array, datatype, layout)], parameters=parameters)
                status, document, arrays = infer(application, *request)
                assert status == 200, (shape, layout, document)
                assert same(arrays["y"], array), (shape, layout, binary_output)


def test_several_inputs_in_different_formats_keep_their_order(application):
    a, b = np.float32([1, 2]), np.float32([[10], [20]])
    for first, second in (("binary", "flat"), ("flat", "binary"), ("binary", "binary"), ("nested", "nested")):
        inputs = [tensor("b", b, "FP32", first), tensor("a", a, "FP32", second)]
        requested = [{"name": "first", "parameters": {"binary_data": True}}, {"name": "sum"}]
        request = body(inputs, outputs=requested, parameters={"signature_name": "two"})
        status, document, arrays = infer(application, *request)
        assert status == 200, document
        assert [output["name"] for output in document["outputs"]] == ["first", "sum"]
        assert "data" not in document["outputs"][0] and document["outputs"][1]["data"] == [11.0, 22.0]
        assert arrays["first"].tolist() == [1.0, 2.0] and arrays["sum"].tolist() == [11.0, 22.0]


def test_an_outputs_own_format_overrides_that_of_the_request(application):
    requested = [{"name": "upper", "parameters": {"binary_data": False}}, {"name": "length"}]
    request = {"inputs": [TEXT], "outputs": requested, "parameters": {"binary_data_output": True}}
    _, document, arrays = infer(application, request)
    assert document["outputs"][0]["data"] == ["A"] and document["outputs"][1]["parameters"] == {"binary_data_size": 4}
    assert arrays["length"].tolist() == [1]


def test_outputs_are_all_returned_unless_requested_by_name(application):
    for members, names in (
        ({}, {"upper", "length"}),
        ({"outputs": []}, {"upper", "length"}),
        ({"outputs": [{"name": "upper"}]}, {"upper"}),
    ):
        _, document, arrays = infer(application, {"inputs": [TEXT], **members})
        assert set(arrays) == names and "id" not in document


def test_optional_members_may_be_null(application):
    request = {"inputs": [TEXT | {"parameters": None}], "outputs": None, "parameters": None, "id": None}
    _, document, arrays = infer(application, request)
    assert set(arrays) == {"upper", "length"} and "id" not in document


def test_texts_that_are_not_utf8_are_replaced_in_json_and_kept_in_binary_data(application):
    array = np.empty(1, object)
    array[0] = b"\xff\x00"
    for binary_output, expected in ((False, "\ufffd\0".encode()), (True, b"\xff\0")):
        parameters = {"signature_name": "string", "binary_data_output": binary_output}
        _, _, arrays = infer(application, *body([tensor("x", array, "BYTES", "binary")], parameters=parameters))
        assert arrays["y"].tolist() == [expected]


def test_numbers_that_are_not_finite_are_read_and_written(application):
    content = (
        b'{"parameters": {"signature_name": "float32"}, '
        b'"inputs": [{"name": "x", "shape": [4], "datatype": "FP32", "data": [NaN, Infinity, -Infinity, 1e300]}]}'
    )
    _, _, arrays = infer(application, content)
    assert np.array_equal(arrays["y"], np.float32([np.nan, np.inf, -np.inf, np.inf]), equal_nan=True)


# Shapes


@pytest.mark.parametrize(
    ("name", "sent", "expected"),
    [
        ("text", [2], [2]),
        ("text", [2, 1], [2]),
        ("b", [2], [2, 1]),
        ("b", [2, 1], [2, 1]),
        ("by", [], []),
        ("by", [1], []),
    ],
)
def test_a_last_axis_of_size_1_may_be_missing_or_added(application, name, sent, expected):
    values = {"text": np.array([b"a", b"b"], object), "b": np.float32([3, 4]), "by": np.float32([3])}[name]
    item = tensor(name, values.reshape(sent), "BYTES" if name == "text" else "FP32")
    a, x = tensor("a", np.float32([1, 2]), "FP32"), tensor("x", np.float32([[1, 2]]), "FP32")
    inputs, key, output = {
        "text": ([item], "serving_default", ("length", [1, 1])),
        "b": ([a, item], "two", ("sum", [4, 6])),
        "by": ([x, item], "scaled", ("y", [[3, 6]])),
    }[name]
    status, document, arrays = infer(application, *body(inputs, parameters={"signature_name": key}))
    assert status == 200, document
    assert arrays[output[0]].tolist() == output[1]


@pytest.mark.parametrize("shape", [[1, 2], [1, 1, 1]])
def test_other_shapes_than_the_models_are_refused(application, shape):
    message = error_of(application, {"inputs": [TEXT | {"shape": shape, "data": ["a"] * max(shape)}]})
    assert message == f'input "text": shape {shape} where the model takes [-1]'


# Errors


def numbers(**members):
    """A request to the signature int32."""
    item = {"name": "x", "shape": [2], "datatype": "INT32", "data": [1, 2]} | members
    item = {name: value for name, value in item.items() if value is not ...}
    return {"inputs": [item], "parameters": {"signature_name": "int32"}}


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ([], 'the request: expected an object, found []'),
        ({}, 'the request: "inputs" is missing'),
        ({"inputs": {}}, 'the request: expected a list as "inputs", found {}'),
        ({"inputs": [1]}, 'the request: expected objects in "inputs", found 1'),
        ({"inputs": [TEXT] * 1025}, "inputs: 1025 tensors where this server takes 1024"),
        ({"inputs": [TEXT], "outputs": [{"name": "upper"}] * 1025}, "outputs: 1025 tensors where this server takes 1024"),
        ({"inputs": [{}]}, 'an input: "name" is missing'),
        ({"inputs": [TEXT], "id": 7}, 'the request: expected a text as "id", found 7'),
        ({"inputs": [TEXT], "parameters": [1]}, 'the request: expected an object as "parameters", found [1]'),
        ({"inputs": [TEXT], "outputs": ["upper"]}, 'the request: expected objects in "outputs", found "upper"'),
        ({"inputs": [TEXT], "outputs": [{"name": "u"}]}, 'output "u": the model has no such output; it gives length, upper'),
        ({"inputs": [TEXT], "outputs": [{"name": "upper"}] * 2}, 'output "upper" is requested twice'),
        ({"inputs": [TEXT | {"name": "t"}]}, 'input "t": the model has no such input; it takes text'),
        ({"inputs": [TEXT, TEXT]}, 'input "text" is given twice'),
        ({"inputs": []}, "Missing but required: {text}"),
        ({"inputs": [TEXT], "parameters": {"signature_name": "no"}}, 'Serving signature name: "no" not found'),
        ({"inputs": [TEXT], "parameters": {"signature_name": 1}}, "parameter signature_name: expected a text, found 1"),
        ({"inputs": [TEXT], "parameters": {"timeout": "1"}}, 'parameter timeout: expected microseconds, found "1"'),
        ({"inputs": [TEXT], "parameters": {"binary_data_output": 1}}, "binary_data_output: expected true or false, found 1"),
        (numbers(datatype="INT64"), 'input "x": datatype INT64 where the model takes INT32'),
        (numbers(datatype=...), 'input "x": "datatype" is missing'),
        (numbers(data=...), 'input "x": "data" is missing'),
        (numbers(shape=...), 'input "x": "shape" is missing'),
        (numbers(shape=[2.0]), 'input "x": expected integers in "shape", found [2.0]'),
        (numbers(shape=[True]), 'input "x": expected integers in "shape", found [true]'),
        (numbers(shape=[-1]), 'input "x": expected sizes from 0 in its shape, found [-1]'),
        (numbers(shape=[2**40, 2**40]), 'input "x": expected sizes from 0 in its shape'),
        (numbers(shape=[1] * 33), 'input "x": 33 axes where this server takes 32'),
        (numbers(shape=[3]), 'input "x": 2 values where its shape [3] has 3'),
        (numbers(shape=[2, 1], data=[[1], 2]), 'input "x": its data is nested differently from its shape [2, 1]'),
        (numbers(shape=[2, 2], data=[[1, 2], [3]]), 'input "x": its data is nested differently from its shape [2, 2]'),
        (numbers(shape=[1, 2], data=[[[1], [2]]]), 'input "x": expected integers for INT32, found [1]'),
        (numbers(data=[1, "2"]), 'input "x": expected integers for INT32, found "2"'),
        (numbers(data=[1, 2.0]), 'input "x": expected integers for INT32, found 2.0'),
        (numbers(data=[1, True]), 'input "x": expected integers for INT32, found true'),
        (numbers(data=[1, None]), 'input "x": expected integers for INT32, found null'),
        (numbers(data=[1, 2**31]), 'input "x": INT32 has values from -2147483648 to 2147483647, found 2147483648'),
        (numbers(data={}), 'input "x": expected a list as "data", found {}'),
        ({"inputs": [TEXT | {"data": [1]}]}, 'input "text": expected texts for BYTES, found 1'),
        ({"inputs": [TEXT | {"data": [{"b64": "aGk="}]}]}, 'input "text": expected texts for BYTES'),
        ({"inputs": [TEXT | {"parameters": {"binary_data_size": 5}}]}, 'expected either "data" or binary_data_size, found both'),
        (numbers(data=..., parameters={"binary_data_size": 8}), "binary_data_size needs the header Inference-Header-Content-Length"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)  # fmt: skip
def test_a_wrong_request_is_refused_with_its_place(application, request_, message):
    assert message in error_of(application, json.dumps(request_).encode())


@pytest.mark.parametrize(
    ("data", "size", "length", "message"),
    [
        (b"\1\0\0\0a", 5, None, None),
        (b"\1\0\0\0", 4, None, 'input "text": 4 bytes of data are not 1 texts'),
        (b"\2\0\0\0a", 5, None, 'input "text": 5 bytes of data are not 1 texts'),
        (b"\0\0\0\0\0", 5, None, 'input "text": 5 bytes of data are not 1 texts'),
        (b"\1\0\0\0ab", 5, None, "the body has 1 bytes that belong to no input"),
        (b"\1\0\0\0a", 6, None, 'input "text": binary_data_size is 6 where the body has 5 more bytes'),
        (b"\1\0\0\0a", -1, None, 'input "text": binary_data_size is -1'),
        (b"\1\0\0\0a", True, None, 'input "text": binary_data_size is true'),
        (b"\1\0\0\0a", 5, "9" * 30, "Inference-Header-Content-Length: expected a length up to the body's"),
        (b"\1\0\0\0a", 5, "-1", "Inference-Header-Content-Length: expected a length"),
        (b"\1\0\0\0a", 5, "", "Inference-Header-Content-Length: expected a length"),
        (b"\1\0\0\0a", 5, "3", "JSON Parse error"),
        (b"\1\0\0\0a", 5, "0", "The document is empty"),
    ],
)
def test_binary_data_must_fit_its_sizes(application, data, size, length, message):
    text = json.dumps(
        {"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "parameters": {"binary_data_size": size}}]}
    ).encode()
    headers = {"Inference-Header-Content-Length": str(len(text)) if length is None else length}
    status, document, _ = infer(application, text + data, headers)
    if message is None:
        assert status == 200
    else:
        assert status == 400 and message in document["error"], document


@pytest.mark.parametrize(("datatype", "data"), [("INT32", b"\0" * 7), ("BOOL", b"\2\0"), ("FP64", b"\0" * 17)])
def test_binary_numbers_must_fit_their_type(application, datatype, data):
    item = {"name": "x", "shape": [2], "datatype": datatype, "parameters": {"binary_data_size": len(data)}}
    message = error_of(application, *body([(item, data)], parameters={"signature_name": signature(datatype)}))
    assert message.startswith('input "x": ') and (
        "bytes 0 and 1" in message or "bytes of data where shape [2]" in message
    )


def test_types_and_extensions_that_are_not_supported_are_named(application):
    item = {"name": "x", "shape": [1], "datatype": "COMPLEX64", "data": [1]}
    for request, message in (
        (
            {"inputs": [item], "parameters": {"signature_name": "complex64"}},
            'input "x": the protocol has no datatype for complex64',
        ),
        (
            {"inputs": [TEXT], "outputs": [{"name": "upper", "parameters": {"classification": 2}}]},
            "parameter classification",
        ),
        ({"inputs": [TEXT | {"parameters": {"shared_memory_region": "r"}}]}, "parameter shared_memory_region"),
    ):
        status, document, _ = infer(application, request)
        assert status == 501 and message in document["error"]


@pytest.mark.parametrize("encoding", ["gzip", "deflate", "br"])
def test_a_body_that_is_not_encoded_as_it_says_is_refused(application, encoding):
    assert "Content-Encoding" in error_of(application, {"inputs": [TEXT]}, {"Content-Encoding": encoding})


# Limits, which are those of TensorFlow Serving's API


@pytest.fixture
def strict(service):
    """At most 8 rows, texts of 100 bytes, 400 bytes of tensors, and bodies of 2,000 bytes."""
    small = replace(service, max_rows=8, max_text_bytes=100, max_tensor_bytes=400)
    return App(small, TokenAuth(), Metrics(), max_body_bytes=2000)


@pytest.mark.parametrize("layout", ["flat", "nested", "binary"])
@pytest.mark.parametrize(
    ("texts", "shape", "message"),
    [
        (["u"] * 9, [9], "text: 9 rows where this server takes 8 at once"),
        (["u"] * 9, [9, 1], "text: 9 rows where this server takes 8 at once"),
        (["u" * 101], [1], "text: a text of 101 bytes where this server takes 100"),
        (["u" * 90] * 5, [5], "text: 490 bytes as a tensor where this server takes 400 in a request"),
    ],
)
def test_limits_hold_for_texts(strict, layout, texts, shape, message):
    array = oip_cases.text_array(texts).reshape(shape)
    assert error_of(strict, *body([tensor("text", array, "BYTES", layout)])) == message


@pytest.mark.parametrize("layout", ["flat", "nested", "binary"])
def test_limits_hold_for_numbers(strict, layout):
    for shape, message in (((9,), "x: 9 rows"), ((1, 51), "x: 408 bytes as a tensor")):
        request = body([tensor("x", np.zeros(shape), "FP64", layout)], parameters={"signature_name": "float64"})
        assert error_of(strict, *request).startswith(message)


@pytest.mark.parametrize("shape", [[10**12], [8, 10**12], [0, 10**12], [8, 2, 2, 2, 2]])
def test_a_tensor_is_refused_by_its_shape_before_memory_is_allocated(strict, shape):
    for item in ({"data": []}, {"parameters": {"binary_data_size": 0}}):
        for datatype in ("INT64", "BYTES"):
            described = {"name": "x", "shape": shape, "datatype": datatype, **item}
            message = error_of(strict, *body([(described, b"")], parameters={"signature_name": signature(datatype)}))
            assert "where this server takes" in message


@pytest.mark.parametrize("headers", [{}, {"Content-Encoding": "gzip"}, {"Content-Encoding": "deflate"}])
def test_long_bodies_are_refused_before_and_after_decompression(strict, headers):
    content = json.dumps({"inputs": [TEXT], "id": "x" * 2000}).encode()
    if headers:
        content = gzip.compress(content) if headers["Content-Encoding"] == "gzip" else zlib.compress(content)
        assert len(content) < 500
    assert error_of(strict, content, headers) == "the body is longer than the 2000 bytes this server takes"


def test_deep_nesting_is_refused(application):
    item = b'{"inputs": [{"name": "text", "shape": [1], "datatype": "BYTES", "data": '
    assert "Nested deeper than 10000." in error_of(application, item + b"[" * 20_000)
    deep = item + b"[" * 9000 + b'"a"' + b"]" * 9000 + b"}]}"
    assert "its data is nested differently" in error_of(application, deep) or "expected texts" in error_of(
        application, deep
    )


@pytest.mark.parametrize(
    ("headers", "parameters"),
    [({"X-Request-Timeout": "1e-9"}, {}), ({}, {"timeout": 1}), ({"X-Request-Timeout": "50"}, {"timeout": 1})],
)
def test_the_deadline_is_the_earliest_of_header_and_parameter(service, headers, parameters):
    # A scheduler of its own, whose call may outlive the test's event loop.
    application = App(replace(service, scheduler=BatchScheduler(QueueLimits(workers=1))), TokenAuth(), Metrics())
    status, document, _ = infer(application, {"inputs": [TEXT], "parameters": parameters}, headers)
    assert status == 504 and "deadline" in document["error"]


# Health and metadata


def test_server_and_models_describe_themselves(application):
    extensions = ["binary_tensor_data", "parameters"]
    for path in ("/v2", "/v2/", "/v2?x=1"):
        assert get(application, path) == (200, {"name": "textpipe", "version": __version__, "extensions": extensions})
    assert get(application, "/v2/models/echo") == (
        200,
        {
            "name": "echo",
            "versions": ["1", "2"],
            "platform": "tensorflow_savedmodel",
            "inputs": [{"name": "x", "datatype": "FP32", "shape": [-1]}],
            "outputs": [{"name": "y", "datatype": "FP32", "shape": [-1]}],
        },
    )


def test_versions_are_numbers_or_labels(application):
    item = {"name": "x", "shape": [1], "datatype": "FP32", "data": [1.0]}
    for version, used, answer in (
        ("", "2", 3.0),
        ("/versions/1", "1", 2.0),
        ("/versions/002", "2", 3.0),
        ("/versions/stable", "1", 2.0),
    ):
        _, document, arrays = infer(application, {"inputs": [item]}, path=f"/v2/models/echo{version}/infer")
        assert document["model_version"] == used and arrays["y"].tolist() == [answer]
    for version, status in (("9", 404), ("unknown", 400), ("9" * 5000, 400), (str(2**63), 400)):
        assert infer(application, {"inputs": [item]}, path=f"/v2/models/echo/versions/{version}/infer")[0] == status


def test_health_says_whether_server_and_models_are_ready(application):
    assert get(application, "/v2/health/live") == (200, {"live": True})
    status, document = get(application, "/v2/health/ready")
    assert status == 503 and document["ready"] is False and "not every model" in document["error"]  # one is damaged
    assert get(application, "/v2/models/same/ready") == (200, {"name": "same", "ready": True})
    assert get(application, "/v2/models/echo/versions/stable/ready") == (200, {"name": "echo", "ready": True})
    status, document = get(application, "/v2/models/damaged/ready")
    assert status == 503 and document["ready"] is False
    assert (
        get(application, "/v2/models/none/ready")[0] == get(application, "/v2/models/echo/versions/3/ready")[0] == 404
    )
    assert get(application, "/v2/models/damaged")[0] == 404


def test_the_repository_index_lists_every_version(application):
    _, index = get(application, "/v2/repository/index", "POST")
    found = {(model["name"], model["version"]): (model["state"], model["reason"]) for model in index}
    reason = found.pop(("damaged", "1"))
    assert reason[0] == "UNAVAILABLE" and "saved_model.pb" in reason[1]
    assert found == dict.fromkeys((("echo", "1"), ("echo", "2"), ("same", "1")), ("READY", ""))
    _, ready = get(application, "/v2/repository/index", "POST", b'{"ready": true}')
    assert [model for model in index if model["state"] == "READY"] == ready
    for content in (b"[]", b'{"ready": 1}', b"{"):
        assert get(application, "/v2/repository/index", "POST", content)[0] == 400
    status, document = get(application, "/v2/repository/models/echo/unload", "POST")
    assert status == 501 and "folder" in document["error"]


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v2/models", 404), ("GET", "/v2/models/", 404), ("GET", "/v2/models/same/config", 404), ("GET", "/v2/Models/same", 404),
        ("POST", "/v2/models/same/inference", 404), ("GET", "/v2/models/same/versions//ready", 404), ("GET", "/v2x", 404),
        ("GET", "/v2/models/a%2Fb", 404), ("GET", SAME, 405), ("POST", "/v2", 405), ("POST", "/v2/health/live", 405),
        ("GET", "/v2/repository/index", 405), ("DELETE", "/v2/models/same", 405), ("PUT", SAME, 405),
    ],
)  # fmt: skip
def test_other_paths_and_methods_are_refused(application, method, path, status):
    found, headers, content = asyncio.run(ask(application, method, path, b"{}"))
    assert found == status
    if not path.startswith("/v2x"):
        assert json.loads(content).keys() == {"error"} and ("allow" in headers) == (status == 405)


def test_every_path_is_described_in_openapi(application):
    _, document = get(application, "/openapi.json")
    described = {
        (path, method) for path, item in document["paths"].items() if path.startswith("/v2") for method in item
    }
    models = [f"/v2/models/{{name}}{version}" for version in ("", "/versions/{version}")]
    assert described - {(path, "parameters") for path, _ in described} == {
        *(
            (path, "get")
            for path in ("/v2", "/v2/health/live", "/v2/health/ready", *models, *(f"{one}/ready" for one in models))
        ),
        *((path, "post") for path in ("/v2/repository/index", *(f"{one}/infer" for one in models))),
    }


def test_head_is_get_without_a_body(application):
    status, headers, content = asyncio.run(ask(application, "HEAD", "/v2/health/live"))
    assert (status, content) == (200, b"") and headers["content-length"] == str(len(b'{"live": true}'))


# Access and accounting


def test_a_token_is_needed_except_for_health(service):
    guarded = App(service, TokenAuth(["secret"]), Metrics())
    for path in ("/v2", "/v2/models/same", "/v2/models/same/ready", "/v2/models/none"):
        assert get(guarded, path)[0] == 401
    assert infer(guarded, {"inputs": [TEXT]})[0] == 401
    assert get(guarded, "/v2/repository/index", "POST")[0] == 401
    assert get(guarded, "/v2/health/live")[0] == 200 and get(guarded, "/v2/health/ready")[0] == 503
    assert infer(guarded, {"inputs": [TEXT]}, {"Authorization": "Bearer secret"})[0] == 200


def test_requests_are_counted_by_model_and_code(service):
    metrics = Metrics()
    application = App(service, TokenAuth(), metrics)
    infer(application, {"inputs": [TEXT]})
    infer(application, {"inputs": []})
    get(application, "/v2/models/same")
    get(application, "/v2/whatever/a/client/invents")
    exposition = metrics.exposition()[0].decode()
    counts = [line for line in exposition.splitlines() if line.startswith("textpipe_requests_total")]
    labels = [
        ("OK", "same", "infer"),
        ("INVALID_ARGUMENT", "same", "infer"),
        ("OK", "same", "metadata"),
        ("NOT_FOUND", "", ""),
    ]
    assert sorted(counts) == sorted(
        f'textpipe_requests_total{{code="{code}",door="rest",model="{model}",verb="{verb}"}} 1.0'
        for code, model, verb in labels
    )


def test_requests_during_the_shutdown_get_503(service):
    stopping = asyncio.Event()
    stopping.set()
    status, document, _ = infer(App(replace(service, stopping=stopping), TokenAuth(), Metrics()), {"inputs": [TEXT]})
    assert status == 503 and "shutting down" in document["error"]
