"""The policy as frozen values; how it is written down is the business of trust/policyfile.py."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import TypeAlias

from gate.core.authorities import Authority, KeyAuthority
from gate.core.errors import ConfigError
from gate.core.globs import ImageGlob, match_text
from gate.core.oci import Digest, Reference
from gate.core.rfc3339 import format_instant

LONGEST_TERM = timedelta(days=30)  # of an exception or a rollout: what is meant for longer belongs into the rules


class Mode(Enum):
    """What a rule that is not satisfied does: deny, warn and admit, or only record."""

    ENFORCE = "enforce"
    WARN = "warn"
    AUDIT = "audit"


class NoMatch(Enum):
    """What happens to an image that no enforce or warn rule matches."""

    DENY = "deny"
    WARN = "warn"
    ALLOW = "allow"


class SourceChoice(Enum):
    """Whether a source that gate cannot verify is admitted: always, only where it is that already, or never."""

    ALLOW = "allow"
    EXISTING = "existing"
    DENY = "deny"


class HelmOciChoice(Enum):
    """Whether a Helm chart in an OCI registry is denied, or its exact version found there and verified."""

    DENY = "deny"
    RESOLVE = "resolve"


class OnUnavailable(Enum):
    """What an outage of the registry means for a rule."""

    DENY = "deny"
    ALLOW = "allow"


class MatchReference(Enum):
    """Whether a signed payload that names a repository must name the one that the image is in."""

    IGNORE = "ignore"
    REPOSITORY = "repository"


@dataclass(frozen=True, slots=True)
class Sources:
    """What may be synced besides OCI images, and how those are named."""

    git: SourceChoice
    helm_http: SourceChoice
    require_digest: bool = False
    helm_oci: HelmOciChoice = HelmOciChoice.DENY


@dataclass(frozen=True, slots=True)
class Context:
    """The object that asks; a field that is None is not known, and a rule that looks at it does not match."""

    kind: str | None = None
    namespace: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Which questions a rule is about: every field that is given must match, any value of a field will do."""

    images: tuple[ImageGlob, ...]
    kinds: tuple[str, ...] = ()
    namespaces: tuple[str, ...] = ()
    names: tuple[str, ...] = ()
    digests: tuple[Digest, ...] = ()

    def matches(self, reference: Reference, context: Context) -> bool:
        """Return whether the rule is about ``reference`` for ``context``; a digest that is not known matches none."""
        return self.may_match(reference, context) and (not self.digests or reference.digest in self.digests)

    def may_match(self, reference: Reference, context: Context) -> bool:
        """Return whether the rule is about ``reference`` for ``context`` if it has the right digest."""
        return (
            any(glob.matches(reference) for glob in self.images)
            and (not self.kinds or context.kind in self.kinds)
            and _matches_any(self.namespaces, context.namespace)
            and _matches_any(self.names, context.name)
        )


def _matches_any(patterns: tuple[str, ...], text: str | None) -> bool:
    return not patterns or (text is not None and any(match_text(pattern, text) for pattern in patterns))


@dataclass(frozen=True, slots=True)
class Signatures:
    """``count`` of ``authorities`` must vouch, each for a signer of its own; ConfigError if that can never happen.

    ``needed`` names authorities that must be among them, every one.
    """

    authorities: tuple[Authority, ...]
    count: int = 1
    needed: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse what would admit everything or nothing."""
        if not self.authorities:
            raise ConfigError("no authority is named")
        if len({authority.name for authority in self.authorities}) != len(self.authorities):
            raise ConfigError("two authorities have the same name")
        keys = [authority.identity for authority in self.authorities if isinstance(authority, KeyAuthority)]
        if len(set(keys)) != len(keys):
            raise ConfigError("two authorities have the same key")
        if not 0 < self.count <= len(self.authorities):
            raise ConfigError(f"the count is {self.count}, and there are {len(self.authorities)} authorities")
        if not {authority.name for authority in self.authorities}.issuperset(self.needed):
            raise ConfigError("an authority is needed that the rule does not name")


@dataclass(frozen=True, slots=True)
class Pass:
    """Nothing is asked."""


@dataclass(frozen=True, slots=True)
class Fail:
    """Nothing satisfies."""


Requirement: TypeAlias = Signatures | Pass | Fail


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule: whom it is about, what it wants, and what follows when it does not get it."""

    name: str
    match: Match
    requirement: Requirement
    mode: Mode = Mode.ENFORCE
    on_unavailable: OnUnavailable = OnUnavailable.DENY
    message: str = ""
    match_reference: MatchReference = MatchReference.IGNORE


