"""What a caller may ask of a search, and when it stops: bounds of options, deadlines inside the graph, workers that hang."""

import asyncio
import concurrent.futures
import json
import threading
import time
from types import SimpleNamespace

import grpc
import numpy as np
import pytest
import tensorflow as tf
from serving_server import running
from tensorflow.core.protobuf import saved_model_pb2
from tensorflow_serving.apis import predict_pb2, prediction_service_pb2_grpc

from textpipe.commands.serve import read_limits
from textpipe.errors import ConfigError
from textpipe.savedmodel import description, manifest, signatures
from textpipe.serve.engine import batch_queue, search_limits
from textpipe.serve.engine.batch_queue import QueueLimits
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.engine.search_limits import OptionLimits

FROM_OPTIONS = {
    "serving_default": {"outputs": {"answer": "texts", "score": "scores"}, "n_best": 1},
    "nbest": {"outputs": {"texts": "texts", "scores": "scores"}, "n_best": None},
}
DEFAULTS = {"beam_size": np.int32(2), "max_length": np.int32(3), "length_penalty": np.float32(0.5)}
BOUNDS = {"beam_size": [1, 8], "max_length": [1, 1_000_000_000], "length_penalty": [0, 2]}


class Search(tf.Module):
    """A search that takes a step at a time: its answers are the source, the number of steps and how it was asked."""

    def answered(self, source, steps, beams, way):
        text = tf.strings.join([source, tf.strings.as_string(steps), tf.constant(way)], " ")  # [B]
        texts = tf.tile(text[:, None], [1, beams])
        scores = -tf.tile(tf.range(tf.cast(beams, tf.float32))[None], [tf.shape(source)[0], 1])
        return {"texts": texts, "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "source")])
    def best(self, source):
        found = self.answered(source, 3, 1, "whole")
        return {"answer": found["texts"][:, 0], "score": found["scores"][:, 0]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "source")])
    def nbest(self, source):
        return self.answered(source, 3, 2, "whole")

    def options(self, bounded):
        specs = [tf.TensorSpec([None], tf.string, "source")]
        specs += [tf.TensorSpec([], value.dtype, name) for name, value in DEFAULTS.items()]
        specs += [tf.TensorSpec([], tf.float64, "deadline")] * bounded

        @tf.function(input_signature=specs, autograph=False)
        def options(source, beam_size, max_length, length_penalty, deadline=0.0):
            def late():
                return (deadline > 0) & (tf.timestamp() > deadline)

            steps = tf.while_loop(lambda at: (at < max_length) & ~late(), lambda at: at + 1, [0])[0]
            with tf.control_dependencies([tf.debugging.Assert(steps >= max_length, ["DEADLINE_EXCEEDED"])]):
                steps = tf.identity(steps)
            return self.answered(source, steps, beam_size, "searched")

        return options


def search(folder, *, bounded=True, about=True):
    module = Search()
    options = module.options(bounded)
    functions = {"serving_default": module.best, "nbest": module.nbest, "options": options}
    signatures = {name: function.get_concrete_function() for name, function in functions.items()}
    tf.saved_model.save(module, str(folder), signatures=signatures)
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    defaults = {**DEFAULTS, "deadline": np.float64(0)} if bounded else DEFAULTS
    for name, value in defaults.items():
        saved.meta_graphs[0].signature_def["options"].defaults[name].CopyFrom(tf.make_tensor_proto(value))
    path.write_bytes(saved.SerializeToString())
    if about:
        (folder / "textpipe.json").write_text(
            json.dumps({"format": 1, **({"bounds": BOUNDS, "from_options": FROM_OPTIONS} if bounded else {})})
        )
        manifest.write(folder)


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    root = tmp_path_factory.mktemp("searches")
    search(root / "search" / "1")
    search(root / "older" / "1", bounded=False)
    search(root / "foreign" / "1", bounded=False, about=False)
    return root


@pytest.fixture(scope="module")
def server(models):
    with running(models, deadline_seconds=1.0, limits=QueueLimits(workers=2)) as found:
        yield found


def asked(server, model, timeout=None, **inputs):
    """(status, answer or error)"""
    body = {"signature_name": "options", "inputs": {"source": ["a"], **inputs}}
    headers = {"X-Request-Timeout": str(timeout)} if timeout else {}
    status, _, text = server.ask("POST", f"/v1/models/{model}:predict", body, headers)
    return status, json.loads(text).get("outputs") or json.loads(text).get("error")


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("beam_size", 9),
        ("beam_size", 0),
        ("beam_size", -(2**31)),
        ("max_length", 2_000_000_000),
        ("length_penalty", 2.5),
    ],
)
def test_an_option_outside_its_bounds_is_refused_before_the_model_is_asked(server, option, value):
    queue = server.server.service.scheduler
    pool, queue.pool = queue.pool, None
    try:
        status, message = asked(server, "search", **{option: value})
    finally:
        queue.pool = pool
    low, high = BOUNDS[option]
    assert status == 400 and message == f"option {option} takes {low:g} to {high:g}, found {value}"


