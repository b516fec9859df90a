"""RFC 3161 timestamps: when a signature is proved to have existed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from cryptography import x509
from rfc3161_client import TimeStampResponse, VerificationError, VerifierBuilder, decode_timestamp_response

from gate.core import limits
from gate.core.errors import UntrustedError
from gate.core.reasons import Reason
from gate.core.trust import CertificateAuthority


@dataclass(frozen=True, slots=True)
class Times:
    """The times that are proved, and of each response that proves none, why."""

    proved: tuple[datetime, ...] = ()
    refused: tuple[str, ...] = ()


def verify_timestamps(
    responses: Sequence[bytes], signature: bytes, authorities: Sequence[CertificateAuthority]
) -> Times:
    """Return the times that ``responses`` (DER TimeStampResp) prove for ``signature``. Nothing is raised.

    Of too many responses, or of some that repeat, none proves anything.
    """
    if len(responses) > limits.TIMESTAMPS:
        return Times(refused=(f"it carries {len(responses)} timestamps, more than {limits.TIMESTAMPS}",))
    if len(set(responses)) != len(responses):
        return Times(refused=("it carries the same timestamp twice",))
    proved: list[datetime] = []
    refused: list[str] = []
    for response in responses:
        try:
            proved.append(_prove(response, signature, authorities))
        except UntrustedError as error:
            refused.append(error.message)
    return Times(tuple(proved), tuple(refused))


def _prove(response: bytes, signature: bytes, authorities: Sequence[CertificateAuthority]) -> datetime:
    if len(response) > limits.TIMESTAMP_BYTES:
        raise _untrusted(f"a timestamp has {len(response)} bytes, more than {limits.TIMESTAMP_BYTES}")
    try:
        parsed = decode_timestamp_response(response)
        at = parsed.tst_info.gen_time
    except ValueError as error:
        raise _untrusted("a timestamp cannot be read") from error
    # The cheap question first: nothing is proved yet about the time that it is asked with.
    in_use = [authority for authority in authorities if authority.window.contains(at)]
    if not in_use:
        raise _untrusted("a timestamp is of a time when no timestamp authority of the trust root was in use")
    if not any(_is_stamped(parsed, signature, authority) for authority in in_use):
        raise _untrusted("a timestamp does not verify: another authority's, expired by then, or of something else")
    return at


def _is_stamped(parsed: TimeStampResponse, signature: bytes, authority: CertificateAuthority) -> bool:
    """Return whether the authority's own certificate, valid at the time that is attested, stamped the signature.

    It is pinned: never one that the response brings along (CVE-2026-39984).
    """
    builder = VerifierBuilder(
        tsa_certificate=authority.chain[0],
        intermediates=list(authority.chain[1:-1]),
        roots=[authority.chain[-1]],
    )
    try:
        return builder.build().verify_message(parsed, signature)
    except (VerificationError, ValueError, x509.InvalidVersion):
        # VerificationError is what the library documents. It reads the rest of a response only now: an unknown status
        # or a certificate inside that is none raises ValueError, and one of an unknown version InvalidVersion.
        return False


def _untrusted(message: str) -> UntrustedError:
    return UntrustedError(Reason.TIMESTAMP, message)
