"""TensorFlow Serving's gRPC through its own stubs: answers, and the codes of errors."""

import grpc
import numpy as np
import pytest
import serving_cases
import tensorflow as tf
from grpc_health.v1 import health_pb2, health_pb2_grpc
from serving_server import running
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

from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.model_state import VersionPolicy
from textpipe.serve.engine.request_limits import RequestLimits
from textpipe.serve.tensors import tensor_protos

WAIT = 30
DTYPES = (
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "uint8",
    "uint32",
    "uint64",
    "bool",
    "string",
    "float16",
    "bfloat16",
    "uint16",
    "complex64",
)


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    root = tmp_path_factory.mktemp("grpc")
    for name, model in serving_cases.MODELS["models"].items():
        for version, signatures in model["versions"].items():
            serving_cases.save(root / name / version, signatures)
    module = tf.Module()
    module.functions = {
        dtype: tf.function(
            lambda x: {"y": tf.identity(x)}, input_signature=[tf.TensorSpec(None, dtype, "x")], autograph=False
        )
        for dtype in DTYPES
    }
    module.functions["two"] = tf.function(
        lambda a, b: {"sum": a + b, "first": tf.identity(a)},
        input_signature=[tf.TensorSpec([None], tf.float32, "a"), tf.TensorSpec([None], tf.float32, "b")],
        autograph=False,
    )
    tf.saved_model.save(
        module,
        str(root / "same" / "1"),
        signatures={name: function.get_concrete_function() for name, function in module.functions.items()},
    )
    with running(root, policy=VersionPolicy("all"), labels={"echo": {"stable": 1, "canary": 2}}) as server:
        yield server


@pytest.fixture(scope="module")
def channel(server):
    with grpc.insecure_channel(server.grpc) as channel:
        yield channel


@pytest.fixture(scope="module")
def predictions(channel):
    return prediction_service_pb2_grpc.PredictionServiceStub(channel)


@pytest.fixture(scope="module")
def models(channel):
    return model_service_pb2_grpc.ModelServiceStub(channel)


def spec(message, name, *, version=None, label=None, signature=""):
    message.name, message.signature_name = name, signature
    if version is not None:
        message.version.value = version
    if label is not None:
        message.version_label = label


def predict(name="echo", tensors=None, outputs=(), **which):
    request = predict_pb2.PredictRequest()
    spec(request.model_spec, name, **which)
    for key, value in ({"x": np.float32([1, 2])} if tensors is None else tensors).items():
        request.inputs[key].CopyFrom(tf.make_tensor_proto(value))
    request.output_filter.extend(outputs)
    return request


def examples(request, name, rows, **which):
    """A request of examples {feature: value}."""
    spec(request.model_spec, name, **which)
    for row in rows:
        example = request.input.example_list.examples.add()
        for key, value in row.items():
            example.features.feature[key].float_list.value.append(value)
    return request


