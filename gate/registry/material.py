"""What the files of a registry's entry hold: whom gate trusts there, and what it shows of itself."""

from __future__ import annotations

import hashlib
import ssl
from dataclasses import dataclass
from pathlib import Path

from gate.core.errors import ConfigError
from gate.core.quote import quote
from gate.files import read_bounded
from gate.registry.entries import REGISTRIES_BYTES, ClientCertificate, RegistryEntry
from gate.registry.transport import trusting

FILE_BYTES = REGISTRIES_BYTES  # any file that an entry names, too: the system's CA bundle has 200 KiB, a Secret 1 MiB


@dataclass(frozen=True, slots=True)
class Trust:
    """The TLS contexts for a registry itself, and for the hosts that it names, which never see a client certificate."""

    own: ssl.SSLContext
    foreign: ssl.SSLContext


def fingerprint(entry: RegistryEntry) -> tuple[bytes, ...]:
    """Return the SHA-256 of each file that ``entry`` names, or raise ConfigError when one cannot be read."""
    return tuple(hashlib.sha256(read(field, path)).digest() for field, path in entry.files)


def trust(entry: RegistryEntry, system: ssl.SSLContext) -> Trust:
    """Return the contexts of ``entry``; ``system`` trusts the system's authorities. Raises ConfigError.

    A registry with a caFile is trusted by that alone; the hosts that it names may have the system's besides.
    """
    own, foreign = system, system
    if entry.ca_file is not None:
        pem = read("caFile", entry.ca_file)
        own, foreign = _trusting(pem, entry.ca_file, system=False), _trusting(pem, entry.ca_file, system=True)
    if entry.client is not None:
        own = trusting() if own is system else own
        _show(own, entry.client)
    return Trust(own, foreign)


def read(what: str, path: Path) -> bytes:
    """Return the bytes of ``path``, or raise ConfigError that says ``what`` it is."""
    return read_bounded(path, FILE_BYTES, f"the {what}")


def _trusting(pem: bytes, path: Path, *, system: bool) -> ssl.SSLContext:
    try:
        return trusting(pem, system=system)
    except (ssl.SSLError, ValueError) as error:
        raise ConfigError(f"the caFile {quote(str(path))} does not hold certificates in PEM") from error


def _show(context: ssl.SSLContext, client: ClientCertificate) -> None:
    """Let ``context`` show the certificate to whoever asks for one."""
    try:
        # A password is given so that OpenSSL does not stop to ask the terminal for the one of an encrypted key.
        context.load_cert_chain(client.cert_file, client.key_file, password="")
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"the clientCertFile {quote(str(client.cert_file))} and clientKeyFile {quote(str(client.key_file))} cannot"
            " be used: they are not a certificate in PEM and its unencrypted private key"
        ) from error
