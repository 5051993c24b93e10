"""Which lines of a mail are the message: textpipe's mail steps beside four mail parsing libraries, on annotated mails.

    TEXTPIPE_DATA=... python benchmarks/mail_zones.py [--parts train eval] [--peers PYTHON] [--errors asf_train]

The mails are those of $TEXTPIPE_DATA/mail_zones/mail_zones.tar.gz: plain texts from Enron and from Apache mailing lists
with annotated spans (Header, Body, Body/Intro, Body/Outro, Body/Signature, ...), which nest. Rules were written on
train; eval is for the final figures. PYTHON is the interpreter of an environment with the libraries
(benchmarks/peers/mail_zones_peers.py); without it textpipe is measured alone.

Definitions. Lines that are blank do not count. The newest message is the first Body span that has a line that is
neither blank nor begins with ">"; in a forwarded mail without a word of the sender's own it is thus the forwarded text.
A line's zone is that of most of its characters (white space aside):
    body        in the newest message, in no nested zone, and the line does not begin with ">"
    salutation  in Body/Intro (the greeting, or a name at the beginning) of the newest message
    closing     in Body/Outro or Body/Signature of the newest message
    other       in another nested zone (PS, attachments) of the newest message
    quotation   all else: headers, separators, quoted lines, and the messages below the newest
A system's answer is aligned with the mail by the longest common subsequence of lines; a line that it kept at least half
of is kept. Kept lines are body; where a system says what it cuts as which zone, these zones are measured too. Precision,
recall and F1 are over all lines of all mails; `macro` is the mean F1 over mails, for long mails weigh the most in the
former. Writes benchmarks/results/mail_zones.json.
"""

import argparse
import json
import os
import platform
import subprocess
import tarfile
import time
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
RESULTS = HERE / "results" / "mail_zones.json"
PEERS = HERE / "peers" / "mail_zones_peers.py"
# Pipelines of steps, each with the zone that it cuts: `mail_zones` zone by zone, and the single steps in the order of
# pipeline/templates.py.
PIPELINES = {
    "textpipe": [
        ({"kind": "mail_zones", "cut": ["quotation"]}, "quotation"),
        ({"kind": "mail_zones", "cut": ["attachments"]}, "other"),
        ({"kind": "mail_zones", "cut": ["closing"]}, "closing"),
        ({"kind": "mail_zones", "cut": ["salutation"]}, "salutation"),
    ],
    "textpipe (single steps)": [
        ({"kind": "mail_forwarded"}, "quotation"),
        ({"kind": "mail_quotation"}, "quotation"),
        ({"kind": "mail_signature"}, "closing"),
        ({"kind": "mail_salutation"}, "salutation"),
    ],
}
ZONES = ("body", "salutation", "closing", "other", "quotation")


def read(archive):
    """{part: [(name, text, spans)]}; spans are (start, end, type)."""
    parts = {}
    with tarfile.open(archive) as files:
        for member in files:
            if member.name.endswith(".ann"):
                mail = json.load(files.extractfile(member))
                spans = [(span["start"], span["end"], span["type"]) for span in mail["denotations"]]
                parts.setdefault(member.name.split("/")[-2], []).append((member.name, mail["text"], spans))
    return {part: sorted(mails) for part, mails in sorted(parts.items())}


def is_quoted(line):
    return line.lstrip().startswith(">")


