"""Masks of dates, times, amounts and names, on cases written by hand: what becomes a token, and what must stay."""

import re
import time

import pytest
import tensorflow as tf

from textpipe.config import plugins
from textpipe.config.sections import Plugin

KINDS = ("mask_dates", "mask_times", "mask_amounts", "mask_names")


def run(kind: str, *texts: str, **options) -> list[str]:
    step = plugins.find("text.steps", kind)
    done = step.apply(tf.constant(texts), step.Config(**options)).numpy()
    return [text.decode() for text in done]


def check(kind: str, cases: str) -> None:
    """Lines of "before -> after", or of a text that stays; \\n stands for a line break."""
    lines = [line.strip().replace("\\n", "\n") for line in cases.strip().splitlines()]
    pairs = [line.split(" -> ") if " -> " in line else [line, line] for line in lines]
    after = run(kind, *(before for before, _ in pairs))
    assert list(zip([before for before, _ in pairs], after, strict=True)) == [tuple(pair) for pair in pairs]
    assert run(kind, *after) == after  # idempotent


def test_dates():
    check(
        "mask_dates",
        """
        Tuesday at 4:15 works for me. -> <date> at 4:15 works for me.
        on Tuesday, 14 March 2024 or Friday the 3rd -> on <date> or <date>
        14th of March, March 14, 2024; Mar 3rd. -> <date>, <date>; <date>.
        2024-01-15 and 2024-01-15T10:30:00Z -> <date> and <date>
        (14.3.2024), 1/2/2024 or 3/14/24. -> (<date>), <date> or <date>.
        14-Mar-2024 -> <date>
        14-16 March, 3 to 5 May -> <date>, <date>
        Monday-Friday, Monday to Wednesday -> <date>, <date>
        monday or on Thursdays -> <date> or on <date>
        Monday's call -> <date>'s call
        Monday Tuesday Wednesday -> <date> <date> <date>
        in May, by the end of March, since June 2023 -> in <date>, by the end of <date>, since <date>
        on May 5 or May 5th, May 6, 2024 -> on <date> or <date>, <date>
        see you on the 14th. -> see you on the <date>.
        on the 3rd at noon -> on the <date> at noon
        next Monday morning -> next <date> morning
        Tue 14 March, Sun, 3 May -> <date>, <date>
        am 14.3. oder vom 2.4. bis 5.4.24 -> am <date> oder vom <date> bis <date>
        am Dienstag, den 14. März 2024 -> am <date>
        Di, 14.3. und Mittwochabend, montags -> <date> und <date>, <date>
        3. Mai, Ende Oktober, im Dezember 2023 -> <date>, Ende <date>, im <date>
        on\\nTuesday,\\n14 March -> on\\n<date>
        """,
    )


def test_what_is_no_date():
    check(
        "mask_dates",
        """
        May I use version 1.2.24?
        May 5 of us come? You may, 5 times; 3 may be enough
        Mark it, March on, and mark 3 of them
        3.5, 1.10.2, v2.14.3.2024 and 192.168.1.10
        3.14.3.2024.1 10.1.2024.5
        1/2 cup, 24/7, 9/11/x, 3/4
        a/1/2/2024/b.txt img-2024-01-15-1.png
        The sun sat down, we wed. So 3 of us do
        Monday.com and black_friday
        tomorrow, next week, in 2024
        on the 3rd floor, the 14th of them
        Section 14, marching
        Junior, Decade 5, Marches 7
        am 3. Tag
        """,
    )


def test_times():
    check(
        "mask_times",
        """
        at 4:15, 10:30:15 and 23:59. -> at <time>, <time> and <time>.
        3 pm, 3pm, 4.15 p.m., 11 A.M. or 10:30am -> <time>, <time>, <time>, <time> or <time>
        9-11 am, 9:00 - 10:30, 2 to 3 pm -> <time>, <time>, <time>
        <date> at 3 works -> <date> at <time> works
        see you at 3. Or at 4? -> see you at <time>. Or at <time>?
        at 5 on Monday, at 6 tomorrow -> at <time> on Monday, at <time> tomorrow
        three o'clock, 3 o’clock -> <time>, <time>
        half past three, quarter to 4 -> <time>, <time>
        um 15 Uhr, 15.30 Uhr, 9 bis 11 Uhr, drei Uhr -> um <time>, <time>, <time>, <time>
        um 3, gegen 4 oder um 5 am Montag -> um <time>, gegen <time> oder um <time> am Montag
        halb vier, viertel nach 3, dreiviertel acht -> <time>, <time>, <time>
        10:00 11:00 12:00 -> <time> <time> <time>
        (10:30) -> (<time>)
        """,
    )


def test_what_is_no_time():
    check(
        "mask_times",
        """
        3.5 hours at 3 sites, at 4 % of 5
        at 3.5, version 10.30, 192.168.1.1:80
        25:61, 16:9, 1:2:3:4, 10:305
        host:10:30x and 2001:db8:10:30::1
        die 3 am Montag, nimm 2 am besten
        I am 3, program 3 amps
        noon, tonight, in the evening
        um 3 Tage, gegen 5 Leute, at 11 people
        the Uhr, half of three, a quarter
        5 ambitious, 5 pmx
        """,
    )


