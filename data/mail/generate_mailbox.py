"""Write office.mbox, the synthetic mail of an office with its answers, from grammar.toml beside this file.

    python data/mail/generate_mailbox.py [--seed N] [--out DIR]

The messages are new ones of the phrasings of train; generate.py says how a mail is made, and why the same seed gives the
same bytes on every Python.
"""

import argparse
import base64
import binascii
import datetime
import re
import sys
from pathlib import Path

from generate import (
    HERE,
    MONTHS,
    PLAIN_LETTERS,
    SEED,
    WEEKDAYS,
    Mail,
    below,
    choice,
    phrasing_splits,
    read_grammar,
    shuffled,
    slot_names,
    stream,
)

NAME = "office.mbox"
MAILS_PER_INTENT = 36
COLLEAGUES, OTHERS = 12, 60
START = datetime.datetime(2024, 1, 8, 8, 0)
ANSWERED = {"yes": 0.9, "no": 0.05}  # share of mails with an answer
UNTHREADED = 0.12  # share of answers that name no mail in their headers


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Write the synthetic mailbox.")
    parser.add_argument("--seed", type=int, default=SEED, help=f"the number all draws follow from (default {SEED})")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to (default: the one of this file)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    mails = Office(read_grammar(), seed=options.seed).mails()
    path = options.out / NAME
    path.write_bytes(b"".join(mails))
    print(f"{path}: {len(mails)} mails", file=sys.stderr)


