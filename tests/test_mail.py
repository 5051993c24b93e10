"""Mail as real mailers write it: parts, charsets, transfer encodings, malformed headers, and mbox separators."""

import base64
import io
from collections import Counter

import pytest

from textpipe.data.mail import charsets, headers, mbox, payload, structure


def body(raw, counts=None):
    counts = Counter() if counts is None else counts
    return structure.body(headers.parse(raw if isinstance(raw, bytes) else raw.encode(), counts), counts)


def multipart(kind, *parts, boundary="=_x"):
    inside = "".join(f"--{boundary}\n{part}\n" for part in parts)
    return f'Content-Type: multipart/{kind}; boundary="{boundary}"\n\n{inside}--{boundary}--\n'


PLAIN, HTML = "Content-Type: text/plain\n\nCome at six.", "Content-Type: text/html\n\n<b>Come at six.</b>"
BLANK = "Content-Type: text/plain; charset=utf-8\n\n\u00a0 \n"
MAIL = "From: c@example.org\nSubject: old\n\nWords of another."
PICTURE = "Content-Type: image/gif\nContent-Transfer-Encoding: base64\n\nR0lGODlh"
NOTES = 'Content-Type: text/plain\nContent-Disposition: inline; filename="notes.txt"\n\n1,2'
MORE = "Content-Type: text/plain\n\nBring the map."


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        (multipart("alternative", PLAIN, HTML), "Come at six."),
        (multipart("alternative", HTML, PLAIN), "Come at six."),
        (multipart("alternative", BLANK, HTML), "<b>Come at six.</b>"),
        (multipart("alternative", BLANK, multipart("related", HTML, PICTURE, boundary="r")), "<b>Come at six.</b>"),
        (multipart("alternative", "Content-Type: text/calendar\n\nBEGIN:VCALENDAR", HTML), "<b>Come at six.</b>"),
        (multipart("mixed", BLANK, HTML), "<b>Come at six.</b>"),
        (multipart("mixed", PLAIN, PICTURE, MORE), "Come at six.\n\nBring the map."),
        (multipart("mixed", PLAIN, NOTES, PICTURE), "Come at six."),
        (multipart("mixed", f"Content-Type: message/rfc822\n\n{MAIL}", PLAIN), "Come at six."),
        (multipart("mixed", multipart("digest", f"\n{MAIL}", boundary="d"), HTML), "<b>Come at six.</b>"),
        (multipart("mixed", HTML, MORE), "<b>Come at six.</b>\n\n<p>Bring the map.</p>"),
        (multipart("mixed", HTML, "\n_______\ntown list\nhttp://lists.example.org"), "<b>Come at six.</b>"),
        (multipart("mixed", PLAIN, "\n-- \nTo leave, write to us"), "Come at six."),
        (multipart("mixed", NOTES), ""),
        (multipart("signed", PLAIN, "Content-Type: text/plain\n\nnot signed"), "Come at six."),
        (multipart("report", PLAIN, "Content-Type: message/delivery-status\n\nAction: failed"), "Come at six."),
        (multipart("report", PLAIN, "Content-Type: text/rfc822-headers\n\nFrom: x"), "Come at six."),
        (multipart("appledouble", "Content-Type: application/applefile\n\nx", PLAIN), "Come at six."),
        ("Content-Type: text/plain; name=body.txt\n\nCome at six.", "Come at six."),
        ("Content-Type: text/plain\nContent-Disposition: ATTACHMENT; filename=a\n\nCome at six.", ""),
        ("Content-Type: text/x-web-markdown\n\nCome at *six*.", "Come at *six*."),
        ("Content-Type: text/enriched\n\n<bold>Come</bold> at\nsix <<3\n\nAnn", "Come at six <3\nAnn"),
        ("Content-Type: application/pdf\n\n%PDF", ""),
    ],
)  # fmt: skip
def test_the_body_follows_from_the_mime_structure(raw, expected):
    assert body(raw) == expected


def test_the_root_of_a_related_mail_is_the_part_named_by_start():
    other = "Content-Type: text/html\nContent-ID: <root@x>\n\n<b>Yes</b>"
    raw = multipart("related", "Content-Type: text/html\nContent-ID: <a@x>\n\nNo", other)
    assert body(raw.replace("related;", 'related; start="<root@x>";')) == "<b>Yes</b>"


@pytest.mark.parametrize(
    ("raw", "expected"),
    [
        ("Content-Type: text/plain\tcharset=koi8-r\n\n", "да"),
        ('Content-Type: text/plain; charset="koi8-r\n\n', "да"),
        ("Content-Type: text/plain; charset='koi8-r'\n\n", "да"),
        ("Content-Type: text/plain, charset=KOI8-R\n\n", "да"),
        ("Content-type : text/plain; charset=koi8-r\n\n", "да"),
        ("Subject: a long\nsubject line\nContent-Type: text/plain; charset=koi8-r\n\n", "да"),
        (">From x@y Mon May  3 10:00:00 2021\nContent-Type: text/plain; charset=koi8-r\n\n", "да"),
        ("\n\nContent-Type: text/plain; charset=koi8-r\n\n", "да"),
    ],
)
def test_malformed_headers_are_repaired(raw, expected):
    assert body(raw.encode() + "да".encode("koi8-r")) == expected


