"""Who may ask, how a request is called in the log, and the log itself."""

import hmac
import itertools
import json
import re
import secrets
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TextIO

from textpipe.errors import ConfigError

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")


class TokenAuth:
    """Bearer tokens; without any, everybody passes."""

    refusal = "a bearer token is needed: send the header Authorization: Bearer TOKEN"

    def __init__(self, tokens: Sequence[str] = (), path: Path | None = None):
        self.tokens, self.path = [token.encode() for token in tokens], path

    @classmethod
    def read(cls, path: Path | None) -> "TokenAuth":
        """From a file of one token a line; raises ConfigError when it has none, for that would let everybody in."""
        made = cls(path=path)
        made.reload()
        return made

    def reload(self) -> None:
        """Takes the tokens that the file holds now; raises ConfigError and keeps those it has when it cannot."""
        if self.path is None:
            return
        try:
            lines = self.path.read_text(encoding="utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"--token-file {self.path}: cannot be read ({error.strerror}); name a file of tokens"
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"--token-file {self.path}: is not UTF-8; write a token a line") from None
        tokens = [line.strip().encode() for line in lines if line.strip()]
        if not tokens:
            raise ConfigError(
                f"--token-file {self.path}: expected a token on a line, found none; write one or leave --token-file out"
            )
        self.tokens = tokens

    def passes(self, authorization: bytes) -> bool:
        """Whether the header carries a token; the time it takes tells nothing of how much was right."""
        if not self.tokens:
            return True
        scheme, _, given = authorization.partition(b" ")
        found = [hmac.compare_digest(given.strip(), token) for token in self.tokens]
        return scheme.lower() == b"bearer" and any(found)


def request_id(given: bytes | None) -> str:
    """The caller's own id where it is one, else a new one: this process's name and a number."""
    return given.decode() if given and REQUEST_ID.fullmatch(given) else f"{PROCESS_NAME}{next(COUNTER):08x}"


PROCESS_NAME, COUNTER = secrets.token_hex(4), itertools.count()


class AccessLog:
    """A JSON object a request, on one line; texts only when asked for."""

    def __init__(self, stream: TextIO | None = None, *, texts: bool = False):
        self.stream, self.texts = stream or sys.stderr, texts

    def write(self, **line: Any) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        self.stream.write(json.dumps({"time": stamp + "Z", **line}, ensure_ascii=False) + "\n")
        self.stream.flush()