def test_rows_that_are_searched_too_widely_all_together_are_refused_before_the_model_is_asked(server, monkeypatch):
    monkeypatch.setattr(search_limits, "MAX_HYPOTHESES", 40)
    monkeypatch.setattr(server.server.service, "most_rows", 10)
    queue = server.server.service.scheduler
    assert asked(server, "search", source=["a"] * 10, beam_size=4)[0] == 200
    pool, queue.pool = queue.pool, None
    try:
        status, message = asked(server, "search", source=["a"] * 6, beam_size=7)
    finally:
        queue.pool = pool
    assert status == 400 and message.startswith(
        "6 rows times 7, the largest of beam_size, is 42 where a request may have 40"
    )
    assert message.endswith("send 5 rows at most in a request")
    assert asked(server, "search", source=["a"] * 5, beam_size=7)[0] == 200
    assert asked(server, "foreign", source=["a"] * 6, beam_size=7)[0] == 200


def test_as_many_rows_as_a_request_may_have_are_searched_as_the_model_does_unasked():
    bounds, defaults = {"beam_size": (1, 64), "n_best": (0, 64)}, {"beam_size": np.int32(20), "n_best": np.int32(0)}
    rows = {"source": np.full(1024, b"a", object)}
    search_limits.check_width(bounds, defaults, rows, 1024)
    search_limits.check_width(bounds, defaults, {**rows, "beam_size": np.int32(3)}, 1024)
    for name in bounds:
        with pytest.raises(ServingError, match="1024 rows times 21, .* where a request may have 20480; send 975 rows"):
            search_limits.check_width(bounds, defaults, {**rows, name: np.array(21)}, 1024)


def test_an_option_outside_its_bounds_is_refused_over_grpc_too(server):
    with grpc.insecure_channel(server.grpc) as channel:
        stub = prediction_service_pb2_grpc.PredictionServiceStub(channel)
        request = predict_pb2.PredictRequest()
        request.model_spec.name, request.model_spec.signature_name = "search", "options"
        request.inputs["source"].CopyFrom(tf.make_tensor_proto(["a"]))
        request.inputs["beam_size"].CopyFrom(tf.make_tensor_proto(1_000_000, tf.int32))
        with pytest.raises(grpc.RpcError) as refused:
            stub.Predict(request, timeout=30)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
        assert refused.value.details() == "option beam_size takes 1 to 8, found 1000000"
        request.inputs["beam_size"].CopyFrom(tf.make_tensor_proto(8, tf.int32))
        assert stub.Predict(request, timeout=30).outputs["texts"].tensor_shape.dim[1].size == 8


def test_an_export_without_bounds_has_the_servers_and_another_tools_model_has_none(server):
    assert asked(server, "older", beam_size=64)[0] == 200
    assert asked(server, "older", beam_size=65) == (400, "option beam_size takes 64 at most, found 65")
    assert asked(server, "older", max_length=100_000_000)[0] == 400
    assert asked(server, "older", length_penalty=50)[0] == 200
    assert asked(server, "foreign", beam_size=65)[0] == 200


def test_bounds_are_told_with_the_metadata_the_models_and_the_description(server):
    told = json.loads(server.ask("GET", "/v1/models/search/metadata")[2])["metadata"]["options"]
    assert told["beam_size"] == {"type": "integer", "default": 2, "minimum": 1, "maximum": 8}
    assert told["length_penalty"] == {"type": "number", "default": 0.5, "minimum": 0, "maximum": 2}
    assert "deadline" not in told
    assert "options" not in json.loads(server.ask("GET", "/v1/models/foreign/metadata")[2])["metadata"]
    models = {one["name"]: one for one in json.loads(server.ask("GET", "/models")[2])["models"]}
    assert models["search"]["bounds"]["beam_size"] == [1, 8] and models["older"]["bounds"]["beam_size"] == [None, 64]
    schemas = json.loads(server.ask("GET", "/openapi.json")[2])["components"]["schemas"]
    assert schemas["search.options"]["properties"]["beam_size"]["maximum"] == 8


def test_a_search_stops_at_its_deadline_and_its_worker_is_free_again(server):
    service = server.server.service
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        hanging = [pool.submit(asked, server, "search", max_length=3_000_000) for _ in range(4)]
        assert {one.result()[0] for one in hanging} == {504}
    end = time.monotonic() + 30
    while service.scheduler.running:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert asked(server, "search", timeout=0.2, max_length=3_000_000)[0] == 504
    assert asked(server, "search")[1]["texts"] == [["a 3 searched"] * 2]
    assert server.ask("GET", "/readyz")[0] == 200


