"""A signature of the in-memory Sigstore as a candidate, and authorities that judge it by its trust root."""

from __future__ import annotations

from typing import TypedDict, Unpack

from gate.core.authorities import Authority, KeyAuthority, KeylessAuthority
from gate.core.errors import UntrustedError
from gate.core.identities import Exact, IdentityRule, Pattern
from gate.core.keys import parse_public_key
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.signature import Candidate, RefusedCandidate
from gate.core.trust import TrustedRoot, parse_trusted_root
from gate.demo.signer import Signer
from tests.fakes.signing import NOW, REPOSITORY, Image
from tests.fakes.sigstore import ISSUER, SUBJECT, Layout, Made, Sigstore

IMAGE = Image.push().digest
OTHER_IMAGE = Digest.of(b"another image")
ANYBODY = IdentityRule(Pattern.parse(".*"), Pattern.parse(".*"))
DEVELOPER = IdentityRule(Exact(SUBJECT), Exact(ISSUER))


class Demand(TypedDict, total=False):
    """What an authority wants besides; see KeylessAuthority."""

    name: str
    log: bool
    timestamp: bool


def keyless(root: bytes | TrustedRoot, *identities: IdentityRule, **demand: Unpack[Demand]) -> KeylessAuthority:
    """Return an authority of these identities (the developer's, where none is given) under the trust root."""
    trusted = parse_trusted_root(root) if isinstance(root, bytes) else root
    return KeylessAuthority(demand.get("name", "dev"), identities or (DEVELOPER,), trusted, **_besides(demand))


def logged_key(root: bytes | TrustedRoot, key: Signer, **demand: Unpack[Demand]) -> KeyAuthority:
    """Return an authority of the key that also wants a log entry under the trust root."""
    trusted = parse_trusted_root(root) if isinstance(root, bytes) else root
    besides = {"log": True, **_besides(demand)}
    return KeyAuthority(demand.get("name", "release"), parse_public_key(key.public_pem), trusted, **besides)


def _besides(demand: Demand) -> dict[str, bool]:
    return {name: demand[name] for name in ("log", "timestamp") if name in demand}


def read(made: Made, digest: Digest = IMAGE) -> Candidate:
    """Return what the formats make of the signature when it is stored beside the image."""
    image = Image.push()
    made.push(image.store, REPOSITORY, digest)
    (candidate,) = Image(image.store, digest).evidence().candidates
    return candidate


def answer(candidate: Candidate, authority: Authority, digest: Digest = IMAGE) -> tuple[Reason, str]:
    """Return why the authority refuses the candidate and what it says, or that it is verified and the signer."""
    if isinstance(candidate, RefusedCandidate):
        return candidate.reason, candidate.message
    try:
        return Reason.VERIFIED, authority.verify(candidate, digest, NOW).identity
    except UntrustedError as error:
        return error.reason, error.message


BOX = Sigstore.create()
FOREIGN = Sigstore.create(name="foreign")
ROOT = parse_trusted_root(BOX.trusted_root())
DEV = keyless(ROOT)


def reason(made: Made, authority: Authority = DEV) -> Reason:
    """Return why the authority refuses the signature, or that it is verified."""
    return answer(read(made), authority)[0]


def sign(layout: Layout = "bundle", **changes: object) -> Made:
    """Return a signature of the developer that verifies."""
    made = BOX.sign(layout, BOX.enroll(), IMAGE, **changes)
    assert reason(made) is Reason.VERIFIED
    return made