@pytest.mark.parametrize(
    ("which", "expected", "version"),
    [({}, [3, 4], 2), ({"version": 1}, [2, 3], 1), ({"label": "stable"}, [2, 3], 1), ({"label": "canary"}, [3, 4], 2)],
)
def test_predict_answers_from_the_requested_version(predictions, which, expected, version):
    answer = predictions.Predict(predict(**which), timeout=WAIT)
    assert tf.make_ndarray(answer.outputs["y"]).tolist() == expected
    assert (answer.model_spec.name, answer.model_spec.version.value, answer.model_spec.signature_name) == (
        "echo",
        version,
        "serving_default",
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_every_dtype_round_trips(predictions, dtype):
    value = tf.constant([["a", "\u00e9"], [b"\xff\x00", ""]]) if dtype == "string" else tf.cast([[0, 1], [1, 0]], dtype)
    answer = predictions.Predict(predict("same", {"x": value.numpy()}, signature=dtype), timeout=WAIT)
    assert answer.outputs["y"].dtype == value.dtype.as_datatype_enum
    assert np.array_equal(tf.make_ndarray(answer.outputs["y"]), value.numpy())


@pytest.mark.parametrize("shape", [(), (0,), (1,), (2, 0, 3), (2, 1, 2)])
def test_every_shape_round_trips(predictions, shape):
    answer = predictions.Predict(predict("same", {"x": np.ones(shape, np.float32)}, signature="float32"), timeout=WAIT)
    assert tf.make_ndarray(answer.outputs["y"]).shape == shape


def test_an_output_filter_selects_outputs(predictions):
    tensors = {"a": np.float32([1]), "b": np.float32([2])}
    assert set(predictions.Predict(predict("same", tensors, signature="two"), timeout=WAIT).outputs) == {"sum", "first"}
    only = predictions.Predict(predict("same", tensors, ["sum"], signature="two"), timeout=WAIT).outputs
    assert set(only) == {"sum"} and tf.make_ndarray(only["sum"]).tolist() == [3]


def test_packed_tensor_content_is_read(predictions):
    request = predict(tensors={})
    request.inputs["x"].dtype = 1
    request.inputs["x"].tensor_shape.dim.add(size=2)
    request.inputs["x"].tensor_content = np.float32([5, 6]).tobytes()
    assert tf.make_ndarray(predictions.Predict(request, timeout=WAIT).outputs["y"]).tolist() == [7, 8]


INVALID, MISSING = grpc.StatusCode.INVALID_ARGUMENT, grpc.StatusCode.NOT_FOUND


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (predict("nope"), MISSING, "Servable not found for request: Latest(nope)"),
        (predict(version=9), MISSING, "Servable not found for request: Specific(echo, 9)"),
        (predict(label="no"), INVALID, "Unrecognized servable version label: no"),
        (predict("nope", label="stable"), INVALID, "Unrecognized servable version label: stable"),
        (predict(""), INVALID, "ModelSpec has no name specified."),
        (predict_pb2.PredictRequest(), INVALID, "Missing ModelSpec"),
        (predict(version=-5), MISSING, "Servable not found for request: Specific(echo, -5)"),
        (predict(signature="none"), grpc.StatusCode.FAILED_PRECONDITION, 'Serving signature key "none" not found.'),
        (predict(tensors={}), INVALID, "Missing but required: {x}"),
        (predict(tensors={"x": np.float32([1]), "z": np.float32([1])}), INVALID, "Sent extra: {z}"),
        (predict(tensors={"z": np.float32([1])}), INVALID, "input alias: x(feed name: serving_default_x:0) not found"),
        (predict(tensors={"x": np.int32([1])}), INVALID, ""),
        (predict(tensors={"x": np.array(["a"])}), INVALID, ""),
        (predict("same", {"a": np.float32([1, 2]), "b": np.float32([1, 2, 3])}, signature="two"), INVALID, ""),
        (predict(outputs=["nothing"]), INVALID, "output tensor alias not found in signature: nothing"),
        (predict(outputs=["y", "y"]), INVALID, "duplicate output tensor alias: y"),
        (predict(tensors={"x": np.int64([1])}, outputs=["no"]), INVALID, "alias not found in signature: no"),
    ],
)
def test_predict_refuses_with_a_code_and_a_reason(predictions, request_, code, details):
    with pytest.raises(grpc.RpcError) as error:
        predictions.Predict(request_, timeout=WAIT)
    assert error.value.code() == code and details in error.value.details()


def tensor(dtype, sizes, **fields):
    """A request with a tensor of any shape, whatever its values."""
    request = predict("same", {}, signature="string" if dtype == 7 else "float32")
    proto = request.inputs["x"]
    proto.dtype = dtype
    for size in sizes:
        proto.tensor_shape.dim.add(size=size)
    for name, value in fields.items():
        getattr(proto, name).extend(value) if isinstance(value, list) else setattr(proto, name, value)
    return request


@pytest.mark.parametrize(
    "request_",
    [
        tensor(1, [3], tensor_content=b"\0" * 7),
        tensor(1, [2], tensor_content=b"\0" * 12),
        tensor(7, [2], tensor_content=b"\x01\x05uv"),
        tensor(1, [-1], float_val=[2.0]),
        tensor(1, [2, -3], float_val=[2.0]),
        tensor(1, [2**62, 8], float_val=[2.0]),
        tensor(1, [1] * 255, float_val=[2.0]),
        tensor(7, [1] * 33, string_val=[b"u"]),
        tensor(0, [1], float_val=[2.0]),
        tensor(101, [1], float_val=[2.0]),
        tensor(9876, [1], float_val=[2.0]),
    ],
)
def test_an_inconsistent_tensor_is_refused(predictions, request_):
    with pytest.raises(grpc.RpcError) as error:
        predictions.Predict(request_, timeout=WAIT)
    assert (error.value.code(), error.value.details()) == (INVALID, "tensor parsing error: x")


