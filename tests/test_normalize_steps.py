"""Normalization steps: their results, that they never fail, and that they are idempotent."""

import html
import os
import random
import subprocess
import sys
import unicodedata

import pytest
import tensorflow as tf
import tensorflow_text  # noqa: F401  registers the ops of the steps
from nasty_strings import NASTY, random_texts

from textpipe.config import plugins
from textpipe.config.sections import Plugin
from textpipe.text import normalizer
from textpipe.text.steps import lowercase

STEPS = plugins.names("text.steps")
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
    """Mails with shuffled lines, so that the patterns of a step occur next to and inside one another."""
    draw = random.Random(seed)
    return ["\n".join(draw.choices(LINES, k=draw.randint(1, 12))) for _ in range(count)]


TEXTS = [*NASTY, MAIL, MAIL.replace("\n", "\r\n"), MAIL * 3, *random_texts(300, seed=1), *shuffled_mails(1000, seed=2)]


def run(kind, *texts, **options):
    step = Plugin.check("text.steps", {"kind": kind, **options})
    found = plugins.find("text.steps", kind).apply(tf.constant(list(texts), tf.string), step)
    assert found.shape == (len(texts),)
    found = [text.decode() for text in found.numpy()]
    return found[0] if len(found) == 1 else found


@pytest.mark.parametrize("kind", STEPS)
def test_a_step_accepts_any_text(kind):
    assert len(run(kind, *TEXTS)) == len(TEXTS)


@pytest.mark.parametrize("kind", [kind for kind in STEPS if kind not in ("html", "mail_zones")])
def test_a_step_is_idempotent(kind):
    once = run(kind, *TEXTS)
    for before, first, second in zip(TEXTS, once, run(kind, *once), strict=True):
        assert second == first, repr(before[:200])


def test_keeping_breaks_is_idempotent_too():
    once = run("whitespace", *TEXTS, breaks="keep")
    assert run("whitespace", *once, breaks="keep") == once


@pytest.mark.parametrize("form", ["NFC", "NFD", "NFKC", "NFKD"])
def test_unicode_forms_are_those_of_the_standard(form):
    # Letters that are in every version of Unicode's tables.
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


LETTERS = [chr(code) for code in range(1, 0x110000) if not 0xD800 <= code < 0xE000]
BOTH_SIGMAS = ["ΟΔΟΣ ΟΔΟΣ.", "ΑΣ\u0301Σ", "Σ", "IΣ", "İΣ", "I\u0307\u0323", "J\u0301 Į\u0303", "ISTANBUL İ ı"]


def test_every_character_has_its_default_lower_case():
    texts = ["".join(LETTERS[at : at + 500]) for at in range(0, len(LETTERS), 500)]
    texts += BOTH_SIGMAS + [f"{letter}\u0301{letter}" for letter in LETTERS[:0x2000]]
    usual = tf.strings.lower(texts, encoding="utf-8").numpy()
    assert (lowercase.lower_in_any_locale(tf.constant(texts)).numpy() == usual).all()
    assert (lowercase.apply(tf.constant(texts), lowercase.Config()).numpy() == usual).all()


