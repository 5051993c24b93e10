"""Strings that break text code, and random ones drawn from all of Unicode."""

import random

NASTY = (
    "",
    " ",
    "   \t ",
    "\n\n\n",
    "\0",
    "a\0b",
    "\ufeffmark first",
    "mark\ufefflast\ufeff",
    "tab\tand\rreturn\r\nand feed\x0c and \x0b and \x85 end",
    "line\u2028paragraph\u2029 no-break\u00a0narrow\u202fideographic\u3000zero\u200bwidth",
    "1\u00a0000,00 € und 2\u202f000",
    "▁already▁marked ▁",
    "\u2585 full block ▅▅",
    "\ufdd0a\ufdd0b\ufdd0\ufdd1&\ufdd1",
    "\ufffe\uffff\U0010ffff\U0001ffff",
    "e\u0301 é Å \u212b ﬁ ①  Ⅷ ｆｕｌｌ",
    "Straße ΑΣ ΟΔΟΣ İstanbul ıI",
    "👩‍👩‍👧‍👦 🏳️‍🌈 🇩🇪 ☃️ 👍🏽",
    "Z̮̞̠͙͔ͅḀ̗̞͈̻̗Ḷ͙͎̯̹̞͓G̻O̭̗̮",
    "مرحبا بالعالم ١٢٣ שלום עולם",
    "नमस्ते दुनिया ๑๒๓ สวัสดี こんにちは世界 안녕하세요",
    "<s> </s> <unk> <pad> <0x41> <0xFF>",
    "<script>alert('x')</script><b>bold</b><!-- comment --><br/>",
    "<a@b.org> <https://x.org> a < b > c <3 <<>> < > </>",
    "<!-- never closed <script> never closed",
    "&amp;lt; &lt;&gt;&nbsp;&notit; &#0; &#x110000; &#xD800; &#128; &#99999999999; &#; &#x; & &;",
    "\\ \\0 \\1 $1 %s %d {} {0} \\\\",
    "' \" ` '; DROP TABLE users; --",
    "../../etc/passwd C:\\CON ~root $(touch /tmp/x) `ls`",
    "http://a.b/c?d=e&f=g#h https://例え.jp/パス www. http:// ftp://x mailto:a@b.c",
    "a@b a@b.c .@. @@ a@-.- ä.ö@ü.example",
    "0 00 -1 1.2.3.4 1,000.00 1e10 0x1F NaN Infinity 1/0 ½ ² ①",
    "+49 (0)30 1234-567 (555) 010-9999 555-010-9999 +",
    "--",
    "-- ",
    "> quoted\n>> twice\n>",
    "On",
    "-----Original Message-----",
    "Hi",
    "Thanks",
    "\nThanks\nThanks\nThanks",
    "\n" * 500,
    ("ab " * 40 + "\n") * 200,
    "x" * 5000,
    "é" * 3000 + " " * 3000 + "\U0001f600" * 1000,
)


def random_texts(count: int, seed: int) -> list[str]:
    """Texts of up to 40 characters, each from one of several ranges; no surrogates, which UTF-8 cannot encode."""
    draw = random.Random(seed)
    ranges = ((0, 0x7F), (0x20, 0x7E), (0x80, 0x24F), (0x250, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x10FFFF))
    ranges += ((0x2000, 0x206F),)
    texts = []
    for _ in range(count):
        chosen = [ranges[draw.randrange(len(ranges))] for _ in range(3)]
        texts.append("".join(chr(draw.randint(*draw.choice(chosen))) for _ in range(draw.randint(0, 40))))
    return texts