def test_a_callers_own_deadline_only_shortens(server):
    began = time.monotonic()
    for own in (time.time() - 100, time.time() + 0.1, -5.0):
        assert asked(server, "search", max_length=3_000_000, deadline=own)[0] == 504
    assert time.monotonic() - began < 1.0  # the server's own has not come once
    assert asked(server, "search", max_length=3_000_000, deadline=time.time() + 1e6)[0] == 504
    assert asked(server, "search", deadline=float("1e300"))[0] == 200


def test_whole_answers_are_searched_under_the_deadline_and_still_share_batches(server):
    whole = server.predict("search", instances=["a", "b"])["predictions"]
    assert [row["answer"] for row in whole] == ["a 3 searched", "b 3 searched"]
    best = server.predict("search", signature_name="nbest", instances=["a"])["predictions"]
    assert best == [{"texts": ["a 3 searched"] * 2, "scores": [0.0, -1.0]}]
    assert server.predict("older", instances=["a"])["predictions"][0]["answer"] == "a 3 whole"
    version = server.server.repository.models["search"].versions[1].loaded
    assert batch_queue.can_batch(version.signature(""), {"source": np.array([b"a"], object)})


def test_an_export_says_which_answers_are_made_of_a_search():
    ways = {"nbest": {"outputs": {"texts": "texts"}, "n_best": None}}
    inputs = {name: {"source": ("string", (None,))} for name in ("serving_default", "nbest", "options")}
    found = description.signatures({"format": 1, "from_options": ways}, inputs)
    assert found["nbest"].search == signatures.Search("options", {"texts": "texts"}, first=False)
    assert found["serving_default"].search is found["options"].search is None
    described = {"nbest": signatures.table(found["nbest"])}
    assert description.signatures({"format": 2, "signatures": described}, inputs)["nbest"] == found["nbest"]
    del inputs["options"]
    assert description.signatures({"format": 1}, inputs)["nbest"].search is None


def test_the_operator_says_what_an_option_may_be(models):
    most = read_limits(("beam_size=4", "older:beam_size=100", "older:max_length=5"))
    with running(models, option_limits=most) as server:
        assert asked(server, "search", beam_size=5) == (400, "option beam_size takes 1 to 4, found 5")
        assert asked(server, "older", beam_size=100)[0] == 200 and asked(server, "older", beam_size=101)[0] == 400
        assert asked(server, "older", max_length=6)[0] == 400
        assert asked(server, "foreign", beam_size=5)[0] == 400


def test_what_a_model_does_without_being_told_is_within_its_limits():
    bounds = OptionLimits({"beam_size": 1}).bounds("m", {"bounds": BOUNDS}, DEFAULTS)
    assert bounds["beam_size"] == (1, 2)


@pytest.mark.parametrize("text", ["beam_size", "beam_size=many", "=3", "mail:=3", "beam_size=nan", "beam_size=inf"])
def test_a_limit_that_is_none_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected \[MODEL:\]OPTION=MAX"):
        read_limits((text,))


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), np.array(np.nan), np.array(b"x", object)])
def test_a_deadline_that_is_no_time_is_refused(value):
    with pytest.raises(ServingError, match="Unix seconds"):
        search_limits.earliest_deadline(value, 5.0)


# Workers that hang


class Hanging:
    """A signature that answers when it may."""

    mergeable = False
    name = "serving_default"

    def __init__(self):
        self.may = threading.Event()

    def call(self, tensors, until):
        self.may.wait(30)
        return {"answer": tensors["x"]}


def test_a_queue_whose_workers_all_hang_says_so_and_gives_up_waiting(monkeypatch):
    monkeypatch.setattr(batch_queue, "BATCH_WAIT_SECONDS", 0)
    version = SimpleNamespace(name="m", number=1, about={})

    async def play():
        queue, model = batch_queue.BatchScheduler(QueueLimits(workers=2)), Hanging()
        tensors, far = {"x": np.zeros(1)}, time.monotonic() + 30
        tasks = [asyncio.ensure_future(queue.ask(version, model, tensors, deadline=far)) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(queue.running) == 2 and not queue.stalled(60)
        assert queue.stalled(-1)
        queue.abort(ServingError("UNAVAILABLE", "over"))
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(one) for one in found] == ["over"] * 3
        assert not queue.close()  # which has not waited
        model.may.set()

    asyncio.run(play())


def test_a_server_whose_workers_all_hang_is_not_ready(server, monkeypatch):
    monkeypatch.setattr(server.server.service.scheduler, "stuck", lambda seconds: seconds == 1.0)
    status, _, body = server.ask("GET", "/readyz")
    assert (status, json.loads(body)) == (503, {"status": "no worker has come free for 1 seconds"})
    assert server.ask("GET", "/healthz")[0] == 200
