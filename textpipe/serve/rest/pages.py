"""The web pages: page.html, and inbox.html for models that suggest replies.

Each page is a single response, because a browser would request further files without the token: a line <!-- script: NAME --> is
replaced by the script in that file.
"""

import re
from pathlib import Path

NAMES = ("page", "inbox")
SCRIPT = re.compile(r"<!-- script: ([a-z]+\.js) -->")
SOURCES = "style-src 'unsafe-inline'; script-src 'unsafe-inline'; connect-src 'self'"
HEADERS = {
    "content-security-policy": f"default-src 'none'; {SOURCES}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
}


def read(name: str) -> str:
    """The HTML of a page, with its scripts inlined."""
    folder = Path(__file__).parent
    page = (folder / f"{name}.html").read_text(encoding="utf-8")
    return SCRIPT.sub(lambda match: f"<script>\n{(folder / match[1]).read_text(encoding='utf-8')}</script>", page)