@pytest.mark.parametrize(
    "raw",
    [
        "Content-Type: multipart/mixed boundary=q\n\n--q\n\nCome at six.\n--q--\n",
        "Content-Type: multipart/mixed\n\n--q\nContent-Type: text/plain\n\nCome at six.\n--q--\n",
        "Content-Type: multipart/mixed; boundary=other\n\n--q\nContent-Type: text/plain\n\nCome at six.\n--q--\n",
        "Content-Type: multipart/mixed; boundary=q\n\n--q\nContent-Type: text/plain\n\nCome at six.\n",
        "Content-Type: multipart/mixed; boundary=q\n\nCome at six.\n",
        "Content-Type: multipart/mixed; boundary=q\r\n\r\n--q\r\nContent-Type: text/plain\r\n\r\nCome at six.\r\n--q--",
    ],
)
def test_a_boundary_may_be_missing_or_wrong(raw):
    assert body(raw) == "Come at six."


def encoded(encoding, data):
    return body(
        b"Content-Transfer-Encoding: " + encoding.encode() + b"\nContent-Type: text/plain; charset=utf-8\n\n" + data
    )


def test_transfer_encodings_are_decoded_leniently():
    whole = base64.encodebytes("Können wir um sechs kommen?".encode())
    for encoding in ("base64", "BASE64 ", '"base64"', "base64;"):
        assert encoded(encoding, whole) == "Können wir um sechs kommen?"
    assert encoded("base64", whole + b"\n-- \nThe list of the town\n") == "Können wir um sechs kommen?"
    assert encoded("base64", whole.rstrip(b"=\n")[:-3]).startswith("Können wir um sechs komm")
    assert encoded("base64", base64.b64encode(b"ab") + b"\n" + base64.b64encode(b"cde")) == "abcde"
    assert encoded("base64", b"This was never encoded.") == "This was never encoded."
    assert encoded("quoted printable", b"K=C3=B6n= \nnen") == "Können"
    assert encoded("8 bit", "Können".encode()) == encoded("x-none", "Können".encode()) == "Können"


def test_repairs_and_omissions_are_counted():
    counts = Counter()
    body("Content-Transfer-Encoding: base64\n\nQ29tZQ==\na plain footer", counts)
    body("Content-Type: text/plain charset=x-nonsense\n\nCome", counts)
    body(multipart("mixed", PLAIN, HTML, "\n-- \nfooter"), counts)
    assert counts == {"plain_text_in_base64": 1, "mended_headers": 1, "unknown_charsets": 1, "html_beside_plain": 1,
                      "footers_left_out": 1}  # fmt: skip


def test_flowed_lines_are_joined():
    text = "We meet \nat noon.\n From 1 \nto 2.\n> Is it \n> far?\n>> No\n-- \nAnn"
    assert payload.unfold_flowed(text, delete_space=False) == (
        "We meet at noon.\nFrom 1 to 2.\n> Is it far?\n>> No\n-- \nAnn"
    )
    raw = "Content-Type: text/plain; format=flowed; delsp=yes\n\n明日は \n晴れ"
    assert body(raw) == "明日は晴れ"
    assert body(raw.replace("format=flowed; ", "")) == "明日は \n晴れ"


@pytest.mark.parametrize(
    ("charset", "codec", "text"),
    [
        ("ISO-8859-1", "cp1252", "“Ann’s” – 5 €"), ("us-ascii", "cp1252", "Ann’s"), ("latin1", "cp1252", "…"),
        ("iso-8859-9", "cp1254", "“ğ”"), ("iso-8859-11", "cp874", "สวัสดี…"), ("TIS-620", "cp874", "“ก”"),
        ("gb2312", "gbk", "喆镕"), ("x-gbk", "gb18030", "㐀"), ("big5", "big5hkscs", "啲"), ("big5", "cp950", "碁"),
        ("Shift_JIS", "cp932", "①㈱髙"), ("windows-31j", "cp932", "Ⅲ"), ("ms_kanji", "cp932", "日本"),
        ("ks_c_5601-1987", "cp949", "뷁똠"), ("euc-kr", "cp949", "힣"), ("iso-8859-8-I", "iso8859_8", "שלום"),
        ("cp-437", "cp437", "ü"), ("IBM850", "cp850", "ü"), ("windows1251", "cp1251", "Привет"), ("x-cp1250", "cp1250", "ž"),
        ("utf-7", "utf-7", "héllo"), ("utf8", "utf-8", "日"), ("unknown-8bit", "utf-8", "日"), ("x-nonsense", "cp1252", "é"),
        ("hz-gb-2312", "hz", "中文"), ("iso-2022-kr", "iso2022_kr", "한국"), ("utf-16", "utf-16", "日本"),
        ("iso8859_15", "iso8859_15", "€"), ("macintosh", "mac_roman", "Ä"), ('"UTF-8";', "utf-8", "ü"),
    ],
)  # fmt: skip
def test_charset_labels_mean_what_mailers_mean_by_them(charset, codec, text):
    assert charsets.decode(text.encode(codec), charset) == text