@dataclass(frozen=True, slots=True)
class Term:
    """Until when something weakens the policy, and why; ``until`` is aware and itself no longer part of it."""

    until: datetime
    reason: str

    def lapse(self, now: datetime) -> str | None:
        """Return why there is no effect at ``now`` (aware), or None while there is one."""
        if not self.reason:
            return "it gives no reason"
        if now >= self.until:
            return "it is past"
        if self.until - now > LONGEST_TERM:
            return f"it ends more than {LONGEST_TERM.days} days ahead"
        return None


@dataclass(frozen=True, slots=True)
class ImageException:
    """Break-glass for one digest: ``image`` is a repository at a digest."""

    image: Reference
    term: Term

    @property
    def subject(self) -> Reference:
        """What is written down."""
        return self.image

    def covers(self, subject: Reference, context: Context) -> bool:  # noqa: ARG002 (whoever asks)
        """Return whether the exception names ``subject``; one whose digest is not known is not named."""
        return subject.digest is not None and subject.at(subject.digest) == self.image

    def __str__(self) -> str:
        """Return what is excepted, for messages."""
        return self.image.label


@dataclass(frozen=True, slots=True)
class ObjectException:
    """Break-glass for whatever one object syncs out of one repository; every field of ``context`` is given."""

    repository: Reference
    context: Context
    term: Term

    @property
    def subject(self) -> Reference:
        """What is written down."""
        return self.repository

    def covers(self, subject: Reference, context: Context) -> bool:
        """Return whether ``subject`` lies in the repository and it is the object that asks."""
        return subject.name == self.repository.name and context == self.context

    def __str__(self) -> str:
        """Return what is excepted, for messages."""
        context = self.context
        return f"{self.repository.label} in {context.kind} {context.namespace}/{context.name}"


BreakGlass: TypeAlias = ImageException | ObjectException


@dataclass(frozen=True, slots=True)
class Policy:
    """Everything an operator decided, validated and frozen."""

    no_match: NoMatch
    sources: Sources
    rules: tuple[Rule, ...]
    rollout: Term | None = None
    exceptions: tuple[BreakGlass, ...] = ()

    def matching(self, reference: Reference, context: Context) -> tuple[Rule, ...]:
        """Return the rules about this question, in the order of the policy. No I/O."""
        return tuple(rule for rule in self.rules if rule.match.matches(reference, context))

    def may_match(self, reference: Reference, context: Context) -> bool:
        """Return whether any rule could be about this question, once the digest of ``reference`` is known. No I/O."""
        return any(rule.match.may_match(reference, context) for rule in self.rules)

    def covers(self, reference: Reference, context: Context) -> bool:
        """Return whether an enforce or warn rule matches, or noMatch admits what none matches."""
        counted = any(rule.mode is not Mode.AUDIT for rule in self.matching(reference, context))
        return counted or self.no_match is not NoMatch.DENY

    @property
    def literal_hosts(self) -> frozenset[str]:
        """The registries that the operator named by writing them down without a wildcard."""
        hosts = (glob.literal_host for rule in self.rules for glob in rule.match.images)
        excepted = (exception.subject.registry for exception in self.exceptions)
        return frozenset(host for host in (*hosts, *excepted) if host is not None)

    @property
    def lenient(self) -> bool:
        """Whether anything is written down that could admit what is refused."""
        return self.rollout is not None or bool(self.exceptions)

    def without_effect(self, now: datetime) -> tuple[str, ...]:
        """Return a sentence for each exception, and for the rollout, that has no effect at ``now``."""
        terms = [(f"the exception for {exception}", exception.term) for exception in self.exceptions]
        if self.rollout is not None:
            terms.append(("the rollout", self.rollout))
        lapses = ((what, term, term.lapse(now)) for what, term in terms)
        return tuple(describe_lapse(what, term, lapse) for what, term, lapse in lapses if lapse is not None)


def describe_lapse(what: str, term: Term, lapse: str) -> str:
    """Return the clause that tells why ``what`` has no effect, as Term.lapse() says."""
    return f"{what} until {format_instant(term.until)} has no effect: {lapse}"


def single_key_policy(authority: Authority) -> Policy:
    """Return the policy "every image, this authority", with git and Helm over HTTP allowed."""
    everything = Match((ImageGlob.parse("**"),))
    return Policy(
        NoMatch.DENY,
        Sources(git=SourceChoice.ALLOW, helm_http=SourceChoice.ALLOW),
        (Rule("every-image", everything, Signatures((authority,))),),
    )
