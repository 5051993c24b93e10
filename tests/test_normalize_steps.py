"""Each normalization step: what it does, that it never fails, and that running it twice changes nothing more."""

import html
import random
import subprocess
import sys
import unicodedata

import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of the steps
from nasty_strings import NASTY, random_texts

from textpipe import rooms
from textpipe.config import Plugin
from textpipe.text import normalizer

STEPS = rooms.names("text.steps")
MAIL = """Hello Ann,

can you send the slides?

Best regards,
Bob Miller
+49 30 1234567

On Mon, 3 May 2021 at 10:00, Ann Lee
<ann@example.org> wrote:
> Coming on Tuesday?
> -- 
> Ann

-----Original Message-----
From: Carl
Subject: old
"""
LINES = (*MAIL.split("\n"), "", "  ", "Thanks", "-- ", "Hi all", "Dear Ann, hello", "> Hi,", "To: me", "_" * 32)
LINES += ("Begin forwarded message:",)


def shuffled_mails(count, seed):
    """Mails whose lines stand in any order, so that each step meets its patterns side by side and in one another."""
    draw = random.Random(seed)
    return ["\n".join(draw.choices(LINES, k=draw.randint(1, 12))) for _ in range(count)]


TEXTS = [*NASTY, MAIL, MAIL.replace("\n", "\r\n"), MAIL * 3, *random_texts(300, seed=1), *shuffled_mails(1000, seed=2)]


def run(kind, *texts, **options):
    step = Plugin.check("text.steps", {"kind": kind, **options})
    found = rooms.find("text.steps", kind).apply(tf.constant(list(texts), tf.string), step)
    assert found.shape == (len(texts),)
    found = [text.decode() for text in found.numpy()]
    return found[0] if len(found) == 1 else found


@pytest.mark.parametrize("kind", STEPS)
def test_a_step_turns_any_text_into_text(kind):
    assert len(run(kind, *TEXTS)) == len(TEXTS)


@pytest.mark.parametrize("kind", [kind for kind in STEPS if kind != "html"])
def test_a_step_changes_nothing_the_second_time(kind):
    once = run(kind, *TEXTS)
    for before, first, second in zip(TEXTS, once, run(kind, *once), strict=True):
        assert second == first, repr(before[:200])


def test_keeping_breaks_is_idempotent_too():
    once = run("whitespace", *TEXTS, breaks="keep")
    assert run("whitespace", *once, breaks="keep") == once


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_unicode_forms_are_those_of_the_standard(form):
    # Letters old enough for every version of Unicode's tables.
    ranges = ((0x20, 0x250), (0x1E00, 0x2000), (0xAC00, 0xAD00), (0xFB00, 0xFB07))
    letters = [chr(code) for first, end in ranges for code in range(first, end)]
    texts = [*letters, "e\u0301", "a\u0323\u0307", "a\u0307\u0323"]
    assert run("unicode", *texts, form=form) == [unicodedata.normalize(form, text) for text in texts]


def test_case_folding_is_nfkc_casefold():
    ranges = ((0x20, 0xAD), (0xAE, 0x250), (0x391, 0x3C0), (0x410, 0x450))
    texts = [chr(code) for first, end in ranges for code in range(first, end)]
    composed = [unicodedata.normalize("NFKC", text.casefold()) for text in texts]
    assert run("casefold", *texts) == [unicodedata.normalize("NFKC", text.casefold()) for text in composed]


def test_lower_case_keeps_sharp_s():
    assert run("lowercase", "Die STRASSE, die Straße ÄÖÜ ΑΒΓ Ж") == "die strasse, die straße äöü αβγ ж"


def test_white_space_of_every_kind_becomes_one_blank():
    blanks = [chr(code) for code in range(0x110000) if chr(code).isspace()] + ["\u200b", "\ufeff"]
    assert run("whitespace", *(f"{blank}a{blank}{blank} b{blank}" for blank in blanks)) == ["a b"] * len(blanks)
    others = [chr(code) for code in range(0x21, 0x3000) if not chr(code).isspace() and code != 0x200B]
    assert run("whitespace", *(f"a{other}b" for other in others)) == [f"a{other}b" for other in others]


def test_line_breaks_can_be_kept():
    assert run("whitespace", " a \r\n\r\n\u2028\x85 b\t c \n", breaks="keep") == "a\n\nb c"


