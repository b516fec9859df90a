"""One question about one image: what is judged, and what is asked for until the answer is known.

What is kept is judged first. Then one thing after another is asked for, and only while nothing proves the image: a
manifest that is signed itself costs no look at the index that lists it. Three things make that look necessary all the
same: a source that pins an index, because what is claimed of it has to be in it, and a rule or an exception that names
a digest, because it means an index and its manifest alike.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Protocol

from gate.core.deadline import Deadline
from gate.core.errors import MalformedError, UnavailableError
from gate.core.keys import Check
from gate.core.oci import Digest, Reference
from gate.core.platforms import Listing
from gate.core.policy import Context, ImageException, Mode, OnUnavailable, Pass, Policy, Rule, Signatures
from gate.core.reasons import Reason
from gate.core.signature import Evidence, Parent
from gate.core.verdict import ADMITTING, Decision, Denied, Unavailable, Verified
from gate.core.verify import decide, decide_unread

JUDGING_SECONDS = 0.5  # after the deadline, to judge what came until then; the API server waits 1 s longer than that
DEFAULT_TAG = "latest"  # what an image without tag and digest means to Config Sync and to every other client


class Source(Protocol):
    """One registry, as the service needs it; a ``name`` is a digest or a tag."""

    def known(self, repository: str, digest: Digest) -> Evidence | None:
        """Return what is kept about the digest from before, without asking anybody, or None."""

    def evidence(self, repository: str, digest: Digest, deadline: Deadline) -> Evidence:
        """Return everything that can be found about the digest now, and what could not be read."""

    def known_listing(self, repository: str, name: Digest | str) -> Listing | None:
        """Return what the name is known to list, or to have listed, without asking anybody, or None."""

    def expect_listing(self, repository: str, digest: Digest) -> None:
        """Begin to find out what the digest lists."""

    def listing(self, repository: str, name: Digest | str, deadline: Deadline) -> Listing | None:
        """Return what the name lists now, or None when the registry says there is none."""


@dataclass(slots=True)
class Inquiry:
    """One decision under way. Nothing is raised for what a registry does: it is in the verdict."""

    source: Source
    repository: str
    policy: Policy
    context: Context
    deadline: Deadline
    now: Callable[[], datetime]
    check: Check
    _found: dict[Digest, Evidence] = field(default_factory=dict)
    _asked: bool = False

    def image(self, image: Reference) -> Decision:
        """Return the decision on what Config Sync syncs of ``image``: itself, or its manifest for linux/amd64."""
        if image.digest is None:
            top = self._resolve(image)
            return top if isinstance(top, Decision) else self._whole(image.at(top.digest), top)
        decision = self._settle(image)
        if self._is_enough(image, decision):
            return decision
        try:
            listing = self._listing(image.digest)
        except UnavailableError as error:
            return self._unread(image, error)
        except MalformedError as error:
            return self._unless_undecided(image, decision, _malformed(image, error), always=True)
        if listing is not None and listing.synced != image.digest:
            return self._whole(image, listing)
        if listing is None:
            decision = self._unless_undecided(image, decision, _not_found(image))
        return decision if image.tag is None else self._tagged(image, image.digest, image.tag)

    def claimed(self, image: Reference, digest: Digest) -> Decision:
        """Return the decision on ``digest``, which is said to be what is synced of ``image``."""
        if image.digest == digest:
            return self.image(image)
        if image.digest is None:
            return self._tagged(image.at(digest), digest, image.tag or DEFAULT_TAG)
        return self._pinned(image.at(digest), digest, image.digest)

    def chart(self, chart: Reference) -> Decision:
        """Return the decision on what the tag of ``chart`` names now. Of an index, Helm chooses nothing."""
        top = self._resolve(chart)
        if isinstance(top, Decision):
            return top
        decision = self._settle(chart.at(top.digest))
        if not isinstance(decision.verdict, ADMITTING):
            return decision
        message = f"{decision.verdict.message}; that is bound to the version of {chart.label}, not to content"
        return replace(decision, verdict=replace(decision.verdict, message=message))

    def _resolve(self, image: Reference) -> Listing | Decision:
        """Return what the tag names now, or the decision where that is not known."""
        # A host that somebody else names is not asked what a tag means that no rule is about.
        if not self.policy.may_match(image, self.context) and not self._may_be_excepted(image):
            return decide(image, Evidence(), (), self.policy.no_match, self.now(), self.check)
        try:
            listing = self._listing(image.tag or DEFAULT_TAG)
        except UnavailableError as error:
            return self._unread(image, error)
        except MalformedError as error:
            return _malformed(image, error)
        return replace(_not_found(image), undecided=True) if listing is None else listing

    def _whole(self, top: Reference, listing: Listing) -> Decision:
        """Return the decision on ``top``, of which it is known what it lists."""
        decision = self._settle(top)
        child = listing.synced
        if child is None or child == listing.digest or self._is_enough(top, decision):
            return decision
        return self._settle(top.at(child), (listing.digest, child), listing.digest)

    def _tagged(self, child: Reference, digest: Digest, tag: str) -> Decision:
        """Return the decision on ``child``, for which the index vouches that the tag names now, if it lists it."""
        known = self.source.known_listing(self.repository, tag)
        # What an index vouched for before is not searched for signatures of its own first.
        expected = known is not None and known.lists(digest)
        decision = self._judge(child) if expected else self._settle(child)
        if self._is_enough(child, decision):
            return decision
        try:
            listing = self._listing(tag)
        except UnavailableError as error:
            return self._unread(child, error)
        except MalformedError as error:  # so the tag names no index
            return self._unless_undecided(child, self._settle(child), _malformed(child, error))
        if listing is None:
            return self._unless_undecided(child, self._settle(child), _not_found(child))
        if not listing.lists(digest):
            return self._settle(child)
        return self._settle(child, (digest, listing.digest), listing.digest)

    def _pinned(self, child: Reference, digest: Digest, pin: Digest) -> Decision:
        """Return the decision on ``child``, which has to be listed by the index that is pinned."""
        rules = self._rules(child, pin)
        if rules == self._rules(child) and not _want_signatures(rules):
            decision = self._judge(child)
            if decision.admits or not self._may_be_excepted(child):
                return decision
        if self.source.known_listing(self.repository, pin) is None:
            self.source.expect_listing(self.repository, pin)
            self._settle(child)  # meanwhile
        try:
            listing = self._listing(pin)
        except UnavailableError as error:
            return self._unlisted(child, pin, error)
        except MalformedError as error:
            return _malformed(child.at(pin), error, child)
        if listing is None:
            return _not_found(child.at(pin), child)
        if not listing.lists(digest):
            return _not_listed(child, pin)
        return self._settle(child, (digest, pin), pin)

    def _unless_undecided(
        self, subject: Reference, decision: Decision, refusal: Decision, *, always: bool = False
    ) -> Decision:
        """Return ``decision``, or ``refusal`` where it admits what a rule by digest may be about, or ``always``.

        What is gone or no manifest may have been, or be tomorrow, an index that lists the subject.
        """
        undecided = any(rule.mode is Mode.ENFORCE for rule in self._undecided(subject))
        if decision.admits and (always or undecided):
            decision = refusal
        return replace(decision, undecided=True)

    def _unread(self, subject: Reference, error: UnavailableError) -> Decision:
        """Return the decision on ``subject`` where it is not known what its tag names, or what it lists."""
        if subject.digest is None:
            rules = self.policy.matching(subject, self.context)
            decision = decide_unread(subject, error, rules, self.policy.no_match)
        else:
            self._settle(subject)
            found = self._evidence(subject.digest)
            self._found[subject.digest] = replace(found, unreadable=_together(found.unreadable, error))
            decision = self._judge(subject)
        # Whether a rule by digest refuses what is synced cannot be told: nothing is admitted that it may be about.
        if decision.admits and any(_holds(rule, error) for rule in self._undecided(subject)):
            return replace(decision, verdict=unavailable(subject, error), kept=False, undecided=True)
        return replace(decision, undecided=True)

    def _unlisted(self, child: Reference, pin: Digest, error: UnavailableError) -> Decision:
        """Return the decision on ``child`` where it is not known whether the index that is pinned lists it.

        Until it is, nothing that is signed about it counts, and nothing that a rule passes which is about the index.
        """
        own = self._rules(child)
        rules = [rule for rule in self._rules(child, pin) if rule in own or not isinstance(rule.requirement, Pass)]
        return decide_unread(child, error, rules, self.policy.no_match)

    def _settle(self, subject: Reference, order: Sequence[Digest] = (), parent: Digest | None = None) -> Decision:
        """Return the decision from what is known where that proves it, else from one search after the other.

        Searched for are the digests in ``order``; without any, that of the subject.
        """
        decision = self._judge(subject, parent)
        for digest in order or (subject.digest,):
            if isinstance(decision.verdict, Verified) or not _want_signatures(self._rules(subject, parent)):
                break
            if digest is not None and digest not in self._found:
                self._asked = True
                self._found[digest] = self.source.evidence(self.repository, digest, self.deadline)
                decision = self._judge(subject, parent)
        return decision

    def _judge(self, subject: Reference, parent: Digest | None = None) -> Decision:
        """Return the decision from what is known of the subject, and of the index ``parent`` that lists it."""
        evidence = Evidence() if subject.digest is None else self._evidence(subject.digest)
        if parent is not None:
            evidence = replace(evidence, parent=Parent(parent, self._evidence(parent)))
        rules = self._rules(subject, parent)
        decision = decide(subject, evidence, rules, self.policy.no_match, self.now(), self.check, in_time=self._in_time)
        return replace(decision, kept=not self._asked and isinstance(decision.verdict, Verified))

    def _in_time(self) -> None:
        """Return while there is time to judge, or raise UnavailableError: anybody may push candidates."""
        if self.deadline.passed(JUDGING_SECONDS):
            raise UnavailableError(Reason.DEADLINE, "there was no time left to judge every signature")

    def _evidence(self, digest: Digest) -> Evidence:
        return self._found.get(digest) or self.source.known(self.repository, digest) or Evidence()

    def _listing(self, name: Digest | str) -> Listing | None:
        known = self.source.known_listing(self.repository, name) if isinstance(name, Digest) else None
        if known is not None:
            return known
        self._asked = True
        return self.source.listing(self.repository, name, self.deadline)

    def _rules(self, subject: Reference, parent: Digest | None = None) -> tuple[Rule, ...]:
        """Return the rules about the subject, or about the index ``parent`` that lists it."""
        own = self.policy.matching(subject, self.context)
        if parent is None:
            return own
        over = self.policy.matching(subject.at(parent), self.context)
        return tuple(rule for rule in self.policy.rules if rule in own or rule in over)

    def _undecided(self, subject: Reference) -> list[Rule]:
        """Return the rules that would be about an index or manifest that is not known yet, and may refuse it."""
        return [
            rule
            for rule in self.policy.rules
            if rule.match.digests
            and subject.digest not in rule.match.digests
            and not isinstance(rule.requirement, Pass)
            and rule.match.may_match(subject, self.context)
        ]

    def _may_be_excepted(self, subject: Reference) -> bool:
        """Return whether an exception in effect is about another digest of its repository: an index that lists it?"""
        now = self.now()
        return any(
            isinstance(exception, ImageException)
            and exception.image.name == subject.name
            and exception.image.digest != subject.digest
            and exception.term.lapse(now) is None
            for exception in self.policy.exceptions
        )

    def _is_enough(self, subject: Reference, decision: Decision) -> bool:
        """Return whether no index could change the decision on ``subject`` alone."""
        if self._undecided(subject) or (not decision.admits and self._may_be_excepted(subject)):
            return False
        return isinstance(decision.verdict, Verified) or not _want_signatures(self._rules(subject))


def _want_signatures(rules: Sequence[Rule]) -> bool:
    return any(isinstance(rule.requirement, Signatures) for rule in rules)


def _holds(rule: Rule, error: UnavailableError) -> bool:
    """Return whether the rule keeps from being admitted what it may be about."""
    return rule.mode is Mode.ENFORCE and not (error.outage and rule.on_unavailable is OnUnavailable.ALLOW)


def _together(unreadable: tuple[UnavailableError, ...], error: UnavailableError) -> tuple[UnavailableError, ...]:
    """Return both; that an outage left no time to look any further is nothing new."""
    own_time = error.reason is Reason.DEADLINE and not error.outage
    return unreadable if unreadable and own_time else (*unreadable, error)


def unavailable(reference: Reference, error: UnavailableError) -> Unavailable:
    """Return the verdict on a reference that could not be read."""
    message = f"{error.reason}: {reference.label} could not be read: {error.message}; {error.reason.advice}"
    return Unavailable(error.reason, message, outage=error.outage)


def _malformed(reference: Reference, error: MalformedError, subject: Reference | None = None) -> Decision:
    message = f"{reference.label} is not an image: {error.message}"
    return _denied(subject or reference, Reason.MALFORMED, message)


def _not_found(reference: Reference, subject: Reference | None = None) -> Decision:
    """Return the decision on ``subject``, or on ``reference`` itself, where the registry has no ``reference``."""
    message = f"the registry has no {reference.label}; push it, or correct the reference"
    return _denied(subject or reference, Reason.NOT_FOUND, message)


def _not_listed(child: Reference, pin: Digest) -> Decision:
    what = f"{child.label} is claimed, and the source is pinned to {pin}, which is no index that lists it"
    return _denied(child, Reason.SOURCE_MISMATCH, f"{what}; remove the annotation; Config Sync sets it again")


def _denied(subject: Reference, reason: Reason, message: str) -> Decision:
    decided = None if subject.digest is None else subject.at(subject.digest)
    return Decision(Denied(reason, f"{reason}: {message}"), (), decided)
