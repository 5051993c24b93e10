"""Replies that say the same: typed tokens, paraphrases by lemma, and that merging lets nothing out."""

import random

import pytest
import tensorflow as tf

from textpipe.stages._response_keys import lemma, type_tokens
from textpipe.stages._response_learning import Learner, person
from textpipe.text.canonical import canonical

EASY = {"max_size": 100, "min_count": 1, "min_senders": 1, "max_words": 15, "blocked": ()}
MAILS = (
    "that works for me, see you, we will check, it is fine and so on",
    "i will send it by then, sure, please call anna",
)


def typed(*texts: str) -> list[str]:
    return [text.decode() for text in type_tokens(tf.constant(texts)).numpy()]


def learned(rows, merge, **settings):
    """(the responses, the counts) of rows (reply, sender)."""
    learner = Learner(merge)
    learner.observe(MAILS)
    learner.add(rows, typed(*(text for text, _ in rows)))
    return learner.chosen(**{**EASY, **settings})


@pytest.mark.parametrize(
    "one, other",
    [
        ("Thanks, I'll check!", "I will check."), ("Sorry, we can't come.", "We cannot come"), ("It's metal.", "it is metal"),
        ("Which city, please?", "Which city?"), ("Would you like tickets?", "would you like a ticket?".replace("a ", "")), ("OK, see you", "okay see you"),
        ("No problems!", "No problem."), ("Tuesday at 4:15 works for me.", "That works for me"), ("Friday at 3 works for me.", "Monday works for me"),
        ("I will send it by Friday.", "I'll send it"), ("See you on Monday, 4 March at 10:00", "See you."), ("Thanks, Anna!", "Thanks"),
        ("I have booked it for $60.", "I've booked it"), ("No, thank you very much.", "No."), ("Thank you very much!", "thank you very much"),
    ],
)  # fmt: skip
def test_paraphrases_have_one_lemma(one, other):
    keys = [lemma(text) for text in typed(one, other)]
    assert keys[0] == keys[1]


@pytest.mark.parametrize(
    "one, other",
    [
        ("Yes, please.", "No, please."), ("I will come.", "I will not come."), ("I can come", "I can't come"), ("Is it fine?", "It is fine"),
        ("Thanks", "Sorry"), ("Please call", "Please write"), ("See you", "See him"), ("this is less", "this is les"), ("I'd go", "I'll go"),
        ("Send it to me", "Send it to us"), ("Hi", "Thanks"),
    ],
)  # fmt: skip
def test_what_means_something_else_has_another_lemma(one, other):
    assert lemma(one) != lemma(other)


def test_replies_that_differ_in_a_date_are_one_and_only_a_wording_without_one_stands_for_them():
    rows = [
        ("Tuesday at 4:15 works for me.", "a@x"),
        ("Friday at 3 works for me.", "b@x"),
        ("Monday at 10 works for me.", "c@x"),
    ]
    found, counts = learned(rows, "wording")
    assert (found, counts) == ([], {"rows": 3, "canonical": 1, "merged": 2, "private": 1})
    rows += [("That works for me.", "d@x"), ("that works for me", "e@x")]
    assert [(one.text, one.count) for one in learned(rows, "wording")[0]] == [("That works for me.", 1 + 1)]
    found, counts = learned(rows, "lemma", min_senders=2)
    assert found == []  # one person each wrote these letters
    found, counts = learned([*rows, ("That works for me.", "e@x")], "lemma", min_senders=2)
    assert [(one.text, one.count) for one in found] == [("That works for me.", 6)]
    assert counts == {"rows": 6, "canonical": 1, "merged": 3}


def test_the_wording_of_most_people_stands_for_its_paraphrases_and_the_others_are_variants():
    rows = [("I will check.", "a"), ("I'll check.", "b"), ("I'll check.", "c"), ("Thanks, I'll check!", "d")]
    found, _ = learned(rows, "lemma")
    assert [(one.text, one.count, one.variants) for one in found] == [
        ("I'll check.", 4, ("I will check.", "Thanks, I'll check!"))
    ]
    assert len(learned(rows, "wording")[0]) == 3


@pytest.mark.parametrize("merge", ["wording", "lemma"])
@pytest.mark.parametrize("seed", range(15))
def test_what_fewer_people_wrote_is_never_in_the_table_whatever_is_merged(merge, seed):
    """Each text of the table, variants too, is a wording of `least` people, none of whom is counted twice, and holds no typed token."""
    rng = random.Random(seed)
    openings = ["", "Thanks, ", "Sorry, ", "Hi Bob, ", "> "]
    bodies = [
        "i will check",
        "I'll check",
        "we checked it",
        "that works",
        "Monday works",
        "it works on 4 March",
        "that works at 3 pm",
        "sure",
        "sures",
    ]
    names = ["Person", "A. Person", "person"]
    rows = []
    for _ in range(400):
        number = rng.randint(1, 6)
        address = (
            f"p{number}{rng.choice(['', '+list', '+a'])}@{rng.choice(['example.org', 'Example.ORG', 'example.org.'])}"
        )
        sender = rng.choice([address, f"{rng.choice(names)} <{address}>", f'"P, {number}" <{address}>', ""])
        rows.append((rng.choice(openings) + rng.choice(bodies) + rng.choice([".", "!", "", "?"]), sender))
    rows += [(f"{opening}i have {noun}", rng.choice(["one@x.org", "One <ONE@x.org>", "one+b@x.org"])) for opening in ("", "Thanks, ", "sorry. ")
             for noun in ("a secret", "a secret!", "secrets", "SECRETS", "a secret on Monday") for _ in range(6)]  # fmt: skip
    rows += [
        (f"> i have a secret{mark}", f"p{number}@example.org") for number in range(6) for mark in ("", "!")
    ]  # quoted by others
    least = rng.randint(2, 6)
    found, counts = learned(rows, merge, min_senders=least)
    assert counts["quoted"] >= 12
    for text in (text for one in found for text in (one.text, *one.variants)):
        assert "secret" not in text.lower() and typed(text) == [text]
        real = {(address.lower().rstrip(".").split("+")[0].split("@")[0]) for address in
                (sender.split("<")[-1].rstrip(">") for given, sender in rows if sender and canonical(given) == canonical(text) and not given.startswith(">"))}  # fmt: skip
        assert len(real) >= least, text


@pytest.mark.parametrize(
    "one, other",
    [
        ("Bob <bob@x.org>", "bob+list@X.org."),
        ("Smith, Bob", "bob  smith"),
        ("ＢＯＢ@x.org", "bob@x.org"),
        ("bob@x.org (Bob)", "B <bob@x.org>"),
    ],
)
def test_spellings_of_one_person_are_one(one, other):
    assert person(one) == person(other)


def test_people_are_told_apart():
    assert len({person(sender) for sender in ("bob@x.org", "bob@y.org", "rob@x.org", "+a@x.org", "Bob", "Rob")}) == 6
