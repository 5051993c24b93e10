"""Answers of four mail parsing libraries, for benchmarks/mail_zones.py: a JSON list of mails in, JSON out.

    python benchmarks/peers/mail_zones_peers.py < mails.json > answers.json

Runs in an environment of its own with mail-parser-reply, email-reply-parser, talon and unquotemail. Each library does
what its documentation shows for the newest message, with all its languages. talon's learned signature model needs
a scikit-learn that this Python cannot install; its rules (`bruteforce`) find the signature. Written for each library:
for each mail [[zone, text left after this zone was cut], ...], or null where it raised an error, and the microseconds
of processor time a mail, the least of three runs.
"""

import importlib.metadata
import json
import sys
import time
import types


def mail_parser_reply():
    from mailparser_reply import EmailReplyParser
    from mailparser_reply.constants import MAIL_LANGUAGES

    def whole(languages):
        parser = EmailReplyParser(languages=languages)

        def answer(mail):
            replies = parser.read(mail).replies
            newest = next((reply for reply in replies if reply.full_body.strip()), replies[0])
            return [("quotation", newest.full_body), ("closing", newest.body)]

        return answer

    return {"mail-parser-reply": whole(list(MAIL_LANGUAGES)), "mail-parser-reply (English)": whole(["en"])}


def email_reply_parser():
    from email_reply_parser import EmailReplyParser

    return {"email-reply-parser": lambda mail: [("quotation", EmailReplyParser.parse_reply(mail))]}


def talon():
    import joblib
    import sklearn.externals

    # Its package imports the learned model's loader from where scikit-learn had it before 0.23.
    sklearn.externals.joblib = sys.modules["sklearn.externals.joblib"] = types.ModuleType("joblib")
    sklearn.externals.joblib.load = joblib.load
    from talon import quotations
    from talon.signature.bruteforce import extract_signature

    def answer(mail):
        newest = quotations.extract_from_plain(mail)
        return [("quotation", newest), ("closing", extract_signature(newest)[0])]

    return {"talon": answer, "talon (quotations only)": lambda mail: answer(mail)[:1]}


def unquotemail():
    from unquotemail import Unquote

    return {"unquotemail": lambda mail: [("quotation", Unquote(None, mail).get_text())]}


def main():
    mails = json.load(sys.stdin)
    results = {}
    for load in (mail_parser_reply, email_reply_parser, talon, unquotemail):
        for name, answer in load().items():
            answers, seconds = [], float("inf")
            for _ in range(3):
                start = time.process_time()
                answers = []
                for mail in mails:
                    try:
                        answers.append(answer(mail))
                    except Exception:
                        answers.append(None)
                seconds = min(seconds, time.process_time() - start)
            results[name] = {"answers": answers, "microseconds": round(1e6 * seconds / len(mails), 1)}
    packages = ("mail-parser-reply", "email-reply-parser", "talon", "unquotemail")
    json.dump(
        {"systems": results, "versions": {name: importlib.metadata.version(name) for name in packages}}, sys.stdout
    )


if __name__ == "__main__":
    main()
