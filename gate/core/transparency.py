"""Transparency log entries: parsed, proved to be in a trusted log, and bound to one signature."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

import rfc8785

from gate.core import limits, strictjson
from gate.core.checkpoints import InclusionProof, verify_inclusion
from gate.core.errors import MalformedError, UntrustedError
from gate.core.keys import Check, PublicKey
from gate.core.logbinding import HASHEDREKORD_V2, LoggedSignature, kind_of, parse_body, require_binding
from gate.core.reasons import Reason
from gate.core.strictjson import Json, Object, expect_array, expect_base64, expect_object, expect_string
from gate.core.trust import Log, Window

__all__ = ["InclusionProof", "LogDemand", "LogEntry", "Logged", "LoggedSignature", "require_in_use", "verify_entries"]

INTEGER_LIMIT = 2**53 - 1  # RFC 7493 section 2.2: beyond it JSON's numbers, and what a promise signs, are not exact
TIME_LIMIT = 253_402_300_799  # seconds since 1970: the last of the year 9999, where datetime ends
_DECIMAL = re.compile(r"0|[1-9][0-9]{0,15}")  # 16 digits, as many as INTEGER_LIMIT has
_NOT_LISTED = "the log entry is of a time when the trust root does not list its log"
_LOG_ID = re.compile(r"[0-9a-f]{64}")  # sigstore/rekor pkg/api: hexadecimal SHA-256 of the log's key


@dataclass(frozen=True, slots=True)
class LogEntry:
    """One entry as it came; nothing in it is proved. ``promise`` is the signed entry timestamp (SET)."""

    log_id: bytes
    index: int
    kind: str
    version: str
    body: bytes
    integrated_at: int | None = None  # seconds since 1970; proved by ``promise`` alone
    promise: bytes | None = None
    proof: InclusionProof | None = None

    @classmethod
    def from_annotation(cls, text: str) -> Self:
        """Return the entry in cosign's ``dev.sigstore.cosign/bundle`` annotation, or raise MalformedError."""
        annotation = strictjson.loads_object(text.encode(), limit=limits.ANNOTATIONS_BYTES, values=limits.SIGNED_VALUES)
        payload = expect_object(annotation.get("Payload"), "the Payload of the log entry")
        log_id = expect_string(payload.get("logID"), "the logID of the log entry")
        if _LOG_ID.fullmatch(log_id) is None:
            raise MalformedError("the logID of the log entry is not 64 lowercase hexadecimal digits")
        body = expect_base64(payload.get("body"), "the body of the log entry")
        kind, version = kind_of(parse_body(body))
        return cls(
            bytes.fromhex(log_id),
            _bounded(strictjson.expect_integer(payload.get("logIndex"), "the logIndex of the log entry"), "logIndex"),
            kind,
            version,
            body,
            _time(strictjson.expect_integer(payload.get("integratedTime"), "the integratedTime of the log entry")),
            expect_base64(annotation.get("SignedEntryTimestamp"), "the SignedEntryTimestamp of the log entry"),
        )

    @classmethod
    def from_bundle(cls, value: Json) -> Self:
        """Return the entry in one member of a bundle's ``tlogEntries``, or raise MalformedError.

        ``sigstore_rekor.proto``, TransparencyLogEntry; as protobuf's JSON, integers are strings and zeros are left out.
        """
        fields = expect_object(value, "a log entry")
        log_id = expect_object(fields.get("logId"), "the logId of the log entry")
        kind = expect_object(fields.get("kindVersion"), "the kindVersion of the log entry")
        promise = fields.get("inclusionPromise")
        proof = fields.get("inclusionProof")
        return cls(
            expect_base64(log_id.get("keyId"), "the keyId of the log entry"),
            _decimal(fields, "logIndex"),
            expect_string(kind.get("kind"), "the kind of the log entry"),
            expect_string(kind.get("version"), "the version of the log entry"),
            expect_base64(fields.get("canonicalizedBody"), "the canonicalizedBody of the log entry"),
            _time(_decimal(fields, "integratedTime")) or None,
            None if promise is None else _promise(expect_object(promise, "the inclusionPromise of the log entry")),
            None if proof is None else _proof(expect_object(proof, "the inclusionProof of the log entry")),
        )


def _promise(fields: Object) -> bytes:
    return expect_base64(fields.get("signedEntryTimestamp"), "the signedEntryTimestamp of the log entry")


def _proof(fields: Object) -> InclusionProof | None:
    """Return the proof, or None for one without a checkpoint: to a root that nobody signed anybody has a path.

    Such proofs are in old bundles of version 0.1, which live by their promise.
    """
    hashes = expect_array(fields.get("hashes", ()), "the hashes of the inclusion proof")
    proof = InclusionProof(
        _decimal(fields, "logIndex"),
        _decimal(fields, "treeSize"),
        expect_base64(fields.get("rootHash"), "the rootHash of the inclusion proof"),
        tuple(expect_base64(each, "a hash of the inclusion proof") for each in hashes),
        _checkpoint(fields.get("checkpoint")),
    )
    return proof if proof.checkpoint else None


def _checkpoint(value: Json) -> str:
    if value is None:
        return ""
    fields = expect_object(value, "the checkpoint of the inclusion proof")
    return expect_string(fields.get("envelope", ""), "the envelope of the checkpoint")


def _decimal(fields: Object, name: str) -> int:
    """Return an integer that is a string of digits, 0 where it is absent, or raise MalformedError."""
    text = expect_string(fields.get(name, "0"), f"the {name} of the log entry")
    if _DECIMAL.fullmatch(text) is None:
        raise MalformedError(f"the {name} of the log entry is not a decimal number in range")
    return _bounded(int(text), name)


