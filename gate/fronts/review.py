"""One review from bytes to bytes: parse, examine, decide, conclude, record."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeAlias

from gate.core import strictjson
from gate.core.deadline import Deadline
from gate.core.policy import Policy
from gate.core.reasons import Reason
from gate.core.report import describe
from gate.core.strictjson import Json
from gate.core.verdict import Decision
from gate.fronts import configsync
from gate.fronts.admission import Review, ReviewError, parse_review, render
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


@dataclass(frozen=True, slots=True)
class Reviewer:
    """Answers reviews; one for a process, for any number of threads."""

    gate: Gate
    policy: Callable[[], Policy]
    record: Callable[[Record], None] = field(repr=False)

    def answer(self, body: bytes, deadline: Deadline) -> Reply:
        """Return the answer to the review in ``body``; whatever is wrong with the review is a denial or an HTTP 400."""
        started = deadline.clock()
        try:
            review = parse_review(body)
        except ReviewError as error:
            return self._unreadable(error)
        answer, decisions = self._decide(review, deadline)
        milliseconds = round((deadline.clock() - started) * 1000, 1)
        self.record(_record(review, answer, decisions, milliseconds))
        return Reply(
            200,
            render(
                review.api_version,
                review.uid,
                allowed=answer.allowed,
                message=answer.message,
                warnings=answer.warnings,
            ),
        )

    def refuse(self, body: bytes, reason: Reason, message: str) -> Reply:
        """Return a denial of the review in ``body`` for a reason that has nothing to do with what it asks."""
        try:
            review = parse_review(body)
        except ReviewError as error:
            return self._unreadable(error)
        self.record(_record(review, configsync.Answer(allowed=False, reason=reason, message=message), (), 0.0))
        return Reply(200, render(review.api_version, review.uid, allowed=False, message=message))

    def _decide(self, review: Review, deadline: Deadline) -> tuple[configsync.Answer, tuple[Decision, ...]]:
        # One policy for the whole review: a reload in between must not decide half of it.
        policy = self.policy()
        match configsync.examine(review, policy):
            case configsync.Admit(reason, message, warnings):
                return configsync.Answer(allowed=True, reason=reason, message=message, warnings=warnings), ()
            case configsync.Refuse(reason, message):
                return configsync.Answer(allowed=False, reason=reason, message=message), ()
            case configsync.Ask(subjects, context) as ask:
                decisions = tuple(self.gate.decide(policy, subject, context, deadline) for subject in subjects)
                return configsync.conclude(ask, decisions), decisions

    def _unreadable(self, error: ReviewError) -> Reply:
        message = f"{Reason.MALFORMED}: {error.message}"
        self.record({"uid": error.uid, "allowed": False, "reason": str(Reason.MALFORMED), "message": message})
        if error.uid is None:
            return Reply.sentence(400, message)
        return Reply(200, render(error.api_version, error.uid, allowed=False, message=message))


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