@pytest.mark.parametrize(
    ("request_", "details"),
    [
        (tensor(1, [70_000_000], float_val=[0.5]), "x: 70000000 rows where this server takes 1024 at once"),
        (tensor(1, [1, 70_000_000], float_val=[0.5]), "x: 280000000 bytes as a tensor where this server takes"),
        (tensor(1, [0, 2**60]), "bytes as a tensor where this server takes"),
        (tensor(7, [1025], string_val=[b"u"]), "x: 1025 rows where this server takes 1024 at once"),
        (tensor(7, [2], string_val=[b"u", b"v" * (2**20 + 1)]), "x: a text of 1048577 bytes where this server takes"),
        (tensor(7, [1000], string_val=[b"u" * 900_000]), "x: 900008000 bytes as a tensor where this server takes"),
        (tensor(7, [1], tensor_content=b"\x81\x80\x40" + b"u" * (2**20 + 1)), "x: a text of 1048577 bytes"),
        (tensor(7, [2000], tensor_content=b"\0" * 2000), "x: 2000 rows where this server takes 1024 at once"),
        (tensor(7, [1, 65_537], tensor_content=b"\0" * 65_537), "x: 65537 texts where this server takes 65536"),
        (tensor(7, [1, 65_537], string_val=[b""] * 65_537), "x: 65537 texts where this server takes 65536"),
    ],
)
def test_a_small_message_cannot_allocate_much_memory(predictions, request_, details):
    with pytest.raises(grpc.RpcError) as error:
        predictions.Predict(request_, timeout=WAIT)
    assert error.value.code() == INVALID and details in error.value.details()


def test_tensors_beyond_the_limits_are_refused_before_they_are_read(monkeypatch):
    limits, read = RequestLimits(max_rows=4), []
    monkeypatch.setattr(tensor_protos, "shape_of", lambda proto: read.append("axes") or [1])
    assert not tensor_protos.is_consistent(tensor(7, [1] * 33).inputs["x"], "x", limits) and read == []
    monkeypatch.undo()
    monkeypatch.setattr(tensor_protos, "string_sizes", lambda packed, count: read.append(count))
    for shape in ([5], [1, 65_537]):
        with pytest.raises(ServingError, match="where this server takes"):
            tensor_protos.is_consistent(tensor(7, shape, tensor_content=b"\0" * shape[-1]).inputs["x"], "x", limits)
    assert read == []
    tensor_protos.is_consistent(tensor(7, [2, 3], tensor_content=b"\0" * 6).inputs["x"], "x", limits)
    assert read == [6]


def test_the_limit_of_texts_grows_with_the_limit_of_rows():
    tensor_protos.check_num_texts("x", [2000, 64], RequestLimits(max_rows=2000))
    with pytest.raises(ServingError, match="128000 texts where this server takes 65536 in a tensor"):
        tensor_protos.check_num_texts("x", [1000, 128], RequestLimits(max_rows=1024))


@pytest.mark.parametrize(
    ("request_", "value"),
    [
        (tensor(1, [3], float_val=[0.5]), [0.5, 0.5, 0.5]),
        (tensor(1, [3], float_val=[0.5, 2.0]), [0.5, 2.0, 2.0]),
        (tensor(1, [2], float_val=[1.0, 2.0, 3.0]), [1.0, 2.0]),
        (tensor(1, [2]), [0.0, 0.0]),
        (tensor(7, [3], string_val=[b"u", b"v"]), [b"u", b"v", b"v"]),
        (tensor(7, [2], tensor_content=b"\x02\x00uv"), [b"uv", b""]),
    ],
)
def test_the_last_value_fills_a_tensor(predictions, request_, value):
    assert tf.make_ndarray(predictions.Predict(request_, timeout=WAIT).outputs["y"]).tolist() == value


@pytest.mark.parametrize(
    ("dtype", "name"), [(20, "resource"), (21, "variant"), (11, "qint8"), (9, "int64"), (19, "half")]
)
def test_a_wrong_dtype_is_reported(predictions, dtype, name):
    with pytest.raises(grpc.RpcError) as error:
        predictions.Predict(tensor(dtype, [1]), timeout=WAIT)
    assert error.value.code() == INVALID
    assert f"Expects arg[0] to be float but {name} is provided" in error.value.details()


@pytest.mark.parametrize("method", ["Predict", "Classify", "Regress", "MultiInference", "GetModelMetadata"])
def test_a_message_that_cannot_be_parsed_is_an_invalid_argument(channel, method):
    call = channel.unary_unary(f"/tensorflow.serving.PredictionService/{method}", bytes, bytes)
    with pytest.raises(grpc.RpcError) as error:
        call(b"\x0a\xff\xff\xff", timeout=WAIT)
    assert error.value.code() == INVALID and "Error" not in error.value.details()


