"""The step mail_zones: the newest message of hand-written mails alone, by what each program writes around it."""

import random
import time

import pytest
import tensorflow as tf

from textpipe.config.sections import Plugin
from textpipe.text.steps import mail_signature, mail_zones

MESSAGE = "The boat leaves at nine, so we should meet on the quay.\nBring a coat, please."


def zones(text, *cut):
    table = {"kind": "mail_zones", **({"cut": list(cut)} if cut else {})}
    (left,) = mail_zones.apply(tf.constant([text]), Plugin.check("text.steps", table)).numpy()
    return left.decode()


OPENINGS = (
    "Hi Ann,", "Dear Dr. Lee:", "Good morning everyone,", "Howdy all!", "Ann,", "Ann -", "Frank & Hector,", "Ann and Bo:", "All,",
    "Hallo zusammen,", "Liebe Frau Müller-Lüdenscheid,", "Sehr geehrter Herr Dr. Roth,", "Bonjour Zoé,", "Chère Madame,",
    "Hola Inés,", "Ciao Luca,", "Beste Jan,", "Olá João,",
)  # fmt: skip
CLOSINGS = (
    "Best regards,\nBob Roe\nHead of Sales, Roe & Sons Ltd.\nTel.: +49 30 1234567\nbob@roe.example",
    "Thanks & regards\nBob", "Thanks for your help\n\nBob", "Many thanks in advance,\nBob Roe", "Regards,\n   Bob.", "HTH,\nbob",
    "Cheers -- Bob", "Thanks, Bob.", "tx, bob", "Bob", "-bob", "--Bob", "bob", "Bob Roe\nx3-4567", "-- \nBob\nRoe & Sons", "Thank you!",
    "Bob Roe\nRoe & Sons\n12 Harbour Street, Suite 3\nHull, HU1 2AB\n(01482) 123456 (phone)\n(01482) 123457 (fax)",
    "***************\nBob Roe, CFA\nConsultant\n01482 123456", "Mit freundlichen Grüßen\nBodo Röhr\nGeschäftsführer", "Viele Grüße\nBodo",
    "Vielen Dank im Voraus\nBodo", "Cordialement,\nBenoît Roux", "Merci d'avance,\nBenoît", "Un saludo,\nBenito", "Cordiali saluti\nBruno",
    "Met vriendelijke groet,\nBram", "Med vänliga hälsningar\nBo", "С уважением,\nБорис", "Regards,\nBob\n\nSent from my iPhone",
    "Bob\n\nThis e-mail and its attachments are confidential. If you are not the intended\nrecipient, please delete it.",
    "Bob\n\n______________________________\nGet your free mail at http://mail.example\n",
)  # fmt: skip
QUOTED = "Shall we go by boat?\n\nAnn\n"
BELOW = {
    "gmail": "On Mon, 3 May 2021 at 10:00, Ann Lee <ann@lee.example> wrote:\n> Shall we go by boat?\n>\n> Ann\n",
    "german": "Am 03.05.2021 um 10:00 schrieb Ann Lee:\n> Fahren wir mit dem Schiff?\n",
    "french": "Le 3 mai 2021 à 10:00, Ann Lee a écrit :\n> On y va en bateau ?\n",
    "without signs": f"On Mon, 3 May 2021 at 10:00, Ann Lee <ann@lee.example> wrote:\n\n{QUOTED}",
    "address alone": "ann@lee.example wrote:\n> Shall we go by boat?\n",
    "outlook": f"-----Original Message-----\nFrom: Ann Lee\nSent: Monday\nTo: Bob\nSubject: Boat\n\n{QUOTED}",
    "outlook in german": f"Von: Ann Lee\nGesendet: Montag\nAn: Bob\nBetreff: Schiff\n\n{QUOTED}",
    "outlook with a line": f"________________________________\nFrom: Ann Lee\nSent: Monday\nTo: Bob\nSubject: Boat\n\n{QUOTED}",
    "forwarded": f"---------- Forwarded message ----------\nFrom: Ann Lee\nDate: Monday\nSubject: Boat\n\n{QUOTED}",
    "notes": f"Ann Lee\n05/03/2021 10:00 AM\nTo: Bob Roe/HOU/Roe@Roe\ncc:  \n\nSubject: Boat\n\n{QUOTED}",
    "notes, indented": f"\tAnn Lee\n\tSent by: Cy Dow\n\t05/03/2021 10:00 AM\n\t\t\n\t\t To: Bob Roe\n\t\t cc: \n\t\t Subject: Boat\n\n{QUOTED}",
    "notes, one line": f'"Ann Lee" <ann@lee.example> on 05/03/2021 \n10:00:12 AM\nTo: Bob\ncc:  \nSubject: Boat\n\n{QUOTED}',
    "notes, from": f"From:  Ann Lee @ ROE                           05/03/2021 10:00 AM\n\t\n\nTo: Bob Roe@ROE, Cy \nDow@ROE\ncc:  \nSubject: Boat\n\n{QUOTED}",
    "notes, forwarded": f"------------- Forwarded by Ann Lee/HOU/Roe on 05/03/2021 10:00 \nAM ---------------------------\n\nsome text\n{QUOTED}",
    "nested": "-----Original Message-----\nFrom: Ann\nTo: Bob\nSubject: Re: Boat\n\nYes?\n\n-----Original Message-----\nFrom: Bob\n\nBoat?\n",
}  # fmt: skip


