"""The certificate and key of both endpoints: checked before anything is served, and read again when told."""

import ssl
from pathlib import Path
from typing import Any

from textpipe.errors import ConfigError

# The key of another certificate, of the same kind and of another: an RSA key beside a certificate of elliptic curves.
MISMATCHES = ("KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH", "NO_CERTIFICATE_ASSIGNED")


class PassphraseRequired(Exception):
    """A key asks for a passphrase."""


class Certificate:
    """cert, key: PEM files. Raises ConfigError when they are no pair that a server can use.

    context: for a server that keeps one for as long as it listens. Each handshake is done with what was read last, in a
    context of its own: a context that is given another pair keeps the one before where that is of another kind of key.
    """

    def __init__(self, cert: Path, key: Path):
        self.cert, self.key = cert, key
        self.reload()
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.sni_callback = self.take  # called whether a client names the server or not

    def take(self, connection: ssl.SSLObject, name: str | None, listening: ssl.SSLContext) -> None:
        """Gives a connection that begins the certificate of now."""
        connection.context = self.current

    def reload(self) -> None:
        """Takes what the files hold now, for connections from now on. Raises ConfigError and stays as it was when they
        cannot be used."""
        self.pair, self.current = load_pair(self.cert, self.key)

    def for_grpc(self) -> Any:
        """gRPC's credentials, which ask for the pair at each handshake."""
        import grpc

        def configuration() -> Any:
            return grpc.ssl_server_certificate_configuration([self.pair])

        return grpc.dynamic_ssl_server_credentials(configuration(), configuration)


def check(cert: Path, key: Path) -> tuple[bytes, bytes]:
    """(key, certificates) as they lie in the files; raises ConfigError naming what is wrong, and how to put it right."""
    return load_pair(cert, key)[0]


def load_pair(cert: Path, key: Path) -> tuple[tuple[bytes, bytes], ssl.SSLContext]:
    """As checked, and a context that has the two."""
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
            raise ConfigError(f"--tls-key {key}: is not the key of {cert}; give the two that belong together") from None
        raise ConfigError(f"--tls-cert {cert}, --tls-key {key}: cannot be used ({error.reason or error})") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"--tls-cert {cert}, --tls-key {key}: cannot be used ({error})") from None
    return (private, chain), context


def read_pem(path: Path, option: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{option} {path}: cannot be read ({error.strerror}); name a file in PEM") from None


def no_passphrase() -> str:
    raise PassphraseRequired
