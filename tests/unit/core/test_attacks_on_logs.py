"""Attacks on log entries, checkpoints and times, each on a signature that verifies; see test_attacks.py."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from gate.core.reasons import Reason
from gate.core.trust import Window
from tests.fakes.keyless import (
    BOX,
    FOREIGN,
    IMAGE,
    OTHER_IMAGE,
    ROOT,
    keyless,
    logged_key,
    reason,
    sign,
)
from tests.fakes.signing import signer
from tests.fakes.sigstore import NOW, Holder, Layout, bodies, usual_body
from tests.fakes.sigstore.merkle import tree_hash

LAYOUTS: tuple[Layout, ...] = ("tag", "bundle")
MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)


# -- A log entry of another signature: CVE-2022-23649, CVE-2022-36056, CVE-2026-22703,
# -- CVE-2024-53267, CVE-2024-51746

SITUATIONS = [("tag", "rekor"), ("bundle", "rekor"), ("bundle", "rekor2")]


@pytest.mark.parametrize(("layout", "log"), SITUATIONS)
def test_a_log_entry_of_another_signature_of_the_same_holder_is_refused(layout: Layout, log: str) -> None:
    holder = BOX.enroll()
    made, other = (BOX.sign(layout, holder, IMAGE, log=getattr(BOX, log)) for _ in range(2))
    assert reason(made) is Reason.VERIFIED
    assert reason(replace(made, entries=other.entries)) is Reason.LOG_ENTRY


@pytest.mark.parametrize(("layout", "log"), SITUATIONS)
@pytest.mark.parametrize("part", ["signature", "content", "holder"])
def test_a_log_entry_about_another_signature_digest_or_signer_is_refused(layout: Layout, log: str, part: str) -> None:
    holder, chosen = BOX.enroll(), getattr(BOX, log)
    made = BOX.sign(layout, holder, IMAGE, log=chosen)
    other = BOX.sign(layout, BOX.enroll(signer("p256", 1)), OTHER_IMAGE, log=chosen)
    assert reason(made) is Reason.VERIFIED
    claimed = replace(made, **{part: getattr(other, part)})
    entry = chosen.append(usual_body(chosen, layout)(claimed), NOW)
    assert reason(replace(made, entries=(entry,))) is Reason.LOG_ENTRY


@pytest.mark.parametrize(("layout", "log"), SITUATIONS)
def test_a_log_entry_with_another_certificate_of_the_same_key_is_refused(layout: Layout, log: str) -> None:
    chosen = getattr(BOX, log)
    made, renewed = BOX.sign(layout, BOX.enroll(), IMAGE, log=chosen), BOX.enroll()
    assert reason(made) is Reason.VERIFIED
    entry = chosen.append(usual_body(chosen, layout)(replace(made, holder=renewed)), NOW)
    assert reason(replace(made, entries=(entry,))) is Reason.LOG_ENTRY


@pytest.mark.parametrize(("layout", "log"), SITUATIONS)
def test_a_log_entry_of_another_key_is_refused_beside_a_key_that_must_be_logged(layout: Layout, log: str) -> None:
    holder, other, chosen = Holder(signer()), Holder(signer("p256", 1)), getattr(BOX, log)
    made = BOX.sign(layout, holder, IMAGE, log=chosen)
    assert reason(made, logged_key(ROOT, holder.key)) is Reason.VERIFIED
    for entries in (
        BOX.sign(layout, holder, IMAGE, log=chosen).entries,
        BOX.sign(layout, holder, OTHER_IMAGE, log=chosen).entries,
        (chosen.append(usual_body(chosen, layout)(replace(made, holder=other)), NOW),),
    ):
        assert reason(replace(made, entries=entries), logged_key(ROOT, holder.key)) is Reason.LOG_ENTRY


def test_a_log_entry_that_names_a_certificate_of_the_very_key_is_accepted_beside_that_key() -> None:
    holder = BOX.enroll(signer())
    made = BOX.sign("tag", holder, IMAGE)
    assert reason(made, logged_key(ROOT, holder.key)) is Reason.VERIFIED


@pytest.mark.parametrize("describe", [bodies.dsse, bodies.intoto])
def test_an_envelopes_entry_about_two_signatures_is_refused(describe: bodies.Describe) -> None:
    made = sign(describe=describe)
    body = describe(made)
    twice = _twice(body)
    assert twice.raw != body.raw
    assert reason(replace(made, entries=(BOX.rekor.append(twice, NOW),))) is Reason.LOG_ENTRY


@pytest.mark.parametrize(("kind", "version"), [("hashedrekord", "0.0.1"), ("dsse", "0.0.2"), ("intoto", "0.0.1")])
def test_an_entry_of_another_kind_than_its_body_is_refused(kind: str, version: str) -> None:
    assert reason(sign().with_entry(kind=kind, version=version)) is Reason.LOG_ENTRY


def test_an_entry_without_any_body_that_can_be_read_is_refused() -> None:
    made = sign()
    for raw in (b"", b"{}", b"[]", b"null", b"\xff"):
        entry = BOX.rekor.append(replace(bodies.dsse(made), raw=raw), NOW)
        assert reason(replace(made, entries=(entry,))) is Reason.MALFORMED


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_signature_without_its_log_entry_is_refused(layout: Layout) -> None:
    made = sign(layout, stamped=True)
    assert reason(replace(made, entries=())) is Reason.NO_LOG_ENTRY


# -- A checkpoint that is not tied to the proof: CVE-2024-54140


@pytest.mark.parametrize("log", ["rekor", "rekor2"])
@pytest.mark.parametrize("attack", ["another tree", "another size", "no signature", "foreign key", "foreign log"])
def test_a_checkpoint_that_does_not_sign_the_proofs_own_root_is_refused(log: str, attack: str) -> None:
    chosen, foreign = getattr(BOX, log), getattr(FOREIGN, log)
    made = sign(log=chosen)
    proof = made.entries[0].proof
    assert proof is not None
    own = {"size": proof.size, "root": proof.root}
    checkpoint = {
        "another tree": chosen.checkpoint(size=proof.size, root=tree_hash([b"another"])),
        "another size": chosen.checkpoint(size=proof.size + 1, root=proof.root),
        "no signature": chosen.checkpoint(**own, signatures=[]),
        "foreign key": chosen.checkpoint(**own, key=foreign.key),
        "foreign log": foreign.checkpoint(**own),
    }[attack]
    assert reason(made.with_entry(proof=replace(proof, checkpoint=chosen.checkpoint(**own)))) is Reason.VERIFIED
    expected = Reason.MALFORMED if attack == "no signature" else Reason.LOG_ENTRY
    assert reason(made.with_entry(proof=replace(proof, checkpoint=checkpoint))) is expected


@pytest.mark.parametrize("log", ["rekor", "rekor2"])
@pytest.mark.parametrize("attack", ["index", "size", "root", "shorter", "longer", "order", "another leaf"])
def test_a_proof_that_does_not_lead_from_the_entry_to_the_signed_root_is_refused(log: str, attack: str) -> None:
    chosen = getattr(BOX, log)
    made = sign(log=chosen)
    chosen.append(bodies.Body("padding", "0", b"one more leaf"), NOW)
    entry = made.entries[0]
    index = entry.index - chosen.first_index
    proof = chosen.prove(index)
    assert reason(made.with_entry(proof=proof)) is Reason.VERIFIED
    assert len(set(proof.hashes)) > 1
    wrong = {
        "index": replace(proof, index=proof.size),
        "size": replace(proof, size=proof.size + 1),
        "root": replace(proof, root=tree_hash([b"another"])),
        "shorter": replace(proof, hashes=proof.hashes[:-1]),
        "longer": replace(proof, hashes=(*proof.hashes, proof.hashes[-1])),
        "order": replace(proof, hashes=proof.hashes[::-1]),
        "another leaf": chosen.prove(0),
    }[attack]
    assert reason(made.with_entry(proof=wrong)) is Reason.LOG_ENTRY


@pytest.mark.parametrize("log", ["rekor", "rekor2"])
def test_a_bundles_entry_without_a_proof_is_refused(log: str) -> None:
    made = sign(log=getattr(BOX, log), stamped=True)
    assert reason(made.with_entry(proof=None)) is Reason.LOG_ENTRY


# -- A time that nobody signed: CVE-2024-55655, CVE-2026-48816


def test_a_time_beside_an_inclusion_proof_alone_is_no_time() -> None:
    assert reason(sign().with_entry(promise=None)) is Reason.NO_TIME


def test_a_time_in_an_entry_of_rekor_v2_is_no_time() -> None:
    made = sign(log=BOX.rekor2)
    stripped = replace(made, timestamps=())
    assert reason(stripped) is Reason.NO_TIME
    assert reason(stripped.with_entry(integrated_at=int(NOW.timestamp()))) is Reason.NO_TIME


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_time_that_was_altered_after_the_promise_is_refused(layout: Layout) -> None:
    made = BOX.sign(layout, BOX.enroll(), IMAGE, at=NOW + DAY)
    assert reason(made) is Reason.CERTIFICATE
    assert reason(made.with_entry(integrated_at=int(NOW.timestamp()))) is Reason.LOG_ENTRY


@pytest.mark.parametrize("layout", LAYOUTS)
def test_an_index_that_was_altered_after_the_promise_is_refused(layout: Layout) -> None:
    made = sign(layout)
    assert reason(made.with_entry(index=made.entries[0].index + 1)) is Reason.LOG_ENTRY


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_promise_of_another_entry_is_refused(layout: Layout) -> None:
    made, other = sign(layout), sign(layout)
    assert reason(made.with_entry(promise=other.entries[0].promise)) is Reason.LOG_ENTRY


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("late", [-2 * MINUTE, 11 * MINUTE])
def test_a_signature_outside_its_certificates_lifetime_is_refused_whatever_proves_the_time(
    layout: Layout, late: timedelta
) -> None:
    holder = BOX.enroll()
    assert reason(BOX.sign(layout, holder, IMAGE, at=NOW + late)) is Reason.CERTIFICATE
    stamped = BOX.sign(layout, holder, IMAGE, log=None, at=NOW + late)
    assert reason(stamped, keyless(ROOT, log=False, timestamp=True)) is Reason.CERTIFICATE


@pytest.mark.parametrize("layout", LAYOUTS)
def test_one_good_time_does_not_excuse_another_outside_the_certificates_lifetime(layout: Layout) -> None:
    made = sign(layout, stamped=True)
    late = BOX.tsa.stamp(made.signature, NOW + HOUR)
    assert reason(replace(made, timestamps=(late,))) is Reason.CERTIFICATE


def test_a_log_entry_outside_its_logs_window_is_refused() -> None:
    made = sign()
    closed = replace(BOX.rekor, window=Window(NOW - 30 * DAY, NOW - DAY))
    assert reason(made, keyless(BOX.trusted_root(logs=[closed]))) is Reason.LOG_ENTRY


def test_a_timestamp_outside_its_authoritys_window_is_refused() -> None:
    made = sign(log=BOX.rekor2)
    closed = replace(BOX.tsa, window=Window(NOW - 30 * DAY, NOW - DAY))
    assert reason(made, keyless(BOX.trusted_root(timestamp_authorities=[closed]))) is Reason.TIMESTAMP


def _twice(body: bodies.Body) -> bodies.Body:
    """Return the body with its one signature listed twice."""
    head, _, rest = body.raw.partition(b'"signatures":[')
    one, _, tail = rest.partition(b"]")
    return replace(body, raw=head + b'"signatures":[' + one + b"," + one + b"]" + tail)
