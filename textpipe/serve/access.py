"""Authentication, request ids and the access log."""

import contextlib
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
from textpipe.runtime import small_file

REQUEST_ID = re.compile(rb"[A-Za-z0-9._:/-]{1,128}")


class TokenAuth:
    """Bearer tokens; without tokens every request is allowed."""

    rejection = "a bearer token is needed: send the header Authorization: Bearer TOKEN"

    def __init__(self, tokens: Sequence[str] = (), path: Path | None = None):
        self.tokens, self.path = [token.encode() for token in tokens], path

    @classmethod
    def read(cls, path: Path | None) -> "TokenAuth":
        """From a file with one token per line; raises ConfigError for an empty file, which would allow every request."""
        auth = cls(path=path)
        auth.reload()
        return auth

    def reload(self) -> None:
        """Reads the file again; raises ConfigError and keeps the previous tokens when it cannot be used."""
        if self.path is None:
            return
        try:
            lines = small_file.read_bytes(self.path, pipes=True).decode("utf-8").splitlines()
        except OSError as error:
            raise ConfigError(
                f"--token-file {self.path}: cannot be read ({error.strerror}); name a file of tokens"
            ) from None
        except UnicodeDecodeError:
            raise ConfigError(f"--token-file {self.path}: is not UTF-8; write one token per line") from None
        tokens = [line.strip().encode() for line in lines if line.strip()]
        if not tokens:
            raise ConfigError(
                f"--token-file {self.path}: expected one token per line, found none; add one or omit --token-file"
            )
        self.tokens = tokens

    def allows(self, authorization: bytes) -> bool:
        """Whether the header carries a valid token; compared in constant time."""
        if not self.tokens:
            return True
        scheme, _, credentials = authorization.partition(b" ")
        matches = [hmac.compare_digest(credentials.strip(), token) for token in self.tokens]
        return scheme.lower() == b"bearer" and any(matches)


def request_id(header: bytes | None) -> str:
    """The client's own id if it is valid, else a new one: this process's name and a number."""
    return header.decode() if header and REQUEST_ID.fullmatch(header) else f"{PROCESS_NAME}{next(COUNTER):08x}"


PROCESS_NAME, COUNTER = secrets.token_hex(4), itertools.count()


class AccessLog:
    """One JSON object per request and line; with the requests' texts only if texts=True.

    A line that cannot be written, as on a full disk, is dropped: requests are answered all the same.
    """

    def __init__(self, stream: TextIO | None = None, *, texts: bool = False):
        self.stream, self.texts = stream or sys.stderr, texts

    def write(self, **fields: Any) -> None:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime())
        line = json.dumps({"time": stamp + "Z", **fields}, ensure_ascii=False) + "\n"
        with contextlib.suppress(OSError):
            self.stream.write(line)
            self.stream.flush()
