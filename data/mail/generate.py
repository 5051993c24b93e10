"""Write the synthetic mail corpus: train.jsonl, valid.jsonl, test.jsonl and intents.tsv, from grammar.toml in the same folder.

    python data/mail/generate.py [--seed N] [--out DIR]

The same seed gives the same bytes on every Python from 3.11 on; only the standard library is needed. Therefore numbers come
from Random.random() only (choice and shuffle have changed between versions), and no set is iterated over.
"""

import argparse
import datetime
import json
import random
import re
import sys
import tomllib
import zlib
from pathlib import Path

HERE = Path(__file__).resolve().parent
GRAMMAR = HERE / "grammar.toml"
SEED = 17
SPLITS = ("train", "valid", "test")
MAILS_PER_INTENT = {"train": 164, "valid": 22, "test": 32}
PHRASINGS_PER_INTENT = {"valid": 2, "test": 3}  # train has the rest
EXAMPLES_PER_INTENT = 3  # replies in intents.tsv
WRAP = 72
SLOT = re.compile(r"\{(\w+)\}")
QUOTED = r"(?m)^> |^-----Original Message-----$"
FORWARDED = "---------- Forwarded message ----------"
SENTENCE_START = re.compile(r"(^|[.!?]\s+|\n)([a-z])")
PRIVATE = re.compile(r"[0-9]|[^.!?] (?!I\b)[A-Z]")  # a number, or a capital inside a sentence
PLAIN_LETTERS = str.maketrans("éëü", "eeu")
WEEKDAYS = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def main(arguments=None):
    parser = argparse.ArgumentParser(description="Write the synthetic mail corpus.")
    parser.add_argument("--seed", type=int, default=SEED, help=f"the number all draws follow from (default {SEED})")
    parser.add_argument("--out", type=Path, default=HERE, help="the folder to write to (default: the one of this file)")
    options = parser.parse_args(arguments)
    options.out.mkdir(parents=True, exist_ok=True)
    for split, rows in corpus(read_grammar(), seed=options.seed).items():
        path = options.out / f"{split}.jsonl"
        with path.open("w", encoding="utf-8", newline="\n") as file:
            for row in rows:
                file.write(json.dumps(row, ensure_ascii=False, sort_keys=False) + "\n")
        print(f"{path}: {len(rows)} mails", file=sys.stderr)
        if split == "train":
            path, lines = options.out / "intents.tsv", intent_examples(rows)
            path.write_text(
                "".join(f"{line}\n" for line in ["response\tintent", *lines]), encoding="utf-8", newline="\n"
            )
            print(f"{path}: {len(lines)} replies", file=sys.stderr)


def read_grammar(path=GRAMMAR):
    """The grammar as nested dicts: people, slots, scenes and the list intent."""
    return tomllib.loads(Path(path).read_text(encoding="utf-8"))


def phrasing_splits(grammar, *, seed=SEED):
    """(intent key, phrasing) -> "train", "valid" or "test".

    Whole phrasings are held out, a fixed number per intent, drawn with the seed: every intent is in every split,
    and no sentence pattern is in two.
    """
    splits = {}
    for intent in grammar["intent"]:
        phrasings = shuffled(stream(seed, "phrasings", intent["key"]), intent["phrasings"])
        num_test, num_valid = PHRASINGS_PER_INTENT["test"], PHRASINGS_PER_INTENT["valid"]
        for index, phrasing in enumerate(phrasings):
            split = "test" if index < num_test else "valid" if index < num_test + num_valid else "train"
            splits[intent["key"], phrasing] = split
    return splits


def corpus(grammar, *, seed=SEED):
    """{"train": rows, "valid": rows, "test": rows}; a row is a dict of the columns that README.md lists."""
    split_of = phrasing_splits(grammar, seed=seed)
    seen = set()
    mails = {split: [] for split in SPLITS}
    for intent in grammar["intent"]:
        # One stream per intent: a new intent in the grammar does not move the mails of the others.
        rng = stream(seed, "mails", intent["key"])
        for split in SPLITS:
            phrasings = [text for text in intent["phrasings"] if split_of[intent["key"], text] == split]
            for index in range(MAILS_PER_INTENT[split]):
                mails[split].append(new_mail(grammar, intent, phrasings[index % len(phrasings)], seen, rng))
    shuffles = {split: shuffled(stream(seed, "order", split), rows) for split, rows in mails.items()}
    intents = {intent["key"]: intent for intent in grammar["intent"]}
    return {
        split: [
            with_headers(grammar, intents[mail.intent], mail, split, f"{split}-{number:05d}", seed)
            for number, mail in enumerate(shuffles[split], 1)
        ]
        for split in SPLITS
    }