def test_amounts():
    check(
        "mask_amounts",
        """
        $5, €1,200.50 and £231. -> <amount>, <amount> and <amount>.
        250 EUR, EUR 250, 12,50 €, 1.200,50 € -> <amount>, <amount>, <amount>, <amount>
        US$5k, $2.5 million, 3 Mio. Euro, 50,- € -> <amount>, <amount>, <amount>, <amount>
        20 pounds or 3 dollars, 5 Franken -> <amount> or <amount>, <amount>
        $5-10, 5-10 €, -$5, ($5) -> <amount>, <amount>, -<amount>, (<amount>)
        $1 $2 $3 -> <amount> <amount> <amount>
        CHF 1'200.00 -> <amount>
        """,
    )


def test_what_is_no_amount():
    check(
        "mask_amounts",
        """
        5 %, 3 kg, 12 people, room 204
        $HOME, $x1, A$, 5$HOME
        europe 5, euro area, pound cake
        version 3.5.1, 10.0.0.1, INV-100
        EURO24, 5 europeans, 3 centsless
        """,
    )


def test_names():
    check(
        "mask_names",
        """
        Hi Bob, please ask Ms Lee. Thanks, Ann -> Hi <name>, please ask Ms <name>. Thanks, <name>
        Dear Ms Van Dyke, Dear Anna and Tom, -> Dear Ms <name>, Dear <name>,
        Hello Anna-Lena!\\nWe saw Dr. O'Brien. -> Hello <name>!\\nWe saw Dr. <name>.
        Thanks, Renée! -> Thanks, <name>!
        Ok. Thank you so much Peter. -> Ok. Thank you so much <name>.
        See you.\\n\\nBest regards,\\nAnna McKay -> See you.\\n\\nBest regards,\\n<name>
        Will do.\\n- Anna -> Will do.\\n- <name>
        Sehr gut, Frau Müller. Herr Dr. von Weber kommt -> Sehr gut, Frau <name>. Herr Dr. von <name> kommt
        Hallo Jörg,\\nLiebe Grüße\\nZoë Ørsted -> Hallo <name>,\\nLiebe Grüße\\n<name>
        My name is Yuki Tanaka and I ask -> My name is <name> and I ask
        I told Anna that, tell Tom. -> I told <name> that, tell <name>.
        Professor Weber, Mrs. J. Smith -> Professor <name>, Mrs. <name>
        """.replace(
            "Mrs. J. Smith -> Professor <name>, Mrs. <name>", "Mrs. Smith J. Lind -> Professor <name>, Mrs. <name>"
        ).replace(
            "Herr Dr. von Weber kommt -> Sehr gut, Frau <name>. Herr Dr. von <name> kommt",
            "Herr Dr. Weber kommt -> Sehr gut, Frau <name>. Herr Dr. <name> kommt",
        ),
    )


def test_what_is_no_name():
    check(
        "mask_names",
        """
        May I? Mark it. Will do, Sure.
        Dear all, Hi Team, Hello Everyone! Dear Sir, Dear Customer,
        Thanks. Please call Monday. Thanks, Monday works. Thank you, I will.
        Thanks Again! Thank you Very much. Sorry, No.
        Hi can you come, Hello World is a program
        The Atlas plan and Python 3.5, Monday, Berlin
        Mr President, Herr Präsident, Frau Doktor
        ask HR, tell Sales, ask Support, tell us, ask Them
        Sehr geehrte Damen und Herren, Liebe Kollegen,
        Das Haus und der Garten. Viele Grüße
        Best, all the best, Best regards,\\nThe Team
        hi bob, thanks ann
        """,
    )


@pytest.mark.parametrize("kind", KINDS)
def test_tokens_are_literal_and_hold_no_digit(kind):
    text = {"mask_dates": "14 March", "mask_times": "10:30", "mask_amounts": "$5", "mask_names": "Mr Lee"}[kind]
    for token in ("\\x", "a\\b", "", "§", "<x>"):
        expected = f"Mr {token}" if kind == "mask_names" else token
        assert run(kind, text, token=token) == [expected]
    with pytest.raises(ValueError, match="without digits"):
        Plugin.check("text.steps", {"kind": kind, "token": "<n1>"})


def test_the_masks_in_a_row_leave_no_number():
    steps = [Plugin.check("text.steps", kind) for kind in (*KINDS[:3], "mask_numbers", KINDS[3])]
    from textpipe.text import normalizer

    texts = tf.constant(["Hi Bob, is Tuesday, 14 March at 3 or 10:30 fine? It is €5 for 7.\nBest,\nAnn"])
    assert normalizer.apply(steps, texts).numpy()[0].decode() == (
        "Hi <name>, is <date> at <time> or <time> fine? It is <amount> for <number>.\nBest,\n<name>"
    )


@pytest.mark.parametrize("kind", KINDS)
def test_long_hostile_texts_take_linear_time(kind):
    """Eight times the text takes less than 32 times as long (and a quadratic search 64 times)."""
    spent = []
    for size in (20_000, 160_000):
        texts = [
            part * (size // len(part))
            for part in ("1:1", "Monday ", "14. ", "$1,111", "Mr Aa ", "Aa-Aa", "1.1.", " \n", "9 am ")
        ]
        start = time.process_time()
        run(kind, *texts)
        spent.append(time.process_time() - start)
    assert spent[1] < 32 * max(spent[0], 0.02)


def test_bytes_that_are_no_utf8_stay():
    for kind in KINDS:
        step = plugins.find("text.steps", kind)
        assert re.match(b"\xff\xfe", step.apply(tf.constant([b"\xff\xfe 14 March"]), step.Config()).numpy()[0])
