"""The engine with its hands: fetch what the core asks for, then let the core decide."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError, UntrustedError
from gate.core.keys import Check, PublicKey, Signed
from gate.core.oci import Digest, Reference, parse_manifest
from gate.core.policy import Context, Policy, Rule, Signatures
from gate.core.reasons import Reason
from gate.core.signature import Evidence
from gate.core.verdict import Decision, Denied, Unavailable, Verified
from gate.core.verify import decide
from gate.kept import Kept
from gate.registry.client import Document

CHECKS = 8192  # remembered answers of keys, of about 200 bytes each: twice the digests whose evidence is kept
DEFAULT_TAG = "latest"  # what an image without tag and digest means to Config Sync and to every other client


class Source(Protocol):
    """One registry, as the service needs it."""

    def resolve(self, repository: str, tag: str, deadline: Deadline) -> Document | None:
        """Return the manifest or index that the tag names now, or None when the registry says there is none."""

    def known(self, repository: str, digest: Digest) -> Evidence | None:
        """Return what is kept about the digest from before, without asking anybody, or None."""

    def evidence(self, repository: str, digest: Digest, deadline: Deadline) -> Evidence:
        """Return everything that can be found about the digest now, and what could not be read."""


class KeptChecks:
    """What keys have said of signatures, remembered: a Check for any number of threads.

    The answer depends on the key, the signature and the message alone, so it never grows old, and it decides nothing:
    which keys count, and for which digest, is asked afresh each time. A refusal is remembered like an acceptance.
    """

    def __init__(self, entries: int = CHECKS) -> None:
        """Remember at most ``entries`` answers; the least recently used ones make room."""
        self._answers: Kept[tuple[Reason, str] | None] = Kept(entries)

    def __call__(self, key: PublicKey, signature: bytes, message: Signed) -> None:
        """Return if ``signature`` is over ``message`` by ``key``, else raise UntrustedError, as PublicKey.verify."""
        name = _name(key.spki, signature, *_tagged(message))
        refusal = self._answers.get(name, lambda: _ask(key, signature, message))
        if refusal is not None:
            raise UntrustedError(*refusal)


def _tagged(message: Signed) -> tuple[bytes, bytes]:
    """Return the message with its kind: a digest and a message of the same bytes are two questions."""
    return (b"digest", message.hex.encode()) if isinstance(message, Digest) else (b"message", message)


def _name(*parts: bytes) -> bytes:
    """Return a digest of ``parts``, each with its length: a memory of digests has a size, and pins nobody's bytes."""
    return hashlib.sha256(b"".join(b"%d:%b" % (len(part), part) for part in parts)).digest()


def _ask(key: PublicKey, signature: bytes, message: Signed) -> tuple[Reason, str] | None:
    try:
        key.verify(signature, message)
    except UntrustedError as error:
        return error.reason, error.message
    return None


@dataclass(frozen=True, slots=True)
class Gate:
    """Answers whether an image may be synced; one for a process, for any number of threads."""

    sources: Callable[[str, bool], Source]  # registry host, whether the operator named it
    now: Callable[[], datetime]
    check: Check = PublicKey.verify

    def decide(self, policy: Policy, reference: Reference, context: Context, deadline: Deadline) -> Decision:
        """Return the decision on ``reference`` for ``context``; a tag is resolved once, to the digest that is decided.

        Nothing is raised for what a registry does: it is in the verdict. A rule that does not need a signature causes
        no request.
        """
        try:
            source = self.sources(reference.registry, reference.registry in policy.literal_hosts)
            # A host that somebody else names is not asked what a tag means that no rule is about.
            enough = reference.digest is not None or not policy.may_match(reference, context)
            subject = reference if enough else _resolve(source, reference, deadline)
        except UnavailableError as error:
            return Decision(Unavailable(error.reason, _cannot(reference, error), outage=error.outage))
        except MalformedError as error:
            message = f"{Reason.MALFORMED}: {reference.label} is not an image: {error.message}"
            return Decision(Denied(Reason.MALFORMED, message))
        if subject is None:
            message = f"{Reason.NOT_FOUND}: the registry has no {reference.label}; push it, or correct the reference"
            return Decision(Denied(Reason.NOT_FOUND, message))
        return self._judge(policy, source, subject, policy.matching(subject, context), deadline)

    def _judge(
        self, policy: Policy, source: Source, subject: Reference, rules: Sequence[Rule], deadline: Deadline
    ) -> Decision:
        """Return the decision from what is kept where that proves it, else from what is found now."""
        if subject.digest is None or not any(isinstance(rule.requirement, Signatures) for rule in rules):
            return decide(subject, Evidence(), rules, policy.no_match, self.now(), self.check)
        known = source.known(subject.repository, subject.digest)
        if known is not None:
            decision = decide(subject, known, rules, policy.no_match, self.now(), self.check)
            # What is proved stands, whatever the registry would say now; anything less is looked for again.
            if isinstance(decision.verdict, Verified):
                return Decision(decision.verdict, decision.rules, decision.subject, kept=True)
        evidence = source.evidence(subject.repository, subject.digest, deadline)
        return decide(subject, evidence, rules, policy.no_match, self.now(), self.check)


def _resolve(source: Source, reference: Reference, deadline: Deadline) -> Reference | None:
    document = source.resolve(reference.repository, reference.tag or DEFAULT_TAG, deadline)
    if document is None:
        return None
    parse_manifest(document.raw, document.media_type)
    return reference.at(document.digest)


def _cannot(reference: Reference, error: UnavailableError) -> str:
    remedy = error.reason.remedy
    what_to_do = remedy[:1].lower() + remedy[1:].rstrip(".")
    return f"{error.reason}: {reference.label} could not be read: {error.message}; {what_to_do}"