class Office:
    """The mail of some colleagues with each other and with people outside, in the order of its dates."""

    def __init__(self, grammar, *, seed):
        self.grammar, self.seed = grammar, seed
        self.words = grammar["mailbox"]
        self.rng = stream(seed, "mailbox")
        names = grammar["people"]
        first = shuffled(self.rng, names["women"] + names["men"])
        last = shuffled(self.rng, names["surnames"])
        pairs = [(first[k % len(first)], last[(k + k // len(first)) % len(last)]) for k in range(COLLEAGUES + OTHERS)]
        self.colleagues = [self.person(pair, self.words["domain"]) for pair in pairs[:COLLEAGUES]]
        self.others = [self.person(pair, "example.com") for pair in pairs[COLLEAGUES:]]
        self.sent = []  # (date, number, bytes)

    def person(self, name, domain):
        first, last = name
        title = "Ms" if first in self.grammar["people"]["women"] else "Mr"
        address = f"{first}.{last}@{domain}".lower().translate(PLAIN_LETTERS)
        return {"": first, "_surname": last, "_title": title, "_email": address}

    def mails(self):
        """The mails as bytes, each with its separator."""
        splits = phrasing_splits(self.grammar, seed=self.seed)
        messages = []
        for intent in self.grammar["intent"]:
            phrasings = [text for text in intent["phrasings"] if splits[intent["key"], text] == "train"]
            messages += [(intent, phrasings[k % len(phrasings)]) for k in range(MAILS_PER_INTENT)]
        date = START
        for number, (intent, phrasing) in enumerate(shuffled(self.rng, messages)):
            date += datetime.timedelta(minutes=3 + below(self.rng, 90))
            self.thread(intent, phrasing, date)
            if number % 40 == 20:
                self.of_machine(date)
        return [raw for _, _, raw in sorted(self.sent)]

    def thread(self, intent, phrasing, date):
        """A message, perhaps its answer, and what may follow."""
        rng, scene = self.rng, intent["scene"]
        from_list = intent["key"] in ("newsletter", "office_notice")
        sender = choice(rng, self.colleagues if scene == "office" else self.others)
        people = shuffled(rng, [person for person in self.colleagues if person is not sender])
        roles = dict(zip(("recipient", "person", "person2", "person3"), people, strict=False)) | {"sender": sender}
        values = {f"{role}{key}": text for role, person in roles.items() for key, text in person.items()}
        mail = Mail(self.grammar, intent, phrasing, rng, values)
        known = slot_names(phrasing)
        subjects = [text for text in self.words["subjects"][intent["key"]] if set(slot_names(text)) <= set(known)]
        subject = mail.sentences(choice(rng, subjects))
        recipient, copied = roles["recipient"], people[1 : 1 + below(rng, 3)] if rng.random() < 0.25 else []
        to = [("Staff", f"staff@{self.words['domain']}")] if intent["key"] == "office_notice" else [named(recipient)]
        extra = list_headers(intent["key"], self.words["domain"]) if from_list else []
        id = self.send(date, named(sender), to, subject, mail.message, cc=list(map(named, copied)), extra=extra)
        if rng.random() < 0.03:  # the copy that came over another way
            self.send(date, named(sender), to, subject, mail.message, id=id)
        away = rng.random() < 0.02
        if away:
            text = mail.sentences(choice(rng, self.words["away"]))
            title = choice(rng, self.words["away_subjects"]).replace("{subject}", subject)
            extra = [("Auto-Submitted", "auto-replied")]
            self.send(date, named(recipient), [named(sender)], title, text, answers=[id], extra=extra)
        if rng.random() < ANSWERED[intent["wants_reply"]] and not away:
            self.answer(mail, subject, date, roles, id, copied)
        elif rng.random() < 0.04:
            later = date + datetime.timedelta(minutes=5 + below(rng, 60))
            text = mail.sentences(choice(rng, self.words["follow_ups"]))
            self.send(later, named(sender), to, f"Re: {subject}", text, answers=[id])

    def answer(self, mail, subject, date, roles, id, copied):
        rng, recipient, sender = self.rng, roles["recipient"], roles["sender"]
        later = date + datetime.timedelta(minutes=4 + below(rng, 2000) if rng.random() < 0.4 else 4 + below(rng, 120))
        reply = mail.reply or choice(rng, self.words["acknowledgements"])
        greeting, ending = (mail.fill(choice(rng, self.words[part])) for part in ("greetings", "endings"))
        quoted = quotation(mail.message, date, sender, rng.random())
        text = "\n\n".join(part for part in (greeting, reply, ending, quoted) if part)
        mark = choice(rng, self.words["reply_marks"])
        answers = [] if quoted and rng.random() < UNTHREADED else [id]
        to, cc = [named(sender)], list(map(named, copied))
        second = self.send(later, named(recipient), to, mark + subject, text, cc=cc, answers=answers)
        draw, last = rng.random(), later + datetime.timedelta(minutes=10 + below(rng, 300))
        if draw < 0.12:
            thanks = choice(rng, self.words["acknowledgements"])
            self.send(last, named(sender), [named(recipient)], f"Re: {subject}", thanks, answers=[id, second])
        elif draw < 0.16:
            note = choice(rng, self.words["forwards"]) + "\n\n---------- Forwarded message ----------\n" + mail.message
            title = choice(rng, self.words["forward_marks"]) + subject
            self.send(last, named(recipient), [named(roles["person"])], title, note, answers=[id])

    def of_machine(self, date):
        """A bounce, an invitation, a digest, and an answer whose message is elsewhere."""
        rng, domain = self.rng, self.words["domain"]
        people = shuffled(rng, self.colleagues)
        sender, recipient = people[:2]
        roles = dict(zip(("sender", "recipient", "person", "person2", "person3"), people, strict=False))
        values = {f"{role}{key}": text for role, person in roles.items() for key, text in person.items()}
        mail = Mail(self.grammar, self.grammar["intent"][0], "{meeting} {topic} {day} {time}", rng, values)
        text = mail.fill(self.words["bounce"])
        machine = ("Mail Delivery System", f"mailer-daemon@{domain}")
        self.send(
            date,
            machine,
            [named(sender)],
            "Undelivered Mail Returned to Sender",
            text,
            extra=[("Auto-Submitted", "auto-replied")],
        )
        calendar = "BEGIN:VCALENDAR\nMETHOD:REQUEST\nBEGIN:VEVENT\nSUMMARY:{meeting}\nEND:VEVENT\nEND:VCALENDAR"
        self.send(
            date, named(sender), [named(recipient)], mail.sentences("Invitation: {meeting}"), mail.fill(self.words["invitation"]),
            calendar=mail.fill(calendar),
        )  # fmt: skip
        extra = list_headers("digest", domain)
        title = f"staff Digest, Vol 3, Issue {1 + below(rng, 90)}"
        self.send(
            date, ("Staff", f"staff@{domain}"), [named(recipient)], title, mail.fill(self.words["digest"]), extra=extra
        )
        reply = choice(rng, self.words["acknowledgements"])
        self.send(date, named(sender), [named(recipient)], "Re: Before my time", reply, answers=[self.new_id(domain)])

    def new_id(self, domain):
        return f"<{below(self.rng, 10**9):09d}.{below(self.rng, 10**6):06d}@{domain}>"

    def send(self, date, sender, to, subject, text, *, cc=(), answers=(), extra=(), calendar="", id=""):
        """Add a mail, and return its Message-ID; answers: the ids of the thread, the answered one last."""
        id = id or self.new_id(sender[1].split("@")[1])
        head = [
            ("Return-Path", f"<{sender[1]}>"),
            ("Date", f"{day(date)}, {date.day} {MONTHS[date.month - 1]} {date.year} {date:%H:%M:%S} +0000"),
            ("From", mailbox(sender)), ("To", ", ".join(map(mailbox, to))),
            *([("Cc", ", ".join(map(mailbox, cc)))] if cc else []),
            ("Subject", encoded(subject)), ("Message-ID", id),
            *([("In-Reply-To", answers[-1]), ("References", "\n ".join(answers))] if answers else []),
            *extra, ("X-Mailer", choice(self.rng, self.words["programs"])), ("MIME-Version", "1.0"),
        ]  # fmt: skip
        lines, body = self.body(text, calendar)
        head_text = "".join(f"{name}: {value}\n" for name, value in [*head, *lines])
        separator = f"From {sender[1]} {day(date)} {MONTHS[date.month - 1]} {date.day:2d} {date:%H:%M:%S} {date.year}\n"
        raw = re.sub(rb"(?m)^(>*From )", rb">\1", head_text.encode("ascii") + b"\n" + body.rstrip(b"\n"))
        self.sent.append((date, len(self.sent), separator.encode() + raw + b"\n\n"))
        return id

    def body(self, text, calendar):
        """A text's headers and bytes, in one of the forms in which mail programs send it."""
        draw, boundary = self.rng.random(), f"=_{below(self.rng, 10**12):012d}"
        if calendar:
            part = f"Content-Type: text/calendar; charset=utf-8; method=REQUEST\n\n{calendar}\n"
            return multipart(boundary, [f"Content-Type: text/plain; charset=us-ascii\n\n{text}\n", part])
        if draw < 0.15:
            page = "<html><body>" + "".join(f"<p>{escaped(part)}</p>" for part in text.split("\n\n")) + "</body></html>"
            parts = (
                (kind, base64.encodebytes(one.encode()).decode()) for kind, one in (("plain", text), ("html", page))
            )
            head = "Content-Type: text/{}; charset=utf-8\nContent-Transfer-Encoding: base64\n\n{}"
            return multipart(boundary, [head.format(kind, one) for kind, one in parts])
        if text.isascii() and draw < 0.8 and max(map(len, text.split("\n"))) < 900:
            return [("Content-Type", "text/plain; charset=us-ascii")], text.encode()
        charset = "iso-8859-1" if draw < 0.5 and all(ord(letter) < 256 for letter in text) else "utf-8"
        data = binascii.b2a_qp(text.encode(charset), istext=True)
        return [
            ("Content-Type", f"text/plain; charset={charset}"),
            ("Content-Transfer-Encoding", "quoted-printable"),
        ], data


def named(person):
    return f"{person['']} {person['_surname']}", person["_email"]


def mailbox(person):
    return f"{encoded(person[0])} <{person[1]}>"


def encoded(text):
    return text if text.isascii() else f"=?utf-8?B?{base64.b64encode(text.encode()).decode()}?="


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").replace("\n", "<br>\n")


def multipart(boundary, parts):
    kind = "mixed" if "text/calendar" in parts[-1] else "alternative"
    body = "".join(f"--{boundary}\n{part}\n" for part in parts) + f"--{boundary}--\n"
    return [("Content-Type", f'multipart/{kind}; boundary="{boundary}"')], body.encode()


def list_headers(name, domain):
    host = domain if name != "newsletter" else "example.com"
    return [
        ("List-Id", f"<{name.replace('_', '-')}.{host}>"),
        ("List-Unsubscribe", f"<mailto:leave@{host}>"),
        ("Precedence", "list"),
    ]


def quotation(text, date, sender, draw):
    """The answered message below an answer, as mail programs quote it; "" in a fifth of the answers."""
    author, moment = (
        f"{sender['']} {sender['_surname']} <{sender['_email']}>",
        f"{date.day} {MONTHS[date.month - 1]} {date.year}",
    )
    if draw < 0.2:
        return ""
    if draw < 0.8:
        return f"On {day(date)}, {moment} at {date:%H:%M}, {author} wrote:\n" + "\n".join(
            f"> {line}" for line in text.split("\n")
        )
    return f"-----Original Message-----\nFrom: {author}\nSent: {day(date)}, {moment} {date:%H:%M}\n\n{text}"


def day(date):
    return WEEKDAYS[date.weekday()]


if __name__ == "__main__":
    main()
