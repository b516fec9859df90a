"""RFC 3161 timestamps: when a signature is proved to have existed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from gate.core.trust import CertificateAuthority


@dataclass(frozen=True, slots=True)
class Times:
    """The times that are proved, and of each response that proves none, why."""

    proved: tuple[datetime, ...] = ()
    refused: tuple[str, ...] = ()


def verify_timestamps(
    responses: Sequence[bytes], signature: bytes, authorities: Sequence[CertificateAuthority]
) -> Times:
    """Return the times that ``responses`` (DER TimeStampResp) prove for ``signature``. Nothing is raised."""
    raise NotImplementedError