def test_classify_returns_labels_with_scores(predictions):
    request = examples(classification_pb2.ClassificationRequest(), "tab", [{"x": 0.25}, {"x": 1.0}], signature="score")
    answer = predictions.Classify(request, timeout=WAIT)
    found = [[(one.label, one.score) for one in row.classes] for row in answer.result.classifications]
    assert found == [[("no", 0.75), ("yes", 0.25)], [("no", 0.0), ("yes", 1.0)]]
    assert answer.model_spec.version.value == 7


def test_regress_returns_numbers_and_adds_the_context_to_each_example(predictions):
    request = examples(regression_pb2.RegressionRequest(), "tab", [{"x": 0.25}], signature="value")
    assert [one.value for one in predictions.Regress(request, timeout=WAIT).result.regressions] == [0.5]
    shared = regression_pb2.RegressionRequest()
    spec(shared.model_spec, "tab", signature="value")
    examples_with_context = shared.input.example_list_with_context
    examples_with_context.context.features.feature["x"].float_list.value.append(3)
    examples_with_context.examples.add()
    examples_with_context.examples.add().features.feature["x"].float_list.value.append(1)
    assert [one.value for one in predictions.Regress(shared, timeout=WAIT).result.regressions] == [6.0, 2.0]


@pytest.mark.parametrize(
    ("method", "request_", "details"),
    [
        (
            "Classify",
            examples(classification_pb2.ClassificationRequest(), "tab", [], signature="score"),
            "Input is empty",
        ),
        (
            "Classify",
            examples(classification_pb2.ClassificationRequest(), "tab", [{}]),
            "No classification inputs found in SignatureDef",
        ),
        (
            "Regress",
            examples(regression_pb2.RegressionRequest(), "tab", [{}], signature="score"),
            "Expected one output Tensor.",
        ),
        (
            "Regress",
            examples(regression_pb2.RegressionRequest(), "tab", [{}], signature="none"),
            "No signature was found with the name: none",
        ),
        (
            "Classify",
            examples(classification_pb2.ClassificationRequest(), "tab", [], signature="none"),
            "No signature was found with the name: none",
        ),
        (
            "Regress",
            examples(regression_pb2.RegressionRequest(), "tab", [{}] * 1025, signature="value"),
            "examples: 1025 rows where this server takes 1024 at once",
        ),
    ],
)
def test_classify_and_regress_refuse_bad_requests(predictions, method, request_, details):
    with pytest.raises(grpc.RpcError) as error:
        getattr(predictions, method)(request_, timeout=WAIT)
    assert error.value.code() == INVALID and details in error.value.details()


def test_the_size_of_a_context_counts_for_every_example(predictions):
    request = regression_pb2.RegressionRequest()
    spec(request.model_spec, "tab", signature="value")
    examples_with_context = request.input.example_list_with_context
    examples_with_context.context.features.feature["t"].bytes_list.value.append(b"u" * 1_000_000)
    for _ in range(100):
        examples_with_context.examples.add()
    with pytest.raises(grpc.RpcError) as error:
        predictions.Regress(request, timeout=WAIT)
    assert error.value.code() == INVALID and "bytes as a tensor where this server takes" in error.value.details()


def test_a_missing_model_is_reported_before_an_empty_input(predictions):
    with pytest.raises(grpc.RpcError) as error:
        predictions.Classify(examples(classification_pb2.ClassificationRequest(), "nope", []), timeout=WAIT)
    assert error.value.code() == MISSING


def multi(*tasks, rows=1):
    request = inference_pb2.MultiInferenceRequest()
    for name, signature, method in tasks:
        task = request.tasks.add(method_name=f"tensorflow/serving/{method}")
        spec(task.model_spec, name, signature=signature)
    for _ in range(rows):
        request.input.example_list.examples.add().features.feature["x"].float_list.value.append(0.25)
    return request


def test_multi_inference_answers_each_task(predictions):
    answer = predictions.MultiInference(multi(("tab", "score", "classify"), ("tab", "value", "regress")), timeout=WAIT)
    assert [one.label for one in answer.results[0].classification_result.classifications[0].classes] == ["no", "yes"]
    assert answer.results[1].regression_result.regressions[0].value == 0.5
    assert [result.model_spec.signature_name for result in answer.results] == ["score", "value"]