def test_lower_case_does_not_follow_the_locale_of_the_process():
    code = (
        "import sys, tensorflow as tf; from textpipe.text.steps import lowercase as step\n"
        "text = tf.constant(sys.argv[1:])\n"
        "found = step.apply(text, step.Config()).numpy(), tf.strings.lower(text, encoding='utf-8').numpy()\n"
        "sys.stdout.buffer.write(b'|'.join(found[0]) + b'||' + b'|'.join(found[1]))"
    )
    texts = ["IN ISTANBUL", "J\u0301 Ì I\u0307", "İZMİR"]
    seen = subprocess.run(
        [sys.executable, "-c", code, *texts], capture_output=True, check=True,
        env={**os.environ, "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "1"},
    ).stdout.decode()  # fmt: skip
    ours, theirs = (part.split("|") for part in seen.split("||"))
    assert ours == [text.lower() for text in texts]
    assert theirs != ours, "ICU does not follow LC_ALL here, so this test sees nothing"


def test_white_space_of_every_kind_becomes_a_space():
    blanks = [chr(code) for code in range(0x110000) if chr(code).isspace()] + ["\u200b", "\ufeff"]
    assert run("whitespace", *(f"{blank}a{blank}{blank} b{blank}" for blank in blanks)) == ["a b"] * len(blanks)
    others = [chr(code) for code in range(0x21, 0x3000) if not chr(code).isspace() and code != 0x200B]
    assert run("whitespace", *(f"a{other}b" for other in others)) == [f"a{other}b" for other in others]


def test_line_breaks_can_be_kept():
    assert run("whitespace", " a \r\n\r\n\u2028\x85 b\t c \n", breaks="keep") == "a\n\nb c"


def test_control_characters_are_removed_and_white_space_stays():
    kept = set("\t\n\x0b\x0c\r\x85")
    text = "".join(map(chr, range(0x300))) + "\ufeff"
    expected = "".join(c for c in text if c in kept or (unicodedata.category(c) != "Cc" and c != "\ufeff"))
    assert run("control", text) == expected


def test_every_named_entity_is_decoded():
    names = [f"&{name}" for name in html.entities.html5 if name.endswith(";")]
    assert len(names) == 2125
    assert run("html", *(f"x{name}y" for name in names)) == [f"x{html.unescape(name)}y" for name in names]


def test_numeric_entities_are_decoded_as_html_says():
    draw = random.Random(3)
    codes = [*range(0x20, 0x7F), *range(0x80, 0xA0), 0, 0xD800, 0xDFFF, 0x10FFFF - 2, 0x110000, 10**7, 10**9, 16**9]
    codes += [draw.randrange(0xA0, 0xD800) for _ in range(200)] + [draw.randrange(0x10000, 0x1FFF0) for _ in range(200)]
    # Python drops code points that are parse errors in HTML but are decoded anyway.
    codes = [code for code in codes if html.unescape(f"&#{code};")]
    forms = ("&#{};", "a&#x{:x};b", "&#X{:06X}; ", "&#{:09d};", "&#{} ")
    texts = [form.format(code) for code in codes for form in forms]
    assert run("html", *texts) == [html.unescape(text) for text in texts]


def test_text_around_entities_is_unchanged():
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
        ("<div>One<o:p>&nbsp;</o:p></div><w:Sdt DocPart='x'/><v:shape style=\"a\">", "\nOne\u00a0\n"),
        ("<![if !vml]>a<![endif]><!--[if mso]>no<![endif]--><!-->b<?xml:namespace ns='u' />", "ab"),
        ("<x-card kind=2>a</x-card><my_tag>b</my_tag><a.b c='d'>e</a.b>", "abe"),
        ('<img alt=\'a > b\' src="x>y">a<a title="it\'s >">b</a><a href="x>c</a>', "abc"),
        ("<head><TITLE lang=en>No\n</TITLE ></head>Yes<template>no</template>", "Yes"),
        ("Write <title>, then <name>.", "Write , then ."),
        ("end <a href='x.org", "end "),
        ("M&uumlller &eacute &copy; &copyleft; 1 &lt2 &lt; 3 &frac12 &Auml", "Müller é © &copyleft; 1 &lt2 < 3 ½ Ä"),
        (
            "</3 <3 <= <- <urn:isbn:1> <www.a.org> <a@b.org> <and/or> 1<2",
            "</3 <3 <= <- <urn:isbn:1> <www.a.org> <a@b.org> <and/or> 1<2",
        ),
    ],
)
def test_html_becomes_text(before, after):
    assert run("html", before) == after


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("Yes.\nOn 3 May 2021, Ann wrote:\n> Coming?\n> Tell me.\n", "Yes.\n"),
        ("Ja.\nAm 03.05.2021 um 10:00 schrieb Ann Lee <ann@b.org>:\n> Kommst du?", "Ja.\n"),
        ("Ja.\nAnn Lee <ann@b.org> schrieb am Mi., 5. Mai 2021, 9:12:\n> Kommst du?", "Ja.\n"),
        ("Ja.\nAm 5. Mai 2021 hat Ann Lee geschrieben:\n> Kommst du?", "Ja.\n"),
        ("Oui.\nAnn Lee <ann@b.org> a écrit le mer. 5 mai 2021 à 9:12 :\n> Tu viens ?", "Oui.\n"),
        ("Yes.\nAnn Lee wrote on Wed, 5 May 2021 9:12:\n> Coming?", "Yes.\n"),
        ("Oui.\nLe 3 mai 2021 à 10:00, Ann a écrit :\n> Tu viens ?", "Oui.\n"),
        ("Yes.\nOn Mon, 3 May 2021 at 10:00, Ann Lee\n<ann@b.org> wrote:\n>> a\n > b\nNo.", "Yes.\nNo."),
        ("See below\r\n-----Original Message-----\r\nFrom: x\r\n\r\nold", "See below\n"),
        ("Siehe unten\n-----Ursprüngliche Nachricht-----\nVon: x", "Siehe unten\n"),
        ("On this my boss wrote: no\nx > y", "On this my boss wrote: no\nx > y"),
        ("Am Montag komme ich.", "Am Montag komme ich."),
        ("A\n\nFrom: B <b@c.org>\nSent: Monday\nTo: D\nSubject: E\n\nold?", "A\n\n"),
        (
            "A\n________________________________\nFrom: B\nDate: Monday\nTo: D; E;\n f@g.org\nCc: H\nSubject: I\n\nold",
            "A\n",
        ),
        ("A\n\n*From:* B\n\n*Sent:* Monday\n\n*To:* D\n\n*Subject:* E\n\nold", "A\n\n"),
        ("A\nFrom: Rome\nTo: Paris\nby train", "A\nFrom: Rome\nTo: Paris\nby train"),
        ("-----Original Message-----\nFrom: B\n\nnews", "-----Original Message-----\nFrom: B\n\nnews"),
        ("FYI\n\nFrom: B\nSent: Monday\nSubject: E\n\nnews", "FYI\n\nFrom: B\nSent: Monday\nSubject: E\n\nnews"),
    ],
)
def test_quotations_are_removed(before, after):
    assert run("mail_quotation", before) == after


