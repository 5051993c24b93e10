"""Who is answered together, who waits for company, and how a refusal is held back; without TensorFlow."""

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
    """A signature that answers a text with itself, once it may; `calls` are the texts of each call."""

    name, mergeable = "serving_default", True

    def __init__(self):
        self.calls, self.may = [], threading.Event()

    def call(self, tensors, until):
        self.calls.append(tensors["text"].tolist())
        self.may.wait(30)
        return {"answer": tensors["text"]}


async def until(true):
    end = time.monotonic() + 30
    while not true():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


def asked(queue, model, *texts):
    """Tasks, each with one of the texts."""
    made = []
    for text in texts:
        tensors = {"text": bytes_array([text])}
        made.append(asyncio.ensure_future(queue.ask(VERSION, model, tensors, deadline=time.monotonic() + 30)))
    return made


def run(scene, **limits):
    """The texts of each call of a scene(queue, model), sorted within a call."""
    model = Model()

    async def play():
        queue = batch_queue.BatchScheduler(batch_queue.QueueLimits(**limits))
        try:
            await scene(queue, model)
        finally:
            model.may.set()
            queue.close()

    asyncio.run(play())
    return [sorted(call) for call in model.calls]


@contextlib.contextmanager
def still(queue):
    """Nothing is given to workers inside."""
    queue.pump = lambda: None
    yield
    del queue.pump
    queue.pump()


@pytest.mark.parametrize(("patience", "calls"), [(1000, [[b"a"]]), (0, [[b"a"], [b"b", b"c"]])])
def test_a_few_rows_wait_for_more_while_another_worker_is_at_work(monkeypatch, patience, calls):
    monkeypatch.setattr(batch_queue, "BATCH_WAIT_SECONDS", patience)

    async def scene(queue, model):
        tasks = asked(queue, model, b"a")
        await until(lambda: model.calls)
        with still(queue):
            tasks += asked(queue, model, b"b", b"c")
            await asyncio.sleep(0)
        await asyncio.sleep(0.05)
        assert [sorted(call) for call in model.calls] == calls
        model.may.set()
        assert [answer["answer"][0] for answer in await asyncio.gather(*tasks)] == [b"a", b"b", b"c"]

    assert run(scene, workers=2)[-1] == [b"b", b"c"]


@pytest.mark.parametrize(("most", "enough"), [(64, batch_queue.ENOUGH_ROWS), (3, 3)])
def test_rows_enough_go_to_a_free_worker_at_once(monkeypatch, most, enough):
    monkeypatch.setattr(batch_queue, "BATCH_WAIT_SECONDS", 1000)

    async def scene(queue, model):
        tasks = asked(queue, model, b"a")
        await until(lambda: model.calls)
        tasks += asked(queue, model, *[b"%d" % number for number in range(enough - 1)])
        await asyncio.sleep(0.05)
        assert (queue.free_workers, queue.waiting_rows) == (1, enough - 1)
        tasks += asked(queue, model, b"last")
        await until(lambda: len(model.calls) == 2)
        assert (queue.free_workers, queue.waiting_rows) == (0, 0)
        model.may.set()
        await asyncio.gather(*tasks)

    assert len(run(scene, workers=2, rows=most)[1]) == enough


def test_texts_go_with_others_of_their_length():
    short, long = [b"s" * 20, b"s" * 60], [b"l" * 900, b"l" * 2000]

    async def scene(queue, model):
        tasks = asked(queue, model, b"first")
        await until(lambda: model.calls)
        tasks += asked(queue, model, short[0], long[0], short[1], long[1])
        await asyncio.sleep(0)
        model.may.set()
        await asyncio.gather(*tasks)

    assert run(scene, workers=1)[1:] == [short, long]


def test_a_batch_takes_the_oldest_up_to_its_rows():
    async def scene(queue, model):
        tasks = asked(queue, model, b"first")
        await until(lambda: model.calls)
        tasks += asked(queue, model, b"a", b"b", b"c", b"d", b"e")
        await asyncio.sleep(0)
        model.may.set()
        await asyncio.gather(*tasks)

    assert run(scene, workers=1, rows=2)[1:] == [[b"a", b"b"], [b"c", b"d"], [b"e"]]


def test_full_batches_have_spare_workers(monkeypatch):
    monkeypatch.setattr(batch_queue, "SPARE_WORKERS", 1)

    async def scene(queue, model):
        tasks = asked(queue, model, b"first")
        await until(lambda: model.calls)
        tasks += asked(queue, model, b"a")
        await asyncio.sleep(0)
        assert queue.waiting_rows == 1  # with company it would cost less
        tasks += asked(queue, model, b"b", b"c", b"d")
        await asyncio.sleep(0)
        assert queue.waiting_rows == 2  # there is one, and no more
        await until(lambda: len(model.calls) == 2)
        model.may.set()
        await asyncio.gather(*tasks)

    assert run(scene, workers=1, rows=2)[1:] == [[b"a", b"b"], [b"c", b"d"]]


def test_who_gives_up_while_waiting_is_not_asked_about():
    async def scene(queue, model):
        first = asked(queue, model, b"first")
        await until(lambda: model.calls)
        waiting = asked(queue, model, b"a", b"b")
        late = asyncio.ensure_future(
            queue.ask(VERSION, model, {"text": bytes_array([b"late"])}, deadline=time.monotonic() + 0.01)
        )
        await asyncio.sleep(0)
        waiting[0].cancel()
        with pytest.raises(ServingError, match="deadline"):
            await late
        assert queue.waiting_rows == 1
        model.may.set()
        await asyncio.gather(first[0], waiting[1])
        assert (queue.waiting_rows, queue.queues) == (0, {})

    assert run(scene, workers=1)[1:] == [[b"b"]]


def test_beyond_its_rows_a_queue_refuses():
    async def scene(queue, model):
        tasks = asked(queue, model, b"first")
        await until(lambda: model.calls)
        tasks += asked(queue, model, b"a", b"b")
        await asyncio.sleep(0)
        with pytest.raises(ServingError, match="2 rows are waiting") as refused:
            await queue.ask(VERSION, model, {"text": bytes_array([b"c"])}, deadline=time.monotonic() + 30)
        assert refused.value.code == "RESOURCE_EXHAUSTED"
        # What the server asks for itself takes nobody's place.
        given = {"text": bytes_array([b"own"] * 64)}
        tasks.append(asyncio.ensure_future(queue.ask(VERSION, model, given, deadline=time.monotonic() + 30, own=True)))
        await asyncio.sleep(0)
        assert queue.waiting_rows == 2
        model.may.set()
        await asyncio.gather(*tasks)

    run(scene, workers=1, waiting=2)


def test_many_refusals_are_told_in_turn_and_none_is_held_for_long(monkeypatch):
    monkeypatch.setattr(batch_queue, "REFUSALS_PER_SECOND", 10)
    waited = []

    async def sleep(seconds):
        waited.append(seconds)

    async def scene(queue, model):
        monkeypatch.setattr(batch_queue.asyncio, "sleep", sleep)
        for _ in range(14):
            await queue.delay_refusal()
        monkeypatch.undo()

    run(scene)
    assert waited[:11] == pytest.approx([number / 10 for number in range(11)], abs=0.05)
    assert waited[11:] == pytest.approx([batch_queue.MAX_REFUSAL_DELAY] * 3)