def with_headers(grammar, intent, mail, split, id, seed):
    """The row of a mail: its texts, and a subject and header fields drawn from the id's own stream.

    The texts are therefore those of a corpus without headers.
    """
    rng, headers = stream(seed, "headers", id), grammar["headers"]
    scene = headers["scenes"][intent["scene"]]
    quoted = re.search(QUOTED, mail.message) is not None
    forwarded = FORWARDED in mail.message
    share = headers["answer_share"] if intent["key"] in headers["answers"] else scene["reply_share"]
    is_reply = quoted or (rng.random() < share and not forwarded)
    from_list = intent["key"] in headers["lists"]
    to_many = from_list or rng.random() < (0.5 if intent.get("audience") == "group" else 0.12)
    subject = mail.sentences(choice(rng, subjects(grammar, intent, mail, split, rng)))
    mark = (
        choice(rng, headers["reply_marks"]) if is_reply else choice(rng, headers["forward_marks"]) if forwarded else ""
    )
    return {
        "id": id,
        "intent": intent["key"],
        "subject": mark + subject,
        "message": mail.message,
        "recipients": 2 + below(rng, 6) if to_many and not from_list else 1,
        "is_reply": int(is_reply),
        "from_list": int(from_list),
        "known_sender": int(not from_list and rng.random() < scene["answered_share"]),
        "wants_reply": intent["wants_reply"],
        "reply": mail.reply,
    }


def subjects(grammar, intent, mail, split, rng):
    """Templates of a subject: the name of what the mail is about, or the intent's own phrases, of which each split has others.

    Only those whose slots the mail's own sentence has.
    """
    headers, known = grammar["headers"], set(slot_names(mail.phrasing))
    topics = [text for text in headers["topics"] if set(slot_names(text)) <= known]
    if topics and rng.random() < headers["topic_share"]:
        return topics
    if split == "train":
        own = [text for text in grammar["mailbox"]["subjects"][intent["key"]] if text not in headers["topics"]]
        return [text for text in own if set(slot_names(text)) <= known] or topics
    return [headers["held_out"][intent["key"]][("valid", "test").index(split)]]


def intent_examples(rows):
    """Lines of a reply and its intent: the most frequent replies of each intent, of those that hold no number and no name."""
    counts = {}
    for row in rows:
        if row["reply"] and not PRIVATE.search(row["reply"]):
            replies = counts.setdefault(row["intent"], {})
            replies[row["reply"]] = replies.get(row["reply"], 0) + 1
    return [
        f"{reply}\t{intent}"
        for intent, replies in sorted(counts.items())
        for reply in sorted(replies, key=lambda reply: (-replies[reply], reply))[:EXAMPLES_PER_INTENT]
    ]


def new_mail(grammar, intent, phrasing, seen, rng):
    """A Mail whose message is not in `seen`; adds it there."""
    for attempt in range(200):
        mail = Mail(grammar, intent, phrasing, rng)
        # Mails that differ only in their signature are nearly duplicates: require a new body while there is one.
        new_body = mail.body not in seen or attempt >= 20
        if new_body and mail.message not in seen:
            seen.add(mail.body)
            seen.add(mail.message)
            return mail
    raise SystemExit(
        f"grammar.toml, intent {intent['key']}: no more new mails from the phrasing {phrasing!r}; give it more slots"
    )


