"""One review from bytes to bytes: parse, examine, decide, conclude, record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.leniency import NEVER_SOFTENED, soften
from gate.core.policy import Context, Policy
from gate.core.reasons import Reason
from gate.core.report import describe
from gate.core.strictjson import Json
from gate.core.subjects import Subject, is_decided
from gate.core.verdict import Decision, Unavailable
from gate.fronts import configsync
from gate.fronts.admission import Review, ReviewError, parse_review, render
from gate.fronts.notices import notice
from gate.kube.events import Event
from gate.service import Gate

Record: TypeAlias = "dict[str, Json]"

RECORDED_CHARACTERS = 256  # of a name in a record; Kubernetes has at most 253
RECORDED_CANDIDATES = 16  # candidates of one decision in a record: enough to see what is wrong, too few to flood a log


@dataclass(frozen=True, slots=True)
class Reply:
    """What goes back over HTTP: an AdmissionReview in JSON, or for an unreadable request one sentence of text."""

    status: int
    body: bytes
    content_type: str = "application/json"

    @classmethod
    def sentence(cls, status: int, text: str) -> Reply:
        """Return a reply of one line of text."""
        return cls(status, (text + "\n").encode(), "text/plain; charset=utf-8")


def _nobody(_: Event) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Answers reviews; one for a process, for any number of threads.

    ``notify`` is told what is worth an Event; it returns at once and raises nothing.
    """

    gate: Gate
    policy: Callable[[], Policy]
    record: Callable[[Record], None] = field(repr=False)
    notify: Callable[[Event], None] = field(default=_nobody, repr=False)

    def answer(self, body: bytes, deadline: Deadline) -> Reply:
        """Return the answer to the review in ``body``; whatever is wrong with the review is a denial or an HTTP 400."""
        started = deadline.clock()
        try:
            review = parse_review(body)
        except ReviewError as error:
            return self._unreadable(error)
        policy = self.policy()
        answer, decisions = self._decide(
            review, policy, lambda subject, context: self.gate.decide(policy, subject, context, deadline)
        )
        return self._tell(review, answer, decisions, round((deadline.clock() - started) * 1000, 1))

    def refuse(self, body: bytes, reason: Reason, message: str) -> Reply:
        """Return a refusal of the review in ``body`` for a reason that has nothing to do with what it asks."""
        try:
            review = parse_review(body)
        except ReviewError as error:
            return self._unreadable(error)
        policy = self.policy()
        decisions: tuple[Decision, ...] = ()
        answer = configsync.Answer(allowed=False, reason=reason, message=message)
        # What a rollout may admit is looked at, but for images, which nobody is asked about now.
        if policy.lenient and reason not in NEVER_SOFTENED:
            unread, now = Unavailable(reason, message), self.gate.now()

            def decide(subject: Subject, context: Context) -> Decision:
                decision = Decision(unread, undecided=not is_decided(subject))
                return soften(decision, subject, context, policy, now)

            answer, decisions = self._decide(review, policy, decide)
        return self._tell(review, answer, decisions, 0.0)

    def _tell(
        self, review: Review, answer: configsync.Answer, decisions: tuple[Decision, ...], milliseconds: float
    ) -> Reply:
        """Return the answer as a reply, and tell it to whoever keeps records and writes Events."""
        self.record(_record(review, answer, decisions, milliseconds))
        told = notice(review, answer)
        if told is not None:
            self.notify(told)
        return _reply(review, answer)

    def _decide(
        self, review: Review, policy: Policy, decide: Callable[[Subject, Context], Decision]
    ) -> tuple[configsync.Answer, tuple[Decision, ...]]:
        """Return the answer under one policy for the whole review: a reload must not decide half of it."""
        match configsync.examine(review, policy, self.gate.now()):
            case configsync.Admit(reason, message, warnings, excused):
                return configsync.Answer(allowed=True, reason=reason, message=message, warnings=warnings), excused
            case configsync.Refuse(reason, message):
                return configsync.Answer(allowed=False, reason=reason, message=message), ()
            case configsync.Ask(subjects, context, excused) as ask:
                decisions = tuple(decide(subject, context) for subject in subjects)
                return configsync.conclude(ask, decisions), (*excused, *decisions)

    def _unreadable(self, error: ReviewError) -> Reply:
        message = f"{Reason.MALFORMED}: {error.message}"
        self.record({"uid": error.uid, "allowed": False, "reason": str(Reason.MALFORMED), "message": message})
        if error.uid is None:
            return Reply.sentence(400, message)
        return Reply(200, render(error.api_version, error.uid, allowed=False, message=message))


def _reply(review: Review, answer: configsync.Answer) -> Reply:
    body = render(
        review.api_version,
        review.uid,
        allowed=answer.allowed,
        message=answer.message,
        warnings=answer.warnings,
    )
    return Reply(200, body)


def _record(review: Review, answer: configsync.Answer, decisions: tuple[Decision, ...], milliseconds: float) -> Record:
    """Return the one record of a review: the true verdicts, also where a mode or a tenant's view changed the answer."""
    return {
        "uid": review.uid,
        "operation": review.operation[:RECORDED_CHARACTERS],
        "kind": review.kind[:RECORDED_CHARACTERS],
        "namespace": review.namespace[:RECORDED_CHARACTERS],
        "name": review.name[:RECORDED_CHARACTERS],
        "user": review.username[:RECORDED_CHARACTERS],
        "dryRun": review.dry_run,
        "allowed": answer.allowed,
        "reason": str(answer.reason),
        "message": answer.message,
        "warnings": list(answer.warnings),
        "decisions": [_describe(decision) for decision in decisions],
        "milliseconds": milliseconds,
    }


def _describe(decision: Decision) -> Record:
    """Return a decision for the record: whom it is about in full, and not more candidates than a log needs."""
    described = describe(decision)
    described["candidates"] = [*strictjson.expect_array(described["candidates"], "candidates")][:RECORDED_CANDIDATES]
    subject = None if decision.subject is None else str(decision.subject)
    return {"subject": subject, "evidence": "kept" if decision.kept else "asked", **described}