def test_control_characters_go_and_white_space_stays():
    kept = set("\t\n\x0b\x0c\r\x85")
    text = "".join(map(chr, range(0x300))) + "\ufeff"
    expected = "".join(c for c in text if c in kept or (unicodedata.category(c) != "Cc" and c != "\ufeff"))
    assert run("control", text) == expected


def test_every_named_entity_is_known():
    names = [f"&{name}" for name in html.entities.html5 if name.endswith(";")]
    assert len(names) == 2125
    assert run("html", *(f"x{name}y" for name in names)) == [f"x{html.unescape(name)}y" for name in names]


def test_numeric_entities_are_decoded_as_html_says():
    draw = random.Random(3)
    codes = [*range(0x20, 0x7F), *range(0x80, 0xA0), 0, 0xD800, 0xDFFF, 0x10FFFF - 2, 0x110000, 10**7, 10**9, 16**9]
    codes += [draw.randrange(0xA0, 0xD800) for _ in range(200)] + [draw.randrange(0x10000, 0x1FFF0) for _ in range(200)]
    # Python drops code points that HTML calls a parse error and decodes all the same.
    codes = [code for code in codes if html.unescape(f"&#{code};")]
    forms = ("&#{};", "a&#x{:x};b", "&#X{:06X}; ", "&#{:09d};", "&#{} ")
    texts = [form.format(code) for code in codes for form in forms]
    assert run("html", *texts) == [html.unescape(text) for text in texts]


def test_text_around_entities_comes_back_whole():
    texts = [text for text in TEXTS if "&" not in text]
    found = run("html", *(f"&lt;{text}&eacute;{text}" for text in texts), tags="keep")
    assert found == [f"<{text}é{text}" for text in texts]


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("<p>Fish &amp; chips&#33;<br/>5 &lt; 6</p>", "\nFish & chips!\n5 < 6\n"),
        ('<a href="x.html" class=big>here</a>, <B>bold</B>', "here, bold"),
        ("a<!-- <b> \n --->b<style>p { color: red }</style>c<script src='x'>if (a < b) {}</script >d", "abcd"),
        ("Ann <ann@b.org> a < b, c > d, <3, <https://a.org>", "Ann <ann@b.org> a < b, c > d, <3, <https://a.org>"),
        ("AT&T; &unknown; R&D &ampersand fish&amp", "AT&T; &unknown; R&D &ampersand fish&"),
        ("&amp;lt;", "&lt;"),
    ],
)
def test_html_becomes_text(before, after):
    assert run("html", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Yes.\nOn 3 May 2021, Ann wrote:\n> Coming?\n> Tell me.\n", "Yes.\n"),
        ("Ja.\nAm 03.05.2021 um 10:00 schrieb Ann Lee <ann@b.org>:\n> Kommst du?", "Ja.\n"),
        ("Oui.\nLe 3 mai 2021 à 10:00, Ann a écrit :\n> Tu viens ?", "Oui.\n"),
        ("Yes.\nOn Mon, 3 May 2021 at 10:00, Ann Lee\n<ann@b.org> wrote:\n>> a\n > b\nNo.", "Yes.\nNo."),
        ("See below\r\n-----Original Message-----\r\nFrom: x\r\n\r\nold", "See below\n"),
        ("Siehe unten\n-----Ursprüngliche Nachricht-----\nVon: x", "Siehe unten\n"),
        ("On this my boss wrote: no\nx > y", "On this my boss wrote: no\nx > y"),
        ("Am Montag komme ich.", "Am Montag komme ich."),
    ],
)
def test_quotations_go(before, after):
    assert run("mail_quotation", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FYI\n---- Forwarded message ----\nFrom: a@b.org\nDate: Mon\nSubject: Tea\nTo: me\n\nTea?", "FYI\nTea?"),
        ("Begin forwarded message:\n\n> no\nFrom: x", "Begin forwarded message:\n\n> no\nFrom: x"),
        ("Begin forwarded message:\n\nFrom: x\nSubject: y\n  and more\nTo: z\n\nText", "Text"),
        ("Hi\n\n________________________________\nVon: x\nGesendet: Montag\nBetreff: y\n\nText", "Hi\n\nText"),
        ("From: x\r\nSent: Monday\r\nTo: y\r\nSubject: z\r\n\r\nText", "Text"),
        ("To: everyone\nplease read", "To: everyone\nplease read"),
    ],
)
def test_forwarded_headers_go_and_the_forwarded_text_stays(before, after):
    assert run("mail_forwarded", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Dear Ms Lee,\n\nplease call.", "please call."),
        ("Hi Bob, are you in?", "are you in?"),
        ("hello everyone\nnews", "news"),
        ("Sehr geehrte Frau Dr. Müller-Lüdenscheid,\nanbei", "anbei"),
        ("Hi all,\nHi Ann!\ntext", "text"),
        ("Hello can you come, or not?", "Hello can you come, or not?"),
        ("Hierarchy, of needs", "Hierarchy, of needs"),
        ("Hi Bob,", "Hi Bob,"),
    ],
)
def test_salutations_go_unless_they_are_all(before, after):
    assert run("mail_salutation", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("See you.\n\nBest regards,\nAnn\n+49 30 1234", "See you."),
        ("Text\n-- \nAnn\nCEO\n\nsmall print", "Text"),
        ("Bis dann\n\nMit freundlichen Grüßen\nAnn", "Bis dann"),
        ("Ok\n\nThanks!\nBob\n\nSent from my phone", "Ok"),
        ("Thanks!", "Thanks!"),
        ("First\nThanks\n" + "a line that is a real line of text, far too long to stand in a signature\n", None),
        ("We send our best regards, as ever", "We send our best regards, as ever"),
    ],
)
def test_signatures_go(before, after):
    assert run("mail_signature", before) == (before if after is None else after)