HEADERS = {
    "da": "Fra: A\nSendt: B\nTil: C\nEmne: D", "de": "Von: A\nGesendet: B\nAn: C\nBetreff: D",
    "es": "De: A\nEnviado el: B\nPara: C\nCC: E\nAsunto: D", "fi": "Lähettäjä: A\nLähetetty: B\nVastaanottaja: C\nAihe: D",
    "fr": "De : A\nEnvoyé : B\nÀ : C\nObjet : D", "it": "Da: A\nInviato: B\nA: C\nOggetto: D",
    "ja": "差出人: A\n送信日時: B\n宛先: C\n件名: D", "ko": "보낸 사람: A\n보낸 날짜: B\n받는 사람: C\n제목: D",
    "nl": "Van: A\nVerzonden: B\nAan: C\nOnderwerp: D", "pl": "Od: A\nWysłano: B\nDo: C\nTemat: D",
    "pt": "De: A\nEnviada em: B\nPara: C\nAssunto: D", "ru": "От: A\nОтправлено: B\nКому: C\nТема: D",
    "sv": "Från: A\nSkickat: B\nTill: C\nÄmne: D", "tr": "Kimden: A\nGönderildi: B\nKime: C\nKonu: D",
    "cs": "Od: A\nOdesláno: B\nKomu: C\nPředmět: D", "zh": "发件人：A\n发送时间：B\n收件人：C\n主题：D",
}  # fmt: skip
FORWARDS = (
    "-------- Weitergeleitete Nachricht --------", "---------- Mensaje reenviado ---------", "Inizio messaggio inoltrato:",
    "---------- Doorgestuurd bericht ---------", "-------- Пересылаемое сообщение --------", "転送されたメッセージ:",
    "---------- 转发的邮件 ---------", "Début du message réexpédié :",
)  # fmt: skip
ATTRIBUTIONS = (
    "El lun, 3 may 2021 a las 10:00, Ann (<a@b.org>) escribió:", "Il giorno 3 mag 2021 Ann <a@b.org>\nha scritto:",
    "Em seg., 3 de mai. de 2021 às 10:00, Ann escreveu:", "Op ma 3 mei 2021 om 10:00 schreef Ann <a@b.org>:",
    "pon., 3 maj 2021 o 10:00 Ann <a@b.org> napisał(a):", "Den 3 maj 2021 kl 10:00 skrev Ann:", "03.05.2021 10:00, Анна пишет:",
    "ma 3. toukok. 2021 klo 10.00 Ann kirjoitti:", "Dne 3. 5. 2021 v 10:00 Ann napsal(a):", "2021/05/03 10:00、Annのメール:",
    "3 May 2021 saat 10:00 tarihinde Ann şunu yazdı:", "Ann <a@b.org> 于2021年5月3日周一 10:00写道：",
    "2021년 5월 3일 (월) 오전 10:00, Ann님이 작성:", "пн, 3 мая 2021 г. в 10:00, Ann <a@b.org>:",
)  # fmt: skip


