"""Log entries as cosign's annotation and as Sigstore's bundles write them: read exactly, or not at all."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gate.core import limits, strictjson
from gate.core.errors import MalformedError
from gate.core.oci import Digest
from gate.core.transparency import INTEGER_LIMIT, TIME_LIMIT, LogEntry
from tests.fakes.sigstore import NOW, Holder, Rekor, Sigstore
from tests.fakes.sigstore.bodies import hashedrekord_v2
from tests.fakes.sigstore.keys import named_key
from tests.fakes.sigstore.rekor import as_annotation, as_member

BOX = Sigstore.create(name="entries")
MADE = BOX.sign("tag", Holder(named_key("entries holder")), Digest.of(b"an image"))
ENTRY = MADE.entries[0]
ENTRY_V2 = BOX.rekor2.append(hashedrekord_v2(MADE), NOW)
ANNOTATION: Any = json.loads(as_annotation(ENTRY))
MEMBER: Any = json.loads(json.dumps(as_member(ENTRY)))


def edited(document: object, path: str, value: object) -> Any:  # noqa: ANN401 (a document is anything)
    """Return a copy in which the member at ``path``, names between dots, is ``value``, or gone where that is None."""
    copy = json.loads(json.dumps(document))
    *way, last = path.split(".")
    holder = copy
    for name in way:
        holder = holder[name]
    if value is None:
        del holder[last]
    else:
        holder[last] = value
    return copy


def from_annotation(document: object) -> LogEntry:
    return LogEntry.from_annotation(json.dumps(document))


def malformed(read: Callable[[], LogEntry]) -> str:
    with pytest.raises(MalformedError) as caught:
        read()
    return caught.value.message


def test_an_annotation_is_read_with_its_promise_and_never_has_a_proof() -> None:
    assert from_annotation(ANNOTATION) == replace(ENTRY, proof=None)


def test_kind_and_version_of_an_annotation_are_what_its_body_says() -> None:
    entry = LogEntry.from_annotation(as_annotation(replace(ENTRY, body=b'{"kind":"dsse","apiVersion":"9","spec":1}')))
    assert (entry.kind, entry.version) == ("dsse", "9")


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("Payload", None, "the Payload of the log entry is not an object"),
        ("Payload", [], "the Payload of the log entry is not an object"),
        ("SignedEntryTimestamp", None, "the SignedEntryTimestamp of the log entry is not a string"),
        ("SignedEntryTimestamp", "", "the SignedEntryTimestamp of the log entry is empty"),
        ("SignedEntryTimestamp", "AA=A", "the SignedEntryTimestamp of the log entry is not base64"),
        ("SignedEntryTimestamp", "AAAA\n", "the SignedEntryTimestamp of the log entry is not base64"),
        ("Payload.body", None, "the body of the log entry is not a string"),
        ("Payload.body", "", "the body of the log entry is empty"),
        ("Payload.body", "e30", "the body of the log entry is not base64"),
        ("Payload.body", "e30=", "the kind of the log entry is not a string"),
        ("Payload.body", "W10=", "the body of the log entry cannot be read: the document is not an object"),
        ("Payload.body", "eyJraW5kIjoiZHNzZSJ9", "the apiVersion of the log entry is not a string"),
        ("Payload.logIndex", None, "the logIndex of the log entry is not an integer"),
        ("Payload.logIndex", "1", "the logIndex of the log entry is not an integer"),
        ("Payload.logIndex", 1.0, "the logIndex of the log entry is not an integer"),
        ("Payload.logIndex", True, "the logIndex of the log entry is not an integer"),
        ("Payload.logIndex", -1, "the logIndex of the log entry is out of range"),
        ("Payload.logIndex", INTEGER_LIMIT + 1, "the logIndex of the log entry is out of range"),
        ("Payload.integratedTime", None, "the integratedTime of the log entry is not an integer"),
        ("Payload.integratedTime", "1", "the integratedTime of the log entry is not an integer"),
        ("Payload.integratedTime", -1, "the integratedTime of the log entry is out of range"),
        ("Payload.integratedTime", TIME_LIMIT + 1, "the integratedTime of the log entry is out of range"),
        ("Payload.logID", None, "the logID of the log entry is not a string"),
        ("Payload.logID", "", "the logID of the log entry is not 64 lowercase hexadecimal digits"),
        ("Payload.logID", "ab" * 31, "the logID of the log entry is not 64 lowercase hexadecimal digits"),
        ("Payload.logID", "AB" * 32, "the logID of the log entry is not 64 lowercase hexadecimal digits"),
        ("Payload.logID", "ab " * 21 + "a", "the logID of the log entry is not 64 lowercase hexadecimal digits"),
        ("Payload.logID", "ab" * 32 + "\n", "the logID of the log entry is not 64 lowercase hexadecimal digits"),
    ],
)
def test_an_annotation_with_something_else_in_it_is_malformed(path: str, value: object, message: str) -> None:
    document = edited(ANNOTATION, path, value)
    assert malformed(lambda: from_annotation(document)) == message


@pytest.mark.parametrize(("name", "limit"), [("logIndex", INTEGER_LIMIT), ("integratedTime", TIME_LIMIT)])
def test_the_integers_of_an_annotation_reach_from_zero_to_their_limit(name: str, limit: int) -> None:
    read = {"logIndex": lambda entry: entry.index, "integratedTime": lambda entry: entry.integrated_at}[name]
    for value in (0, limit):
        assert read(from_annotation(edited(ANNOTATION, f"Payload.{name}", value))) == value


def test_an_annotation_has_one_meaning() -> None:
    text = as_annotation(ENTRY)
    twice = text.replace('"logIndex":', '"logIndex":7,"logIndex":', 1)
    assert twice != text
    assert malformed(lambda: LogEntry.from_annotation(twice)) == "the document names a member of an object twice"
    assert malformed(lambda: from_annotation(edited(edited(ANNOTATION, "Payload", None), "payload", {}))) == (
        "the Payload of the log entry is not an object"
    )


def test_an_annotation_of_256_kib_is_read_and_one_byte_more_is_not() -> None:
    text = as_annotation(ENTRY)
    padded = text + " " * (limits.ANNOTATIONS_BYTES - len(text))
    assert LogEntry.from_annotation(padded) == replace(ENTRY, proof=None)
    assert (
        malformed(lambda: LogEntry.from_annotation(padded + " ")) == "the document has 262145 bytes, more than 262144"
    )


@pytest.mark.parametrize("entry", [ENTRY, ENTRY_V2, replace(ENTRY, promise=None), replace(ENTRY, proof=None)])
def test_a_member_of_a_bundle_is_read_whole(entry: LogEntry) -> None:
    assert LogEntry.from_bundle(json.loads(json.dumps(as_member(entry)))) == entry


def test_what_a_bundle_leaves_out_is_zero() -> None:
    log = Rekor.v2("rekor.empty", BOX.rekor.window)
    alone = replace(log, leaves=[]).append(hashedrekord_v2(MADE), NOW)
    member: Any = as_member(alone)
    assert "logIndex" not in member
    assert {"logIndex", "hashes"}.isdisjoint(member["inclusionProof"])
    assert LogEntry.from_bundle(member) == alone
    assert alone.proof is not None
    assert (alone.index, alone.proof.index, alone.proof.hashes) == (0, 0, ())


def test_a_time_of_zero_in_a_bundle_is_none() -> None:
    for value in (None, "0"):
        assert LogEntry.from_bundle(edited(MEMBER, "integratedTime", value)).integrated_at is None


@pytest.mark.parametrize("path", ["inclusionPromise", "inclusionProof", "inclusionProof.checkpoint"])
def test_null_in_a_bundle_is_as_if_it_were_left_out(path: str) -> None:
    text = json.dumps(edited(MEMBER, path, "here")).replace('"here"', "null")
    assert LogEntry.from_bundle(json.loads(text)) == LogEntry.from_bundle(edited(MEMBER, path, None))


@pytest.mark.parametrize(("path", "value"), [("checkpoint", None), ("checkpoint", {}), ("checkpoint.envelope", "")])
def test_a_proof_without_a_checkpoint_is_none(path: str, value: object) -> None:
    assert LogEntry.from_bundle(edited(MEMBER, f"inclusionProof.{path}", value)) == replace(ENTRY, proof=None)


NO_DECIMALS = ["", " 1", "1\n", "+1", "-1", "01", "1.0", "1e3", "0x1", "\u0661", "1" * 17, "1" * 5000]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        ("logId", None, "the logId of the log entry is not an object"),
        ("logId.keyId", None, "the keyId of the log entry is not a string"),
        ("logId.keyId", "", "the keyId of the log entry is empty"),
        ("kindVersion", None, "the kindVersion of the log entry is not an object"),
        ("kindVersion.kind", None, "the kind of the log entry is not a string"),
        ("kindVersion.version", 1, "the version of the log entry is not a string"),
        ("canonicalizedBody", None, "the canonicalizedBody of the log entry is not a string"),
        ("canonicalizedBody", "e30", "the canonicalizedBody of the log entry is not base64"),
        ("inclusionPromise", [], "the inclusionPromise of the log entry is not an object"),
        ("inclusionPromise", {}, "the signedEntryTimestamp of the log entry is not a string"),
        ("inclusionPromise.signedEntryTimestamp", "", "the signedEntryTimestamp of the log entry is empty"),
        ("inclusionPromise.signedEntryTimestamp", "AA A", "the signedEntryTimestamp of the log entry is not base64"),
        ("inclusionProof", "", "the inclusionProof of the log entry is not an object"),
        ("inclusionProof.rootHash", None, "the rootHash of the inclusion proof is not a string"),
        ("inclusionProof.rootHash", "!", "the rootHash of the inclusion proof is not base64"),
        ("inclusionProof.hashes", {}, "the hashes of the inclusion proof is not an array"),
        ("inclusionProof.hashes", [""], "a hash of the inclusion proof is empty"),
        ("inclusionProof.hashes", [1], "a hash of the inclusion proof is not a string"),
        ("inclusionProof.checkpoint", "", "the checkpoint of the inclusion proof is not an object"),
        ("inclusionProof.checkpoint.envelope", 1, "the envelope of the checkpoint is not a string"),
        ("logIndex", 1, "the logIndex of the log entry is not a string"),
        ("integratedTime", 1, "the integratedTime of the log entry is not a string"),
        ("inclusionProof.treeSize", 8, "the treeSize of the log entry is not a string"),
        ("logIndex", str(INTEGER_LIMIT + 1), "the logIndex of the log entry is out of range"),
        ("integratedTime", str(TIME_LIMIT + 1), "the integratedTime of the log entry is out of range"),
        *(("logIndex", text, "the logIndex of the log entry is not a decimal number in range") for text in NO_DECIMALS),
    ],
)
def test_a_member_of_a_bundle_with_something_else_in_it_is_malformed(path: str, value: object, message: str) -> None:
    document = edited(MEMBER, path, value)
    assert malformed(lambda: LogEntry.from_bundle(document)) == message


@pytest.mark.parametrize("value", [None, "text", 1, [], True])
def test_a_member_of_a_bundle_that_is_no_object_is_malformed(value: strictjson.Json) -> None:
    assert malformed(lambda: LogEntry.from_bundle(value)) == "a log entry is not an object"


scalars = st.none() | st.booleans() | st.integers() | st.text(max_size=12) | st.floats(allow_nan=False)
documents = st.recursive(
    scalars | st.binary(max_size=9).map(lambda data: json.dumps(data.hex())),
    lambda below: st.lists(below, max_size=3) | st.dictionaries(st.text(max_size=9), below, max_size=3),
    max_leaves=6,
)


def every_path(document: Any, before: str = "") -> list[str]:  # noqa: ANN401 (a document is anything)
    found = []
    for name, value in document.items():
        found.append(before + name)
        found += every_path(value, f"{before}{name}.") if isinstance(value, dict) else []
    return found


@given(st.sampled_from(every_path(ANNOTATION)), documents)
@settings(deadline=None)
def test_any_annotation_is_read_or_malformed(path: str, value: object) -> None:
    try:
        from_annotation(edited(ANNOTATION, path, value))
    except MalformedError:
        return


@given(st.sampled_from(every_path(MEMBER)), documents)
@settings(deadline=None)
def test_any_member_of_a_bundle_is_read_or_malformed(path: str, value: object) -> None:
    try:
        LogEntry.from_bundle(edited(MEMBER, path, value))
    except MalformedError:
        return


@given(st.text(max_size=60))
def test_any_text_is_an_annotation_or_malformed(text: str) -> None:
    with pytest.raises(MalformedError):
        LogEntry.from_annotation(text)
