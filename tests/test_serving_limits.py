"""Limits of a search: bounds of options, deadlines inside the graph, stalled workers."""

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
    """A step-by-step search whose answers are the source, the number of steps and the kind of call."""

    def outputs(self, source, steps, beams, kind):
        text = tf.strings.join([source, tf.strings.as_string(steps), tf.constant(kind)], " ")  # [B]
        texts = tf.tile(text[:, None], [1, beams])
        scores = -tf.tile(tf.range(tf.cast(beams, tf.float32))[None], [tf.shape(source)[0], 1])
        return {"texts": texts, "scores": scores}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "source")])
    def best(self, source):
        outputs = self.outputs(source, 3, 1, "whole")
        return {"answer": outputs["texts"][:, 0], "score": outputs["scores"][:, 0]}

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, "source")])
    def nbest(self, source):
        return self.outputs(source, 3, 2, "whole")

    def options(self, bounded):
        specs = [tf.TensorSpec([None], tf.string, "source")]
        specs += [tf.TensorSpec([], value.dtype, name) for name, value in DEFAULTS.items()]
        specs += [tf.TensorSpec([], tf.float64, "deadline")] * bounded

        @tf.function(input_signature=specs, autograph=False)
        def options(source, beam_size, max_length, length_penalty, deadline=0.0):
            def is_late():
                return (deadline > 0) & (tf.timestamp() > deadline)

            steps = tf.while_loop(lambda at: (at < max_length) & ~is_late(), lambda at: at + 1, [0])[0]
            with tf.control_dependencies([tf.debugging.Assert(steps >= max_length, ["DEADLINE_EXCEEDED"])]):
                steps = tf.identity(steps)
            return self.outputs(source, steps, beam_size, "searched")

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


def ask_options(server, model, timeout=None, **inputs):
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
def test_an_option_outside_its_bounds_is_refused_before_the_model_runs(server, option, value):
    scheduler = server.server.service.scheduler
    pool, scheduler.pool = scheduler.pool, None
    try:
        status, message = ask_options(server, "search", **{option: value})
    finally:
        scheduler.pool = pool
    low, high = BOUNDS[option]
    assert status == 400 and message == f"option {option} takes {low:g} to {high:g}, found {value}"


def test_too_many_hypotheses_are_refused_before_the_model_runs(server, monkeypatch):
    monkeypatch.setattr(search_limits, "MAX_HYPOTHESES", 40)
    monkeypatch.setattr(server.server.service, "max_rows", 10)
    scheduler = server.server.service.scheduler
    assert ask_options(server, "search", source=["a"] * 10, beam_size=4)[0] == 200
    pool, scheduler.pool = scheduler.pool, None
    try:
        status, message = ask_options(server, "search", source=["a"] * 6, beam_size=7)
    finally:
        scheduler.pool = pool
    assert status == 400 and message.startswith(
        "6 rows times 7, the largest of beam_size, is 42 where a request may have 40"
    )
    assert message.endswith("send 5 rows at most in a request")
    assert ask_options(server, "search", source=["a"] * 5, beam_size=7)[0] == 200
    assert ask_options(server, "foreign", source=["a"] * 6, beam_size=7)[0] == 200


def test_candidates_are_counted_over_all_rows():
    tensors = {"candidates": np.full((1024, 8), b"yes", object), "message": np.full(1024, b"no", object)}
    search_limits.check_candidates(("candidates",), tensors)
    search_limits.check_candidates((), {"message": np.full((1024, 9), b"no", object)})
    with pytest.raises(ServingError, match="candidates: 9216 texts where this server takes 8192 in a request"):
        search_limits.check_candidates(("candidates",), {"candidates": np.full((1024, 9), b"yes", object)})


def test_the_maximum_of_rows_with_default_options_is_always_allowed():
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


def test_an_old_export_has_default_bounds_and_a_foreign_model_has_none(server):
    assert ask_options(server, "older", beam_size=64)[0] == 200
    assert ask_options(server, "older", beam_size=65) == (400, "option beam_size takes 64 at most, found 65")
    assert ask_options(server, "older", max_length=100_000_000)[0] == 400
    assert ask_options(server, "older", length_penalty=50)[0] == 200
    assert ask_options(server, "foreign", beam_size=65)[0] == 200


def test_bounds_are_listed_in_metadata_models_and_openapi(server):
    options = json.loads(server.ask("GET", "/v1/models/search/metadata")[2])["metadata"]["options"]
    assert options["beam_size"] == {"type": "integer", "default": 2, "minimum": 1, "maximum": 8}
    assert options["length_penalty"] == {"type": "number", "default": 0.5, "minimum": 0, "maximum": 2}
    assert "deadline" not in options
    assert "options" not in json.loads(server.ask("GET", "/v1/models/foreign/metadata")[2])["metadata"]
    models = {one["name"]: one for one in json.loads(server.ask("GET", "/models")[2])["models"]}
    assert models["search"]["bounds"]["beam_size"] == [1, 8] and models["older"]["bounds"]["beam_size"] == [None, 64]
    schemas = json.loads(server.ask("GET", "/openapi.json")[2])["components"]["schemas"]
    assert schemas["search.options"]["properties"]["beam_size"]["maximum"] == 8