@pytest.mark.parametrize("language", HEADERS)
def test_quoted_mails_are_removed_and_forwarded_ones_stay_in_every_language(language):
    mail = f"{HEADERS[language]}\n\nIs it ready?"
    assert run("mail_quotation", f"It is done.\n\n{mail}") == "It is done.\n\n"
    assert run("mail_quotation", run("mail_forwarded", f"It is done.\n\n{mail}")) == "It is done.\n\n"
    for above in ("", "---------- Forwarded message ----------\n", *(f"{line}\n\n" for line in FORWARDS)):
        assert run("mail_forwarded", run("mail_quotation", above + mail)) == "Is it ready?"
    assert (
        run("mail_forwarded", run("mail_quotation", f"My words.\n{FORWARDS[0]}\n{mail}")) == "My words.\nIs it ready?"
    )


def test_attribution_lines_are_removed_in_every_language():
    assert run("mail_quotation", *(f"Yes.\n{line}\n> so?\n" for line in ATTRIBUTIONS)) == ["Yes.\n"] * len(ATTRIBUTIONS)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("FYI\n---- Forwarded message ----\nFrom: a@b.org\nDate: Mon\nSubject: Tea\nTo: me\n\nTea?", "FYI\nTea?"),
        ("Begin forwarded message:\n\n> no\nFrom: x", "Begin forwarded message:\n\n> no\nFrom: x"),
        ("Begin forwarded message:\n\nFrom: x\nSubject: y\n  and more\nTo: z\n\nText", "Text"),
        ("Hi\n\n________________________________\nVon: x\nGesendet: Montag\nBetreff: y\n\nText", "Hi\n\nText"),
        ("From: x\r\nSent: Monday\r\nTo: y\r\nSubject: z\r\n\r\nText", "Text"),
        ("To: everyone\nplease read", "To: everyone\nplease read"),
        ("-----Original Message-----\nFrom: x\nSubject: y\n\nText", "Text"),
        (
            "A\n-----Original Message-----\nTo: x\nSubject: y\n\nText",
            "A\n-----Original Message-----\nTo: x\nSubject: y\n\nText",
        ),
    ],
)
def test_forwarded_headers_are_removed_and_the_forwarded_text_stays(before, after):
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
def test_salutations_are_removed_unless_they_are_the_whole_text(before, after):
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
        (
            "A\n\nKind regards\n\nDr. Ann van der Lee\nHead of Sales, B Ltd.\nTel.: +49 30 12\nann@b.org\n12 Main Street",
            "A",
        ),
        ("A\nBest,\nann", "A"),
        ("A\nSent from my Fairphone 4\n", "A\n"),
        ("A\nVon meinem iPhone gesendet", "A\n"),
        ("A\nEnvoyé de mon iPad", "A\n"),
        ("A\nThanks!\nWill you be there?", None),
        ("A\nThanks\nplease let me know", None),
        ("A\nCheers\nI will call you on Monday", None),
        ("A\nThank you.\nPlease write to ann@b.org about the car.", None),
        ("A\nBest\nOption two costs less", None),
        ("A\nSent from my window, the parcel fell", None),
        ("A\nVon meinem Fenster sieht man ihn.", None),
        ("A\n--\nHow much is it?", None),
    ],
)
def test_signatures_are_removed(before, after):
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
def test_a_mask_writes_its_token_literally(token):
    for kind, text in (("mask_urls", "http://a.org"), ("mask_addresses", "a@b.org"), ("mask_phones", "+49 30 123456")):
        assert run(kind, f"x {text} y", token=token) == f"x {token} y"