def test_japanese_mail_decodes_vendor_characters():
    number_one = bytes((0x2D, 0x21))  # row 13, which Python's codecs leave out
    assert charsets.decode(b"\x1b$B" + number_one + b"F|\x1b(B: \x1b(I1\x1b(B", "iso-2022-jp") == "①日: ｱ"
    assert charsets.decode(bytes(byte | 0x80 for byte in number_one) + "日".encode("euc_jp"), "euc-jp") == "①日"
    plain = "日本語、カタカナ。abc"
    assert charsets.decode(plain.encode("iso2022_jp"), "ISO-2022-JP") == plain


def test_every_byte_in_every_charset_is_decoded_or_counted():
    every = bytes(range(256))
    for label in ("windows-1252", "iso-8859-8", "koi8-u", "gbk", "big5", "euc-jp", "shift_jis", "euc-kr", "utf-8", "utf-7",
                  "iso-2022-jp", "hz", "iso-2022-kr", "utf-16", "cp864", "x", None):  # fmt: skip
        for data in (every, every[::-1], every[1::2]):
            assert isinstance(charsets.decode(data, label), str)
    assert charsets.decode(b"a\xffb", "utf-8") == "a\udcffb"


def test_labels_of_other_codecs_are_unknown_charsets():
    for label in ("rot13", "hex", "idna", "unicode_escape", "undefined", "zlib"):
        assert not charsets.is_known(label)


def test_encoded_words_in_headers_are_decoded():
    for value, expected in {
        "=?gb2312?B?" + base64.b64encode("镕".encode("gbk")).decode() + "?= ok": "镕 ok",
        "=?utf-8?q?caf=C3?= =?utf-8?q?=A9_au?= lait": "café au lait",
        "=?iso-8859-1?q?=93a=94?==?utf-8?b?w7w?=": "“a”ü",
        "=?utf-8*de?q?=C3=BC b?=": "ü b",
        "a =?b": "a =?b",
        "=?x?z?y?=": "=?x?z?y?=",
    }.items():
        assert headers.decode_words(value) == expected


def mails(text):
    return list(mbox.messages(io.BytesIO(text.encode())))


A, B = "From ann@example.org Tue May  4 10:00:00 2021\n", "From: ann@example.org\n\nOne.\n"


@pytest.mark.parametrize(
    "separator",
    [
        "From - Tue May 04 10:00:00 2021", "From ann Tue May  4 10:00 2021", "From a@b Tue May  4 10:00:00 CEST 2021",
        "From a@b Tue May 4 10:00:00 2021 +0200", "From 12@xxx Tue May 04 10:00:00 +0000 2021",
        "From ann at example.org  Tue May  4 10:00:00 2021", "From a Tue May  4 10:00:00 2021 remote from b",
        "From ???@??? Tue May 04 10:00:00 2021", "From a@b Tue, 04 May 2021 10:00:00 +0200",
    ],
)  # fmt: skip
def test_separators_of_all_forms_start_a_mail(separator):
    for end in ("\n", "\r\n"):
        assert mails(f"{A}{B}\n{separator}{end}Subject: x\n\nTwo.") == [f"{B}\n".encode(), b"Subject: x\n\nTwo."]


@pytest.mark.parametrize("line", ["From here on: be quiet", "From Tuesday, May 4 2021", "From a@b I heard", A.strip()])
def test_a_sentence_that_starts_with_from_does_not_split_a_mail(line):
    assert mails(f"{A}{B}\n{line}\nno header follows\n{A}{B}") == [
        f"{B}\n{line}\nno header follows\n".encode(),
        B.encode(),
    ]


def test_mboxes_may_lack_blank_lines_start_with_them_or_end_early():
    assert mails(f"\ufeff\n\r\n{A}{B}{A}{B}".rstrip()) == [B.encode(), B.rstrip().encode()]
    assert mails(f"From nobody\n{B}") == [B.encode()]
    assert mails(f"{A}{B}>From me\n>>From you\n> From x\n") == [f"{B}From me\n>From you\n> From x\n".encode()]
    assert mails(B) == [B.encode()]
    assert mails("") == mails("\n\n") == []
    assert mails(A) == [b""]
