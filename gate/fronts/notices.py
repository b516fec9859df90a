"""What of a review is worth an Event on its object: what is refused, and what is admitted without a proof. Pure."""

from __future__ import annotations

from gate.core.reasons import LENIENT, Reason
from gate.core.strictjson import Object
from gate.fronts.admission import Review
from gate.fronts.answers import Answer
from gate.fronts.syncs import GROUP, REPO_SYNC, ROOT_SYNC
from gate.kube.events import Event

DENIED, EXCEPTION_USED, UNVERIFIED = "SyncDenied", "ExceptionUsed", "SyncUnverified"


def notice(review: Review, answer: Answer) -> Event | None:
    """Return the Event that tells of ``answer``, in the words that the sender was told, or None where there is none.

    None for a dry run, and where the object does not exist before and after: a CREATE, refused or not, and a DELETE.
    """
    if review.dry_run or review.operation != "UPDATE" or review.subresource is not None:
        return None
    if review.group != GROUP or review.kind not in {ROOT_SYNC, REPO_SYNC}:
        return None
    uid = _uid(review.old_object)
    reason = _event_reason(answer)
    if uid is None or reason is None:
        return None
    message = "; ".join(dict.fromkeys((answer.message, *answer.warnings)))
    return Event(review.kind, review.namespace, review.name, uid, reason, message)


def _event_reason(answer: Answer) -> str | None:
    if not answer.allowed:
        return DENIED
    if answer.reason is Reason.EXCEPTION:
        return EXCEPTION_USED
    return UNVERIFIED if answer.reason in LENIENT or answer.warnings else None


def _uid(held: Object | None) -> str | None:
    metadata = None if held is None else held.get("metadata")
    uid = metadata.get("uid") if isinstance(metadata, dict) else None
    return uid if isinstance(uid, str) and uid else None