def test_a_number_token_with_digits_is_an_error():
    with pytest.raises(ValueError, match="without digits"):
        Plugin.check("text.steps", {"kind": "mask_numbers", "token": "<n1>"})


def test_steps_in_an_exported_graph_give_the_same_result_as_eagerly(tmp_path):
    # The headers last: of a text without any, nothing is left for the other steps.
    steps = [Plugin.check("text.steps", kind) for kind in sorted(STEPS, key="mail_headers".__eq__)]
    module = tf.Module()
    strings = tf.TensorSpec([None], tf.string)
    module.clean = tf.function(lambda text: normalizer.apply(steps, text), input_signature=[strings])
    tf.saved_model.save(module, str(tmp_path))
    texts = tf.constant(TEXTS)
    expected = normalizer.apply(steps, texts).numpy().tolist()
    assert tf.saved_model.load(str(tmp_path)).clean(texts).numpy().tolist() == expected
    assert tf.saved_model.load(str(tmp_path)).clean(tf.zeros([0], tf.string)).shape == (0,)


BLOCK = "Received: from a\r\n by b\r\nFrom: Ann <ann@example.org>\r\nlist-id: town\r\nsubject : the long\r\n\tway\r\nX-From: no\r\n\r\nTo: the body"


@pytest.mark.parametrize(
    ("text", "options", "after"),
    [
        (BLOCK, {}, "From: Ann <ann@example.org>\nsubject : the long way"),
        (BLOCK, {"keep": ["RECEIVED", "List-Id"]}, "Received: from a by b\nlist-id: town"),
        ("\n\nTo: a\n\n", {}, "To: a"),
        ("no header\nFromage: x\n To: folded", {}, ""),
        ("", {}, ""),
    ],
)
def test_chosen_headers_of_a_mail_are_kept(text, options, after):
    assert run("mail_headers", text, **options) == after


@pytest.mark.parametrize(
    ("keep", "message"), [([], "no header would be kept"), (["From:"], "without a colon"), (["a b"], "not the name")]
)
def test_headers_to_keep_are_names(keep, message):
    with pytest.raises(ValueError, match=message):
        Plugin.check("text.steps", {"kind": "mail_headers", "keep": keep})


def test_sections_are_checked_without_tensorflow():
    code = (
        "import sys; from textpipe.config import plugins\n"
        "for room in ('text.steps', 'text.codecs', 'features'):\n"
        "    for name in plugins.names(room): plugins.find(room, name).Config()\n"
        "for name in ('normalize', 'tokenize', 'vectorize'): plugins.find('stages', name).Config(task='classify')\n"
        "print([name for name in ('tensorflow', 'keras', 'numpy', 'pandas', 'pyarrow') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
