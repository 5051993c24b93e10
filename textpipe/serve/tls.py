"""The certificate and key of both endpoints: checked before the server starts, and reloaded on demand."""

import ssl
from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError
from textpipe.runtime import small_file

# A key that belongs to another certificate, of the same type or of another (an RSA key, an elliptic-curve certificate).
MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class PassphraseRequired(Exception):
    """A key is protected by a passphrase."""


class Certificate:
    """cert, key: PEM files. Raises ConfigError when a server cannot use them.

    context: for a server that keeps one while it listens. Each handshake uses a separate context with the pair read last:
    a context that loads a second pair also keeps the first if its key is of another type.
    """

    def __init__(self, cert: Path, key: Path):
        self.cert, self.key = cert, key
        self.reload()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.sni_callback = self.use_current  # called whether a client names the server or not

    def use_current(self, connection: ssl.SSLObject, name: str | None, listening: ssl.SSLContext) -> None:
        """Gives a new connection the current certificate."""
        connection.context = self.current

    def reload(self) -> None:
        """Reads the files again, for new connections. Raises ConfigError and keeps the previous pair when they cannot be
        used."""
        self.pair, self.current = load_pair(self.cert, self.key)

    def for_grpc(self) -> Any:
        """gRPC's credentials, which read the pair at each handshake."""
        import grpc

        def configuration() -> Any:
            return grpc.ssl_server_certificate_configuration([self.pair])

        return grpc.dynamic_ssl_server_credentials(configuration(), configuration)


def check(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """(key, certificates) as in the files; raises ConfigError with the problem and its cure."""
    return load_pair(cert, key)[0]


def load_pair(cert: Path, key: Path) -> tuple[tuple[bytes, bytes], ssl.SSLContext]:
    """The pair, as `check` returns it, and a context that uses it."""
    chain, private = read_pem(cert, "--tls-cert"), read_pem(key, "--tls-key")
    if b"-----BEGIN CERTIFICATE-----" not in chain:
        raise ConfigError(f"--tls-cert {cert}: expected a certificate in PEM, found none; convert it with openssl x509")
    if b"PRIVATE KEY-----" not in private:
        raise ConfigError(f"--tls-key {key}: expected a private key in PEM, found none; convert it with openssl pkey")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    try:
        context.load_cert_chain(cert, key, password=no_passphrase)
    except PassphraseRequired:
        raise ConfigError(
            f"--tls-key {key}: is protected by a passphrase, which a server cannot ask for; "
            f"write it without one: openssl pkey -in {key} -out KEY"
        ) from None
    except ssl.SSLError as error:
        if error.reason in MISMATCHES:
            raise ConfigError(f"--tls-key {key}: is not the key of {cert}; give a matching pair") from None
        raise ConfigError(f"--tls-cert {cert}, --tls-key {key}: cannot be used ({error.reason or error})") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"--tls-cert {cert}, --tls-key {key}: cannot be used ({error})") from None
    return (private, chain), context


def read_pem(path: Path, option: str) -> bytes:
    try:
        return small_file.read_bytes(path, pipes=True)
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be read ({error.strerror}); name a file in PEM") from None


def no_passphrase() -> str:
    raise PassphraseRequired
