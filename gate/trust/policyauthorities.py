"""Authorities of the policy file: keys, identities, and the trust roots that prove what is wanted besides."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from gate.core.authorities import Authority, KeyAuthority, KeylessAuthority, Outcome, SecondOpinion
from gate.core.errors import ConfigError
from gate.core.identities import Exact, IdentityRule, Pattern, TextRule
from gate.core.keys import PublicKey, parse_public_key
from gate.core.trust import TrustedRoot
from gate.fields import Fields, describe
from gate.kept import Kept
from gate.strictyaml import Scalar, Table

SIGSTORE = "sigstore"
OUTCOMES = 4096  # remembered by an authority, of about 300 bytes each: as many as digests whose evidence is kept
TRANSPARENCY_LOG = {"ignore": False, "required": True}
SIGNED_TIMESTAMP = {"auto": False, "required": True}


class Material(Protocol):
    """Where keys and trust roots come from; each raises ConfigError that says what is wrong."""

    def key(self, name: str) -> PublicKey:
        """Return the public key in a file that the policy names."""

    def root(self, name: str) -> TrustedRoot:
        """Return the trust root in a file that the policy names."""

    def sigstore(self) -> tuple[TrustedRoot, SecondOpinion]:
        """Return the trust root of Sigstore's public good instance, and who has a say beside it."""


@dataclass(frozen=True, slots=True)
class _Trust:
    """The trust root of one authority; only one from a file comes without a second opinion."""

    root: TrustedRoot
    second: SecondOpinion | None = None


@dataclass(frozen=True, slots=True)
class _Demand:
    """What must be proved besides the signature."""

    log: bool
    timestamp: bool

    @classmethod
    def parse(cls, fields: Fields, *, log: bool) -> _Demand:
        """Return what the authority wants; ``log`` is the default."""
        wants_log = fields.choice("transparencyLog", TRANSPARENCY_LOG, log)
        return cls(wants_log, fields.choice("signedTimestamp", SIGNED_TIMESTAMP, default=False))


def parse_authority(fields: Fields, name: str, material: Material) -> Authority | None:
    """Return the authority of that name, or None with the problem recorded."""
    kind = fields.one_of("key", "keyless")
    authority: Authority | None = None
    match kind:
        case "key":
            authority = _key_authority(fields, name, material)
        case "keyless":
            authority = _keyless_authority(fields, name, material)
        case _:
            _Demand.parse(fields, log=False)
            fields.take("trustRoot")
    fields.finish()
    return authority


def _key_authority(fields: Fields, name: str, material: Material) -> KeyAuthority | None:
    key = _key(fields.section("key", required=True), material)
    if fields.has("signedTimestamp") and not fields.has("trustRoot"):
        fields.wrong(
            "signedTimestamp", "is given alone, expected trustRoot beside it, which says whose timestamps count"
        )
    named = fields.has("trustRoot")
    demand = _Demand.parse(fields, log=False)
    trust = _trust(fields, material, demand) if named or demand.log else None
    if key is None:
        return None
    # A trust root of which nothing is wanted proves nothing: what lies beside the signature is then not looked at.
    if trust is None or demand == _Demand(log=False, timestamp=False):
        return KeyAuthority(name, key)
    return KeyAuthority(name, key, trust.root, demand.log, demand.timestamp, Kept[Outcome](OUTCOMES).get)


def _key(fields: Fields, material: Material) -> PublicKey | None:
    match fields.one_of("file", "data"):
        case "file":
            key = fields.parsed("file", material.key)
        case "data":
            key = fields.parsed("data", lambda text: parse_public_key(text.encode()))
        case _:
            key = None
    fields.finish()
    return key


def _keyless_authority(fields: Fields, name: str, material: Material) -> KeylessAuthority | None:
    keyless = fields.section("keyless", required=True)
    demand = _Demand.parse(fields, log=True)
    if demand == _Demand(log=False, timestamp=False):
        expected = "expected required, or signedTimestamp: required beside it, because something has to prove the time"
        fields.wrong("transparencyLog", f'found "ignore", {expected}')
    trust = _trust(fields, material, demand)
    # Sigstore's own authorities always name the issuer of an identity.
    issuer = trust is not None and trust.second is not None
    given = [_identity(each, issuer=issuer) for each in keyless.sections("identities", required=True)]
    keyless.finish()
    if trust is None:
        return None
    if not trust.root.certificate_authorities:
        fields.wrong("trustRoot", "lists no certificate authority, expected one, because the authority is keyless")
    identities = tuple(identity for identity in given if identity is not None)
    memo = Kept[Outcome](OUTCOMES).get
    return KeylessAuthority(name, identities, trust.root, demand.log, demand.timestamp, trust.second, memo)


def _identity(fields: Fields, *, issuer: bool) -> IdentityRule | None:
    subject = _text_rule(fields, "subject", required=True)
    named_issuer = _text_rule(fields, "issuer", required=issuer)
    fields.finish()
    return None if subject is None else IdentityRule(subject, named_issuer)


def _text_rule(fields: Fields, name: str, *, required: bool) -> TextRule | None:
    """Return the text to compare with, exact or as an expression; None where there is none, or it is wrong."""
    given = fields.one_of(name, f"{name}RegExp", required=required)
    if given is None:
        return None
    return fields.parsed(given, Exact) if given == name else fields.parsed(given, Pattern.parse)


def _trust(fields: Fields, material: Material, demand: _Demand) -> _Trust | None:
    """Return the trust root, which has what is demanded, or None with the problem recorded."""
    trust = _root(fields, material)
    if trust is None:
        return None
    if demand.log and not trust.root.logs:
        fields.wrong("trustRoot", "lists no transparency log, expected one, because transparencyLog is required")
    if demand.timestamp and not trust.root.timestamp_authorities:
        fields.wrong("trustRoot", "lists no timestamp authority, expected one, because signedTimestamp is required")
    return trust


def _root(fields: Fields, material: Material) -> _Trust | None:
    """Return the trust root that is named, Sigstore's where none is, or None with the problem recorded."""
    node = fields.take("trustRoot")
    if node is None or (isinstance(node, Scalar) and node.text == SIGSTORE):
        try:
            return _Trust(*material.sigstore())
        except ConfigError as error:
            fields.wrong("trustRoot", error.message)
            return None
    if not isinstance(node, Table):
        fields.wrong("trustRoot", f"found {describe(node)}, expected {SIGSTORE}, or a mapping with file")
        return None
    section = Fields.of(node, fields.at("trustRoot"), node.line, fields.problems)
    root = section.parsed("file", material.root)
    section.finish()
    return None if root is None else _Trust(root)