@pytest.mark.parametrize(
    ("request_", "code", "details"),
    [
        (multi(("tab", "score", "classify"), ("echo", "value", "regress")), INVALID, "access the same model name."),
        (multi(("tab", "score", "predict")), grpc.StatusCode.UNIMPLEMENTED, "Unsupported signature method_name: "),
        (multi(("tab", "none", "classify")), INVALID, "Requested signature not found in model graph: none"),
        (multi(("tab", "value", "regress"), ("tab", "value", "regress")), INVALID, "evaluation of signature: value"),
        (multi(("tab", "score", "classify"), ("tab", "", "regress")), INVALID, "Expected one output Tensor."),
        (multi(("tab", "score", "classify"), ("", "value", "regress")), INVALID, "ModelSpec with an empty model name"),
        (multi(("tab", "score", "classify"), rows=0), INVALID, "Input is empty."),
        (
            multi(("tab", "score", "classify"), ("tab", "value", "regress"), rows=513),
            INVALID,
            "examples: 1026 rows where this server takes 1024 at once",
        ),
        (multi(), INVALID, "ModelSpec has no name specified."),
    ],
)
def test_multi_inference_refuses_bad_requests(predictions, request_, code, details):
    with pytest.raises(grpc.RpcError) as error:
        predictions.MultiInference(request_, timeout=WAIT)
    assert error.value.code() == code and details in error.value.details()


def metadata(name, *fields, **which):
    request = get_model_metadata_pb2.GetModelMetadataRequest()
    spec(request.model_spec, name, **which)
    request.metadata_field.extend(fields)
    return request


def test_metadata_has_the_models_signatures(predictions):
    answer = predictions.GetModelMetadata(metadata("echo", "signature_def", version=1), timeout=WAIT)
    found = get_model_metadata_pb2.SignatureDefMap()
    assert answer.metadata["signature_def"].Unpack(found)
    assert found.signature_def["serving_default"].inputs["x"].dtype == 1
    assert answer.model_spec.version.value == 1


@pytest.mark.parametrize(
    ("request_", "code"),
    [(metadata("echo"), INVALID), (metadata("echo", "other"), INVALID), (metadata("no", "signature_def"), MISSING)],
)
def test_metadata_refuses_bad_requests(predictions, request_, code):
    with pytest.raises(grpc.RpcError) as error:
        predictions.GetModelMetadata(request_, timeout=WAIT)
    assert error.value.code() == code


def test_status_lists_all_versions_or_one(models):
    def status(name, **which):
        request = get_model_status_pb2.GetModelStatusRequest()
        spec(request.model_spec, name, **which)
        return [
            (one.version, one.state, one.status.error_code)
            for one in models.GetModelStatus(request, timeout=WAIT).model_version_status
        ]

    assert status("echo") == [(2, 30, 0), (1, 30, 0)]
    assert status("echo", version=1) == [(1, 30, 0)]
    assert status("echo", label="stable") == [(1, 30, 0)]
    for which in ({"version": 5}, {}):
        with pytest.raises(grpc.RpcError) as error:
            status("echo" if which else "none", **which)
        assert error.value.code() == MISSING


def test_a_client_cannot_load_other_models(models):
    with pytest.raises(grpc.RpcError) as error:
        models.HandleReloadConfigRequest(model_management_pb2.ReloadConfigRequest(), timeout=WAIT)
    assert error.value.code() == grpc.StatusCode.UNIMPLEMENTED


def test_health_checks_follow_the_grpc_protocol(channel):
    stub = health_pb2_grpc.HealthStub(channel)
    assert stub.Check(health_pb2.HealthCheckRequest(), timeout=WAIT).status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as error:
        stub.Check(health_pb2.HealthCheckRequest(service="none"), timeout=WAIT)
    assert error.value.code() == MISSING


def test_streaming_health_is_unimplemented_and_logs_no_error(channel, caplog):
    with pytest.raises(grpc.RpcError) as error:
        list(health_pb2_grpc.HealthStub(channel).Watch(health_pb2.HealthCheckRequest(), timeout=WAIT))
    assert (error.value.code(), "Check" in error.value.details()) == (grpc.StatusCode.UNIMPLEMENTED, True)
    assert not caplog.records


def test_rest_and_grpc_give_the_same_answers(server, predictions):
    over_rest = server.predict("tab", instances=[[1, 2], [4, 3]])["predictions"]
    answer = predictions.Predict(predict("tab", {"x": np.float32([[1, 2], [4, 3]])}), timeout=WAIT)
    assert [row["total"] for row in over_rest] == tf.make_ndarray(answer.outputs["total"]).tolist() == [3, 7]