class Mail:
    """One mail: its people and slot values, drawn once, and the texts filled with them."""

    def __init__(self, grammar, intent, phrasing, rng, values=None):
        self.rng = rng
        self.intent, self.phrasing = intent["key"], phrasing
        self.slots = {**grammar["slots"], **intent.get("slots", {})}
        self.values = values or people(grammar["people"], rng)
        scene = grammar["scenes"][intent["scene"]]

        core = self.sentences(phrasing)
        opener = self.sentences(self.maybe(scene["opener_share"], intent.get("openers", scene["openers"])))
        remark = self.sentences(self.maybe(scene["remark_share"], intent.get("remarks", scene["remarks"])))
        if opener and repeats(core, opener):
            opener = ""
        if remark and repeats(f"{opener} {core}", remark):
            remark = ""
        parts = [part for part in (opener, core, remark) if part]
        self.body = " ".join(parts)
        if rng.random() < 0.3:
            body = "\n\n".join(parts)
        elif rng.random() < 0.3 and remark:
            body = " ".join(parts[:-1]) + "\n\n" + parts[-1]
        else:
            body = self.body
        if rng.random() < 0.3:
            body = wrapped(body)

        salutations = scene["salutations"]
        if intent.get("audience") == "group" and rng.random() < 0.4:
            salutations = scene["group_salutations"]
        salutation, sign_off = self.fill(choice(rng, salutations)), self.fill(choice(rng, scene["sign_offs"]))
        self.message = "\n\n".join(part for part in (salutation, body, sign_off, self.trailer(scene)) if part)

        # Only replies whose slots occur in the message: a reply can copy a day but not guess one.
        known = slot_names(phrasing)
        replies = [text for text in intent.get("replies", []) if all(name in known for name in slot_names(text))]
        assert bool(replies) == (intent["wants_reply"] == "yes"), f"{intent['key']}: no reply fits {phrasing!r}"
        self.reply = self.sentences(choice(rng, replies)) if replies else ""

    def maybe(self, share, texts):
        return choice(self.rng, texts) if self.rng.random() < share else ""

    def sentences(self, template):
        return SENTENCE_START.sub(lambda match: match[1] + match[2].upper(), self.fill(template))

    def fill(self, template):
        return SLOT.sub(lambda match: self.value(match[1]), template)

    def value(self, name):
        """The value of a slot, the same wherever the mail mentions it; day2 is drawn from day and differs from it."""
        if name not in self.values:
            listed = self.slots[name.rstrip("23")]
            other = self.values.get(name.rstrip("23"))
            value = other
            while value == other:
                value = self.drawn(choice(self.rng, listed))
            self.values[name] = value
        return self.values[name]

    def drawn(self, text):
        """A listed value with its digits drawn and its own slots filled afresh: "by {day}" -> "by Tuesday"."""
        text = SLOT.sub(lambda match: self.drawn(choice(self.rng, self.slots[match[1]])), text)
        text = re.sub("#", lambda _: str(below(self.rng, 10)), text)
        return re.sub(r"\^", lambda _: str(1 + below(self.rng, 9)), text)

    def trailer(self, scene):
        """An earlier mail, quoted or forwarded, or nothing."""
        draw = self.rng.random()
        if draw >= scene["quotation_share"] + scene["forward_share"]:
            return ""
        forwarded = draw >= scene["quotation_share"]
        text = self.fill(choice(self.rng, scene["quotations"]))
        # A private mail's earlier subject is the plainest there is.
        subject = self.fill(choice(self.rng, scene["subjects"] or ["Hello"]))
        who = "person3" if forwarded else "recipient"
        author = f"{self.values[who]} {self.values[f'{who}_surname']} <{self.values[f'{who}_email']}>"
        day, clock = moment(self.rng)
        if forwarded:
            header = f"From: {author}\nDate: {day} at {clock}\nSubject: {subject}"
            return f"{FORWARDED}\n{header}\n\n{text}"
        if self.rng.random() < 0.75:
            return f"On {day} at {clock}, {author} wrote:\n" + "\n".join(f"> {line}" for line in text.split("\n"))
        return f"-----Original Message-----\nFrom: {author}\nSent: {day} {clock}\nSubject: {subject}\n\n{text}"


def people(names, rng):
    """The people of one mail, all with different names: recipient, sender, person, person2 and person3."""
    first_names = shuffled(rng, names["women"] + names["men"])
    surnames = shuffled(rng, names["surnames"])
    values = {}
    for role, name, surname in zip(
        ("recipient", "sender", "person", "person2", "person3"), first_names, surnames, strict=False
    ):
        values[role] = name
        values[f"{role}_surname"] = surname
        values[f"{role}_title"] = "Ms" if name in names["women"] else "Mr"
        mailbox = f"{name}.{surname}".lower().translate(PLAIN_LETTERS)
        values[f"{role}_email"] = f"{mailbox}@example.{choice(rng, ('org', 'com'))}"
    return values


def slot_names(template):
    return SLOT.findall(template)


def repeats(text, other):
    """Do two texts share a sentence opening or three words in a row? If so, they read badly one after the other."""
    return any(pairs & more for pairs, more in zip(wordings(text), wordings(other), strict=False))


def wordings(text):
    """The first two words of each sentence, and all runs of three words."""
    openings = {tuple(sentence.lower().split()[:2]) for sentence in re.split(r"(?<=[.!?])\s", text)}
    words = re.findall(r"[\w']+", text.lower())
    return openings, set(zip(words, words[1:], words[2:], strict=False))


def moment(rng):
    """A day and a time in a mail header: ("Mon, 4 Mar 2024", "10:12")."""
    date = datetime.date(2023, 1, 2) + datetime.timedelta(days=below(rng, 1000))
    # Not strftime: its names depend on the locale.
    day = f"{WEEKDAYS[date.weekday()]}, {date.day} {MONTHS[date.month - 1]} {date.year}"
    return day, f"{7 + below(rng, 13):02d}:{below(rng, 60):02d}"


def wrapped(text):
    """The text with its lines broken between words, as mail programs do."""
    paragraphs = []
    for paragraph in text.split("\n\n"):
        lines = [""]
        for word in paragraph.split(" "):
            if lines[-1] and len(lines[-1]) + 1 + len(word) > WRAP:
                lines.append(word)
            else:
                lines[-1] = f"{lines[-1]} {word}".lstrip()
        paragraphs.append("\n".join(lines))
    return "\n\n".join(paragraphs)


def stream(seed, *names):
    """A separate generator for each purpose."""
    return random.Random(zlib.crc32("/".join((str(seed), *names)).encode()))


def below(rng, limit):
    """An integer from 0 up to, not including, the limit."""
    return int(rng.random() * limit)


def choice(rng, items):
    return items[below(rng, len(items))]


def shuffled(rng, items):
    items = list(items)
    for last in range(len(items) - 1, 0, -1):
        other = below(rng, last + 1)
        items[last], items[other] = items[other], items[last]
    return items


if __name__ == "__main__":
    main()
