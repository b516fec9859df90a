"""Log entries count when their log proves them, and prove a time only when their log promised it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta

import pytest

from gate.core import limits
from gate.core.errors import UntrustedError
from gate.core.keys import PublicKey, Signed, parse_public_key
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.transparency import LogDemand, LogEntry, Logged, LoggedSignature, require_in_use, verify_entries
from gate.core.trust import Log, Window
from tests.fakes.sigstore import NOW, Holder, Made, Rekor, Sigstore
from tests.fakes.sigstore.bodies import hashedrekord, hashedrekord_v2
from tests.fakes.sigstore.keys import named_key

BOX = Sigstore.create(name="transparency")
LOG, OTHER = BOX.rekor, Rekor.v1("rekor.other", BOX.rekor.window)
MADE = BOX.sign("tag", Holder(named_key("holder")), Digest.of(b"an image"))
FOREIGN = replace(MADE, content=b"another message")
ABOUT = LoggedSignature(MADE.signature, MADE.message, parse_public_key(MADE.holder.key.public_pem))
SECONDS = int(NOW.timestamp())

PROMISE, PROOF, BOTH, NEITHER = (
    LogDemand(promise=True, proof=False),
    LogDemand(promise=False, proof=True),
    LogDemand(promise=True, proof=True),
    LogDemand(promise=False, proof=False),
)


def logged(log: Rekor = LOG, made: Made = MADE, at: datetime = NOW) -> LogEntry:
    """Return an entry with everything that a log of the first version gives."""
    return log.append(hashedrekord(made), at)


def logged_v2() -> LogEntry:
    return BOX.rekor2.append(hashedrekord_v2(MADE), NOW)


GOOD = logged()
PROMISED, PROVED = replace(GOOD, proof=None), replace(GOOD, promise=None)
FOREIGN_BODY = hashedrekord(FOREIGN).raw


def verify(
    *entries: LogEntry,
    demand: LogDemand = BOTH,
    logs: Sequence[Log] = (LOG.trusted, BOX.rekor2.trusted),
    about: LoggedSignature = ABOUT,
) -> tuple[datetime, ...]:
    return verify_entries(entries, about, logs, demand).times


def refusal(
    *entries: LogEntry, demand: LogDemand = BOTH, logs: Sequence[Log] = (LOG.trusted, BOX.rekor2.trusted)
) -> tuple[Reason, str]:
    with pytest.raises(UntrustedError) as caught:
        verify(*entries, demand=demand, logs=logs)
    return caught.value.reason, caught.value.message


def bad(message: str) -> tuple[Reason, str]:
    return Reason.LOG_ENTRY, message


def test_an_entry_with_promise_and_proof_proves_its_time() -> None:
    assert verify(GOOD) == (NOW,)


def test_a_promise_alone_proves_its_time_where_the_format_has_no_proof() -> None:
    assert verify(PROMISED, demand=PROMISE) == (NOW,)


def test_a_proof_alone_proves_the_entry_and_no_time() -> None:
    assert verify(PROVED, demand=PROOF) == ()
    assert verify(replace(PROVED, integrated_at=None), demand=PROOF) == ()


@pytest.mark.parametrize("demand", [PROMISE, PROOF, BOTH])
def test_an_entry_of_rekor_v2_is_proved_and_cannot_be_promised(demand: LogDemand) -> None:
    assert verify(logged_v2(), demand=demand) == ()


@pytest.mark.parametrize("demand", [PROMISE, PROOF, BOTH, NEITHER])
def test_an_entry_of_rekor_v2_needs_its_proof_whatever_the_format(demand: LogDemand) -> None:
    without = replace(logged_v2(), proof=None)
    assert refusal(without, demand=demand) == bad("the log entry has no inclusion proof with a checkpoint")
    promised = replace(without, integrated_at=SECONDS, promise=b"a promise")
    assert refusal(promised, demand=demand) == bad("the log entry has no inclusion proof with a checkpoint")


@pytest.mark.parametrize("demand", [PROMISE, BOTH])
def test_an_entry_without_its_promise_is_refused_where_the_format_has_one(demand: LogDemand) -> None:
    assert refusal(PROVED, demand=demand) == bad("the log entry has no inclusion promise")


def test_only_the_second_version_of_only_hashedrekord_is_excused_from_promising() -> None:
    for changes in ({"kind": "dsse", "version": "0.0.2"}, {"version": "0.0.1"}):
        assert refusal(replace(logged_v2(), **changes)) == bad("the log entry has no inclusion promise")


@pytest.mark.parametrize("demand", [PROOF, BOTH])
def test_an_entry_without_its_proof_is_refused_where_the_format_has_one(demand: LogDemand) -> None:
    assert refusal(PROMISED, demand=demand) == bad("the log entry has no inclusion proof with a checkpoint")


def test_an_entry_with_neither_proves_nothing_even_where_neither_is_obligatory() -> None:
    without = replace(GOOD, promise=None, proof=None)
    assert refusal(without, demand=NEITHER) == bad("the log entry has no inclusion proof with a checkpoint")
    assert verify(PROMISED, demand=NEITHER) == (NOW,)
    assert verify(PROVED, demand=NEITHER) == ()


def test_no_entry_at_all_is_an_answer_of_its_own() -> None:
    assert refusal() == (Reason.NO_LOG_ENTRY, "the signature carries no transparency log entry")


def test_eight_entries_are_read_and_a_ninth_is_refused() -> None:
    entries = [logged() for _ in range(limits.LOG_ENTRIES + 1)]
    assert verify(*entries[:-1]) == (NOW,) * limits.LOG_ENTRIES
    assert refusal(*entries) == bad("the signature carries 9 log entries, more than 8")


def test_one_entry_given_twice_is_refused() -> None:
    assert refusal(GOOD, replace(GOOD, promise=None), demand=PROOF) == bad("the signature carries one log entry twice")
    both = (LOG.trusted, OTHER.trusted)
    assert verify(GOOD, logged(OTHER), logs=both) == (NOW, NOW)
    assert verify(GOOD, logged()) == (NOW, NOW)


def test_a_log_that_the_trust_root_does_not_list_says_nothing() -> None:
    message = "no log entry of the signature is in a log that the trust root lists"
    assert refusal(logged(OTHER)) == bad(message)
    assert refusal(GOOD, logs=()) == bad(message)
    assert verify(replace(logged(OTHER), promise=b"rubbish", body=b"rubbish"), GOOD) == (NOW,)


def test_a_log_is_found_by_its_exact_id_and_not_by_its_key() -> None:
    listed = Log(LOG.log_id[:-1] + b"\x00", LOG.trusted.key, LOG.window)
    assert refusal(GOOD, logs=(listed,)) == bad("no log entry of the signature is in a log that the trust root lists")


def test_a_bad_entry_beside_a_good_one_is_refused() -> None:
    worse = logged(made=FOREIGN)
    for entries in ((GOOD, worse), (worse, GOOD)):
        assert refusal(*entries) == bad("the log entry belongs to another message")


@pytest.mark.parametrize("demand", [PROMISE, PROOF, BOTH, NEITHER])
def test_a_promise_that_is_there_must_verify_whether_or_not_it_is_obligatory(demand: LogDemand) -> None:
    altered = replace(GOOD, promise=OTHER.promise(GOOD))
    assert refusal(altered, demand=demand) == bad("the inclusion promise of the log entry is not its log's")


@pytest.mark.parametrize("demand", [PROMISE, PROOF, BOTH, NEITHER])
def test_a_proof_that_is_there_must_verify_whether_or_not_it_is_obligatory(demand: LogDemand) -> None:
    altered = replace(GOOD, proof=replace(LOG, leaves=[b"before", FOREIGN_BODY]).prove(1))
    assert refusal(altered, demand=demand) == bad("the inclusion proof of the log entry does not lead to its root")


@pytest.mark.parametrize(
    "promise",
    [
        LOG.promise(replace(GOOD, integrated_at=SECONDS + 1)),
        LOG.promise(replace(GOOD, index=GOOD.index + 1)),
        LOG.promise(replace(GOOD, body=FOREIGN_BODY)),
        LOG.promise(replace(GOOD, log_id=OTHER.log_id)),
        LOG.key.sign(GOOD.body),
        b"",
    ],
    ids=["time", "index", "body", "log", "only the body", "empty"],
)
def test_a_promise_of_anything_else_is_refused(promise: bytes) -> None:
    altered = replace(PROMISED, promise=promise)
    assert refusal(altered, demand=PROMISE) == bad("the inclusion promise of the log entry is not its log's")


def test_a_promise_without_a_time_is_refused() -> None:
    altered = replace(GOOD, integrated_at=None)
    assert refusal(altered) == bad("the log entry promises inclusion without a time")


NOT_LISTED = "the log entry is of a time when the trust root does not list its log"
PAST = Window(NOW - timedelta(days=9), NOW - timedelta(days=8))


@pytest.mark.parametrize("seconds", [-1, 86_401])
def test_a_promise_from_outside_its_logs_window_is_refused(seconds: int) -> None:
    start = SECONDS if seconds < 0 else SECONDS - 86_400
    window = Window(datetime.fromtimestamp(start, UTC), datetime.fromtimestamp(start + 86_400, UTC))
    logs = (replace(LOG, window=window).trusted,)
    entry = logged(at=datetime.fromtimestamp(start + seconds, UTC))
    assert refusal(entry, demand=PROMISE, logs=logs) == bad(NOT_LISTED)


def test_a_log_that_is_listed_twice_was_in_use_in_both_windows() -> None:
    past, now = (replace(LOG, window=window).trusted for window in (PAST, Window(NOW)))
    for logs in ((past, now), (now, past)):
        assert verify(GOOD, logs=logs) == (NOW,)
        assert verify_entries([PROVED], ABOUT, logs, PROOF).windows == ((logs[0].window, logs[1].window),)


def test_a_time_without_a_promise_is_not_looked_at_and_the_logs_window_is_left_to_another_time() -> None:
    entry = replace(PROVED, integrated_at=1)
    assert verify_entries([entry], ABOUT, [LOG.trusted], PROOF) == Logged((), ((LOG.window,),))


@pytest.mark.parametrize("times", [(PAST.start,), (PAST.end, NOW), (NOW, PAST.end)])
def test_a_log_was_in_use_at_one_of_the_proved_times(times: tuple[datetime, ...]) -> None:
    require_in_use(((PAST,), (Window(NOW + timedelta(days=1)), PAST)), times)


@pytest.mark.parametrize("times", [(), (NOW,), (PAST.start - timedelta(seconds=1), NOW)])
def test_a_log_that_was_not_in_use_at_any_proved_time_is_refused(times: tuple[datetime, ...]) -> None:
    for logs in (((PAST,),), ((Window(PAST.start),), (PAST,))):
        with pytest.raises(UntrustedError, match=f"^{NOT_LISTED}$") as caught:
            require_in_use(logs, times)
        assert caught.value.reason is Reason.LOG_ENTRY


def test_without_any_time_a_log_must_be_in_use_still() -> None:
    require_in_use(((PAST, Window(NOW)),), ())


def test_both_ends_of_a_logs_window_belong_to_it() -> None:
    for window in (Window(NOW, NOW), Window(NOW), Window(NOW - timedelta(days=9), NOW)):
        assert verify(GOOD, logs=(replace(LOG, window=window).trusted,)) == (NOW,)


def test_an_entry_of_another_signature_is_refused_however_genuine_it_is() -> None:
    again = MADE.holder.key.sign(MADE.message)
    assert again != MADE.signature
    with pytest.raises(UntrustedError, match=r"^the log entry belongs to another signature$"):
        verify(GOOD, about=replace(ABOUT, signature=again))


def test_an_ed25519_log_proves_and_promises_as_well() -> None:
    log = Rekor.v1("rekor.ed25519", LOG.window, "ed25519")
    assert verify(logged(log), logs=(log.trusted,)) == (NOW,)


@dataclass(frozen=True, slots=True)
class Asked:
    """Whoever remembers what keys have said: here it only counts the questions."""

    questions: list[tuple[PublicKey, bytes]] = field(default_factory=list)

    def __call__(self, key: PublicKey, signature: bytes, message: Signed) -> None:
        self.questions.append((key, signature))
        key.verify(signature, message)


def test_whether_the_log_signed_is_asked_of_who_was_given() -> None:
    asked = Asked()
    assert verify_entries([GOOD], ABOUT, [LOG.trusted], BOTH, asked) == Logged((NOW,))
    assert [key for key, _ in asked.questions] == [LOG.trusted.key, LOG.trusted.key]
    assert GOOD.promise in [signature for _, signature in asked.questions]
