"""Keep some headers of a mail's header block."""

import re
from typing import Literal

from pydantic import field_validator

from textpipe.config.sections import Section

# What the sender's program writes. The others (Received, Return-Path, Delivered-To, Sender, List-*, X-Spam-*, ...) are added on the way
# or by the receiver, and tell where a mail was collected; Date and Message-ID tell when.
WRITTEN_BY_THE_SENDER = (
    "From", "To", "Cc", "Reply-To", "Subject", "MIME-Version", "Content-Type", "Content-Transfer-Encoding", "X-Mailer", "User-Agent",
)  # fmt: skip
NAME = re.compile(r"[!-9;-~]+")  # RFC 5322, section 3.6.8


class Config(Section):
    """keep: names of the headers to keep, case-insensitive; by default those that the sender's mail program writes, except the date."""

    kind: Literal["mail_headers"] = "mail_headers"
    keep: list[str] = list(WRITTEN_BY_THE_SENDER)

    @field_validator("keep")
    @classmethod
    def check_names(cls, names: list[str]) -> list[str]:
        if not names:
            raise ValueError("no header would be kept; name at least one, such as From")
        for name in names:
            if not NAME.fullmatch(name):
                raise ValueError(
                    f"{name!r} is not the name of a header; expected letters, digits and hyphens without a colon, such as Reply-To"
                )
        return names


def apply(text, config):
    """[N] string -> [N] string: a line "Name: value" for each header that is kept, in the order of the text.

    Reads a header block as it stands in a mail: folded lines are joined, and what follows the first empty line is removed, so that a
    whole mail is accepted too. Encoded words (=?utf-8?...?=) are not decoded; the column `headers` of format "mail" has them decoded.
    Needs line breaks: put it before `whitespace`. Idempotent.

    "Received: from a\\n by b\\nFrom: Ann\\nSubject: the long\\n way" -> "From: Ann\\nSubject: the long way"
    """
    import tensorflow as tf

    text = tf.strings.strip(tf.strings.regex_replace(text, "\r\n?", "\n"))
    text = tf.strings.regex_replace(text, r"(?s)\n\n.*", "", replace_global=False)
    text = tf.strings.regex_replace(text, r"\n[ \t]+", " ")
    lines = tf.strings.split(text, "\n")  # [N, None]
    is_kept = tf.strings.regex_full_match(lines.flat_values, line_pattern(config.keep))
    flat = tf.where(is_kept, lines.flat_values, "")
    joined = tf.strings.reduce_join(lines.with_flat_values(flat), axis=-1, separator="\n")
    return tf.strings.strip(tf.strings.regex_replace(joined, "\n{2,}", "\n"))


def line_pattern(names: list[str]) -> str:
    """A pattern of a line of one of these headers.

    ["From", "To"] -> "(?is)(?:From|To)[ \\t]*:.*"
    """
    return rf"(?is)(?:{'|'.join(re.escape(name) for name in names)})[ \t]*:.*"