def test_the_mail_steps_leave_the_message():
    text = MAIL
    for kind in ("mail_quotation", "mail_forwarded", "mail_signature", "mail_salutation", "whitespace"):
        text = run(kind, text)
    assert text == "can you send the slides?"


@pytest.mark.parametrize(
    ("kind", "before", "after"),
    [
        ("mask_urls", "See https://a.org/x?y=1.", "See <url>."),
        ("mask_urls", "(www.a.org/b), HTTP://A.B) awww.x", "(<url>), <url>) awww.x"),
        ("mask_addresses", "Ask ann.lee+x@mail.example.org.", "Ask <address>."),
        ("mask_addresses", "a@b is none, <jörg@müller.de>; is", "a@b is none, <<address>>; is"),
        ("mask_phones", "Call (030) 1234-567 or +1 415 555 0100", "Call <phone> or <phone>"),
        ("mask_phones", "555-010-9999, 0049 30 123456; 030/1234567", "<phone>, <phone>; <phone>"),
        ("mask_phones", "+49 (0)171 1234567", "<phone>"),
        ("mask_phones", "2024-01-15 10:30, 192.168.1.1, 1 000 000, 3.14159, 12345678", None),
        ("mask_numbers", "at 10:30 for $1,200.50, mp3 B2B 7", "at <number> for $<number>, mp3 B2B <number>"),
        ("mask_numbers", "-5% ١٢٣ x", "-<number>% <number> x"),
    ],
)
def test_masks(kind, before, after):
    assert run(kind, before) == (before if after is None else after)


@pytest.mark.parametrize("token", ["\\0", "\\1", "a\\b", "", "§", "<x>"])
def test_a_mask_writes_its_token_as_it_stands(token):
    for kind, text in (("mask_urls", "http://a.org"), ("mask_addresses", "a@b.org"), ("mask_phones", "+49 30 123456")):
        assert run(kind, f"x {text} y", token=token) == f"x {token} y"


def test_a_number_token_with_digits_is_refused():
    with pytest.raises(ValueError, match="without digits"):
        Plugin.check("text.steps", {"kind": "mask_numbers", "token": "<n1>"})


def test_all_steps_in_one_exported_graph_do_what_they_do_eagerly(tmp_path):
    steps = [Plugin.check("text.steps", kind) for kind in STEPS]
    module = tf.Module()
    strings = tf.TensorSpec([None], tf.string)
    module.clean = tf.function(lambda text: normalizer.apply(steps, text), input_signature=[strings])
    tf.saved_model.save(module, str(tmp_path))
    texts = tf.constant(TEXTS)
    expected = normalizer.apply(steps, texts).numpy().tolist()
    assert tf.saved_model.load(str(tmp_path)).clean(texts).numpy().tolist() == expected
    assert tf.saved_model.load(str(tmp_path)).clean(tf.zeros([0], tf.string)).shape == (0,)


def test_sections_are_checked_without_tensorflow():
    code = (
        "import sys; from textpipe import rooms\n"
        "for room in ('text.steps', 'text.codecs', 'text.features'):\n"
        "    for name in rooms.names(room): rooms.find(room, name).Config()\n"
        "for name in ('normalize', 'tokenize', 'vectorize'): rooms.find('stages', name).Config(task='classify')\n"
        "print([name for name in ('tensorflow', 'keras', 'numpy', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
