"""A signature manifest with a layer that cannot be read, on its whole way from a registry to the verdict."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from gate.core.formats.simplesigning import LAYER_TYPE
from gate.core.oci import Digest
from gate.core.reasons import Reason
from gate.core.verdict import CandidateResult, Decision, Denied, Unavailable, Verified
from tests.fakes.engine import HOST, REPOSITORY, SIGNER, Engine, running

Fields = dict[str, object]

MALFORMED: dict[str, tuple[object, str]] = {
    "sha512": ({"digest": "sha512:00"}, '"sha512:00" is not a digest of the form sha256:<64 hex digits>'),
    "size": ({"size": -1}, "the size of a layer of the manifest is out of range"),
    "annotation": ({"annotations": {"x": 1}}, "an annotation of a layer of the manifest is not a string"),
    "type": ({"mediaType": None}, "the mediaType of a layer of the manifest is not a string"),
    "no object": (None, "a layer of the manifest is not an object"),
}
TOO_LARGE = {"annotations": {"x": "y" * 300_000}}


@pytest.fixture
def engine() -> Iterator[Engine]:
    with running() as made:
        yield made


def changed(good: Fields, change: object) -> object:
    """Return a layer like ``good`` with members changed, or what is no object."""
    return good | change if isinstance(change, dict) else change


def push_signed(engine: Engine, place: str, change: object, *, good: str) -> Digest:
    """Return an image whose signature manifest has a bad layer, and a good one ``before`` or ``after`` it, or none."""
    image = engine.push()
    if place == "tag":
        pushed = SIGNER.sign_tag(engine.store, REPOSITORY, image)
    else:
        pushed = SIGNER.sign_referrer(engine.store, REPOSITORY, image)
    raw, media_type = engine.store.manifest(REPOSITORY, pushed) or (b"", "")
    engine.store.delete_manifest(REPOSITORY, pushed)
    manifest = json.loads(raw)
    [layer] = manifest["layers"]
    bad = changed(layer, change)
    manifest["layers"] = {"before": [layer, bad], "after": [bad, layer], "none": [bad]}[good]
    tag = f"{image.tag}.sig" if place == "tag" else None
    engine.store.push_manifest(REPOSITORY, json.dumps(manifest).encode(), media_type, tag=tag)
    return image


def ask(engine: Engine, image: Digest) -> tuple[Decision, list[CandidateResult]]:
    decision = engine.ask(f"{HOST}/{REPOSITORY}@{image}")
    return decision, sorted(decision.candidates, key=lambda each: each.location)


@pytest.mark.parametrize("place", ["tag", "referrer"])
@pytest.mark.parametrize("good", ["before", "after"])
@pytest.mark.parametrize("kind", MALFORMED)
def test_a_good_layer_verifies_beside_a_malformed_one_which_is_refused(
    engine: Engine, place: str, good: str, kind: str
) -> None:
    change, message = MALFORMED[kind]
    decision, found = ask(engine, push_signed(engine, place, change, good=good))
    assert isinstance(decision.verdict, Verified)
    verified, refused = found if good == "before" else reversed(found)
    assert verified.reason is Reason.VERIFIED
    assert (refused.format, refused.reason, refused.message) == ("simplesigning", Reason.MALFORMED, message)
    assert [each.location[-7:] for each in found] == ["layer 0", "layer 1"]


@pytest.mark.parametrize("place", ["tag", "referrer"])
@pytest.mark.parametrize("kind", MALFORMED)
def test_a_malformed_layer_alone_is_denied_as_malformed(engine: Engine, place: str, kind: str) -> None:
    change, message = MALFORMED[kind]
    decision, [refused] = ask(engine, push_signed(engine, place, change, good="none"))
    assert isinstance(decision.verdict, Denied)
    assert decision.verdict.reason is Reason.UNTRUSTED
    assert (refused.reason, refused.message) == (Reason.MALFORMED, message)


@pytest.mark.parametrize("place", ["tag", "referrer"])
@pytest.mark.parametrize("good", ["before", "after"])
def test_a_good_layer_verifies_beside_one_with_too_large_annotations(engine: Engine, place: str, good: str) -> None:
    decision, [verified] = ask(engine, push_signed(engine, place, TOO_LARGE, good=good))
    assert isinstance(decision.verdict, Verified)
    assert verified.reason is Reason.VERIFIED


@pytest.mark.parametrize("place", ["tag", "referrer"])
def test_a_layer_with_too_large_annotations_alone_is_a_limit(engine: Engine, place: str) -> None:
    decision, found = ask(engine, push_signed(engine, place, TOO_LARGE, good="none"))
    assert isinstance(decision.verdict, Unavailable)
    assert (decision.verdict.reason, found) == (Reason.LIMIT, [])


def test_an_image_with_a_malformed_layer_is_malformed_whatever_type_the_layer_names(engine: Engine) -> None:
    layer = {"mediaType": LAYER_TYPE, "digest": str(Digest.of(b"")), "size": -1}
    manifest = {"config": layer | {"size": 0}, "layers": [layer]}
    engine.store.push_manifest(REPOSITORY, json.dumps(manifest).encode(), tag="v1")
    decision = engine.ask(f"{HOST}/{REPOSITORY}:v1")
    assert isinstance(decision.verdict, Denied)
    assert decision.verdict.reason is Reason.MALFORMED
    assert "the size of a layer of the manifest is out of range" in decision.verdict.message
