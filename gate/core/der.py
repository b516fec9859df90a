"""What is read out of DER and PEM: certificates, and the one kind of text that is nested in them."""

from __future__ import annotations

from cryptography import x509
from cryptography.hazmat.primitives.serialization import Encoding

from gate.core import limits
from gate.core.errors import MalformedError

_UTF8_STRING = 0x0C  # X.690 section 8.1.2 and X.680 section 8.4: universal, primitive, 12


def parse_certificate(der: bytes) -> x509.Certificate:
    """Return the certificate in ``der``, or raise MalformedError.

    The library reads most of a certificate only when it is asked for. Everything that is asked for later is read here
    once, all extensions among it, so that nothing unreadable is left; only the key is public_key()'s to judge.
    """
    if len(der) > limits.CERTIFICATE_BYTES:
        raise MalformedError(f"a certificate has {len(der)} bytes, more than {limits.CERTIFICATE_BYTES}")
    try:
        certificate = x509.load_der_x509_certificate(der)
        _ = (certificate.subject, certificate.issuer, certificate.extensions)
    except MemoryError:
        raise  # which says nothing about the certificate
    except Exception as error:
        # Whatever it is: besides what the library documents (ValueError and its own errors) it has raised KeyError and
        # TypeError for extensions and names that somebody made up, and a certificate is anybody's bytes.
        raise MalformedError("a certificate cannot be read") from error
    return certificate


def parse_certificates(pem: bytes) -> tuple[x509.Certificate, ...]:
    """Return the certificates in ``pem`` in their order, none where it is empty, or raise MalformedError."""
    if len(pem) > limits.CERTIFICATES_BYTES:
        raise MalformedError(f"a chain of certificates has {len(pem)} bytes, more than {limits.CERTIFICATES_BYTES}")
    if not pem.strip():
        return ()
    count = pem.count(b"-----BEGIN CERTIFICATE-----")
    if count == 0 or pem.count(b"-----BEGIN ") != count:
        raise MalformedError("a chain of certificates is not made of PEM blocks of type CERTIFICATE")
    if count > limits.CHAIN_CERTIFICATES:
        raise MalformedError(f"a chain has {count} certificates, more than {limits.CHAIN_CERTIFICATES}")
    try:
        loaded = x509.load_pem_x509_certificates(pem)
    except (ValueError, x509.InvalidVersion) as error:
        raise MalformedError("a certificate cannot be read") from error
    if len(loaded) != count:
        raise MalformedError("a chain of certificates holds a block that cannot be read")
    return tuple(parse_certificate(each.public_bytes(Encoding.DER)) for each in loaded)


def parse_utf8_string(der: bytes) -> str:
    """Return the text in ``der``, one UTF8String of at most 2 KiB, or raise MalformedError. X.690 section 10.1."""
    for header in (2, 3, 4):
        content = der[header:]
        if len(content) <= limits.IDENTITY_BYTES and der[:header] == _utf8_header(len(content)):
            try:
                return content.decode("utf-8")
            except UnicodeDecodeError as error:
                raise MalformedError("a text in a certificate is not UTF-8") from error
    raise MalformedError(f"a text in a certificate is not a DER UTF8String of at most {limits.IDENTITY_BYTES} bytes")


def _utf8_header(size: int) -> bytes:
    """Return the only header that DER has for so much text; ``size`` is below 64 KiB."""
    if size < 0x80:  # noqa: PLR2004 (X.690 section 8.1.3: one byte below it, else how many bytes, then those)
        return bytes([_UTF8_STRING, size])
    length = size.to_bytes((size.bit_length() + 7) // 8)
    return bytes([_UTF8_STRING, 0x80 | len(length)]) + length
