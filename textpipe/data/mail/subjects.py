"""Subjects of mails: the marks of answers and of forwarded mail, in the languages of mail programs."""

import re

REPLY_MARKS = (
    "re", "aw", "antw", "antwort", "sv", "vs", "r", "rif", "ref", "res", "odp", "ynt", "yan", "vá", "vast", "ats", "atb", "bls",
    "hl", "ha", "απ", "σχετ", "re-sent", "отв", "ответ", "на", "відп", "回复", "答复", "回覆", "返信", "回信", "答覆", "답장", "회신", "رد",
    "תשובה", "ตอบ",
)  # fmt: skip
FORWARD_MARKS = (
    "fw", "fwd", "wg", "weitergeleitet", "tr", "rv", "enc", "i", "pd", "vb", "vl", "fs", "doorst", "továbbítás", "továbbított",
    "ilt", "i̇lt", "πρθ", "пересл", "转发", "轉寄", "転送", "전달", "إعادة توجيه", "הועבר",
)  # fmt: skip
AUTOMATIC = re.compile(
    r"\s*(?:auto(?:matic)?[- ]?(?:matic )?(?:reply|response|antwort|svar)|autoreply|auto-response|out of (?:the )?office|away from my mail"
    r"|vacation reply|automatische antwort|abwesenheits\w*|abwesend|réponse automatique|absence du bureau|respuesta automática|fuera de (?:la )?oficina"
    r"|risposta automatica|fuori ufficio|automatisch antwoord|afwezig|automaattinen vastaus|autosvar|automatiskt svar|automatisk svar|frånvaro"
    r"|resposta automática|odpowiedź automatyczna|automatická odpověď|автоответ|автоматический ответ|自動応答|自动答复|자동 회신)\b",
    re.IGNORECASE,
)
COUNTER = r"(?:\s*[\[(^*]?\s*[0-9]{1,3}\s*[\])]?)?"  # Re[2]:, Re(3):, Re^2:, Re2:
MARK = re.compile(
    r"\s*(?:(" + "|".join(map(re.escape, sorted(REPLY_MARKS, key=len, reverse=True))) + r")|("
    + "|".join(map(re.escape, sorted(FORWARD_MARKS, key=len, reverse=True))) + r"))" + COUNTER + r"\s*[:：]",
    re.IGNORECASE,
)  # fmt: skip
TAG = re.compile(r"\s*\[(?![0-9]+\])[^\[\]\r\n]{1,60}\]")  # of a list: "[users]"
ENDING = re.compile(r"\s*(?:\((?:fwd?|was:?[^()]{1,200})\)|\[(?:fwd?|was:?[^\[\]]{1,200})\])\s*\Z", re.IGNORECASE)
MAX_SUBJECT = 1_000  # characters that are read
MAX_MARKS = 50  # marks and tags read at the start of one subject


def split_subject(subject: str) -> tuple[str, str]:
    """Return (mark, topic): mark is "reply" or "forward" by the outermost mark, else ""; topic is without marks and tags.

    "[users] AW: Re: The  Budget" -> ("reply", "the budget"); "Fwd: Re: Lunch" -> ("forward", "lunch"); "Lunch" -> ("", "lunch")
    """
    subject = subject[:MAX_SUBJECT]
    mark, start = "", 0
    for _ in range(MAX_MARKS):
        match = MARK.match(subject, start)
        if match:
            mark = mark or ("reply" if match[1] else "forward")
        else:
            match = TAG.match(subject, start)
        if match is None:
            break
        start = match.end()
    topic = subject[start:]
    ending = ENDING.search(topic)
    if ending:
        mark = mark or ("forward" if "fw" in ending[0].lower() else "")
        topic = topic[: ending.start()]
    return mark, " ".join(topic.casefold().split())


def is_automatic(subject: str) -> bool:
    """Whether a subject is that of an automatic answer: "Out of Office: Re: Lunch", "Abwesenheitsnotiz"."""
    return bool(AUTOMATIC.match(subject))