def _bounded(value: int, name: str) -> int:
    if not 0 <= value <= INTEGER_LIMIT:
        raise MalformedError(f"the {name} of the log entry is out of range")
    return value


def _time(seconds: int) -> int:
    if not 0 <= seconds <= TIME_LIMIT:
        raise MalformedError("the integratedTime of the log entry is out of range")
    return seconds


@dataclass(frozen=True, slots=True)
class Logged:
    """What entries prove: the ``times`` that logs promised, and when those logs were in use that promised none.

    One of each log's ``windows`` has to contain a time that something else proves: require_in_use().
    """

    times: tuple[datetime, ...] = ()
    windows: tuple[tuple[Window, ...], ...] = ()


@dataclass(frozen=True, slots=True)
class LogDemand:
    """What an entry must bring: where a format has an inclusion promise or proof, it is obligatory there."""

    promise: bool
    proof: bool


def verify_entries(
    entries: Sequence[LogEntry],
    about: LoggedSignature,
    logs: Sequence[Log],
    demand: LogDemand,
    check: Check = PublicKey.verify,
) -> Logged:
    """Return what the entries prove; at least one is proved and bound to the signature.

    Entries of logs that are not in ``logs`` say nothing; of the others every one must hold, because one that does not
    is a sign that somebody has been at work.
    Raises UntrustedError: no-log-entry where there is none, log-entry where one does not hold, unsupported for a kind
    that is not known; and MalformedError for an entry that cannot be read.
    """
    if not entries:
        raise UntrustedError(Reason.NO_LOG_ENTRY, "the signature carries no transparency log entry")
    if len(entries) > limits.LOG_ENTRIES:
        raise _refusal(f"the signature carries {len(entries)} log entries, more than {limits.LOG_ENTRIES}")
    if len({(entry.log_id, entry.index) for entry in entries}) != len(entries):
        raise _refusal("the signature carries one log entry twice")
    # By its exact id: an entry that is tried with every key is an entry that chooses its judge.
    listed = [(entry, [log for log in logs if log.log_id == entry.log_id]) for entry in entries]
    judged = [(entry, own) for entry, own in listed if own]
    if not judged:
        raise _refusal("no log entry of the signature is in a log that the trust root lists")
    proved = [(_verify_entry(entry, about, own, demand, check), own) for entry, own in judged]
    times = tuple(at for at, _ in proved if at is not None)
    return Logged(times, tuple(_windows(own) for at, own in proved if at is None))


def require_in_use(logs: Sequence[Sequence[Window]], times: Sequence[datetime]) -> None:
    """Return if each of ``logs``, given by its windows, was in use at one of the proved ``times``.

    Where no time is proved, which a key does without, it must still be in use. Else raises UntrustedError (log-entry).
    """
    for windows in logs:
        if not (any(_in_use(windows, at) for at in times) if times else any(each.end is None for each in windows)):
            raise _refusal(_NOT_LISTED)


def _in_use(windows: Sequence[Window], at: datetime) -> bool:
    return any(window.contains(at) for window in windows)


def _windows(listed: Sequence[Log]) -> tuple[Window, ...]:
    return tuple(log.window for log in listed)


def _verify_entry(
    entry: LogEntry, about: LoggedSignature, listed: Sequence[Log], demand: LogDemand, check: Check
) -> datetime | None:
    """Return the time that the entry proves, if it does, or raise where it is not proved or not about ``about``.

    ``listed`` is its log, once for each window.
    """
    _require_demanded(entry, demand)
    if entry.proof is not None:
        verify_inclusion(entry.body, entry.proof, listed[0], check)
    # A proof says nothing of the time beside it (CVE-2024-55655, CVE-2026-48816), so without a promise there is none.
    at = None if entry.promise is None else _promised_time(entry, entry.promise, listed, check)
    require_binding(entry.body, (entry.kind, entry.version), about)
    return at


def _require_demanded(entry: LogEntry, demand: LogDemand) -> None:
    """Return if the entry brings what is obligatory, and be it only one of the two where neither is."""
    unpromised = (entry.kind, entry.version) == HASHEDREKORD_V2
    if entry.promise is None and demand.promise and not unpromised:
        raise _refusal("the log entry has no inclusion promise")
    if entry.proof is None and (demand.proof or unpromised or entry.promise is None):
        raise _refusal("the log entry has no inclusion proof with a checkpoint")


def _promised_time(entry: LogEntry, promise: bytes, listed: Sequence[Log], check: Check) -> datetime:
    """Return the time at which the log promised to include the entry, else raise UntrustedError (log-entry)."""
    if entry.integrated_at is None:
        raise _refusal("the log entry promises inclusion without a time")
    at = datetime.fromtimestamp(entry.integrated_at, UTC)
    if not _in_use(_windows(listed), at):
        raise _refusal(_NOT_LISTED)
    promised: dict[str, str | int] = {
        "body": base64.b64encode(entry.body).decode(),
        "integratedTime": entry.integrated_at,
        "logID": entry.log_id.hex(),
        "logIndex": entry.index,
    }
    try:
        check(listed[0].key, promise, rfc8785.dumps(promised))
    except UntrustedError as error:
        raise _refusal("the inclusion promise of the log entry is not its log's") from error
    return at


def _refusal(message: str) -> UntrustedError:
    return UntrustedError(Reason.LOG_ENTRY, message)
