"""Which requests share a batch, which wait for more, and how refusals are delayed; without TensorFlow."""

import asyncio
import contextlib
import threading
import time
from types import SimpleNamespace

import pytest

from textpipe.serve.engine import batch_queue
from textpipe.serve.engine.errors import ServingError
from textpipe.serve.tensors.json_values import bytes_array

VERSION = SimpleNamespace(name="model", number=1, about={"task": "classify"})


class Model:
    """A signature that returns its texts once `released` is set; `calls` are the texts of each call."""

    name, mergeable = "serving_default", True

    def __init__(self):
        self.calls, self.released = [], threading.Event()

    def call(self, tensors, deadline):
        self.calls.append(tensors["text"].tolist())
        self.released.wait(30)
        return {"answer": tensors["text"]}


async def until(condition):
    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def submit(scheduler, model, *texts):
    """A task for each text."""
    tasks = []
    for text in texts:
        tensors = {"text": bytes_array([text])}
        tasks.append(asyncio.ensure_future(scheduler.submit(VERSION, model, tensors, deadline=time.monotonic() + 30)))
    return tasks


def run(scene, **limits):
    """Runs scene(scheduler, model); returns the sorted texts of each call."""
    model = Model()

    async def play():
        scheduler = batch_queue.BatchScheduler(batch_queue.QueueLimits(**limits))
        try:
            await scene(scheduler, model)
        finally:
            model.released.set()
            scheduler.close()

    asyncio.run(play())
    return [sorted(call) for call in model.calls]


@contextlib.contextmanager
def paused(scheduler):
    """No batch is dispatched inside."""
    scheduler.dispatch = lambda: None
    yield
    del scheduler.dispatch
    scheduler.dispatch()


@pytest.mark.parametrize(("wait", "calls"), [(1000, [[b"a"]]), (0, [[b"a"], [b"b", b"c"]])])
def test_a_small_batch_waits_for_more_rows_while_another_worker_is_busy(monkeypatch, wait, calls):
    monkeypatch.setattr(batch_queue, "BATCH_WAIT_SECONDS", wait)

    async def scene(scheduler, model):
        tasks = submit(scheduler, model, b"a")
        await until(lambda: model.calls)
        with paused(scheduler):
            tasks += submit(scheduler, model, b"b", b"c")
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert [sorted(call) for call in model.calls] == calls
        model.released.set()
        assert [answer["answer"][0] for answer in await asyncio.gather(*tasks)] == [b"a", b"b", b"c"]

    assert run(scene, workers=2)[-1] == [b"b", b"c"]


@pytest.mark.parametrize(("max_rows", "enough"), [(64, batch_queue.ENOUGH_ROWS), (3, 3)])
def test_enough_rows_go_to_a_free_worker_at_once(monkeypatch, max_rows, enough):
    monkeypatch.setattr(batch_queue, "BATCH_WAIT_SECONDS", 1000)

    async def scene(scheduler, model):
        tasks = submit(scheduler, model, b"a")
        await until(lambda: model.calls)
        tasks += submit(scheduler, model, *[b"%d" % number for number in range(enough - 1)])
        await asyncio.sleep(0.05)
        assert (scheduler.free_workers, scheduler.waiting_rows) == (1, enough - 1)
        tasks += submit(scheduler, model, b"last")
        await until(lambda: len(model.calls) == 2)
        assert (scheduler.free_workers, scheduler.waiting_rows) == (0, 0)
        model.released.set()
        await asyncio.gather(*tasks)

    assert len(run(scene, workers=2, batch_rows=max_rows)[1]) == enough


def test_texts_share_a_batch_with_texts_of_similar_length():
    short, long = [b"s" * 20, b"s" * 60], [b"l" * 900, b"l" * 2000]

    async def scene(scheduler, model):
        tasks = submit(scheduler, model, b"first")
        await until(lambda: model.calls)
        tasks += submit(scheduler, model, short[0], long[0], short[1], long[1])
        await asyncio.sleep(0)
        model.released.set()
        await asyncio.gather(*tasks)

    assert run(scene, workers=1)[1:] == [short, long]


def test_a_batch_takes_the_oldest_requests_up_to_its_size():
    async def scene(scheduler, model):
        tasks = submit(scheduler, model, b"first")
        await until(lambda: model.calls)
        tasks += submit(scheduler, model, b"a", b"b", b"c", b"d", b"e")
        await asyncio.sleep(0)
        model.released.set()
        await asyncio.gather(*tasks)

    assert run(scene, workers=1, batch_rows=2)[1:] == [[b"a", b"b"], [b"c", b"d"], [b"e"]]