def gold_zones(text, spans):
    """The zone of each line of a mail, None for a blank one."""
    zones = ["quotation"] * len(text)
    for start, end, kind in sorted(spans, key=lambda span: (span[0], -span[1])):
        if kind == "Body" and any(line.strip() and not is_quoted(line) for line in text[start:end].split("\n")):
            zones[start:end] = ["body"] * (end - start)
            # Outer spans first, so that the innermost zone stays.
            inner = [span for span in spans if start <= span[0] and span[1] <= end and span[2].startswith("Body/")]
            for first, last, name in sorted(inner, key=lambda span: (span[0] - span[1], span[0])):
                second = name.split("/")[1]
                zone = {"Intro": "salutation", "Outro": "closing", "Signature": "closing"}.get(second, "other")
                zones[first:last] = [zone] * (last - first)
            break
    lines, position = [], 0
    for line in text.split("\n"):
        counts = Counter(
            zone for zone, character in zip(zones[position:], line, strict=False) if not character.isspace()
        )
        zone = counts.most_common(1)[0][0] if counts else None
        lines.append("quotation" if zone == "body" and is_quoted(line) else zone)
        position += len(line) + 1
    return lines


def kept_lines(text, answer):
    """Which lines of a mail an answer kept, by the longest common subsequence; of equal ones the first."""
    mail = [line.split() for line in text.split("\n")]
    mail = [("".join(words), row) for row, words in enumerate(mail) if words]
    kept = [line for line in ("".join(line.split()) for line in answer.split("\n")) if line]
    rows, size = set(), 0
    while size < min(len(mail), len(kept)) and mail[size][0] == kept[size]:
        rows.add(mail[size][1])
        size += 1
    mail, kept = mail[size:], kept[size:]
    fits = [[line == part or (2 * len(part) >= len(line) and part in line) for part in kept] for line, _ in mail]
    longest = [[0] * (len(kept) + 1) for _ in range(len(mail) + 1)]
    for i in range(len(mail) - 1, -1, -1):
        here, below = longest[i], longest[i + 1]
        for j in range(len(kept) - 1, -1, -1):
            here[j] = max(below[j], here[j + 1], below[j + 1] + 1 if fits[i][j] else 0)
    i = j = 0
    while i < len(mail) and j < len(kept):
        if fits[i][j] and longest[i][j] == longest[i + 1][j + 1] + 1:
            rows.add(mail[i][1])
            i, j = i + 1, j + 1
        elif longest[i + 1][j] >= longest[i][j + 1]:
            i += 1
        else:
            j += 1
    return rows


def figures(hits, predicted, gold):
    precision = hits / predicted if predicted else 0.0
    recall = hits / gold if gold else 0.0
    f1 = 2 * hits / (predicted + gold) if predicted + gold else 1.0
    return {"precision": round(precision, 4), "recall": round(recall, 4), "f1": round(f1, 4)}


def score(mails, answers):
    """Figures of each zone. `answers` has for each mail [(zone, text that is left after this zone was cut), ...]."""
    hits, predicted, gold = Counter(), Counter(), Counter()
    macro = []
    for (_, text, spans), stages in zip(mails, answers, strict=True):
        zones = gold_zones(text, spans)
        named = [None if zone is None else "body" for zone in zones]
        for zone, left in stages or []:
            kept = kept_lines(text, left)
            named = [zone if said == "body" and row not in kept else said for row, said in enumerate(named)]
        pairs = [pair for pair in zip(zones, named, strict=True) if pair[0]]
        for zone, said in pairs:
            gold[zone] += 1
            predicted[said] += 1
            hits[zone] += zone == said
        own, said = (sum(pair[side] == "body" for pair in pairs) for side in (0, 1))
        both = sum(pair == ("body", "body") for pair in pairs)
        macro.append(2 * both / (own + said) if own + said else 1.0)
    named_zones = ["body", *dict.fromkeys(zone for stages in answers for zone, _ in stages or [])]
    table = {zone: figures(hits[zone], predicted[zone], gold[zone]) for zone in ZONES if zone in named_zones}
    table["macro"] = round(sum(macro) / len(macro), 4)
    return table


