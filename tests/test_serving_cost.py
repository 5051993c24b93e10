"""What keeps a request cheap does not change what is observed: tallies, tensors of texts, calls without hand-offs, no garbage."""

import asyncio
import gc
import random
import threading
import time

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Histogram
from test_batch_queue import VERSION, Model

from textpipe.runtime import c_api, wire_format
from textpipe.savedmodel import session
from textpipe.serve.engine import batch_queue
from textpipe.serve.engine.metrics import SECOND_BUCKETS, Metrics
from textpipe.serve.tensors.json_values import bytes_array


def samples(registry):
    """{(name, labels): value} without the times of creation."""
    return {
        (sample.name, tuple(sorted(sample.labels.items()))): sample.value
        for metric in registry.collect()
        for sample in metric.samples
        if not sample.name.endswith("_created")
    }


def test_tallies_count_like_a_histogram():
    draw = random.Random(2)
    seconds = [*SECOND_BUCKETS, 0.0, 1e9, *(draw.uniform(0, 0.02) for _ in range(500))]
    metrics, registry = Metrics(), CollectorRegistry()
    one = Histogram(
        "textpipe_request_seconds", "", ("door", "model", "verb"), buckets=SECOND_BUCKETS, registry=registry
    )
    for number, value in enumerate(seconds):
        metrics.count_request("rest", "m", "predict", "OK", value)
        one.labels("rest", "m", "predict").observe(value)
        if number % 100 == 0:
            metrics.flush()
    metrics.flush()
    counted = samples(metrics.registry)
    for key, value in samples(registry).items():
        assert counted[key] == pytest.approx(value), key
    labels = (("code", "OK"), ("door", "rest"), ("model", "m"), ("verb", "predict"))
    assert counted["textpipe_requests_total", labels] == len(seconds)


def test_tensors_of_texts_round_trip():
    api, draw = c_api.library(), random.Random(1)
    sizes = (0, 1, 21, 22, 23, 24, 127, 128, 300, 20_000)
    for shape in ((), (0,), (1,), (3,), (2, 0), (2, 3), (200,)):
        array = bytes_array([draw.randbytes(draw.choice(sizes)) for _ in range(int(np.prod(shape)))]).reshape(shape)
        found = api.round_trip(array)
        assert found.shape == array.shape and found.tolist() == array.tolist()
    assert api.round_trip(np.array(["\u00fc"], object)).tolist() == ["\u00fc".encode()]
    with pytest.raises(ValueError, match="expected a text, found 1"):
        api.round_trip(np.array([1], object))


def test_numbers_are_encoded_as_protocol_buffers_do():
    from google.protobuf.internal.encoder import _VarintBytes

    for number in (0, 1, 127, 128, 300, 2**14 - 1, 2**14, 2**40):
        assert wire_format.varint(number) == _VarintBytes(number)


def test_quick_calls_run_in_their_callers_thread(monkeypatch):
    """As long as a signature's quickest call was slower, its operations are handed to TensorFlow's threads."""
    chosen = []

    class Fake:
        def run(self, feeds, values, types, fetches, *, inline):
            chosen.append(inline)
            time.sleep(pauses.pop(0))
            return []

    function = object.__new__(session.SessionFunction)
    function.session, function.feeds, function.fetches, function.types = Fake(), (), (), []
    function.outputs, function.quickest, function.loops = {}, float("inf"), False
    pauses = [2 * session.INLINE_SECONDS, 0, 2 * session.INLINE_SECONDS, 0, 0]
    for _ in range(4):
        function.run_prepared([])
    function.loops = True
    function.run_prepared([])
    assert chosen == [False, False, True, True, False]


class Quick(Model):
    """Records the thread of each call."""

    quickest = 0.0

    def __init__(self):
        super().__init__()
        self.released.set()
        self.threads = []

    def call(self, tensors, deadline):
        self.threads.append(threading.current_thread())
        return super().call(tensors, deadline)


@pytest.mark.parametrize(
    ("texts", "quickest", "on_loop"),
    [([b"a"], 0.0, True), ([b"a", b"b"], 0.0, False), ([b"a" * 5000], 0.0, False), ([b"a"], 1.0, False)],
)
def test_a_lone_short_text_of_a_quick_model_runs_on_the_event_loop(texts, quickest, on_loop):
    model = Quick()
    model.quickest = quickest

    async def ask():
        scheduler = batch_queue.BatchScheduler(batch_queue.QueueLimits(workers=1))
        try:
            tensors = {"text": bytes_array(texts)}
            return await scheduler.submit(VERSION, model, tensors, deadline=time.monotonic() + 30)
        finally:
            scheduler.close()

    assert asyncio.run(ask())["answer"].tolist() == texts
    assert [thread is threading.current_thread() for thread in model.threads] == [on_loop]


def test_requests_read_in_one_turn_of_the_event_loop_share_a_batch_and_leave_no_cycles():
    model, ended = Quick(), []

    async def ask(number):
        for text in (b"a", b"b", b"c"):
            scheduler.enqueue(
                VERSION, model, {"text": bytes_array([text])}, deadline=time.monotonic() + 30, on_end=ended.append,
                disconnected=lambda: False,
            )  # fmt: skip
            scheduler.dispatch_soon()
        while len(ended) < 3 * number:
            await asyncio.sleep(0.001)

    async def play():
        nonlocal scheduler
        scheduler = batch_queue.BatchScheduler(batch_queue.QueueLimits(workers=1))
        await ask(1)
        ended.clear()
        gc.collect()
        await ask(1)
        assert all(not request.disconnected and request.on_end is not ended.append for request in ended)
        scheduler.close()

    scheduler = None
    asyncio.run(play())
    assert model.calls == [[b"a", b"b", b"c"]] * 2


def test_deadlines_of_any_order_are_kept():
    model, late = Model(), []

    async def play():
        scheduler = batch_queue.BatchScheduler(batch_queue.QueueLimits(workers=1))
        begin = time.monotonic()
        for seconds in (30, 0.2, 0.1, 0.15, 40, 0.05):
            tensors = {"text": bytes_array([b"%g" % seconds])}
            scheduler.enqueue(VERSION, model, tensors, deadline=begin + seconds, on_end=late.append)
        scheduler.dispatch()
        while len(late) < 4:
            await asyncio.sleep(0.001)
        model.released.set()
        while len(late) < 6:
            await asyncio.sleep(0.001)
        scheduler.close()

    asyncio.run(play())
    assert [round(request.deadline - request.enqueued_at, 2) for request in late[:4]] == [0.05, 0.1, 0.15, 0.2]
    assert [getattr(request.outcome, "code", None) for request in late[:4]] == ["DEADLINE_EXCEEDED"] * 4
    assert all("answer" in request.outcome for request in late[4:])
