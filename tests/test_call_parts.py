"""A batch with many bytes of text is answered in several calls."""

import time
from types import SimpleNamespace

import numpy as np
import pytest

from textpipe.serve.engine import batch_request
from textpipe.serve.engine.batch_request import CALL_BYTES, Request, length_bucket, run_batch


class Model:
    """A signature that gives the length of each text. calls: rows of each call; then: is called after each."""

    name, mergeable = "serving_default", True

    def __init__(self, then=lambda: None):
        self.calls, self.then = [], then

    def call(self, tensors, deadline):
        self.calls.append(tensors["text"].tolist())
        self.then()
        return {"length": np.array([len(text) for text in tensors["text"]])}


def request(model, texts, *, deadline=60.0, **options):
    tensors = {"text": np.array(texts, object)}
    end = time.monotonic() + deadline
    return Request(model, tensors, len(texts), length_bucket(tensors), end, lambda request: None, **options)


LONG = b"x" * (CALL_BYTES // 3)


def lengths(outcome):
    return list(outcome["length"])


@pytest.mark.parametrize(
    ("texts", "calls"),
    [
        ([b"short"] * 64, [64]),
        ([LONG] * 3, [3]),
        ([LONG] * 7, [3, 3, 1]),
        ([b"x" * 3 * CALL_BYTES, b"short", b"short"], [1, 2]),
        ([b"short", b"x" * 3 * CALL_BYTES, b"short"], [1, 1, 1]),
    ],
)
def test_a_call_has_at_most_so_many_bytes_or_one_row(texts, calls):
    model = Model()
    (outcome,), _ = run_batch([request(model, texts)])
    assert [len(rows) for rows in model.calls] == calls
    assert lengths(outcome) == [len(text) for text in texts]


def test_requests_of_a_batch_get_their_own_rows():
    model = Model()
    batch = [request(model, [LONG, LONG + b"y"]), request(model, [LONG + b"yy", LONG + b"yyy"])]
    outcomes, _ = run_batch(batch)
    assert len(model.calls) == 2
    assert [lengths(outcome) for outcome in outcomes] == [[len(LONG), len(LONG) + 1], [len(LONG) + 2, len(LONG) + 3]]


@pytest.mark.parametrize(("gone", "calls"), [((True, True), 1), ((True, False), 4)])
def test_rows_that_nobody_waits_for_are_not_answered(gone, calls):
    clients = SimpleNamespace(gone=(False, False))

    def leave():
        clients.gone = gone

    model = Model(leave)
    batch = [request(model, [LONG] * 6, disconnected=lambda at=at: clients.gone[at]) for at in (0, 1)]
    outcomes, _ = run_batch(batch)
    assert len(model.calls) == calls
    assert [getattr(outcome, "code", None) for outcome in outcomes] == ([None] * 2 if calls > 1 else ["CANCELLED"] * 2)


def test_a_deadline_ends_a_request_between_two_calls():
    model = Model(lambda: time.sleep(0.2))
    (outcome,), _ = run_batch([request(model, [LONG] * 9, deadline=0.1)])
    assert outcome.code == "DEADLINE_EXCEEDED" and len(model.calls) == 1


def test_short_texts_are_not_counted(monkeypatch):
    monkeypatch.setattr(batch_request, "parts", lambda tensors: pytest.fail("counted"))
    (outcome,), _ = run_batch([request(Model(), [b"a", b"bc"])])
    assert lengths(outcome) == [1, 2]
