"""An image through gate's own eyes: which credentials, what the registry says, and what stands in the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.manifests import parse_manifest
from gate.core.oci import Digest, Reference
from gate.core.quote import quote
from gate.core.reasons import Reason
from gate.core.signature import Evidence
from gate.registry.client import Document, RegistryClient
from gate.registry.credentials import Credential
from gate.registry.evidence import RegistrySource

DEFAULT_TAG = "latest"  # as everywhere


@dataclass(frozen=True, slots=True)
class Access:
    """A registry as gate meets it: who named its host, and how it is asked."""

    named_by: str
    client: RegistryClient
    source: RegistrySource


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that keeps gate from reading the image or its signatures; the reason says what to do about it."""

    reason: Reason
    message: str

    @classmethod
    def of(cls, error: UnavailableError | MalformedError) -> Finding:
        """Return the finding that an error is."""
        return cls(error.reason, error.message)


@dataclass(frozen=True, slots=True)
class Report:
    """What was found; ``credential`` is None where the registry is asked anonymously, or no credential can be had."""

    credential: Credential | None = None
    document: Document | None = None
    evidence: Evidence = field(default_factory=Evidence)
    findings: tuple[Finding, ...] = ()


def check(access: Access, reference: Reference, begin: Callable[[], Deadline]) -> Report:
    """Return what gate finds of ``reference``; nothing is raised for what a registry does.

    Each step has a deadline of its own, made by ``begin``. A step that fails ends it: those after it would only say
    the same again.
    """
    credential = None
    try:
        credential = access.client.auth.credential(reference.repository, begin())
        document = _manifest(access.client, reference, begin())
    except (UnavailableError, MalformedError) as error:
        return Report(credential, findings=(Finding.of(error),))
    if document is None:
        message = f"the registry has no {quote(reference.label)}, or shows it to others alone"
        return Report(credential, findings=(Finding(Reason.NOT_FOUND, message),))
    evidence = access.source.evidence(reference.repository, document.digest, begin())
    return Report(credential, document, evidence, tuple(dict.fromkeys(map(Finding.of, evidence.unreadable))))


def _manifest(client: RegistryClient, reference: Reference, deadline: Deadline) -> Document | None:
    named: Digest | str = reference.digest or reference.tag or DEFAULT_TAG
    document = client.manifest(reference.repository, named, deadline)
    if document is not None:
        parse_manifest(document.raw, document.media_type)
    return document