def test_full_batches_use_spare_workers(monkeypatch):
    monkeypatch.setattr(batch_queue, "SPARE_WORKERS", 1)

    async def scene(scheduler, model):
        tasks = submit(scheduler, model, b"first")
        await until(lambda: model.calls)
        tasks += submit(scheduler, model, b"a")
        await asyncio.sleep(0)
        assert scheduler.waiting_rows == 1  # a single row waits for more
        tasks += submit(scheduler, model, b"b", b"c", b"d")
        await asyncio.sleep(0)
        assert scheduler.waiting_rows == 2  # there is one spare worker
        await until(lambda: len(model.calls) == 2)
        model.released.set()
        await asyncio.gather(*tasks)

    assert run(scene, workers=1, batch_rows=2)[1:] == [[b"a", b"b"], [b"c", b"d"]]


def test_cancelled_and_late_requests_do_not_run():
    async def scene(scheduler, model):
        first = submit(scheduler, model, b"first")
        await until(lambda: model.calls)
        waiting = submit(scheduler, model, b"a", b"b")
        late = asyncio.ensure_future(
            scheduler.submit(VERSION, model, {"text": bytes_array([b"late"])}, deadline=time.monotonic() + 0.01)
        )
        await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(ServingError, match="deadline"):
            await late
        assert scheduler.waiting_rows == 1
        model.released.set()
        await asyncio.gather(first[0], waiting[1])
        assert (scheduler.waiting_rows, scheduler.queues) == (0, {})

    assert run(scene, workers=1)[1:] == [[b"b"]]


def test_a_caller_that_fails_keeps_no_other_from_its_outcome(caplog):
    ended = []

    def fail(request):
        ended.append(request.outcome)
        raise OSError("no space left")

    async def scene(scheduler, model):
        def enqueue(text, seconds=30.0, gone=False):
            tensors, deadline = {"text": bytes_array([text])}, time.monotonic() + seconds
            scheduler.enqueue(VERSION, model, tensors, deadline=deadline, on_end=fail, disconnected=lambda: gone)

        tasks = submit(scheduler, model, b"first")
        await until(lambda: model.calls)
        enqueue(b"late", 0.01)
        tasks += submit(scheduler, model, b"a")
        await until(lambda: len(ended) == 1)
        enqueue(b"gone", gone=True)
        enqueue(b"ok")
        tasks += submit(scheduler, model, b"b")
        await asyncio.sleep(0)
        model.released.set()
        assert [answer["answer"][0] for answer in await asyncio.gather(*tasks)] == [b"first", b"a", b"b"]
        assert (scheduler.waiting_rows, scheduler.queues, scheduler.running) == (0, {}, {})
        model.released.clear()
        tasks = submit(scheduler, model, b"last")
        await until(lambda: model.calls[-1] == [b"last"])
        enqueue(b"never")
        tasks += submit(scheduler, model, b"aborted")
        await asyncio.sleep(0)
        scheduler.abort(ServingError("UNAVAILABLE", "stopping"))
        assert [type(error) for error in await asyncio.gather(*tasks, return_exceptions=True)] == [ServingError] * 2

    assert run(scene, workers=1)[1:] == [[b"a", b"b", b"ok"], [b"last"]]
    codes = [getattr(outcome, "code", "OK") for outcome in ended]
    assert sorted(codes) == ["CANCELLED", "DEADLINE_EXCEEDED", "OK", "UNAVAILABLE"]
    assert len(caplog.records) == 4


def test_a_full_queue_refuses_requests():
    async def scene(scheduler, model):
        tasks = submit(scheduler, model, b"first")
        await until(lambda: model.calls)
        tasks += submit(scheduler, model, b"a", b"b")
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match="2 rows are waiting") as refused:
            await scheduler.submit(VERSION, model, {"text": bytes_array([b"c"])}, deadline=time.monotonic() + 30)
        assert refused.value.code == "RESOURCE_EXHAUSTED"
        # The server's own requests do not count.
        tensors = {"text": bytes_array([b"own"] * 64)}
        tasks.append(
            asyncio.ensure_future(
                scheduler.submit(VERSION, model, tensors, deadline=time.monotonic() + 30, internal=True)
            )
        )
        await asyncio.sleep(0)
        assert scheduler.waiting_rows == 2
        model.released.set()
        await asyncio.gather(*tasks)

    run(scene, workers=1, waiting_rows=2)


def test_refusals_are_rate_limited_with_a_maximum_delay(monkeypatch):
    monkeypatch.setattr(batch_queue, "REFUSALS_PER_SECOND", 10)
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    async def scene(scheduler, model):
        monkeypatch.setattr(batch_queue.asyncio, "sleep", sleep)
        for _ in range(14):
            await scheduler.delay_refusal()
        monkeypatch.undo()

    run(scene)
    assert waited[:11] == pytest.approx([number / 10 for number in range(11)], abs=0.05)
    assert waited[11:] == pytest.approx([batch_queue.MAX_REFUSAL_DELAY] * 3)