def test_a_search_stops_at_its_deadline_and_frees_its_worker(server):
    service = server.server.service
    with concurrent.futures.ThreadPoolExecutor(4) as pool:
        hanging = [pool.submit(ask_options, server, "search", max_length=3_000_000) for _ in range(4)]
        assert {one.result()[0] for one in hanging} == {504}
    end = time.monotonic() + 30
    while service.scheduler.running:
        assert time.monotonic() < end
        time.sleep(0.01)
    assert ask_options(server, "search", timeout=0.2, max_length=3_000_000)[0] == 504
    assert ask_options(server, "search")[1]["texts"] == [["a 3 searched"] * 2]
    assert server.ask("GET", "/readyz")[0] == 200


def test_a_clients_deadline_can_only_shorten(server):
    began = time.monotonic()
    for deadline in (time.time() - 100, time.time() + 0.1, -5.0):
        assert ask_options(server, "search", max_length=3_000_000, deadline=deadline)[0] == 504
    assert time.monotonic() - began < 1.0  # less than the server's own deadline
    assert ask_options(server, "search", max_length=3_000_000, deadline=time.time() + 1e6)[0] == 504
    assert ask_options(server, "search", deadline=float("1e300"))[0] == 200


def test_signatures_without_options_have_the_deadline_and_are_still_batched(server):
    whole = server.predict("search", instances=["a", "b"])["predictions"]
    assert [row["answer"] for row in whole] == ["a 3 searched", "b 3 searched"]
    best = server.predict("search", signature_name="nbest", instances=["a"])["predictions"]
    assert best == [{"texts": ["a 3 searched"] * 2, "scores": [0.0, -1.0]}]
    assert server.predict("older", instances=["a"])["predictions"][0]["answer"] == "a 3 whole"
    version = server.server.repository.models["search"].versions[1].loaded
    assert batch_queue.can_batch(version.signature(""), {"source": np.array([b"a"], object)})


def test_an_export_records_which_signatures_use_a_search():
    records = {"nbest": {"outputs": {"texts": "texts"}, "n_best": None}}
    inputs = {name: {"source": ("string", (None,))} for name in ("serving_default", "nbest", "options")}
    result = description.signatures({"format": 1, "from_options": records}, inputs)
    assert result["nbest"].search == signatures.Search("options", {"texts": "texts"}, first=False)
    assert result["serving_default"].search is result["options"].search is None
    described = {"nbest": signatures.table(result["nbest"])}
    assert description.signatures({"format": 2, "signatures": described}, inputs)["nbest"] == result["nbest"]
    del inputs["options"]
    assert description.signatures({"format": 1}, inputs)["nbest"].search is None


def test_the_operator_can_limit_options(models):
    limits = read_limits(("beam_size=4", "older:beam_size=100", "older:max_length=5"))
    with running(models, option_limits=limits) as server:
        assert ask_options(server, "search", beam_size=5) == (400, "option beam_size takes 1 to 4, found 5")
        assert (
            ask_options(server, "older", beam_size=100)[0] == 200
            and ask_options(server, "older", beam_size=101)[0] == 400
        )
        assert ask_options(server, "older", max_length=6)[0] == 400
        assert ask_options(server, "foreign", beam_size=5)[0] == 400


def test_a_models_defaults_are_within_its_limits():
    bounds = OptionLimits({"beam_size": 1}).bounds("m", {"bounds": BOUNDS}, DEFAULTS)
    assert bounds["beam_size"] == (1, 2)


@pytest.mark.parametrize("text", ["beam_size", "beam_size=many", "=3", "mail:=3", "beam_size=nan", "beam_size=inf"])
def test_a_malformed_limit_is_refused(text):
    with pytest.raises(ConfigError, match=r"expected \[MODEL:\]OPTION=MAX"):
        read_limits((text,))


@pytest.mark.parametrize("value", [np.array([1.0, 2.0]), np.array(np.nan), np.array(b"x", object)])
def test_an_invalid_deadline_is_refused(value):
    with pytest.raises(ServingError, match="Unix seconds"):
        search_limits.earliest_deadline(value, 5.0)


# Stalled workers


class Hanging:
    """A signature that answers once `released` is set."""

    mergeable = False
    name = "serving_default"

    def __init__(self):
        self.released = threading.Event()

    def call(self, tensors, deadline):
        self.released.wait(30)
        return {"answer": tensors["x"]}


def test_a_scheduler_reports_stalled_workers_and_closes_without_waiting(monkeypatch):
    monkeypatch.setattr(batch_queue, "BATCH_WAIT_SECONDS", 0)
    version = SimpleNamespace(name="m", number=1, about={})

    async def play():
        scheduler, model = batch_queue.BatchScheduler(QueueLimits(workers=2)), Hanging()
        tensors, far = {"x": np.zeros(1)}, time.monotonic() + 30
        tasks = [asyncio.ensure_future(scheduler.submit(version, model, tensors, deadline=far)) for _ in range(3)]
        await asyncio.sleep(0)
        assert len(scheduler.running) == 2 and not scheduler.stalled(60)
        assert scheduler.stalled(-1)
        scheduler.abort(ServingError("UNAVAILABLE", "over"))
        results = await asyncio.gather(*tasks, return_exceptions=True)
        assert [str(result) for result in results] == ["over"] * 3
        assert not scheduler.close()  # returns without waiting
        model.released.set()

    asyncio.run(play())


def test_a_server_with_stalled_workers_is_not_ready(server, monkeypatch):
    monkeypatch.setattr(server.server.service.scheduler, "stalled", lambda seconds: seconds == 1.0)
    status, _, body = server.ask("GET", "/readyz")
    assert (status, json.loads(body)) == (503, {"status": "no worker has come free for 1 seconds"})
    assert server.ask("GET", "/healthz")[0] == 200
