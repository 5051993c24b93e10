"""Mailboxes that break the rules: circles of answers, and headers and parts made to take long."""

import random

import pytest
from test_threads import ANN, BEN, EVE, box, mail, read

from textpipe.data.mail import threading


@pytest.mark.parametrize("order", [(0, 1), (1, 0)])
def test_of_mails_that_answer_each_other_the_earliest_is_the_message(order, tmp_path):
    pair = [
        mail("p", ANN, BEN, "Re: Lunch", "First.", answers="q"),
        mail("q", BEN, ANN, "Re: Lunch", "Second.", minute=5, answers="p"),
    ]
    (tmp_path / "box").write_bytes(box(*(pair[at] for at in order)))
    rows, counts = read(tmp_path / "box")
    assert sorted(rows) == [("First.", "Second.", "yes"), ("Second.", "", "no")]
    assert counts == {"cycles": 1}


def test_a_circle_of_three_with_a_further_answer_becomes_one_thread(tmp_path):
    mails = [
        mail("1", ANN, BEN, "Re: Lunch", "One.", minute=1, answers="3"),
        mail("2", BEN, EVE, "Re: Lunch", "Two.", minute=2, answers="1"),
        mail("3", EVE, ANN, "Re: Lunch", "Three.", minute=3, answers="2"),
        mail("4", ANN, EVE, "Re: Lunch", "Four.", minute=4, answers="3"),
    ]
    (tmp_path / "box").write_bytes(box(*mails))
    rows, counts = read(tmp_path / "box")
    assert [(body, reply) for body, reply, _ in rows] == [
        ("One.", "Two."),
        ("Two.", "Three."),
        ("Three.", "Four."),
        ("Four.", ""),
    ]
    assert counts == {"cycles": 1}


def test_only_circles_are_cut_and_none_is_left():
    draw = random.Random(4)
    for _ in range(300):
        size = draw.randrange(1, 12)
        before = [draw.choice([-1, *(other for other in range(size) if other != at)]) for at in range(size)]
        times = [float(draw.randrange(5)) for _ in range(size)]
        mails = [threading.Mail(None, at + 1, (), 0, "reply", times[at], 0, (), 0, False, "") for at in range(size)]
        index = threading.Index(mails, [], threading.Counter())
        after = list(before)
        threading.break_cycles(index, after)

        def reached(parents, at):
            path = []
            while parents[at] >= 0 and len(path) <= size:
                at = parents[at]
                path.append(at)
            return path

        circles = {
            frozenset(reached(before, at)[: reached(before, at).index(at) + 1])
            for at in range(size)
            if at in reached(before, at)
        }
        cut = {min(circle, key=lambda at: (times[at], at)) for circle in circles}
        assert after == [-1 if at in cut else parent for at, parent in enumerate(before)]
        assert all(at not in reached(after, at) for at in range(size))
        assert index.counts["cycles"] == len(circles)


def nested(levels):
    lines = [
        line
        for level in range(levels)
        for line in (f"--b{level}", f"Content-Type: multipart/mixed; boundary=b{level + 1}", "")
    ]
    return "\n".join([*lines, f"--b{levels}", "Content-Type: text/plain", "", "Deep text."])


@pytest.mark.parametrize("levels, text", [(30, "Deep text."), (3_000, "")])
def test_parts_nested_too_deeply_to_be_parsed_leave_a_mail_without_text(levels, text, tmp_path):
    head = ["MIME-Version: 1.0", "Content-Type: multipart/mixed; boundary=b0"]
    mails = [mail("q", ANN, BEN, text=nested(levels), head=head), mail("a", BEN, ANN, "Re: Lunch", "Yes.", answers="q")]
    (tmp_path / "box").write_bytes(box(*mails))
    rows, counts = read(tmp_path / "box", "body reply subject")
    assert rows == [(text, "Yes.", "Lunch"), ("Yes.", "", "Re: Lunch")]
    assert counts == ({} if text else {"too_deep": 1})


def test_a_guessed_boundary_may_lead_to_parts_nested_too_deeply(tmp_path):
    head = ["MIME-Version: 1.0", "Content-Type: multipart/mixed"]
    mails = [mail("q", ANN, BEN, text=nested(3_000), head=head), mail("a", BEN, ANN, "Re: Lunch", "Yes.", answers="q")]
    (tmp_path / "box").write_bytes(box(*mails))
    rows, counts = read(tmp_path / "box", "reply subject")
    assert rows == [("Yes.", "Lunch"), ("", "Re: Lunch")]
    rows, counts = read(tmp_path / "box", "body reply")
    assert rows == [("", "Yes."), ("Yes.", "")]
    assert counts == {"mended_headers": 1, "too_deep": 1}


def test_a_thread_of_ten_thousand_mails_is_one_thread():
    parents = [-1, *range(9_999)]
    mails = [threading.Mail(None, at + 1, (), 0, "reply", float(at), 0, (), 0, False, "") for at in range(10_000)]
    threading.break_cycles(threading.Index(mails, [], threading.Counter()), parents)
    assert threading.num_threads(parents) == 1 and parents[1:] == list(range(9_999))