@pytest.mark.parametrize("opening", OPENINGS)
def test_the_salutation_is_cut(opening):
    assert zones(f"{opening}\n\n{MESSAGE}") == MESSAGE
    assert zones(f"{opening}\n{MESSAGE}", "closing", "quotation") == f"{opening}\n{MESSAGE}"


@pytest.mark.parametrize("closing", CLOSINGS)
def test_the_closing_and_signature_are_cut(closing):
    assert zones(f"{MESSAGE}\n\n{closing}\n") == MESSAGE
    assert zones(f"{MESSAGE}\n\n{closing}", "salutation", "attachments") == f"{MESSAGE}\n\n{closing}".strip()


@pytest.mark.parametrize("program", BELOW)
def test_what_each_program_puts_below_an_answer_is_cut(program):
    assert zones(f"{MESSAGE}\n\n{BELOW[program]}") == MESSAGE
    assert zones(f"Hi Ann,\r\n\r\n{MESSAGE}\r\n\r\nBob\r\n\r\n\r\n{BELOW[program]}") == MESSAGE
    mail = f"{MESSAGE}\n\n{BELOW[program]}".strip()
    assert zones(mail, "salutation", "attachments") == mail


@pytest.mark.parametrize(
    "program", ["outlook", "outlook in german", "forwarded", "notes", "notes, one line", "notes, from"]
)
def test_a_mail_forwarded_without_a_word_is_its_own_message(program):
    assert zones(BELOW[program]) == "Shall we go by boat?"
    assert zones(f"\n\n{BELOW['forwarded'].split('Shall')[0]}{BELOW[program]}") == "Shall we go by boat?"


def test_answers_between_quoted_lines_stay():
    mail = "On Mon, 3 May 2021, Ann wrote:\n> Shall we go by boat?\n\nYes, at nine.\n\n> Is a coat needed?\nIt is.\n> And food?\n\nNo.\n\nBob\n"
    assert zones(mail) == "Yes, at nine.\n\nIt is.\n\nNo."


def test_what_a_list_broke_off_a_quoted_line_is_cut_with_it():
    line = "> " + "a quoted line that a mailing list broke because it is far too"
    assert zones(f"Yes.\n\n{line}\nlong\n> and goes on\n") == "Yes."
    assert zones(f"Yes.\n\n{line}.\nNo!\n> and goes on\n") == "Yes.\n\nNo!"