def textpipe_answers(texts, pipeline):
    """[(zone, text left), ...] for each mail, and microseconds of processor time a mail of each step."""
    import tensorflow as tf

    from textpipe.config.sections import Plugin
    from textpipe.text import normalizer

    stages, microseconds = [[] for _ in texts], {}
    left = tf.constant(list(texts))
    for step, zone in pipeline:
        plugin = Plugin.check("text.steps", step)
        run = tf.function(lambda text, plugin=plugin: normalizer.apply([plugin], text), autograph=False)
        outputs = run(left)
        fastest = float("inf")
        for _ in range(5):
            start = time.process_time()
            run(left)
            fastest = min(fastest, time.process_time() - start)
        microseconds[f"{step['kind']} ({zone})"] = round(1e6 * fastest / len(texts), 1)
        left = outputs
        for mail, text in zip(stages, left.numpy(), strict=True):
            mail.append((zone, text.decode()))
    return stages, microseconds | {"all": round(sum(microseconds.values()), 1)}


def show_errors(mails, answers):
    for (name, text, spans), stages in zip(mails, answers, strict=True):
        kept = kept_lines(text, stages[-1][1])
        zones = gold_zones(text, spans)
        wrong = [row for row, zone in enumerate(zones) if zone and (zone == "body") != (row in kept)]
        if wrong:
            print(f"\n== {name}: {len(wrong)} lines")
            near = {row + shift for row in wrong for shift in (-2, -1, 0, 1)}
            for row, line in enumerate(text.split("\n")):
                if row in near:
                    mark = ("+" if row in kept else "-") if row in wrong else " "
                    print(f"{mark} {zones[row] or '':10} {'kept' if row in kept else '':4} | {line[:160]}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", default=["train", "eval"], choices=["train", "eval"])
    parser.add_argument("--peers", metavar="PYTHON", help="of an environment with the four libraries")
    parser.add_argument(
        "--errors", metavar="PART", help="print the lines that textpipe gets wrong, such as of asf_train"
    )
    parser.add_argument("--results", type=Path, default=RESULTS)
    arguments = parser.parse_args()

    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    data = read(Path(os.environ["TEXTPIPE_DATA"]) / "mail_zones" / "mail_zones.tar.gz")
    if arguments.errors:
        texts = [text for _, text, _ in data[arguments.errors]]
        show_errors(data[arguments.errors], textpipe_answers(texts, PIPELINES["textpipe"])[0])
        return
    results, versions = {}, {"tensorflow": tf.__version__}
    for part, mails in data.items():
        if part.split("_")[-1] not in arguments.parts:
            continue
        texts = [text for _, text, _ in mails]
        table = {}
        for name, pipeline in PIPELINES.items():
            stages, microseconds = textpipe_answers(texts, pipeline)
            table[name] = {**score(mails, stages), "microseconds": microseconds}
        lines = Counter(zone for _, text, spans in mails for zone in gold_zones(text, spans) if zone)
        if arguments.peers:
            environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
            output = subprocess.run(
                [arguments.peers, str(PEERS)],
                input=json.dumps(texts),
                capture_output=True,
                text=True,
                check=True,
                env=environment,
            )
            answers = json.loads(output.stdout)
            versions |= answers["versions"]
            for name, system in answers["systems"].items():
                failed = sum(stages is None for stages in system["answers"])
                table[name] = {
                    **score(mails, system["answers"]),
                    "microseconds": system["microseconds"],
                    "failed": failed,
                }
        results[part] = {"mails": len(mails), "lines": {zone: lines[zone] for zone in ZONES}, "systems": table}
        print(f"{part}: {len(mails)} mails, lines {dict(lines)}")
        for name, row in table.items():
            zones = "  ".join(f"{zone} {row[zone]['f1']:.3f}" for zone in ZONES[1:] if zone in row)
            body = row["body"]
            print(
                f"  {name:28} body P {body['precision']:.4f} R {body['recall']:.4f} F1 {body['f1']:.4f}"
                f" macro {row['macro']:.4f} | {zones} | {row['microseconds']} us"
            )
    machine = {"cores": os.cpu_count(), "processor": platform.machine(), "python": platform.python_version()}
    report = {"parts": results, "versions": versions, "machine": machine}
    arguments.results.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
