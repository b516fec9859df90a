"""What is to be done about a review, before any registry is asked. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypedDict

from gate.core.oci import Reference
from gate.core.policy import Context
from gate.core.reasons import Reason
from gate.core.subjects import Subject
from gate.core.verdict import Decision
from gate.fronts.admission import Review


@dataclass(frozen=True, slots=True)
class Admit:
    """Nothing is to be verified, and ``reason`` says why.

    ``excused`` are decisions on what the review itself says, which an exception or the rollout admits.
    """

    reason: Reason
    message: str
    warnings: tuple[str, ...] = ()
    excused: tuple[Decision, ...] = ()


@dataclass(frozen=True, slots=True)
class Refuse:
    """Refused by what the review itself says; ``about`` are the references of the image, where it is about one."""

    reason: Reason
    message: str
    about: tuple[Reference, ...] = ()


@dataclass(frozen=True, slots=True)
class Ask:
    """Admitted only if each of ``subjects`` is; there is at least one. For ``excused`` see Admit."""

    subjects: tuple[Subject, ...]
    context: Context
    excused: tuple[Decision, ...] = ()


Outcome: TypeAlias = Admit | Refuse | Ask


class Offline(TypedDict):
    """What would be done about a review, without asking a registry; ``reason`` is None for "verify"."""

    uid: str
    decision: str
    reason: str | None
    subjects: list[str]


def offline(review: Review, outcome: Outcome) -> Offline:
    """Return ``outcome`` as JSON: allow, deny or verify, and the subjects as ``repository@sha256:…``.

    A Helm chart has no digest before a registry is asked: it is ``repository:tag``.
    """
    match outcome:
        case Admit(reason):
            return Offline(uid=review.uid, decision="allow", reason=str(reason), subjects=[])
        case Refuse(reason):
            return Offline(uid=review.uid, decision="deny", reason=str(reason), subjects=[])
        case Ask(subjects):
            named = [_named(subject.reference) for subject in subjects]
            return Offline(uid=review.uid, decision="verify", reason=None, subjects=named)


def _named(reference: Reference) -> str:
    return str(reference if reference.digest is None else reference.at(reference.digest))