def test_names_of_attachments_are_cut():
    assert zones(f"{MESSAGE}\n\nBob\n\n <<the plan.doc>> \n - the plan.doc\n") == MESSAGE
    assert zones("Two ways:\n- by boat\n- by www.rail.example") == "Two ways:\n- by boat\n- by www.rail.example"


@pytest.mark.parametrize(
    "text",
    [
        "Which day suits you?\n\nTuesday",
        "Is it still free?\n\nYes",
        "Thanks,\nBob",
        "Yes,\nit is.",
        "Send it to:\n\nAnn Lee\n12 Harbour Street\nHull 12345",
        "We need:\n- Milk\n- Bread\n- Salt",
        "To: whom it may concern\nthe boat is sold.",
        "From: Rome\nTo: Paris\nby train",
        "Meet at 10/12/2021 10:30\nat the quay.",
        "This email is intended to tell you about the boat.\n\nIt leaves at nine.",
        "Of boats:\n\nThis message is about private boats.\n\nThey are not allowed here.",
        "---\nA line of dashes begins it, and no header follows.",
        "He wrote: come at nine\nand I came.",
        "",
        "Hello",
    ],
)
def test_what_only_looks_like_a_zone_stays(text):
    assert zones(text) == text


def test_a_closing_above_a_postscript_is_cut_and_the_postscript_stays():
    postscript = "P.S. The coat must be warm, it is cold."
    left = zones(f"{MESSAGE}\n\nThanks,\nBob\n\n{postscript}")
    assert left.split() == [*MESSAGE.split(), *postscript.split()]


def test_a_second_run_changes_nothing_in_whole_mails():
    mails = [
        f"{opening}\n\n{MESSAGE}\n\n{closing}\n\n{below}"
        for opening in OPENINGS
        for closing in CLOSINGS
        for below in BELOW.values()
    ]
    config = mail_zones.Config()
    once = mail_zones.apply(tf.constant(random.Random(1).sample(mails, 2000)), config).numpy()
    assert (mail_zones.apply(tf.constant(once), config).numpy() == once).all()
    assert sum(text.decode() == MESSAGE for text in once) >= 1990


def test_the_closing_is_that_of_mail_signature_and_a_whole_text_is_never_cut():
    text = f"{MESSAGE}\n\nBest,\nBob"
    assert (
        zones(text, "closing") == mail_signature.apply(tf.constant([text]), mail_signature.Config()).numpy()[0].decode()
    )
    assert zones("> Shall we?\n> Ann") == "> Shall we?\n> Ann"
    assert zones("Hi Ann,") == "Hi Ann,"


def test_an_unknown_zone_is_refused():
    with pytest.raises(ValueError, match="or \"attachments\", found 'header'"):
        Plugin.check("text.steps", {"kind": "mail_zones", "cut": ["header"]})


PARTS = (
    "a\n", "\n", " \n", "> x\ny\n", "> " + "x" * 50 + " and\nrest\n", ">", "Thanks,\n", "Thanks,\nBob\n\n", "Bob\n", "\n\nBob\n", "=09", "1/1/00 1:00\n",
    "Ann 1/1/2000 10:00 AM\nTo: x\n", "From: a\n", "From: a\nTo: b\nSubject: c\n", "-----Original Message-----\n", "--- forwarded by x\n", "____\n",
    "Bob, ", "Bob,\n", "a@b.org wrote:\n", "On 3 May 2021, Ann wrote:\n", "\U0001f600", "- a.doc\n", "<<a.doc>> ", "This message is confidential\n", ":", "@",
)  # fmt: skip


def test_the_time_grows_no_faster_than_the_text():
    config, draw = mail_zones.Config(), random.Random(3)
    mixed = ["".join(draw.choices(draw.sample(PARTS, 8), k=40_000)) for _ in range(5)]
    for text in [*(part * (200_000 // len(part)) for part in PARTS), *mixed]:
        start = time.process_time()
        mail_zones.apply(tf.constant([text[:200_000]]), config)
        # 200 kB take about 20 ms; a pattern that backtracks would take minutes.
        assert time.process_time() - start < 5
