"""The engine with its hands: fetch what the core asks for, then let the core decide."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from gate.core.deadline import Deadline
from gate.core.errors import UnavailableError, UntrustedError
from gate.core.keys import Check, PublicKey, Signed
from gate.core.leniency import soften
from gate.core.oci import Digest
from gate.core.policy import Context, Policy
from gate.core.reasons import Reason
from gate.core.subjects import Chart, Claimed, Image, Subject, is_decided
from gate.core.verdict import Decision
from gate.inquiry import Inquiry, Source, unavailable
from gate.kept import Kept

CHECKS = 8192  # remembered answers of keys, of about 200 bytes each: twice the digests whose evidence is kept


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

    def decide(self, policy: Policy, subject: Subject, context: Context, deadline: Deadline) -> Decision:
        """Return the decision on ``subject`` for ``context``; a tag is resolved once, to the digest that is decided.

        Nothing is raised for what a registry does: it is in the verdict. A rule that does not need a signature causes
        no request, unless another one names digests. What an exception or the rollout admits is decided all the same.
        """
        decision = self._decide(policy, subject, context, deadline)
        return soften(decision, subject, context, policy, self.now())

    def _decide(self, policy: Policy, subject: Subject, context: Context, deadline: Deadline) -> Decision:
        reference = subject.reference
        try:
            source = self.sources(reference.registry, reference.registry in policy.literal_hosts)
        except UnavailableError as error:
            return Decision(unavailable(reference, error), undecided=not is_decided(subject))
        inquiry = Inquiry(source, reference.repository, policy, context, deadline, self.now, self.check)
        match subject:
            case Image(image):
                return inquiry.image(image)
            case Claimed(image, digest):
                return inquiry.claimed(image, digest)
            case Chart(chart):
                return inquiry.chart(chart)
